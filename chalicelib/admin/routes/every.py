"""All routes of the operators' API: what serves by them, and which they are."""

from chalicelib.admin.routes import conferences, loop, overview, owed, owt, session, sora, wcs
from chalicelib.admin.routes.common import serve, served

__all__ = ["MODULES", "serve", "served"]

MODULES = (session, conferences, overview, owt, loop, wcs, sora, owed)
"""Importing them is what enters their routes."""
