"""The product's app, its calls of AWS written down.  For `GATEWAY_APP`."""

import os

from tests.support import grants

if "GATEWAY_APP" in os.environ:  # and not where doctests are looked for
    grants.begin(grants.GATEWAY)

from app import app, tick, warm, work, ws_connect, ws_disconnect, ws_message

__all__ = ["app", "tick", "warm", "work", "ws_connect", "ws_disconnect", "ws_message"]
