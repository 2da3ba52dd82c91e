// What pages are made of: icons, states, tables, dialogs, messages.

import { Refused, Unreached, useKnown, useTold } from "./api.js";
import { useEffect, useRef, useState } from "./hooks.js";
import htm from "./htm.js";
import { Fragment, h } from "./preact.js";
import { ago, date, find, number, t, time } from "./words.js";

export const html = htm.bind(h);
const MARK = new URL("icon.svg", import.meta.url).href;
export const FACADES = ["jitsi", "owt", "loop", "wcs", "sora"];

const STROKES = {
	overview: "M4 13h6V4H4zM14 20h6V4h-6zM4 20h6v-3H4z",
	jitsi: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-3.6 2.9-6 6.5-6s6.5 2.4 6.5 6M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.4c2.1.8 3.5 2.9 3.5 5.6",
	owt: "M3 5h18v11H3zM8 20h8M12 16v4",
	loop: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.6 1.6M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1.6-1.6",
	wcs: "M3 6h12v12H3zM15 10.5l6-3.5v10l-6-3.5",
	sora: "M4 12a8 8 0 0 1 16 0M7.5 12a4.5 4.5 0 0 1 9 0M12 12v8M9 20h6",
	owed: "M12 7v5l3.2 2M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18z",
	dead: "M4 7h16v12H4zM4 8l8 6 8-6M9 3.5l1.6 1.6M15 3.5l-1.6 1.6",
	events: "M4 6h16M4 12h16M4 18h10",
	menu: "M4 7h16M4 12h16M4 17h16",
	search: "M10.5 17a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13zM20 20l-4.8-4.8",
	refresh: "M20 11a8 8 0 1 0-.6 4M20 4v7h-7",
	out: "M10 5H5v14h5M15 8l4 4-4 4M19 12H9",
	close: "M6 6l12 12M18 6L6 18",
	alert: "M12 4l9 16H3zM12 10v4.5M12 17.2v.3",
	empty: "M5 21V11a7 7 0 0 1 14 0v10M3 21h18M10 21v-6a2 2 0 0 1 4 0v6",
	cloud: "M3 3l18 18M8.3 6.6A6 6 0 0 1 17.7 11 4 4 0 0 1 20 17.6M5.6 10.4A4.3 4.3 0 0 0 7 18.6h9.5",
};

export function Icon({ name, size = 18 }) {
	return html`<svg viewBox="0 0 24 24" width=${size} height=${size} fill="none" stroke="currentColor"
		stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${STROKES[name]} /></svg>`;
}

export function Mark() {
	return html`<img src=${MARK} width="28" height="28" alt="" />`;
}

/** A name that strangers gave: text, whatever is in it, which turns nothing around it. */
export function Name({ children, strong }) {
	return html`<bdi class=${strong ? "strong" : ""}>${children}</bdi>`;
}

export function link(page, given) {
	const query = new URLSearchParams(given || {}).toString();
	return `#/${page}${query ? `?${query}` : ""}`;
}

export function When({ ms }) {
	if (!ms) return html`<span class="muted">–</span>`;
	return html`<time class="when" dateTime=${new Date(ms).toISOString()} title=${date(ms)}>${ago(ms)}</time>`;
}

export function Pill({ kind = "", children }) {
	return html`<span class=${`pill ${kind}`}>${children}</span>`;
}

/** What an error means to a reader. */
export function explain(error) {
	if (error instanceof Unreached) return t("error.unreached");
	if (error instanceof Refused) {
		if (error.code === "too_many_attempts") return t("error.too_many_attempts", { seconds: error.retryAfter || 60 });
		const words = find(`error.${error.code}`) || t("error.status", { status: error.status });
		return error.message && ["invalid", "conflict", "unavailable"].includes(error.code)
			? `${words} (${error.message})`
			: words;
	}
	return t("error.page");
}

/** Nothing is there: `words` and `words.hint` say what would be. */
export function Empty({ words, children }) {
	return html`<div class="state">
		<${Icon} name="empty" size=${44} />
		<h2>${t(words)}</h2>
		<p>${t(`${words}.hint`)}</p>
		${children}
	</div>`;
}

