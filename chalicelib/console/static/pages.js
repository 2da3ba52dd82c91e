// The pages.  Each asks the operators' API for what it shows, and for nothing else.

import { call, useList, usePoll } from "./api.js";
import { Chart, Spark } from "./charts.js";
import { useEffect, useRef, useState } from "./hooks.js";
import { Confirm, Empty, FACADES, Head, html, link, List, Name, Notice, Pill, Polled, say, Search, Table, When } from "./parts.js";
import { Fragment } from "./preact.js";
import { number, span, t } from "./words.js";

const SHARDS_AT_ONCE = 4;
/** Work that is late by more than this needs somebody. */
const LATE_S = 300;
/** So many dead letters the API takes at once. */
const MOST_IDS = 100;

/** Change what the address says after `?`, without a new page. */
function narrow(given) {
	const kept = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
	history.replaceState(null, "", link(location.hash.slice(2).split("?")[0], kept));
	dispatchEvent(new HashChangeEvent("hashchange"));
}

const sum = (values) => values.reduce((whole, each) => whole + (each || 0), 0);

const code = (text) => html`<code>${text ?? "–"}</code>`;
const nameOf = (row) => row.name || row.id;
const yes = (value) => t(value ? "word.yes" : "word.no");
const column = (key, cell, more) => ({ key, label: t(`col.${key}`), cell, ...more });
const numbered = (key, field = key) => column(key, (row) => number(row[field]), NUMBER);
const dated = (key, field) => column(key, (row) => html`<${When} ms=${row[field]} />`);
const named = (key, field = key) => column(key, (row) => html`<${Name}>${row[field] ?? "–"}<//>`);
const coded = (key, field = key, more) => column(key, (row) => code(row[field]), more);
/** What leads a row: a link to its page, or just its name. */
const linked = (key, page, given, name) =>
	column(key, (row) => html`<a class="strong" href=${link(page, given(row))}><${Name}>${name(row)}<//></a>`, LEAD);
const leading = (key, name) => column(key, (row) => html`<${Name} strong>${name(row)}<//>`, LEAD);
const LEAD = { lead: true };
const NUMBER = { num: true };
const BARE = { bare: true };

function Facts({ facts }) {
	return html`<dl class="facts body">
		${facts.map(([label, value]) => html`<div key=${label}><dt class="small muted">${label}</dt><dd>${value ?? "–"}</dd></div>`)}
	</dl>`;
}

function Tile({ what, much, more, kind = "", href }) {
	return html`<a class=${`panel tile ${kind}`} href=${href}><span class="small muted">${what}</span><span class="much">${much}</span><span class="small muted">${more}</span></a>`;
}

/** A panel with a heading: of whatever is in it, or of `rows` and what is said when there are none. */
function Section({ title, rows, more, columns, rowKey, empty, children }) {
	return html`<section class="panel">
		<header><h2>${title}</h2>${rows && html`<span class="muted small">${number(rows.length)}${more && "+"}</span>`}</header>
		${children} ${rows && (rows.length ? html`<${Table} caption=${title} rows=${rows} rowKey=${rowKey} columns=${columns} />` : html`<${Empty} words=${empty} />`)}
	</section>`;
}

/** A page that is one list; its words begin with `page`. */
function Listing({ page, path, query, given, search, title, crumbs, columns, rowKey }) {
	const sought = (search && given.search) || "";
	const list = useList(path, { ...query, search: sought });
	const name = title || t(`nav.${page}`);
	return html`<${Fragment}>
		<${Head} title=${name} said=${t(`${page}.said`)} crumbs=${crumbs} poll=${list} />
		${search && html`<div class="bar"><${Search} label=${t("list.search")} value=${sought} change=${(text) => narrow({ ...given, search: text })} /></div>`}
		<${List} list=${list} caption=${name} rowKey=${rowKey} columns=${columns} empty=${`${page}.empty`} searched=${!!sought} />
	<//>`;
}

/** A page of one thing, which `name(data)` calls. */
function One({ path, id = "", name, crumbs, children }) {
	const poll = usePoll((signal) => call("GET", inside(path, id), { signal }), [path, id]);
	return html`<${Fragment}>
		<${Head} title=${(poll.data && name(poll.data)) || id || "–"} crumbs=${crumbs} poll=${poll} />
		<${Polled} poll=${poll}>${(data) => html`<div class="stack">${children(data)}</div>`}<//>
	<//>`;
}

