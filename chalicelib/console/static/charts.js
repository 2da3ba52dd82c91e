// Charts of minutes: uPlot draws, the legend and a table of the same numbers are ours.

import { useEffect, useLayoutEffect, useRef, useState } from "./hooks.js";
import { html } from "./parts.js";
import { minute, number, short, t } from "./words.js";

const HEIGHT = 176;
const DASHES = { jitsi: [], owt: [7, 3], loop: [2, 3], wcs: [9, 3, 2, 3], sora: [4, 4] };

/** The colour of a token as the browser paints it: a canvas knows no tokens. */
function painted(token, alpha = 1) {
	const probe = document.createElement("i");
	probe.style.color = `color-mix(in srgb, var(--${token}) ${alpha * 100}%, transparent)`;
	document.body.append(probe);
	const { color } = getComputedStyle(probe);
	probe.remove();
	return color;
}

function useTheme() {
	const [turn, setTurn] = useState(0);
	useEffect(() => {
		const change = () => setTurn((n) => n + 1);
		const system = matchMedia("(prefers-color-scheme: dark)");
		system.addEventListener("change", change);
		addEventListener("foyer-theme", change);
		return () => {
			system.removeEventListener("change", change);
			removeEventListener("foyer-theme", change);
		};
	}, []);
	return turn;
}

/** Times and numbers with a break wherever minutes are missing. */
function columns(points, series, step) {
	const times = [];
	const lines = series.map(() => []);
	let last = 0;
	for (const point of points) {
		const at = point.at / 1000;
		if (last && at - last > step * 1.5) {
			times.push(last + step);
			for (const line of lines) line.push(null);
		}
		times.push(at);
		series.forEach((each, index) => lines[index].push(each.of(point) ?? null));
		last = at;
	}
	return [times, ...lines];
}

/** `series`: `{hue, label, of(point)}`; `points` from old to new, `step` seconds apart. */
export function Chart({ title, said, points, series, step, from, to }) {
	const place = useRef();
	const plot = useRef();
	const [hidden, setHidden] = useState({});
	const turn = useTheme();
	const data = columns(points, series, step);
	const held = useRef();
	held.current = { data, from: from / 1000, to: to / 1000 };

	useLayoutEffect(() => {
		const axis = {
			stroke: painted("muted"),
			grid: { stroke: painted("line"), width: 1 },
			ticks: { show: false },
			font: `12px ${getComputedStyle(document.body).fontFamily}`,
		};
		const made = new uPlot(
			{
				width: Math.max(200, place.current.clientWidth - 14),
				height: HEIGHT,
				legend: { show: false },
				cursor: { sync: { key: "foyer" }, y: false, drag: { x: false, y: false }, points: { size: 7 } },
				scales: {
					x: { time: true, range: () => [held.current.from, held.current.to] },
					y: { range: (_, __, most) => [0, Math.max(4, (most || 0) * 1.12)] },
				},
				axes: [
					{ ...axis, size: 26, space: 64, values: (_, at) => at.map((each) => minute(each * 1000)) },
					{
						...axis,
						size: 44,
						space: 34,
						incrs: Array.from({ length: 24 }, (_, at) => [1, 2, 5][at % 3] * 10 ** Math.floor(at / 3)),
						values: (_, at) => at.map(short),
					},
				],
				series: [
					{},
					...series.map((each) => ({
						label: each.label,
						stroke: painted(each.hue),
						width: 2,
						dash: series.length > 1 ? DASHES[each.hue] : [],
						fill: series.length === 1 ? painted(each.hue, 0.14) : undefined,
						points: { show: points.length < 3, size: 6 },
						spanGaps: false,
					})),
				],
			},
			held.current.data,
			place.current,
		);
		plot.current = made;
		const watch = new ResizeObserver(() => {
			const width = Math.max(200, place.current.clientWidth - 14);
			if (width !== made.width) made.setSize({ width, height: HEIGHT });
		});
		watch.observe(place.current);
		return () => {
			watch.disconnect();
			made.destroy();
		};
	}, [turn, series.map((each) => each.label).join()]);

	useEffect(() => plot.current.setData(held.current.data), [points, from, to]);
	useEffect(() => {
		series.forEach((each, index) => {
			const show = !hidden[each.hue];
			if (plot.current.series[index + 1].show !== show) plot.current.setSeries(index + 1, { show });
		});
	}, [hidden, turn]);

	const latest = (each) => {
		const value = points.length ? each.of(points.at(-1)) : undefined;
		return Number.isFinite(value) ? number(value) : "–";
	};
	const summary = series.map((each) => `${each.label}: ${latest(each)}`).join(", ");
	return html`<figure class="panel chart" aria-label=${title}>
		<header><h2>${title}</h2><span class="small muted">${said}</span></header>
		<div class="plot" ref=${place} role="img" aria-label=${`${title}. ${summary}`}></div>
		<div class="legend">
			${series.map(
				(each) => html`<button key=${each.hue} class=${`hue-${each.hue}`} aria-pressed=${String(!hidden[each.hue])}
					onClick=${() => setHidden({ ...hidden, [each.hue]: !hidden[each.hue] })}>
					<i></i>${each.label} <b>${latest(each)}</b>
				</button>`,
			)}
		</div>
		<details>
			<summary>${t("chart.table")}</summary>
			<div class="scroll" tabindex="0" role="region" aria-label=${title}>
				<table class="plain">
					<thead>
						<tr><th scope="col">${t("col.time")}</th>${series.map((each) => html`<th key=${each.hue} scope="col" class="num">${each.label}</th>`)}</tr>
					</thead>
					<tbody>
						${[...points].reverse().map(
							(point) => html`<tr key=${point.at}>
								<th scope="row">${minute(point.at)}</th>
								${series.map((each) => html`<td key=${each.hue} class="num">${number(each.of(point))}</td>`)}
							</tr>`,
						)}
					</tbody>
				</table>
			</div>
		</details>
	</figure>`;
}

/** A line without axes: which way it goes. */
export function Spark({ values }) {
	const known = values.filter(Number.isFinite);
	if (known.length < 2) return html`<svg viewBox="0 0 100 34" aria-hidden="true"></svg>`;
	const most = Math.max(1, ...known);
	const step = 100 / (known.length - 1);
	const path = known.map((value, at) => `${(at * step).toFixed(1)},${(31 - (value / most) * 28).toFixed(1)}`);
	return html`<svg viewBox="0 0 100 34" preserveAspectRatio="none" aria-hidden="true">
		<polygon points=${`0,34 ${path.join(" ")} 100,34`} fill="currentColor" opacity="0.12" />
		<polyline points=${path.join(" ")} fill="none" stroke="currentColor" stroke-width="1.8" vector-effect="non-scaling-stroke" />
	</svg>`;
}
