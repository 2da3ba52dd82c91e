// Rooms and streams of OWT's management API; each call is signed here, with the key of a service.
import { button, field, fill, h, table } from './dom.js';
import { mauth } from './sign.js';

const PER_PAGE = 100;

let wire;
let parts;
let chosen;

async function call(method, target, body) {
  const data = body === undefined ? '' : JSON.stringify(body);
  const signed = await mauth({
    service: parts.service.value, key: parts.key.value, scheme: parts.scheme.value, method, target, body: data,
  });
  fill(parts.signed, h('dt', {}, 'Signed text'), h('dd', {}, h('pre', {}, signed.text)),
    h('dt', {}, 'Authorization'), h('dd', {}, h('pre', {}, signed.header)));
  const headers = { Authorization: signed.header, 'Content-Type': 'application/json' };
  const { text } = await wire.call(method, target, { who: 'service', headers, body: data || undefined });
  try {
    return JSON.parse(text);
  } catch {
    return text; // tokens and confirmations are texts
  }
}

async function rooms() {
  const page = Math.max(1, Number(parts.page.value) || 1);
  const found = await call('GET', `/v1/rooms?page=${page}&per_page=${PER_PAGE}`);
  fill(parts.rooms, table('Rooms', ['name', 'id', ''], found.map((room) => [
    room.name, h('code', {}, room._id),
    h('span', { class: 'line' },
      button('Open', () => enter(room), { 'aria-label': `Open ${room.name}` }),
      button('Delete', () => remove(room), { class: 'button', 'aria-label': `Delete ${room.name}` })),
  ]), page > 1 ? 'No rooms on this page.' : 'This service has no rooms yet.'));
}

async function create() {
  const room = await call('POST', '/v1/rooms', { name: parts.name.value });
  await rooms();
  await enter(room);
}

async function remove(room) {
  await call('DELETE', `/v1/rooms/${room._id}`);
  if (chosen?._id === room._id) chosen = undefined;
  await rooms();
  await streams();
}

async function enter(room) {
  chosen = room;
  fill(parts.token);
  await streams();
}

const track = (media) => (media ? media.status : 'none');

async function streams() {
  parts.inside.hidden = !chosen;
  parts.outside.hidden = Boolean(chosen);
  if (!chosen) return;
  parts.title.textContent = chosen.name;
  const found = await call('GET', `/v1/rooms/${chosen._id}/streams`);
  fill(parts.streams, table('Streams', ['id', 'type', 'audio', 'video', 'views', ''], found.map(row),
    'No streams yet. A streaming-in makes one, and with it the mixed stream appears.'));
}

function row(stream) {
  const views = stream.info.inViews ?? [];
  const target = `/v1/rooms/${chosen._id}/streams/${stream.id}`;
  const patch = (op, path, value) => async () => { await call('PATCH', target, [{ op, path, value }]); await streams(); };
  const named = (text) => ({ class: 'button', 'aria-label': `${text} ${stream.id}` });
  const silent = stream.media.audio?.status === 'inactive';
  const mixed = views.includes('common');
  const actions = stream.type === 'mixed' ? [] : [
    stream.media.audio && button(silent ? 'Play audio' : 'Pause audio',
      patch('replace', '/media/audio/status', silent ? 'active' : 'inactive'), named(silent ? 'Play audio of' : 'Pause audio of')),
    button(mixed ? 'Unmix' : 'Mix', patch(mixed ? 'remove' : 'add', '/info/inViews', 'common'), named(mixed ? 'Unmix' : 'Mix')),
    button('End', async () => { await call('DELETE', target); await streams(); }, named('End')),
  ].filter(Boolean);
  return [h('code', {}, stream.id), stream.type, track(stream.media.audio), track(stream.media.video),
    views.join(', ') || (stream.info.label ?? '–'), h('span', { class: 'line' }, actions)];
}

async function bring() {
  await call('POST', `/v1/rooms/${chosen._id}/streaming-ins`, {
    connection: { url: parts.url.value, transportProtocol: 'tcp', bufferSize: 8192 },
    media: { audio: 'auto', video: 'auto' },
  });
  await streams();
}

async function admit() {
  const body = { user: parts.user.value, role: parts.role.value };
  const token = await call('POST', `/v1/rooms/${chosen._id}/tokens`, body);
  fill(parts.token, h('p', {}, 'To join with, once and within three minutes:'), h('pre', { tabindex: '0' }, String(token)));
}

export function make(given, keys) {
  wire = given;
  parts = {
    service: h('input', { value: keys.owt.super_service_id, autocomplete: 'off', spellcheck: 'false' }),
    key: h('input', { value: keys.owt.super_service_key, type: 'password', autocomplete: 'off' }),
    scheme: h('select', {}, ['HMAC_SHA256', 'HMAC_SHA256_V2'].map((name) => h('option', {}, name))),
    page: h('input', { type: 'number', value: '1', min: '1' }),
    name: h('input', { value: 'seminar', maxlength: '200' }),
    url: h('input', { value: 'rtsp://camera.example/stage', autocomplete: 'off', spellcheck: 'false' }),
    user: h('input', { value: 'alice', maxlength: '200' }),
    role: h('select', {}, ['presenter', 'viewer', 'audio_only_presenter', 'video_only_viewer', 'sip'].map((name) => h('option', {}, name))),
    rooms: h('div', {}),
    streams: h('div', {}),
    token: h('div', { role: 'status' }),
    signed: h('dl', {}),
    title: h('h3', {}),
    outside: h('p', { class: 'none' }, 'Open a room to see its streams.'),
  };
  parts.inside = h('div', { hidden: true }, parts.title,
    h('div', { class: 'line' }, field('Address of a camera', parts.url), button('Add a streaming-in', bring, { class: 'button primary' }),
      button('Look again', streams, { class: 'button' })),
    parts.streams,
    h('div', { class: 'line' }, field('User', parts.user), field('Role', parts.role), button('Make a token', admit)),
    parts.token);
  return h('div', {},
    h('div', { class: 'columns' },
      h('section', { class: 'panel pad' },
        h('h2', {}, 'Service and rooms'),
        h('div', { class: 'line' }, field('Service id', parts.service), field('Key', parts.key), field('Method', parts.scheme)),
        h('div', { class: 'line' }, field('Name', parts.name), button('Make a room', create, { class: 'button primary' })),
        h('div', { class: 'line' }, field('Page', parts.page), button('List', rooms, { class: 'button' })),
        parts.rooms),
      h('section', { class: 'panel pad' }, h('h2', {}, 'Streams'), parts.outside, parts.inside)),
    h('details', { class: 'panel pad' }, h('summary', {}, 'How the last call was signed'), parts.signed));
}

export async function begin() {
  await rooms();
}