const inside = (path, id = "") => `${path}/${encodeURIComponent(id)}`;

/* Overview */

function Overview() {
	const [minutes, setMinutes] = useState(15);
	const poll = usePoll((signal) => call("GET", "overview", { query: { minutes }, signal }), ["overview", minutes]);
	const held = useRef();
	if (poll.data) held.current = poll.data;
	// The other range's numbers stay until this one's are there: a page that jumps cannot be read.
	const shown = poll.data || (poll.error ? undefined : held.current);
	return html`<${Fragment}>
		<${Head} title=${t("nav.overview")} said=${t("overview.said")} poll=${poll}>
			<div class="segments" role="group" aria-label=${t("overview.range")}>
				${[15, 1440].map((each) => html`<button key=${each} aria-pressed=${String(minutes === each)} onClick=${() => setMinutes(each)}>${t(`overview.range.${each}`)}</button>`)}
			</div>
		<//>
		<${Polled} poll=${{ ...poll, data: shown }}>${(data) => html`<${Numbers} data=${data} />`}<//>
	<//>`;
}

function Numbers({ data }) {
	const points = data.minutes;
	const step = data.step_s || 60;
	const to = points.at(-1)?.at ?? data.now;
	const from = to - (step > 60 ? 24 * 60 : 15) * 60_000;
	const facades = data.facades;
	const requests = sum(FACADES.map((each) => facades[each].requests));
	const errors = sum(FACADES.map((each) => facades[each].errors));
	const per = step > 60 ? t("per.minutes", { minutes: step / 60 }) : t("per.minute");
	const line = (hue, name, label) => ({ hue, label, of: (point) => point[hue]?.[name] });
	const lines = (name) => FACADES.map((each) => line(each, name, t(`nav.${each}.short`)));
	const charts = [
		{ title: t("chart.waiting"), said: t("chart.waiting.said"), series: [line("jitsi", "waiting", t("chart.waiting"))] },
		{ title: t("fact.requests"), said: per, series: lines("requests") },
		{ title: t("fact.errors"), said: per, series: lines("errors") },
		{
			title: t("chart.moved"),
			said: per,
			series: [
				line("jitsi", "releases", t("fact.releases")),
				line("wcs", "hooks", t("fact.hooks.wcs")),
				line("sora", "hooks", t("fact.hooks.sora")),
			],
		},
	];
	const { owed, dead } = data;
	return html`<div class="stack">
		<div class="tiles">
			<${Tile} what=${t("chart.waiting")} much=${number(facades.jitsi.waiting)} more=${t("tile.waiting.more", { count: number(facades.jitsi.conferences) })} href="#/jitsi" />
			<${Tile} what=${t("fact.requests")} much=${number(requests)} more=${t("tile.window")} href="#/events" />
			<${Tile} what=${t("fact.errors")} much=${number(errors)} more=${t("tile.window")} kind=${errors ? "bad" : ""} href=${link("events", { errors: 1 })} />
			<${Tile} what=${t("nav.owed")} much=${number(owed.rows)} more=${owed.rows ? t("tile.owed.more", { span: span(owed.oldest_s) }) : t("tile.owed.none")} kind=${owed.oldest_s > LATE_S ? "warn" : ""} href="#/owed" />
			<${Tile} what=${t("nav.dead")} much=${`${number(dead.count)}${dead.more ? "+" : ""}`} more=${t(dead.count ? "tile.dead.more" : "tile.dead.none")} kind=${dead.count ? "bad" : ""} href="#/dead" />
		</div>
		<section class="stack">
			<h2 class="unseen">${t("nav.facades")}</h2>
			<div class="facades">
				${FACADES.map((each) => html`<${FacadeCard} key=${each} facade=${each} numbers=${facades[each]} points=${points} />`)}
			</div>
		</section>
		${points.every((point) => point.jitsi.requests === null) && html`<${Notice}><p>${t("overview.quiet")}</p><//>`}
		<div class="charts">
			${charts.map((each) => html`<${Chart} key=${each.title} ...${each} points=${points} step=${step} from=${from} to=${to} />`)}
		</div>
	</div>`;
}

function FacadeCard({ facade, numbers, points }) {
	const facts = ["requests", "errors", "releases", "hooks"].filter((name) => name in numbers);
	return html`<a class=${`panel facade hue-${facade}`} href=${`#/${facade}`}>
		<h3>${t(`nav.${facade}.short`)}<span>${t(`nav.${facade}`)}</span></h3>
		<dl>${facts.map((name) => html`<div key=${name}><dt>${t(`fact.${name}`)}</dt><dd class=${name === "errors" && numbers.errors ? "bad" : ""}>${number(numbers[name])}</dd></div>`)}</dl>
		<${Spark} values=${points.map((point) => point[facade]?.requests ?? 0)} />
	</a>`;
}

/* The waiting queue */

function liveness(row) {
	return row.live ? html`<${Pill} kind="good">${t("state.live")}<//>` : html`<${Pill}>${t("state.not_live")}<//>`;
}

