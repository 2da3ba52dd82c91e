"""Hooks of a WCS media server and the stream API."""
