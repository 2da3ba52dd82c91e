"""All routes of the media plane, for the composition root."""

from typing import Final

from chalice.app import Blueprint

from chalicelib.media.routes import commands, common

BLUEPRINTS: Final[tuple[Blueprint, ...]] = (
    commands.bp,
    common.close(),
)