function Conferences({ given }) {
	return html`<${Listing} page="jitsi" path="conferences" given=${given} search rowKey=${(row) => row.name}
		columns=${[
			linked("conference", "conference", ({ name }) => ({ name }), (row) => row.name),
			column("waiting", (row) => (Number.isFinite(row.waiting) ? number(row.waiting) : html`<span class="muted">${t("jitsi.uncounted")}</span>`), NUMBER),
			column("state", liveness),
			column("live_since", (row) => html`<${When} ms=${row.live && row.live_since} />`),
			column("watched", (row) => yes(row.watched)),
		]} />`;
}

/** Some shards at each look, in turn; all of them at first and when the conference went live or was cleared. */
async function lookAt(name, signal, before) {
	if (!before) return { ...(await call("GET", "conference", { query: { name }, signal })), next: 0 };
	const shards = before.counts.length;
	const asked = Array.from({ length: Math.min(SHARDS_AT_ONCE, shards) }, (_, at) => (before.next + at) % shards);
	const answer = await call("GET", "conference/counts", { query: { name, shards: asked.join(",") }, signal });
	if (answer.live !== before.live || answer.live_since !== before.live_since) return lookAt(name, signal);
	const counts = before.counts.map((count, at) => answer.counts[at] ?? count);
	return { ...before, counts, next: (before.next + asked.length) % shards };
}

function Conference({ given }) {
	const name = given.name || "";
	const [ask, setAsk] = useState(null);
	const [seen, setSeen] = useState([]);
	const [early, setEarly] = useState();
	const poll = usePoll(async (signal, before) => {
		if (!before) {
			// To count everybody may take a while; what was counted last is there at once.
			const { items } = await call("GET", "conferences", { query: { search: name }, signal });
			const row = items.find((each) => each.name === name && Number.isFinite(each.waiting));
			if (row) setEarly({ at: Date.now(), data: { ...row, counts: [row.waiting] } });
		}
		const found = await lookAt(name, signal, before);
		const at = Date.now();
		setSeen((points) => [...points.slice(-240), { at, waiting: sum(found.counts) }]);
		return found;
	}, ["conference", name]);
	const shown = poll.data ? poll : { ...poll, ...early };
	const afterwards = () => {
		// Visitors are let in over a moment; these few looks show them go.
		for (const ms of [0, 1_000, 3_000, 8_000]) setTimeout(poll.refresh, ms);
	};
	const change = (verb, text) =>
		setAsk({
			title: t(`${verb}.title`, { name }),
			text,
			yes: t(`act.${verb}`),
			danger: verb === "clear",
			act: async () => {
				await call("POST", `conference/${verb}`, { body: { name } });
				say(t(`${verb}.done`));
				afterwards();
			},
		});
	const golive = (waiting) => change("golive", waiting ? t("golive.text", { count: number(waiting) }) : t("golive.text.none"));
	const clear = () => change("clear", t("clear.text"));
	return html`<${Fragment}>
		<${Head} title=${name || "–"} crumbs=${[[t("nav.jitsi"), "#/jitsi"]]} poll=${poll} />
		<${Polled} poll=${shown}>
			${(data) => {
				const waiting = sum(data.counts);
				return html`<div class="stack">
					<div class="queue">
						<section class="panel"><div class="body">
							<div class="pills">${liveness(data)} ${data.watched && html`<${Pill}>${t("jitsi.watched")}<//>`}</div>
							<div><p class="muted">${t("chart.waiting")}</p><p class="big" id="waiting" role="status" aria-label=${t("jitsi.waiting.now", { count: number(waiting) })}>${number(waiting)}</p></div>
							<div class="actions">
								<button class=${`button ${data.live ? "" : "primary"}`} onClick=${() => golive(waiting)}>${t("act.golive")}</button>
								<button class="button" onClick=${clear} disabled=${!data.live}>${t("act.clear")}</button>
							</div>
							<p class="small muted">${poll.data ? t("jitsi.counted", { count: SHARDS_AT_ONCE }) : t("jitsi.early")}</p>
						</div></section>
						<${Chart} title=${t("jitsi.seen")} points=${seen} step=${3600}
							from=${Math.min(seen[0]?.at ?? Infinity, Date.now() - 300_000)} to=${seen.at(-1)?.at ?? Date.now()}
							series=${[{ hue: "jitsi", label: t("chart.waiting"), of: (point) => point.waiting }]} />
					</div>
					<${Section} title=${t("word.details")}>
						<${Facts} facts=${[
							[t("col.live_since"), html`<${When} ms=${data.live && data.live_since} />`],
							[t("fact.live_until"), html`<${When} ms=${data.live && data.live_until} />`],
							[t("fact.moderators"), number(data.moderators)],
							[t("col.watched"), yes(data.watched)],
							[t("fact.epoch"), code(data.epoch)],
							[t("fact.shards"), number(data.shards)],
						]} />
					<//>
				</div>`;
			}}
		<//>
		<${Confirm} ask=${ask} done=${() => setAsk(null)} />
	<//>`;
}

