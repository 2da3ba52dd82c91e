// MAuth, as the JavaScript SDK signs: a time and a nonce under the service's key.
const CryptoJS = require('crypto-js');
const { v4 } = require('uuid');

const SUPER = 'the super service';
const SERVICE = 'the service that was made';

function header(service, key) {
  const stamp = Date.now();
  const nonce = v4().replaceAll('-', '').slice(0, 16);
  const digits = CryptoJS.HmacSHA256(`${stamp},${nonce}`, key).toString(CryptoJS.enc.Hex);
  const signature = CryptoJS.enc.Base64.stringify(CryptoJS.enc.Utf8.parse(digits));
  return 'MAuth realm=http://marte3.dit.upm.es,mauth_signature_method=HMAC_SHA256' +
    `,mauth_serviceid=${service},mauth_cnonce=${nonce},mauth_timestamp=${stamp},mauth_signature=${signature}`;
}

function sign(req, bru, who) {
  const [service, key] = who === SUPER
    ? [bru.getProcessEnv('SERVICE_ID'), bru.getProcessEnv('SERVICE_KEY')]
    : [bru.getVar('service'), bru.getVar('serviceKey')];
  req.setHeader('Authorization', header(service, key));
}

module.exports = { SERVICE, SUPER, sign };
