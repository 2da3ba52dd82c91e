"""All routes of the media plane, for the composition root."""

from typing import Final

from chalice.app import Blueprint

from chalicelib.media.routes import commands, common, reports, tokens

BLUEPRINTS: Final[tuple[Blueprint, ...]] = (
    tokens.bp,
    reports.bp,
    commands.bp,
    common.close(),
)