/* Conference management */

function Services({ given }) {
	return html`<${Listing} page="owt" path="owt/services" given=${given} search
		columns=${[
			linked("service", "service", ({ id, name }) => ({ id, name }), nameOf),
			coded("id"),
		]} />`;
}

function Service({ given }) {
	return html`<${Listing} page="owt.rooms" path=${`${inside("owt/services", given.id)}/rooms`} given=${given} search
		title=${given.name || given.id} crumbs=${[[t("nav.owt"), "#/owt"]]}
		columns=${[
			linked("room", "room", ({ id }) => ({ id, service: given.id, from: given.name }), nameOf),
			coded("id"),
			numbered("participants"),
			numbered("streams"),
		]} />`;
}

function Room({ given }) {
	const crumbs = [[t("nav.owt"), "#/owt"]];
	if (given.service) crumbs.push([given.from || given.service, link("service", { id: given.service, name: given.from || "" })]);
	return html`<${One} path="owt/rooms" id=${given.id} name=${(data) => data.room.name} crumbs=${crumbs}>
		${(data) => html`
			<${Section} title=${t("owt.participants")} rows=${data.participants} more=${data.more} empty="owt.nobody"
				columns=${[
					leading("user", (row) => row.user || row.id),
					named("role"),
					coded("id"),
				]} />
			<${Section} title=${t("owt.streams")} rows=${data.streams} more=${data.more} empty="owt.silent"
				columns=${[
					coded("stream", "id", LEAD),
					column("type", (row) => html`<${Pill}>${row.type}<//>`),
					named("owner"),
					named("source"),
				]} />`}
	<//>`;
}

/* Rooms by invitation */

function LoopRooms({ given }) {
	return html`<${Listing} page="loop" path="loop/rooms" given=${given} search
		columns=${[
			linked("room", "invitation", ({ id }) => ({ id }), (row) => row.name || row.token),
			coded("token"),
			numbered("participants"),
			dated("expires", "expires_at"),
		]} />`;
}

const LOOP_KINDS = { sendrecv: "good", starting: "warn", "half-duplex": "warn", cleanup: "warn" };

function Invitation({ given }) {
	return html`<${One} path="loop/rooms" id=${given.id} name=${(data) => data.name || data.token} crumbs=${[[t("nav.loop"), "#/loop"]]}>
		${(data) => html`
			<${Section} title=${t("word.details")}><${Facts} facts=${[
				[t("col.token"), code(data.token)],
				[t("col.owner"), html`<${Name}>${data.owner ?? "–"}<//>`],
				[t("fact.size"), number(data.max_size)],
				[t("col.expires"), html`<${When} ms=${data.expires_at} />`],
			]} /><//>
			<${Section} title=${t("loop.sessions")} rows=${data.sessions} rowKey=${(row) => row.session_id} empty="loop.nobody"
				columns=${[
					leading("user", (row) => row.name || row.session_id),
					column("state", (row) => html`<${Pill} kind=${LOOP_KINDS[row.state] || ""}>${row.state}<//>`),
					numbered("connections"),
					dated("expires", "expires_at"),
					coded("id", "session_id"),
				]} />`}
	<//>`;
}

