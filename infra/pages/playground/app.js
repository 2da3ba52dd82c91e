// The four tabs: each is made when it is looked at for the first time.
import { report } from './dom.js';
import { Wire } from './wire.js';
import * as queue from './queue.js';
import * as loop from './loop.js';
import * as owt from './owt.js';
import * as sora from './sora.js';

const MAKERS = { queue, loop, owt, sora };
const tabs = [...document.querySelectorAll('[role=tab]')];
const made = new Set();
const SIGNED = new Set(['queue', 'owt']); // the others let everybody in on this stage
let keys;

/** What `make run` prints; without it nothing can be signed.  Throws with what to do. */
async function known() {
  if (keys) return keys;
  const answer = await fetch('/playground/credentials.json', { cache: 'no-store' });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message);
  keys = told;
  return keys;
}

async function show(name, focus = false) {
  for (const tab of tabs) {
    const chosen = tab.getAttribute('aria-controls') === name;
    tab.setAttribute('aria-selected', String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
    document.getElementById(tab.getAttribute('aria-controls')).hidden = !chosen;
  }
  if (made.has(name)) return;
  made.add(name);
  const panel = document.getElementById(name);
  panel.setAttribute('aria-busy', 'true');
  try {
    const wire = new Wire();
    const given = await known().catch((error) => {
      if (SIGNED.has(name)) throw error;
      return { sora: {} };
    });
    panel.append(MAKERS[name].make(wire, given), wire.element);
    await MAKERS[name].begin?.();
  } catch (error) {
    if (!panel.childElementCount) made.delete(name);
    report(error);
  } finally {
    panel.removeAttribute('aria-busy');
  }
}

const named = () => (location.hash.slice(1) in MAKERS ? location.hash.slice(1) : 'queue');

/** Show a tab under an address of its own; to go to that address would take the focus away from the tab. */
function choose(tab) {
  const name = tab.getAttribute('aria-controls');
  history.replaceState(null, '', `#${name}`);
  show(name, true);
}

for (const [at, tab] of tabs.entries()) {
  tab.addEventListener('click', () => choose(tab));
  tab.addEventListener('keydown', (event) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(tabs[(to + tabs.length) % tabs.length]);
  });
}

addEventListener('hashchange', () => show(named()));
show(named());
