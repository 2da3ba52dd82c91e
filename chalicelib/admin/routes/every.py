"""All routes of the operators' API, for the composition root."""

from chalicelib.admin import door
from chalicelib.admin.routes import common, conferences, loop, overview, owed, owt, session, sora, wcs

MODULES = (session, conferences, overview, owt, loop, wcs, sora, owed)
"""Importing them is what enters their routes."""


def open_door() -> None:
    """Have requests served by them."""
    door.open_to(common.serve)
