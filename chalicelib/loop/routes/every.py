"""All routes of the rooms API, for the composition root."""

from typing import Final

from chalicelib.loop.routes import accounts, common, rooms

BLUEPRINTS: Final = (accounts.bp, rooms.bp, common.close())
