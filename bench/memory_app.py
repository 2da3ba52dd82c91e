"""The product's app on `bench.memory_store`: what arrivals cost without storage.  For `GATEWAY_APP`."""

from app import app, tick, warm, work, ws_connect, ws_disconnect, ws_message
from bench import memory_store

__all__ = ["app", "tick", "warm", "work", "ws_connect", "ws_disconnect", "ws_message"]

memory_store.install()
