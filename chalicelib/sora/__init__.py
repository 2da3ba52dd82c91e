"""Shiguredo Sora's signaling notify metadata extension, for connections that we hear of or hold ourselves."""
