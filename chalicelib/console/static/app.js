// The console: who is signed in, which page the address names, and the frame around it.

import { Refused, resume, signIn, signOut, useKnown } from "./api.js";
import { useEffect, useRef, useState } from "./hooks.js";
import { PAGES } from "./pages.js";
import { explain, Failure, html, Icon, Mark, Notice, say, Toasts } from "./parts.js";
import { Component, render } from "./preact.js";
import { currentLanguage, LANGUAGES, minute, setTheme, speak, t, theme } from "./words.js";

const NAVIGATION = [
	["", ["overview"]],
	["nav.facades", ["jitsi", "owt", "loop", "wcs", "sora"]],
	["nav.work", ["owed", "dead", "events"]],
];

function place() {
	const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
	return { path: path || "overview", given: Object.fromEntries(new URLSearchParams(query || "")) };
}

function usePlace() {
	const [here, setHere] = useState(place);
	useEffect(() => {
		const moved = () => setHere(place());
		addEventListener("hashchange", moved);
		return () => removeEventListener("hashchange", moved);
	}, []);
	return here;
}

function Choices({ again }) {
	const [chosen, setChosen] = useState(theme());
	return html`<div class="row">
		<select class="input" aria-label=${t("choose.language")} value=${currentLanguage()}
			onChange=${async (event) => { await speak(event.currentTarget.value, true); again(); }}>
			${Object.entries(LANGUAGES).map(([code, name]) => html`<option key=${code} value=${code} lang=${code}>${name}</option>`)}
		</select>
		<select class="input" aria-label=${t("choose.theme")} value=${chosen}
			onChange=${(event) => { setTheme(event.currentTarget.value); setChosen(event.currentTarget.value); }}>
			${["auto", "light", "dark"].map((each) => html`<option key=${each} value=${each}>${t(`theme.${each}`)}</option>`)}
		</select>
	</div>`;
}

