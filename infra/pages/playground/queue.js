// Visitors and a moderator of Jitsi's waiting queue: stompjs with the options of the stock web client.
import { button, field, fill, h, report } from './dom.js';

const MOST = 200; // a browser opens 255 sockets at most
const FAILURES = 5; // then the stock client gives up
const STATES = ['connecting', 'waiting', 'released', 'joined', 'refused', 'left'];
const MARKS = { connecting: '…', waiting: 'w', released: '!', joined: '✓', refused: '×', left: '–' };

let wire;
let jitsi;
let parts;
let moderator;
let visitors = [];
let made = 0;

const conference = () => `${parts.room.value.trim().toLowerCase()}@${jitsi.muc}`;
const address = () => `${location.origin.replace('http', 'ws')}${jitsi.base_path}/visitor/websocket`;

async function tokens(kind, count = 1) {
  const query = new URLSearchParams({ kind, count, room: parts.room.value.trim() });
  const answer = await fetch(`/playground/tokens.json?${query}`, { cache: 'no-store' });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message);
  return told.tokens;
}

/** A socket with one subscription, which comes back as the stock client does. */
class Listener {
  constructor(who, token, topic) {
    this.who = who;
    this.failures = 0;
    this.client = new StompJs.Client({
      forceBinaryWSFrames: true,
      appendMissingNULLonIncoming: true,
      connectHeaders: { Authorization: `Bearer ${token}` },
      webSocketFactory: () => wire.socket(address(), ['v12.stomp', 'v11.stomp', 'v10.stomp'], who),
    });
    this.client.onConnect = () => {
      this.failures = 0;
      this.why = '';
      this.client.watchForReceipt(`${who} subscribed`, () => this.subscribed());
      this.client.subscribe(topic, (message) => this.heard(JSON.parse(message.body)), { receipt: `${who} subscribed` });
    };
    this.client.onStompError = (frame) => this.failed(frame.headers.message);
    this.client.onWebSocketError = () => this.failed('the socket cannot be opened');
    this.client.onWebSocketClose = () => this.closed();
    this.client.activate();
  }

  failed(why) {
    this.failures += 1;
    this.why = why;
    draw();
    if (this.failures < FAILURES) return;
    this.client.deactivate();
    this.gaveUp();
  }
}

class Visitor extends Listener {
  constructor(number, token, room) {
    super(`visitor ${number}`, token, `/secured/conference/visitor/topic.${room}`);
    this.state = 'connecting';
  }

  become(state) {
    this.state = state;
    draw();
  }

  subscribed() {
    if (this.state === 'connecting') this.become('waiting');
  }

  heard({ status, randomDelayMs }) {
    if (status !== 'live' || this.state === 'released') return;
    this.become('released');
    setTimeout(() => this.leave('joined'), Math.random() * randomDelayMs);
  }

  closed() {
    if (this.state === 'waiting') this.become('connecting');
  }

  gaveUp() {
    this.become('refused');
  }

  async leave(state) {
    if (['joined', 'left', 'refused'].includes(this.state)) return;
    this.become(state);
    await this.client.deactivate();
  }
}

class Moderator extends Listener {
  constructor(token, room) {
    super('moderator', token, `/secured/conference/state/topic.${room}`);
    this.room = room;
  }

  subscribed() {
    parts.watching.textContent = `watching ${this.room}`;
  }

  heard({ visitorsWaiting }) {
    parts.count.textContent = String(visitorsWaiting);
  }

  closed() {
    if (moderator === this) parts.watching.textContent = `connecting${this.why ? ` (${this.why})` : ''}`;
  }

  gaveUp() {
    parts.watching.textContent = `refused: ${this.why}`;
  }
}

