"""All routes of the rooms API, for the composition root."""

from typing import Final

from chalicelib.loop.routes import accounts, common, rooms, sessions, system

BLUEPRINTS: Final = (accounts.bp, rooms.bp, sessions.bp, system.bp, common.close())
