"""Pure codecs: text or bytes in, values out; no framework, no storage, no clock of their own."""
