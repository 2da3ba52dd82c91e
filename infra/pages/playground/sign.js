// The credentials of OWT (MAuth) and Loop (Hawk), made in the browser by WebCrypto.

const encoder = new TextEncoder();
const hexadecimal = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));

async function hmac(key, text) {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await crypto.subtle.importKey('raw', encoder.encode(key), algorithm, false, ['sign']);
  return crypto.subtle.sign('HMAC', imported, encoder.encode(text));
}

const sha256 = (text) => crypto.subtle.digest('SHA-256', encoder.encode(text));
const chance = (bytes) => hexadecimal(crypto.getRandomValues(new Uint8Array(bytes)));

const percent = (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`;
const encoded = (text) => encodeURIComponent(text).replace(/[!'()*]/g, percent);
const byBytes = ([a, b], [c, d]) => (a < c ? -1 : a > c ? 1 : b < d ? -1 : b > d ? 1 : 0);

/** What `HMAC_SHA256_V2` signs: the whole call. */
async function wholeCall(service, stamp, nonce, method, target, body) {
  const [path, query = ''] = target.split('?');
  const segments = path.replace(/\/$/, '').split('/').map((segment) => encoded(decodeURIComponent(segment)));
  const pairs = [...new URLSearchParams(query)].map(([name, value]) => [encoded(name), encoded(value)]).sort(byBytes);
  const digest = hexadecimal(await sha256(body));
  return ['HMAC_SHA256_V2', service, stamp, nonce, '', '', method, segments.join('/'),
    pairs.map((pair) => pair.join('=')).join('&'), digest].join('\n');
}

/** The header of one call of OWT's management API, and the text that it signs. */
export async function mauth({ service, key, scheme, method, target, body = '' }) {
  const stamp = String(Date.now());
  const nonce = chance(8);
  const text = scheme === 'HMAC_SHA256_V2'
    ? await wholeCall(service, stamp, nonce, method, target, body)
    : `${stamp},${nonce}`;
  const signature = base64(encoder.encode(hexadecimal(await hmac(key, text))));
  const header = `MAuth realm=foyer,mauth_signature_method=${scheme},mauth_serviceid=${service}` +
    `,mauth_cnonce=${nonce},mauth_timestamp=${stamp},mauth_signature=${signature}`;
  return { header, text };
}

/** Hawk's id and key, of the token that the registration gave. */
export async function derive(sessionToken) {
  const bytes = Uint8Array.from(sessionToken.match(/../g), (digits) => parseInt(digits, 16));
  const material = await crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveBits']);
  const info = encoder.encode('identity.mozilla.com/picl/v1/sessionToken');
  const made = hexadecimal(await crypto.subtle.deriveBits(
    { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info }, material, 512));
  return { id: made.slice(0, 64), key: made.slice(64) };
}

/** `Authorization` of one call of Loop, over the address as typed and over the body. */
export async function hawk({ id, key }, method, target, body = '') {
  const stamp = String(Math.floor(Date.now() / 1000));
  const nonce = chance(4);
  const port = location.port || (location.protocol === 'https:' ? '443' : '80');
  const host = location.hostname.toLowerCase();
  const hash = base64(await sha256(`hawk.1.payload\napplication/json\n${body}\n`));
  const text = ['hawk.1.header', stamp, nonce, method, target, host, port, hash, '', ''].join('\n');
  const mac = base64(await hmac(key, text));
  return `Hawk id="${id}", ts="${stamp}", nonce="${nonce}", hash="${hash}", mac="${mac}"`;
}

/** What a guest of Loop shows. */
export const basic = (sessionToken) => `Basic ${btoa(sessionToken)}`;
