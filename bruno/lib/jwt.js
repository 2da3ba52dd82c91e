// A token as Prosody makes them: RS256, no `iat`, `sub`, `room` or `context`.
const jwt = require('jsonwebtoken');

const MINUTES = 60;

function serverToken(bru) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: bru.getProcessEnv('SERVER_ISSUER'),
    aud: bru.getProcessEnv('SERVER_AUDIENCE'),
    nbf: now,
    exp: now + 10 * MINUTES,
  };
  const key = bru.getProcessEnv('SERVER_KEY');
  return jwt.sign(claims, key, { algorithm: 'RS256', keyid: bru.getProcessEnv('SERVER_KID'), noTimestamp: true });
}

module.exports = { serverToken };