function Door({ why, again }) {
	const [token, setToken] = useState("");
	const [shown, setShown] = useState(false);
	const [busy, setBusy] = useState(false);
	const [wrong, setWrong] = useState("");
	const field = useRef();
	useEffect(() => {
		document.title = `${t("door.title")} – Foyer`;
		field.current.focus();
	}, []);
	const enter = async (event) => {
		event.preventDefault();
		if (!token.trim()) return setWrong(t("door.missing"));
		setBusy(true);
		setWrong("");
		try {
			await signIn(token.trim());
		} catch (error) {
			setWrong(error instanceof Refused && error.status === 401 ? t("door.wrong") : explain(error));
			setBusy(false);
			field.current.focus();
		}
	};
	return html`<div class="door">
		<main class="panel card">
			<div class="brand"><${Mark} /> Foyer</div>
			<div><h1>${t("door.title")}</h1><p class="muted">${t("door.said")}</p></div>
			${why && html`<${Notice}><p>${t(`door.${why}`)}</p><//>`}
			<form onSubmit=${enter} novalidate>
				<div class="field">
					<label for="token">${t("door.token")}</label>
					<input id="token" class="input mono" ref=${field} type=${shown ? "text" : "password"} value=${token}
						autocomplete="current-password" spellcheck=${false} maxlength="512"
						aria-invalid=${String(!!wrong)} aria-describedby="wrong"
						onInput=${(event) => setToken(event.currentTarget.value)} />
					<p id="wrong" class="error-text" role="alert">${wrong}</p>
				</div>
				<label class="check"><input type="checkbox" checked=${shown} onChange=${(event) => setShown(event.currentTarget.checked)} /> ${t("door.show")}</label>
				<button class="button primary" type="submit" disabled=${busy}>${t(busy ? "door.busy" : "door.title")}</button>
			</form>
		</main>
		<footer><${Choices} again=${again} /></footer>
	</div>`;
}

class Fence extends Component {
	constructor() {
		super();
		this.state = { error: null };
	}

	componentDidCatch(error) {
		console.error(error);
		this.setState({ error });
	}

	render({ children }, { error }) {
		if (!error) return children;
		return html`<div class="panel"><${Failure} error=${error} again=${() => this.setState({ error: null })} /></div>`;
	}
}

function Shell({ session, online, again }) {
	const here = usePlace();
	const [open, setOpen] = useState(false);
	const main = useRef();
	const first = useRef(true);
	const [Page, parent] = Object.hasOwn(PAGES, here.path) ? PAGES[here.path] : PAGES.lost;
	useEffect(() => {
		setOpen(false);
		if (!first.current) {
			scrollTo(0, 0);
			main.current.querySelector("h1")?.focus({ preventScroll: true });
		}
		first.current = false;
	}, [here.path, here.given.name, here.given.id]);
	const leave = async () => {
		try {
			await signOut();
		} catch (error) {
			say(explain(error), true);
		}
	};
	const stage = () => html`<span class=${`stage ${session.stage === "prod" ? "prod" : ""}`}>${session.stage}</span>`;
	return html`<div class="shell">
		<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.querySelector("h1")?.focus(); }}>${t("nav.skip")}</a>
		<div class="top">
			<a class="brand" href="#/"><${Mark} /> Foyer</a>
			${stage()}
			<button class="button bare" aria-expanded=${String(open)} aria-controls="side" onClick=${() => setOpen(!open)}>
				<${Icon} name=${open ? "close" : "menu"} /> ${t("nav.menu")}
			</button>
		</div>
		<header class=${open ? "side open" : "side"} id="side">
			<a class="brand" href="#/"><${Mark} /> Foyer ${stage()}</a>
			<nav aria-label=${t("nav.pages")}>
				${NAVIGATION.map(
					([group, names]) => html`<div key=${group}>
						${group && html`<h2>${t(group)}</h2>`}
						<ul>${names.map(
							(name) => html`<li key=${name}><a href=${`#/${name === "overview" ? "" : name}`} aria-current=${(parent || here.path) === name ? "page" : undefined} onClick=${() => setOpen(false)}>
								<${Icon} name=${name} /> ${t(`nav.${name}`)} ${group === "nav.facades" && html`<small class="muted">${t(`nav.${name}.short`)}</small>`}</a></li>`,
						)}</ul>
					</div>`,
				)}
			</nav>
			<div class="who">
				<${Choices} again=${again} />
				<div class="row">
					<bdi>${session.name}</bdi>
					<button class="button tiny" onClick=${leave}><${Icon} name="out" /> ${t("act.leave")}</button>
				</div>
				<span class="muted">${t("who.version", { version: session.version, time: minute(session.expires_at) })}</span>
			</div>
		</header>
		<main class="main" id="main" ref=${main}>
			${!online && html`<${Notice} failed><p><strong>${t("state.offline")}</strong> ${t("state.offline.said")}</p><//>`}
			<${Fence} key=${here.path}><${Page} key=${[here.path, here.given.name, here.given.id].join()} given=${here.given} /><//>
		</main>
		<${Toasts} />
	</div>`;
}

function App() {
	const { session, online, why } = useKnown();
	const [, setTurn] = useState(0);
	const [failed, setFailed] = useState(null);
	const again = () => setTurn((n) => n + 1);
	const begin = async () => {
		setFailed(null);
		try {
			await resume();
		} catch (error) {
			setFailed(error);
		}
	};
	useEffect(() => void begin(), []);
	if (failed && session === undefined) {
		return html`<main class="door"><div class="panel card"><h1 class="brand"><${Mark} /> Foyer</h1><${Failure} error=${failed} again=${begin} /></div></main>`;
	}
	if (session === undefined) return html`<p class="boot" role="status">${t("state.loading")}</p>`;
	if (session === null) return html`<${Door} why=${why} again=${again} />`;
	return html`<${Shell} session=${session} online=${online} again=${again} />`;
}

await speak(document.documentElement.lang);
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
