// What goes over the wire, as it goes: calls with their answers, and each frame of a socket.
import { h, settle } from './dom.js';

const KEPT = 1500; // a release of as many visitors as a page has leaves a thousand behind
const SHOWN = 20000;
const decoder = new TextDecoder();

/** Why a call was refused: the answer is there to look at. */
export class Refused extends Error {
  constructor(answer) {
    super(`${answer.method} ${answer.path} was refused: ${answer.status} ${answer.text.slice(0, 300)}`);
    this.answer = answer;
  }
}

/** The list of one tab, and the means to call and to listen that write into it. */
export class Wire {
  constructor() {
    this.waiting = [];
    this.entries = h('ol', { class: 'entries' });
    this.empty = h('p', { class: 'none' }, 'Nothing yet: calls and frames appear here, the newest first.');
    this.beats = h('input', { type: 'checkbox', id: `beats-${Math.random().toString(36).slice(2)}` });
    this.element = h('section', { class: 'panel pad wire' },
      h('div', { class: 'heading' },
        h('h2', {}, 'On the wire'),
        h('p', { class: 'check' }, this.beats, h('label', { for: this.beats.id }, 'Heart-beats')),
        h('button', { type: 'button', class: 'button tiny', onclick: () => this.clear() }, 'Clear')),
      h('div', { class: 'log', tabindex: '0', role: 'log', 'aria-live': 'off', 'aria-label': 'On the wire' },
        this.empty, this.entries));
  }

  clear() {
    this.waiting = [];
    this.entries.replaceChildren();
    this.empty.hidden = false;
  }

  /** Note what went out (`>`), came in (`<`), or happened (`!`). */
  note(direction, who, title, text = '') {
    this.waiting.push({ at: new Date(), direction, who, title, text });
    if (this.waiting.length === 1) setTimeout(() => this.write(), 50);
  }

  write() {
    const taken = this.waiting.splice(0).slice(-KEPT).reverse();
    this.empty.hidden = true;
    this.entries.prepend(...taken.map(entry));
    while (this.entries.childElementCount > KEPT) this.entries.lastElementChild.remove();
  }

  /** Call the service; the answer with its text.  Throws `Refused`. */
  async call(method, path, { who = 'page', title = '', headers = {}, body, takes = (status) => status < 400 } = {}) {
    const data = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\n`).join('');
    const short = [method, path, title || (data ?? '').slice(0, 100)].join(' ');
    this.note('>', who, short, `${method} ${path}\n${lines}\n${data ?? ''}`);
    const began = performance.now();
    const got = await fetch(path, { method, headers, body: data, cache: 'no-store', credentials: 'omit' });
    const text = await got.text();
    const ms = Math.round(performance.now() - began);
    const answer = { method, path, status: got.status, headers: got.headers, text };
    const told = [...got.headers].map(([name, value]) => `${name}: ${value}\n`).join('');
    this.note('<', who, `${got.status} in ${ms} ms ${text.slice(0, 120)}`, `${got.status}\n${told}\n${text}`);
    if (!takes(got.status)) throw new Refused(answer);
    settle();
    return answer;
  }

  /** A socket whose frames are noted both ways. */
  socket(address, protocols, who) {
    const socket = new WebSocket(address, protocols);
    const send = socket.send.bind(socket);
    socket.send = (data) => {
      this.frame('>', who, data);
      send(data);
    };
    socket.addEventListener('open', () => this.note('!', who, `open ${socket.protocol}`, address));
    socket.addEventListener('message', ({ data }) => this.frame('<', who, data));
    socket.addEventListener('close', ({ code, reason }) => this.note('!', who, `closed, ${code} ${reason}`));
    return socket;
  }

  frame(direction, who, data) {
    const binary = typeof data !== 'string';
    const text = binary ? decoder.decode(data) : data;
    if (text.trim() === '') {
      if (this.beats.checked) this.note(direction, who, 'heart-beat');
      return;
    }
    const stomp = /^[A-Z]+\n/.test(text);
    const title = stomp ? stompTitle(text) : text.slice(0, 160);
    const shown = text.slice(0, SHOWN).replaceAll('\0', '^@');
    this.note(direction, who, binary ? `${title} (binary)` : title, shown);
  }
}

function stompTitle(text) {
  const [head, body = ''] = text.split('\n\n');
  const [command, ...lines] = head.split('\n');
  const place = lines.find((line) => /^(destination|receipt-id|message):/.test(line)) ?? '';
  return `${command} ${place} ${body.replace('\0', '')}`.trim();
}

const ARROWS = { '>': '→', '<': '←', '!': '•' };
const WORDS = { '>': 'sent', '<': 'received', '!': 'happened' };

function entry({ at, direction, who, title, text }) {
  const time = at.toTimeString().slice(0, 8) + '.' + String(at.getMilliseconds()).padStart(3, '0');
  const line = [
    h('time', {}, time), ' ',
    h('span', { class: 'arrow', 'aria-hidden': 'true' }, ARROWS[direction]),
    h('span', { class: 'unseen' }, WORDS[direction]), ' ',
    h('b', {}, who), ' ', title,
  ];
  const kind = { '>': 'out', '<': 'in', '!': 'event' }[direction];
  if (!text || text === title) return h('li', { class: kind }, h('p', {}, line));
  return h('li', { class: kind }, h('details', {}, h('summary', {}, line), h('pre', {}, text)));
}
