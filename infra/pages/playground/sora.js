// Two clients of Sora that only listen, changes of their metadata, and the pushes that come of them.
import { button, field, fill, h, report, table } from './dom.js';

const API = 'Sora_20201124.';
const PONG_MS = 240000;
const KEPT = 50;
// What each operation takes beside the ids.
const OPERATIONS = {
  PutSignalingNotifyMetadataItem: ['key', 'value', 'push'],
  DeleteSignalingNotifyMetadataItem: ['key', 'push'],
  PutSignalingNotifyMetadata: ['metadata', 'push'],
  DeleteSignalingNotifyMetadata: ['push'],
  GetSignalingNotifyMetadata: [],
};

let wire;
let sora;
let parts;
let clients;

class Client {
  constructor(name) {
    this.name = name;
    this.news = h('ol', { class: 'news' });
    this.state = h('span', { class: 'pill' }, 'away');
    this.identity = h('p', { class: 'muted small' }, 'no connection');
    this.toggle = button('Connect', () => (this.socket ? this.leave() : this.join()), { 'aria-label': `${name}: Connect` });
    this.element = h('section', { class: 'panel pad', 'aria-label': name },
      h('h2', {}, name, ' ', this.state), this.identity, h('div', { class: 'line' }, this.toggle),
      h('p', { class: 'muted small' }, 'Told, the newest first:'),
      h('div', { class: 'log short', tabindex: '0', role: 'log', 'aria-label': `What ${name} is told` }, this.news));
  }

  join() {
    const socket = wire.socket(`${location.origin.replace('http', 'ws')}/signaling`, [], this.name);
    this.socket = socket;
    this.show('connecting');
    return new Promise((resolve, refuse) => {
      socket.addEventListener('open', () => {
        socket.send(JSON.stringify({
          type: 'connect', role: 'recvonly', channel_id: parts.channel.value, client_id: this.name,
          signaling_notify_metadata: { name: this.name },
          ...sora.socket_key ? { metadata: { access_token: sora.socket_key } } : {},
        }));
        this.pong = setInterval(() => socket.send('{"type":"pong"}'), PONG_MS);
      });
      socket.addEventListener('message', ({ data }) => {
        this.heard(JSON.parse(data));
        resolve();
      });
      socket.addEventListener('close', ({ code }) => {
        clearInterval(this.pong);
        this.socket = undefined;
        this.connection = undefined;
        this.show('away');
        refuse(new Error(`The socket of ${this.name} was closed (${code}).`));
        soon();
      });
    });
  }

  leave() {
    this.socket.send('{"type":"disconnect"}');
  }

  heard(message) {
    const mine = message.event_type === 'connection.created' && !this.connection;
    if (message.type === 'notify' && mine) {
      this.connection = message.connection_id;
      this.show('here');
      soon();
    } else if (message.event_type?.startsWith('connection.')) {
      soon();
    }
    const text = message.type === 'push' ? `push ${JSON.stringify(message.data)}`
      : `${message.event_type ?? message.type} ${message.client_id ?? message.reason ?? ''}`;
    this.news.prepend(h('li', { class: message.type }, text));
    while (this.news.childElementCount > KEPT) this.news.lastElementChild.remove();
  }

  show(state) {
    this.state.textContent = state;
    this.state.className = state === 'here' ? 'pill good' : 'pill';
    this.identity.textContent = this.connection ?? 'no connection';
    this.toggle.textContent = this.socket ? 'Disconnect' : 'Connect';
    this.toggle.setAttribute('aria-label', `${this.name}: ${this.socket ? 'Disconnect' : 'Connect'}`);
    offer();
  }
}

/** Who can be named in a call. */
function offer() {
  const here = clients.filter(({ connection }) => connection);
  const before = parts.who.value;
  fill(parts.who, here.map(({ name, connection }) => h('option', { value: connection }, name)));
  if (here.some(({ connection }) => connection === before)) parts.who.value = before;
  parts.form.hidden = !here.length;
  parts.nobody.hidden = here.length > 0;
}

