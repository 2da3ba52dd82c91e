// Words, numbers and times in the reader's language.

export const LANGUAGES = { en: "English", ja: "日本語" };
const KEPT = "foyer.console";

let language = "en";
let words = {};
let formats = {};

function kept() {
	try {
		return JSON.parse(localStorage.getItem(KEPT)) || {};
	} catch {
		return {};
	}
}

function keep(change) {
	try {
		localStorage.setItem(KEPT, JSON.stringify({ ...kept(), ...change }));
	} catch {
		// Without storage the choice lasts as long as the page.
	}
}

export function currentLanguage() {
	return language;
}

export async function speak(wanted, lasting = false) {
	const chosen = wanted in LANGUAGES ? wanted : "en";
	words = await import(`./${chosen}.js`);
	language = chosen;
	// The reader's own English, where that is what the browser has: it decides how dates look.
	const locale = (navigator.language || "").startsWith(chosen) ? navigator.language : chosen;
	formats = {
		number: new Intl.NumberFormat(locale),
		short: new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 }),
		time: new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
		minute: new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" }),
		date: new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" }),
		relative: new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" }),
	};
	document.documentElement.lang = chosen;
	if (lasting) keep({ language: chosen });
}

/** The words of a key like `error.conflict`, if there are any. */
export function find(key) {
	const [group, ...rest] = key.split(".");
	return words[group]?.[rest.join(".")];
}

/** The words of a key, `{names}` filled in. */
export function t(key, given = {}) {
	const text = find(key);
	if (text === undefined) throw new Error(`no words for ${key}`);
	return text.replace(/\{(\w+)\}/g, (whole, name) => (name in given ? String(given[name]) : whole));
}

export const number = (value) => (Number.isFinite(value) ? formats.number.format(value) : "–");
export const short = (value) => (Number.isFinite(value) ? formats.short.format(value) : "");
export const time = (ms) => formats.time.format(ms);
export const minute = (ms) => formats.minute.format(ms);
export const date = (ms) => (Number.isFinite(ms) && ms ? formats.date.format(ms) : "–");

const UNITS = [
	["day", 86_400],
	["hour", 3_600],
	["minute", 60],
	["second", 1],
];

/** How long ago, or how far ahead. */
export function ago(ms, now = Date.now()) {
	if (!Number.isFinite(ms) || !ms) return "–";
	const seconds = Math.round((ms - now) / 1000);
	const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) || UNITS.at(-1);
	return formats.relative.format(Math.trunc(seconds / size), unit);
}

/** A length of time in its largest two units. */
export function span(seconds) {
	if (!Number.isFinite(seconds)) return "–";
	let left = Math.max(0, Math.round(seconds));
	const parts = [];
	for (const [unit, size] of UNITS) {
		const count = Math.floor(left / size);
		left -= count * size;
		if (count || (unit === "second" && !parts.length)) {
			parts.push(
				new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "narrow" }).format(count),
			);
		}
		if (parts.length === 2) break;
	}
	return parts.join(" ");
}

export function theme() {
	return document.documentElement.dataset.theme || "auto";
}

export function setTheme(wanted) {
	if (wanted === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = wanted;
	keep({ theme: wanted });
	dispatchEvent(new Event("foyer-theme"));
}
