"""All routes of the management API, for the composition root."""

from typing import Final

from chalicelib.owt.routes import (
    analytics,
    common,
    participants,
    recordings,
    rooms,
    services,
    sipcalls,
    streaming_ins,
    streaming_outs,
    streams,
    tokens,
)

BLUEPRINTS: Final = (
    services.bp,
    rooms.bp,
    participants.bp,
    streams.bp,
    streaming_ins.bp,
    streaming_outs.bp,
    recordings.bp,
    sipcalls.bp,
    analytics.bp,
    tokens.bp,
    common.close(),
)