export function Failure({ error, again }) {
	const silent = error instanceof Unreached;
	return html`<div class="state failed" role="alert">
		<${Icon} name=${silent ? "cloud" : "alert"} size=${44} />
		<h2>${t(silent ? "state.offline" : "state.failed")}</h2>
		<p>${explain(error)}</p>
		${error.requestId && html`<p class="small">${t("col.request")} <code>${error.requestId}</code></p>`}
		${again && html`<button class="button" onClick=${again}>${t("act.retry")}</button>`}
	</div>`;
}

function Bones() {
	return html`<div class="bones" role="status">
		<span class="unseen">${t("state.loading")}</span>
		<i></i><i></i><i></i><i></i><i></i>
	</div>`;
}

/** A poll's content: bones, what failed, or `children(data)` with a notice when it is not fresh any more. */
export function Polled({ poll, children }) {
	if (poll.data === undefined) {
		return html`<div class="panel">
			${poll.error ? html`<${Failure} error=${poll.error} again=${poll.refresh} />` : html`<${Bones} />`}
		</div>`;
	}
	return html`<${Fragment}>
		${poll.error &&
		!(poll.error instanceof Unreached) &&
		html`<${Notice} failed>
			<p>${explain(poll.error)} ${t("state.stale", { time: time(poll.at) })}</p>
			<button class="button tiny" onClick=${poll.refresh}>${t("act.retry")}</button>
		<//>`}
		${children(poll.data)}
	<//>`;
}

export function Notice({ failed, children }) {
	return html`<div class=${failed ? "notice failed" : "notice"} role="status">
		<${Icon} name="alert" /> ${children}
	</div>`;
}

/** How fresh a page is, and a button that makes it so. */
export function Fresh({ poll }) {
	const { online } = useKnown();
	const dot = !online ? "off" : poll.error ? "stale" : "";
	return html`<span class="fresh">
		${poll.at > 0 && html`<i class=${`dot ${dot}`}></i><span>${t("state.updated", { time: time(poll.at) })}</span>`}
		<button class="button bare" onClick=${poll.refresh} title=${t("act.refresh")} aria-label=${t("act.refresh")}>
			<${Icon} name="refresh" />
		</button>
	</span>`;
}

/** A page's head; whoever comes to a page by a link begins to read here. */
export function Head({ title, said, crumbs = [], poll, children }) {
	useEffect(() => {
		document.title = `${title} – Foyer`;
	}, [title]);
	return html`<div class="head">
		<div>
			${crumbs.length > 0 &&
			html`<div class="crumbs">
				${crumbs.map(([text, href]) => html`<a key=${href} href=${href}>${text}</a><span aria-hidden="true">/</span>`)}
			</div>`}
			<h1 tabindex="-1"><bdi>${title}</bdi></h1>
			${said && html`<p class="said">${said}</p>`}
		</div>
		<div class="tools">${children} ${poll && html`<${Fresh} poll=${poll} />`}</div>
	</div>`;
}

/** `columns`: `{key, label, cell(row), num, lead}`; the one that leads names the row. */
export function Table({ caption, columns, rows, rowKey = (row) => row.id }) {
	return html`<div class="rows">
		<table>
			<caption class="unseen">${caption}</caption>
			<thead>
				<tr>
					${columns.map(
						(each) =>
							html`<th key=${each.key} scope="col" class=${each.num ? "num" : ""}>
								${each.bare ? html`<span class="unseen">${each.label}</span>` : each.label}
							</th>`,
					)}
				</tr>
			</thead>
			<tbody>
				${rows.map(
					(row) =>
						html`<tr key=${rowKey(row)}>
							${columns.map(
								(each) =>
									html`<td key=${each.key} data-label=${each.label}
										class=${[each.num && "num", each.lead && "lead", each.bare && "bare"].filter(Boolean).join(" ")}>${each.cell(row)}</td>`,
							)}
						</tr>`,
				)}
			</tbody>
		</table>
	</div>`;
}

