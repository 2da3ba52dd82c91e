"""Streams of a media server, mapped into rooms."""