/* Streams of a media server */

const WCS_KINDS = { PUBLISHING: "good", PLAYING: "good", FAILED: "bad" };

function Streams({ given }) {
	return html`<${Listing} page="wcs" path="wcs/streams" given=${given} search rowKey=${(row) => `${row.media_session_id} ${row.server}`}
		columns=${[
			leading("stream", (row) => row.name),
			column("state", (row) => html`<span class="pills">
				<${Pill} kind=${row.stale || row.ended ? "" : WCS_KINDS[row.status] || ""}>${row.status}<//>
				${["ended", "ending", "stale"].map((mark) => row[mark] && html`<${Pill} key=${mark} kind=${mark === "stale" ? "warn" : ""}>${t(`wcs.${mark}`)}<//>`)}</span>`),
			named("app", "app_key"),
			named("server"),
			dated("last_event", "at"),
			coded("media_session", "media_session_id"),
		]} />`;
}

/* Channels */

function Channels({ given }) {
	return html`<${Listing} page="sora" path="sora/channels" given=${given} search rowKey=${(row) => row.channel_id}
		columns=${[
			linked("channel", "channel", (row) => ({ id: row.channel_id }), (row) => row.channel_id),
			dated("last_event", "seen_at"),
		]} />`;
}

function Channel({ given }) {
	return html`<${Listing} page="sora.channel" path="sora/channel" query=${{ id: given.id }} given=${given} title=${given.id} crumbs=${[[t("nav.sora"), "#/sora"]]}
		rowKey=${(row) => row.connection_id}
		columns=${[
			leading("connection", (row) => row.connection_id),
			named("client", "client_id"),
			named("role"),
			column("metadata", (row) =>
				row.metadata === null && row.metadata_bytes > 4
					? t("sora.large", { bytes: number(row.metadata_bytes) })
					: html`<pre><bdi>${JSON.stringify(row.metadata, null, 2)}</bdi></pre>`),
		]} />`;
}

/* What is owed, and what could not be done */

function Owed({ given }) {
	return html`<${Listing} page="owed" path="owed" query=${{ limit: 100 }} given=${given} rowKey=${JSON.stringify}
		columns=${[
			coded("kind", "kind", LEAD),
			dated("due", "at"),
			column("overdue", (row) => (row.overdue_s > 0 ? html`<span class=${row.overdue_s > LATE_S ? "warn" : ""}>${span(row.overdue_s)}</span>` : "–"), NUMBER),
			numbered("attempts"),
			named("reason"),
		]} />`;
}

function Dead() {
	const list = useList("dead");
	const [chosen, setChosen] = useState(() => new Set());
	const [ask, setAsk] = useState(null);
	const [left, setLeft] = useState([]);
	const items = list.items || [];
	const known = items.filter((row) => chosen.has(row.id));
	const retryable = known.filter((row) => row.replayable);
	const turn = (id) =>
		setChosen((before) => {
			const next = new Set(before);
			if (!next.delete(id)) next.add(id);
			return next;
		});
	/** Those of these ids, some at a time, or all that can be; what is left when one call fails stays chosen. */
	const act = async (verb, ids) => {
		let [count, failed, rest] = [0, [], ids];
		let answer, step;
		try {
			do {
				answer = await call("POST", `dead/${verb}`, { body: ids ? { ids: rest.slice(0, MOST_IDS) } : { all: true } });
				step = (answer.retried ?? answer.dropped) + answer.failed.length;
				count += step - answer.failed.length;
				failed = [...failed, ...answer.failed];
				rest = rest?.slice(step);
			} while (step && rest?.length);
		} finally {
			setChosen(new Set([...chosen].filter((id) => rest?.includes(id) || !ids?.includes(id))));
			setLeft(failed);
			list.refresh();
			if (answer) say(t(verb === "drop" ? "dead.dropped" : "dead.retried", { count: number(count) }) + (answer.more ? ` ${t("dead.more")}` : ""));
		}
	};
	const confirm = (verb, rows) =>
		setAsk({
			title: rows ? t(`dead.${verb}.title`, { count: number(rows.length) }) : t("dead.all.title"),
			text: t(`dead.${verb}.text`),
			yes: t(rows ? `act.${verb}` : "act.retry_all"),
			danger: verb === "drop",
			act: () => act(verb, rows?.map((row) => row.id)),
		});
	return html`<${Fragment}>
		<${Head} title=${t("nav.dead")} said=${t("dead.said")} poll=${list} />
		${items.length > 0 &&
		html`<div class="bar" role="group" aria-label=${t("dead.actions")}>
			<button class="button primary" disabled=${!retryable.length} onClick=${() => confirm("retry", retryable)}>${t("act.retry_chosen", { count: number(retryable.length) })}</button>
			<button class="button danger" disabled=${!known.length} onClick=${() => confirm("drop", known)}>${t("act.drop_chosen", { count: number(known.length) })}</button>
			<button class="button" onClick=${() => confirm("retry")}>${t("act.retry_all")}</button>
		</div>`}
		${left.length > 0 &&
		html`<${Notice} failed><div><p>${t("dead.left", { count: number(left.length) })}</p><ul>${left.slice(0, 5).map((each) => html`<li key=${each.id}><code>${each.id}</code> ${each.reason}</li>`)}</ul></div><//>`}
		<${List} list=${list} caption=${t("nav.dead")}
			empty="dead.empty"
			columns=${[
				column("chosen", (row) => html`<input type="checkbox" checked=${chosen.has(row.id)} aria-label=${t("dead.choose", row)} onChange=${() => turn(row.id)} />`, BARE),
				coded("kind", "kind", LEAD),
				named("reason"),
				numbered("attempts"),
				dated("given_up", "at"),
				column("action", (row) => (row.replayable
					? html`<button class="button tiny" aria-label=${t("dead.retry.one", row)} onClick=${() => confirm("retry", [row])}>${t("act.retry")}</button>`
					: html`<span class="muted small">${t("dead.final")}</span>`), BARE),
			]} />
		<${Confirm} ask=${ask} done=${() => setAsk(null)} />
	<//>`;
}