/** A list with its states, and a button for its next page. */
export function List({ list, caption, columns, rowKey, empty, searched }) {
	return html`<${Polled} poll=${list}>
		${() => html`<div class="panel">
			${list.items.length === 0
				? html`<${Empty} words=${searched ? "empty.search" : empty} />`
				: html`<${Table} caption=${caption} columns=${columns} rows=${list.items} rowKey=${rowKey} />`}
			${(list.next || list.standing || list.more) &&
			html`<div class="foot">
				<span>${t("list.shown", { count: number(list.items.length) })}</span>
				${list.standing && html`<span>${t("list.standing")}</span>`}
				${list.more && html`<span>${t("list.more")}</span>`}
				${list.moreError && html`<span class="error-text" role="alert">${explain(list.moreError)}</span>`}
				${list.next &&
				html`<button class="button" disabled=${list.busy} onClick=${list.onward}>
					${t(list.busy ? "state.loading" : "act.more")}
				</button>`}
			</div>`}
		</div>`}
	<//>`;
}

/** A field whose text is taken over a moment after the last key. */
export function Search({ label, value, change }) {
	const [text, setText] = useState(value);
	const timer = useRef(0);
	useEffect(() => void (value === text.trim() || setText(value)), [value]);
	useEffect(() => () => clearTimeout(timer.current), []);
	const typed = (event) => {
		const next = event.currentTarget.value;
		setText(next);
		clearTimeout(timer.current);
		timer.current = setTimeout(() => change(next.trim()), 350);
	};
	return html`<form class="search" role="search" onSubmit=${(event) => { event.preventDefault(); clearTimeout(timer.current); change(text.trim()); }}>
		<${Icon} name="search" />
		<input class="input" type="search" aria-label=${label} placeholder=${label} value=${text} onInput=${typed}
			maxlength="200" autocomplete="off" spellcheck=${false} />
	</form>`;
}

/** Asks before something is done; `ask` is `{title, text, yes, danger, act}` or nothing. */
export function Confirm({ ask, done }) {
	const dialog = useRef();
	const [busy, setBusy] = useState(false);
	useEffect(() => {
		if (ask && !dialog.current.open) dialog.current.showModal();
		if (!ask && dialog.current.open) dialog.current.close();
	}, [ask]);
	const act = async (event) => {
		event.preventDefault();
		setBusy(true);
		try {
			await ask.act();
		} catch (error) {
			say(explain(error), true);
		} finally {
			setBusy(false);
			done();
		}
	};
	return html`<dialog ref=${dialog} aria-labelledby="ask" onClose=${() => dialog.current.open || done()}>
		${ask &&
		html`<form onSubmit=${act}>
			<h2 id="ask">${ask.title}</h2>
			<p>${ask.text}</p>
			<div class="actions">
				<button class="button" type="button" onClick=${done} disabled=${busy}>${t("act.cancel")}</button>
				<button class=${`button primary ${ask.danger ? "danger" : ""}`} type="submit" disabled=${busy}>${ask.yes}</button>
			</div>
		</form>`}
	</dialog>`;
}

const toasts = { list: [], listeners: new Set(), last: 0 };

/** Tell the reader what came of something: what failed stays until it is closed. */
export function say(text, failed = false) {
	const toast = { id: ++toasts.last, text, failed };
	show([...toasts.list.slice(-3), toast]);
	if (!failed) setTimeout(() => unsay(toast.id), 6000);
}

const unsay = (id) => show(toasts.list.filter((each) => each.id !== id));

function show(list) {
	toasts.list = list;
	for (const listener of toasts.listeners) listener();
}

export function Toasts() {
	useTold(toasts.listeners);
	return html`<div class="toasts" role="status" aria-live="polite">
		${toasts.list.map(
			(each) =>
				html`<div class=${each.failed ? "toast failed" : "toast"} key=${each.id}>
					<p>${each.text}</p>
					<button class="button bare tiny" aria-label=${t("act.close")} onClick=${() => unsay(each.id)}>
						<${Icon} name="close" />
					</button>
				</div>`,
		)}
	</div>`;
}
