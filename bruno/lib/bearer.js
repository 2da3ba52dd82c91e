// `Authorization: Bearer` with a key, where the service asks for one.
function bearer(req, bru, name) {
  const key = bru.getProcessEnv(name);
  if (key) {
    req.setHeader('Authorization', `Bearer ${key}`);
  } else {
    req.deleteHeader('Authorization');
  }
}

module.exports = { bearer };
