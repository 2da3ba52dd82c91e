// The body as it goes over the wire: what is signed is what is sent, with every variable filled in.
function body(req, bru) {
  const written = req.getBody({ raw: true });
  if (written === undefined || written === null || written === '') {
    return '';
  }
  const text = bru.interpolate(typeof written === 'string' ? written : JSON.stringify(written));
  req.setBody(text, { raw: true });
  return text;
}

module.exports = { body };
