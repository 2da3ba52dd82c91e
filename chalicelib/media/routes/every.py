"""All routes of the media plane, for the composition root."""

from typing import Final

from chalice.app import Blueprint

from chalicelib.media.routes import common

BLUEPRINTS: Final[tuple[Blueprint, ...]] = (common.close(),)
