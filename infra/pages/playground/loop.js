// A room of Loop: its owner signs with Hawk, guests come with Basic and report what their media do.
import { button, field, fill, h, table } from './dom.js';
import { basic, derive, hawk } from './sign.js';

const JSON_BODY = { 'Content-Type': 'application/json' };
const PAUSE_MS = 250;

// From each state: what may happen, where that leads, and what it does to [connections, sent, received].
const STEPS = {
  init: [['Session.connectionCreated', 'waiting', [1, 0, 0]]],
  waiting: [
    ['Session.connectionCreated', 'starting', [1, 0, 0]],
    ['Session.connectionDestroyed', 'init', [-1, 0, 0]],
  ],
  starting: [
    ['Session.streamCreated', 'receiving', [0, 0, 1]],
    ['Publisher.streamCreated', 'sending', [0, 1, 0]],
  ],
  receiving: [
    ['Publisher.streamCreated', 'sendrecv', [0, 1, 0]],
    ['Session.streamDestroyed', 'cleanup', [0, 0, -1]],
  ],
  sending: [
    ['Session.streamCreated', 'sendrecv', [0, 0, 1]],
    ['Publisher.streamDestroyed', 'cleanup', [0, -1, 0]],
  ],
  sendrecv: [
    ['Publisher.streamDestroyed', 'receiving', [0, -1, 0]],
    ['Session.streamDestroyed', 'sending', [0, 0, -1]],
  ],
  cleanup: [['Session.connectionDestroyed', 'waiting', [-1, 0, 0]]],
};
const WALK = ['waiting', 'starting', 'receiving', 'sendrecv', 'sending', 'cleanup', 'waiting', 'init'];

let wire;
let parts;
let owner;
let room;
let guests = [];
let base;

async function owned(method, path, body) {
  const data = body === undefined ? '' : JSON.stringify(body);
  owner ??= await derive((await wire.call('POST', `${base}/registration`, { who: 'owner' })).headers.get('hawk-session-token'));
  const headers = { ...JSON_BODY, Authorization: await hawk(owner, method, base + path, data) };
  const answer = await wire.call(method, base + path, { who: 'owner', headers, body: data || undefined });
  return answer.text ? JSON.parse(answer.text) : null;
}

async function open() {
  const name = parts.name.value;
  const made = await owned('POST', '/rooms', { roomOwner: 'Ada', roomName: name, maxSize: Number(parts.size.value) });
  room = { token: made.roomToken, url: made.roomUrl, name };
  guests = [];
  await look();
}

async function close() {
  await owned('DELETE', `/rooms/${room.token}`);
  room = undefined;
  guests = [];
  await look();
}

async function look() {
  const sessions = room ? (await owned('GET', `/rooms/${room.token}/sessions`)).sessions : [];
  fill(parts.room, room
    ? [h('p', {}, 'Room ', h('strong', {}, room.name)), h('p', { class: 'muted small' }, h('code', {}, room.url)),
      h('div', { class: 'line' }, button('Look again', look, { class: 'button' }), button('Delete the room', close, { class: 'button' })),
      table('What the owner sees', ['who', 'state', 'last event', 'connections', 'streams', 'reports'],
        sessions.map((each) => [each.displayName, each.ended ? `${each.state}, left` : each.state, each.event ?? '–',
          String(each.connections), `${each.sendStreams} out, ${each.recvStreams} in`,
          `${each.reports}, ${each.nonConforming} odd`]),
        'Nobody has come yet.')]
    : h('p', { class: 'none' }, 'There is no room yet.'));
  parts.joining.hidden = !room;
  draw();
}

async function join() {
  const displayName = parts.guest.value;
  const body = { action: 'join', displayName, clientMaxSize: 10 };
  const answer = await wire.call('POST', `${base}/rooms/${room.token}`, { who: displayName, headers: JSON_BODY, body });
  const { sessionToken, expires } = JSON.parse(answer.text);
  guests.push({ name: displayName, token: sessionToken, expires, state: 'init', counts: [0, 0, 0] });
  parts.guest.value = `Guest ${guests.length + 1}`;
  await look();
}

async function say(guest, action, more = {}) {
  const headers = { ...JSON_BODY, Authorization: basic(guest.token) };
  const body = { action, ...more };
  return wire.call('POST', `${base}/rooms/${room.token}`, { who: guest.name, headers, body });
}

async function step(guest, [event, state, change]) {
  const counts = guest.counts.map((count, at) => count + change[at]);
  const [connections, sendStreams, recvStreams] = counts;
  await say(guest, 'status', { event, state, connections, sendStreams, recvStreams });
  Object.assign(guest, { state, counts });
}

async function walk(guest) {
  while (guest.state !== 'init') await step(guest, STEPS[guest.state].at(-1));
  for (const state of WALK) {
    await step(guest, STEPS[guest.state].find(([, to]) => to === state));
    draw();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  await look();
}

async function leave(guest) {
  await say(guest, 'leave');
  guests = guests.filter((each) => each !== guest);
  await look();
}

async function refresh(guest) {
  guest.expires = JSON.parse((await say(guest, 'refresh')).text).expires;
}

function card(guest) {
  const called = (text) => ({ class: 'button', 'aria-label': `${guest.name}: ${text}` });
  const events = STEPS[guest.state].map((each) => button(`${each[0]} → ${each[1]}`,
    async () => { await step(guest, each); await look(); }, called(`${each[0]} → ${each[1]}`)));
  return h('li', { class: 'person' },
    h('h3', {}, guest.name, ' ', h('span', { class: 'pill' }, guest.state)),
    h('p', { class: 'muted small' }, `connections ${guest.counts[0]}, sent ${guest.counts[1]}, received ${guest.counts[2]}`),
    h('div', { class: 'line' }, events),
    h('div', { class: 'line' },
      button('Walk through all states', () => walk(guest), { 'aria-label': `${guest.name}: Walk through all states` }),
      button('Refresh', () => refresh(guest), called('Refresh')),
      button('Leave', () => leave(guest), called('Leave'))));
}

function draw() {
  fill(parts.guests, guests.map(card));
  parts.nobody.hidden = guests.length > 0;
}

export function make(given) {
  wire = given;
  base = '';
  parts = {
    name: h('input', { value: 'a talk', maxlength: '100', required: true }),
    size: h('input', { type: 'number', value: '4', min: '1', max: '5', required: true }),
    guest: h('input', { value: 'Guest 1', maxlength: '100', required: true }),
    room: h('div', {}),
    guests: h('ul', { class: 'people' }),
    nobody: h('p', { class: 'none' }, 'No guest of this page is in a room.'),
  };
  parts.joining = h('div', { class: 'line', hidden: true }, field('Name', parts.guest), button('Join', join));
  return h('div', { class: 'columns' },
    h('section', { class: 'panel pad' },
      h('h2', {}, 'Owner'),
      h('div', { class: 'line' }, field('Room name', parts.name), field('Seats', parts.size), button('Make a room', open, { class: 'button primary' })),
      parts.room),
    h('section', { class: 'panel pad' }, h('h2', {}, 'Guests'), parts.joining, parts.nobody, parts.guests));
}

export async function begin() {
  await look();
}
