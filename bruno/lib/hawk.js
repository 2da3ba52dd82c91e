// Hawk over the whole request, its body included, with credentials derived from a session token (RFC 5869, SHA-256).
const CryptoJS = require('crypto-js');
const { v4 } = require('uuid');

const { body } = require('./body.js');

const INFO = 'identity.mozilla.com/picl/v1/sessionToken';
const PORTS = { http: '80', https: '443' };

function derive(sessionToken) {
  const { Hex, Utf8 } = CryptoJS.enc;
  const first = CryptoJS.HmacSHA256(Hex.parse(sessionToken), Hex.parse('00'.repeat(32)));
  const one = CryptoJS.HmacSHA256(Utf8.parse(INFO).concat(Hex.parse('01')), first);
  const two = CryptoJS.HmacSHA256(one.clone().concat(Utf8.parse(INFO)).concat(Hex.parse('02')), first);
  return { id: one.toString(Hex), key: two.toString(Hex) };
}

// What `Register` was given serves all requests after it.
function keep(sessionToken, bru) {
  const { id, key } = derive(sessionToken);
  bru.setVar('hawkId', id);
  bru.setVar('hawkKey', key);
}

function header({ id, key }, method, url, payload) {
  const [, scheme, host, port = PORTS[scheme], target = '/'] = /^(https?):\/\/([^:/]+)(?::(\d+))?(\/.*)?$/.exec(url);
  const stamp = Math.floor(Date.now() / 1000);
  const nonce = v4().slice(0, 8);
  const { Base64 } = CryptoJS.enc;
  const hash = Base64.stringify(CryptoJS.SHA256(`hawk.1.payload\napplication/json\n${payload}\n`));
  const lines = ['hawk.1.header', stamp, nonce, method, target, host.toLowerCase(), port, hash, '', ''];
  const mac = Base64.stringify(CryptoJS.HmacSHA256(lines.join('\n'), key));
  return `Hawk id="${id}", ts="${stamp}", nonce="${nonce}", hash="${hash}", mac="${mac}"`;
}

function sign(req, bru) {
  const credentials = { id: bru.getVar('hawkId'), key: bru.getVar('hawkKey') };
  if (!credentials.id) {
    return;
  }
  const payload = body(req, bru);
  req.setHeader('Content-Type', 'application/json');
  req.setHeader('Authorization', header(credentials, req.getMethod(), bru.interpolate(req.getUrl()), payload));
}

function basic(sessionToken) {
  return `Basic ${CryptoJS.enc.Base64.stringify(CryptoJS.enc.Utf8.parse(sessionToken))}`;
}

module.exports = { basic, keep, sign };
