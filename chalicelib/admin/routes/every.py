"""All routes of the operators' API, for the composition root."""

from chalicelib.admin import door
from chalicelib.admin.routes import common, conferences, overview, session

MODULES = (session, conferences, overview)
"""Importing them is what enters their routes."""


def open_door() -> None:
    """Have requests served by them."""
    door.open_to(common.serve)
