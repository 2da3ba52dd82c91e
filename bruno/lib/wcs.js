// `Authorization: WCS <HMAC-MD5 of the body>`, where hooks are signed.
const CryptoJS = require('crypto-js');

const { body } = require('./body.js');

function sign(req, bru) {
  const secret = bru.getProcessEnv('HOOK_SECRET');
  const text = body(req, bru);
  if (secret) {
    req.setHeader('Authorization', `WCS ${CryptoJS.HmacMD5(text, secret).toString(CryptoJS.enc.Hex)}`);
  } else {
    req.deleteHeader('Authorization');
  }
}

module.exports = { sign };