/* Events */

const kindOf = (status) => (status >= 500 ? "bad" : status >= 400 ? "warn" : "good");

function Events({ given }) {
	const { request_id = "", facade = "", errors = "" } = given;
	const query = { request_id, facade, errors };
	const list = useList("events", query);
	const change = (more) => narrow({ ...query, ...more });
	return html`<${Fragment}>
		<${Head} title=${t("nav.events")} said=${t("events.said")} poll=${list} />
		<div class="bar">
			<${Search} label=${t("events.search")} value=${request_id} change=${(text) => change({ request_id: text })} />
			<select class="input" aria-label=${t("col.facade")} value=${facade} onChange=${(event) => change({ facade: event.currentTarget.value })}>
				<option value="">${t("events.every")}</option>
				${FACADES.map((each) => html`<option key=${each} value=${each}>${t(`nav.${each}.short`)}</option>`)}
			</select>
			<label class="check"><input type="checkbox" checked=${!!errors} onChange=${(event) => change({ errors: event.currentTarget.checked ? "1" : "" })} /> ${t("events.errors")}</label>
		</div>
		<${List} list=${list} caption=${t("nav.events")} rowKey=${JSON.stringify} empty="events.empty"
			searched=${!!(request_id || facade || errors)}
			columns=${[
				column("status", (row) => html`<${Pill} kind=${kindOf(row.status)}>${row.status}<//>`),
				column("route", (row) => html`<span><span class="muted">${row.method}</span> ${code(row.route)}</span>`, LEAD),
				column("facade", (row) => (FACADES.includes(row.facade) ? t(`nav.${row.facade}.short`) : row.facade)),
				column("ms", (row) => number(Math.round(row.ms)), NUMBER),
				dated("time", "at"),
				column("request", (row) => html`<a href=${link("events", { request_id: row.request_id })}>${code(row.request_id)}</a>`),
			]} />
	<//>`;
}

function Lost() {
	return html`<${Fragment}>
		<${Head} title=${t("lost.page")} />
		<div class="panel"><${Empty} words="lost.page"><a class="button" href="#/">${t("nav.overview")}</a><//></div>
	<//>`;
}

/** By what the address says: the page, and for one of many of its kind the page that it is under. */
export const PAGES = {
	overview: [Overview],
	jitsi: [Conferences],
	conference: [Conference, "jitsi"],
	owt: [Services],
	service: [Service, "owt"],
	room: [Room, "owt"],
	loop: [LoopRooms],
	invitation: [Invitation, "loop"],
	wcs: [Streams],
	sora: [Channels],
	channel: [Channel, "sora"],
	owed: [Owed],
	dead: [Dead],
	events: [Events],
	lost: [Lost],
};