/** Show who is where, once for many changes. */
function draw() {
  if (draw.asked) return;
  draw.asked = true;
  requestAnimationFrame(() => {
    draw.asked = false;
    const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
    for (const visitor of visitors) counts[visitor.state] += 1;
    for (const state of STATES) parts.counts[state].textContent = String(counts[state]);
    const tiles = visitors.map(({ state, who }) => h('li', { class: state, title: `${who}: ${state}` }, MARKS[state]));
    fill(parts.tiles, tiles);
    parts.none.hidden = visitors.length > 0;
    const { why, state } = visitors.find((each) => each.why) ?? {};
    parts.refusal.textContent = why ? `Not let in: ${why}${state === 'refused' ? '' : '; trying again'}` : '';
    const open = visitors.filter(({ client }) => client.active).length;
    for (const [button, count] of parts.adders) button.setAttribute('aria-disabled', String(open + count > MOST));
  });
}

async function add(count) {
  const open = visitors.filter(({ client }) => client.active).length;
  if (open + count > MOST) {
    report(new Error(`A browser opens 255 sockets at most, so there are ${MOST} visitors here. For more: foyer load visitors.`));
    return;
  }
  const room = conference();
  for (const token of await tokens('visitor', count)) visitors.push(new Visitor(++made, token, room));
  draw();
}

async function everybodyLeaves() {
  await Promise.all(visitors.map((visitor) => visitor.leave('left')));
  visitors = [];
  draw();
}

async function watch() {
  const before = moderator;
  moderator = undefined;
  await before?.client.deactivate();
  parts.count.textContent = '–';
  parts.watching.textContent = 'connecting';
  moderator = new Moderator((await tokens('moderator'))[0], conference());
}

async function turn(method) {
  const [token] = await tokens('server');
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  const body = { conference: conference() };
  const answer = await wire.call(method, `${jitsi.base_path}/golive`, { who: 'Prosody', headers, body });
  const { status } = JSON.parse(answer.text);
  parts.live.textContent = status === 'live' ? 'live: whoever comes is let in' : 'not live: visitors wait';
  parts.live.className = status === 'live' ? 'pill good' : 'pill';
}

async function enter() {
  await everybodyLeaves();
  parts.live.textContent = 'not asked yet';
  parts.live.className = 'pill';
  await watch();
}

export function make(given, keys) {
  wire = given;
  jitsi = keys.jitsi;
  parts = {
    room: h('input', { value: 'room1', autocomplete: 'off', spellcheck: 'false', maxlength: '200', required: true }),
    count: h('output', { class: 'number', 'aria-live': 'polite', 'aria-label': 'Visitors waiting' }, '–'),
    watching: h('p', { class: 'muted small', role: 'status' }, 'connecting'),
    live: h('p', { class: 'pill', role: 'status' }, 'not asked yet'),
    tiles: h('ul', { class: 'crowd', 'aria-hidden': 'true' }),
    none: h('p', { class: 'none' }, 'Nobody is here. Add some visitors: each opens a socket of its own.'),
    refusal: h('p', { class: 'muted small', role: 'status' }),
    counts: Object.fromEntries(STATES.map((state) => [state, h('dd', {}, '0')])),
  };
  parts.adders = [1, 10, 100].map((count) => [button(`Add ${count}`, () => add(count)), count]);
  const form = h('form', { class: 'line', onsubmit: (event) => { event.preventDefault(); enter().catch(report); } },
    field('Room', parts.room), h('button', { type: 'submit', class: 'button' }, 'Enter'));
  const numbers = h('dl', { class: 'counts' }, STATES.map((state) => h('div', {}, h('dt', {}, state), parts.counts[state])));
  return h('div', {}, form, h('div', { class: 'columns' },
    h('section', { class: 'panel pad' },
      h('h2', {}, 'Visitors'),
      h('div', { class: 'line' }, parts.adders.map(([each]) => each), button('All leave', everybodyLeaves, { class: 'button' })),
      numbers, parts.none, parts.tiles, parts.refusal),
    h('section', { class: 'panel pad' },
      h('h2', {}, 'Moderator'),
      h('p', { class: 'big' }, parts.count, ' waiting'), parts.watching,
      h('p', { class: 'muted small' }, 'The number comes at once, and later when it changes, at most every 15 seconds.'),
      h('div', { class: 'line' },
        button('Go live', () => turn('POST'), { class: 'button primary' }),
        button('Not live any more', () => turn('DELETE'), { class: 'button' })),
      parts.live)));
}

export async function begin() {
  await watch();
}
