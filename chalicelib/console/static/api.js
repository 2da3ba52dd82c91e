// The operators' API: one function that calls it, what it refuses, and how often a page asks again.

import { useCallback, useEffect, useRef, useState } from "./hooks.js";

const BASE = new URL("../admin/v1/", import.meta.url);
const PATIENCE_MS = 20_000;
const EVERY_MS = 15_000;
const AFTER_SILENCE_MS = 5_000;

/** The API answered, and refused. */
export class Refused extends Error {
	constructor(status, code, message, requestId, retryAfter) {
		super(message);
		Object.assign(this, { status, code, requestId, retryAfter });
	}
}

/** Nothing answered. */
export class Unreached extends Error {}

/** What all parts of the page know: `session` is undefined until somebody asked, and null when there is none. */
const known = { session: undefined, online: true, why: "" };
const listeners = new Set();

export function tell(change) {
	if (Object.entries(change).every(([name, value]) => known[name] === value)) return;
	Object.assign(known, change);
	for (const listener of listeners) listener();
}

/** Draw anew whenever these are told. */
export function useTold(listeners) {
	const [, again] = useState(0);
	useEffect(() => {
		const listener = () => again((n) => n + 1);
		listeners.add(listener);
		return () => listeners.delete(listener);
	}, []);
}

export function useKnown() {
	useTold(listeners);
	return known;
}

function address(path, query) {
	const url = new URL(path, BASE);
	for (const [name, value] of Object.entries(query || {})) {
		if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
	}
	return url;
}

/** Call the API.  Throws `Refused` or `Unreached`; an aborted call throws the browser's AbortError. */
export async function call(method, path, { query, body, signal } = {}) {
	const headers = {};
	if (body !== undefined) headers["Content-Type"] = "application/json";
	if (method !== "GET" && known.session) headers["X-CSRF-Token"] = known.session.csrf;
	const patience = AbortSignal.timeout(PATIENCE_MS);
	let answer, text;
	try {
		answer = await fetch(address(path, query), {
			method,
			headers,
			body: body === undefined ? undefined : JSON.stringify(body),
			credentials: "same-origin",
			cache: "no-store",
			signal: signal ? AbortSignal.any([signal, patience]) : patience,
		});
		text = await answer.text();
	} catch (error) {
		if (signal?.aborted) throw error;
		tell({ online: false });
		throw new Unreached();
	}
	tell({ online: true });
	let value = null;
	try {
		if (text) value = JSON.parse(text);
	} catch {
		// A proxy's page, perhaps; the status says enough.
	}
	if (answer.ok) return value;
	const error = new Refused(
		answer.status,
		String(value?.error?.code ?? ""),
		String(value?.error?.message ?? ""),
		answer.headers.get("x-request-id") || "",
		Number(answer.headers.get("retry-after")) || 0,
	);
	if (answer.status === 401 && known.session) tell({ session: null, why: "expired" });
	throw error;
}

/** Who is signed in, if anybody is. */
export async function resume() {
	try {
		tell({ session: await call("GET", "session") });
	} catch (error) {
		if (error instanceof Refused && error.status === 401) tell({ session: null });
		else throw error;
	}
}

export async function signIn(token) {
	tell({ session: await call("POST", "session", { body: { token } }), why: "" });
}

export async function signOut() {
	await call("DELETE", "session");
	tell({ session: null, why: "left" });
}

/**
 * Ask now, and again every 15 seconds for as long as somebody looks.
 *
 * What was there stays when an answer fails: `error` says why, and `at` how old it is.  A page that nobody
 * sees asks for nothing.  `read(signal, before)` gets what it gave the last time.
 */
export function usePoll(read, asked, paused = false) {
	const [state, setState] = useState({});
	const held = useRef({});
	const key = JSON.stringify(asked);
	held.current.read = read;
	held.current.paused = paused;
	// A look at streams costs a call more than others.
	const every = asked[0] === "wcs/streams" ? 20_000 : EVERY_MS;

	useEffect(() => {
		const mine = { abort: new AbortController(), last: 0, shown: { at: 0, error: null, asked: key } };
		held.current.mine = mine;
		const plan = (ms) => {
			clearTimeout(mine.timer);
			if (!mine.over && !document.hidden) mine.timer = setTimeout(() => look(false), ms);
		};
		const look = async (wanted) => {
			if (mine.over || (mine.busy && !wanted)) return;
			if (held.current.paused && !wanted && (mine.shown.at || mine.shown.error instanceof Refused)) return plan(every);
			if (mine.busy) {
				mine.abort.abort();
				mine.abort = new AbortController();
			}
			const { signal } = mine.abort;
			mine.busy = true;
			mine.last = Date.now();
			let next = every;
			try {
				const data = await held.current.read(signal, wanted ? undefined : mine.shown.data);
				if (mine.over || signal.aborted) return;
				mine.shown = { data, error: null, at: Date.now(), asked: key };
			} catch (error) {
				if (mine.over || signal.aborted) return;
				if (!(error instanceof Refused || error instanceof Unreached)) console.error(error);
				if (error instanceof Unreached) next = AFTER_SILENCE_MS;
				if (error.retryAfter) next = Math.max(next, error.retryAfter * 1000);
				mine.shown = { ...mine.shown, error };
			}
			setState(mine.shown);
			mine.busy = false;
			plan(next);
		};
		const seen = () => {
			clearTimeout(mine.timer);
			if (!document.hidden) plan(Math.max(0, mine.last + every - Date.now()));
		};
		const back = () => look(false);
		mine.look = look;
		document.addEventListener("visibilitychange", seen);
		addEventListener("online", back);
		look(true);
		return () => {
			mine.over = true;
			clearTimeout(mine.timer);
			mine.abort.abort();
			document.removeEventListener("visibilitychange", seen);
			removeEventListener("online", back);
		};
	}, [key]);

	const refresh = useCallback(() => held.current.mine?.look(true), []);
	return { ...(state.asked === key ? state : { at: 0, error: null }), refresh };
}

/** A paged list: its first page stays fresh; more pages, or a search, stand until somebody asks. */
export function useList(path, query = {}) {
	const [more, setMore] = useState({ key: "", pages: [], busy: false, error: null });
	const key = JSON.stringify([path, query]);
	const extra = more.key === key ? more : { key, pages: [], busy: false, error: null };
	const standing = extra.pages.length > 0 || !!query.search;
	const first = usePoll((signal) => call("GET", path, { query, signal }), [path, query], standing);
	const last = extra.pages.at(-1) || first.data;
	const refresh = () => {
		setMore({ key, pages: [], busy: false, error: null });
		first.refresh();
	};
	const onward = async () => {
		setMore({ ...extra, busy: true, error: null });
		try {
			const page = await call("GET", path, { query: { ...query, after: last.next } });
			setMore((now) => (now.key === key ? { ...now, pages: [...now.pages, page], busy: false } : now));
		} catch (error) {
			setMore((now) => (now.key === key ? { ...now, busy: false, error } : now));
		}
	};
	return {
		...first,
		items: first.data && [first.data, ...extra.pages].flatMap((page) => page.items || page.connections),
		next: last?.next,
		more: last?.more,
		onward,
		refresh,
		busy: extra.busy,
		moreError: extra.error,
		standing,
	};
}