async function perform(operation, body) {
  const headers = { 'x-sora-target': API + operation, 'Content-Type': 'application/json' };
  if (sora.key) headers.Authorization = `Bearer ${sora.key}`;
  return wire.call('POST', '/', { who: 'API', title: operation, headers, body });
}

/** List again, once for everything that happens at the same time. */
function soon() {
  clearTimeout(soon.timer);
  soon.timer = setTimeout(() => look().catch(report), 100);
}

async function look() {
  const answer = await perform('ListSignalingNotifyMetadata', { channel_id: parts.channel.value });
  fill(parts.list, table('In the channel', ['client', 'connection', 'metadata'], JSON.parse(answer.text).map((each) =>
    [each.client_id, h('code', {}, each.connection_id), h('code', {}, JSON.stringify(each.metadata))]), 'Nobody is in the channel.'));
}

/** JSON as it was typed: parsed and written again, 1.50 would be another text, and long numbers others. */
function typed(text, what) {
  try {
    JSON.parse(text);
  } catch {
    throw new Error(`${what} is no JSON. A text wants quotes: "efg"`);
  }
  return text;
}

async function change() {
  const operation = parts.operation.value;
  const takes = OPERATIONS[operation];
  const body = { channel_id: JSON.stringify(parts.channel.value), connection_id: JSON.stringify(parts.who.value) };
  if (takes.includes('key')) body.key = JSON.stringify(parts.key.value);
  if (takes.includes('value')) body.value = typed(parts.value.value, 'The value');
  if (takes.includes('metadata')) body.metadata = typed(parts.metadata.value, 'The metadata');
  if (takes.includes('push')) body.push = String(parts.push.checked);
  const members = Object.entries(body).map(([name, text]) => `"${name}":${text}`);
  const { text } = await perform(operation, `{${members.join(',')}}`);
  parts.answer.textContent = text;
  await look();
}

function ask() {
  const takes = OPERATIONS[parts.operation.value];
  for (const name of ['key', 'value', 'metadata', 'push']) parts[name].closest('p').hidden = !takes.includes(name);
}

export function make(given, keys) {
  wire = given;
  sora = keys.sora;
  parts = {
    channel: h('input', { value: 'sora', maxlength: '200', autocomplete: 'off', spellcheck: 'false' }),
    who: h('select', {}),
    operation: h('select', { onchange: ask }, Object.keys(OPERATIONS).map((name) => h('option', {}, name))),
    key: h('input', { value: 'abc' }),
    value: h('input', { value: '"efg"', spellcheck: 'false' }),
    metadata: h('input', { value: '{"abc": "efg"}', spellcheck: 'false' }),
    push: h('input', { type: 'checkbox', checked: true, id: 'sora-push' }),
    answer: h('pre', { role: 'status', 'aria-label': 'Answer' }),
    list: h('div', {}),
    nobody: h('p', { class: 'none' }, 'Connect a client first: what is changed are the metadata of a connection.'),
  };
  parts.form = h('div', { hidden: true },
    h('div', { class: 'line' }, field('Whose', parts.who), field('Operation', parts.operation)),
    h('div', { class: 'line' }, field('Key', parts.key), field('Value (JSON)', parts.value), field('Metadata (JSON)', parts.metadata),
      h('p', { class: 'check' }, parts.push, h('label', { for: 'sora-push' }, 'Push to the channel')),
      button('Change', change, { class: 'button primary' })),
    parts.answer);
  clients = [new Client('alice'), new Client('bob')];
  ask();
  return h('div', {},
    h('div', { class: 'line' }, field('Channel', parts.channel), button('List', look, { class: 'button' })),
    h('div', { class: 'columns' }, clients.map(({ element }) => element)),
    h('section', { class: 'panel pad' }, h('h2', {}, 'Metadata'), parts.list, parts.nobody, parts.form));
}

export async function begin() {
  await look();
}
