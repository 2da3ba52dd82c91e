"""`Authorization: Basic` with a name and no password (RFC 7617; contract 4.5)."""

import binascii
from typing import Final

from chalicelib.errors import Unauthenticated

SCHEME: Final = "basic"
LONGEST: Final = 4096


class Undecodable(Unauthenticated):
    """The credentials are not those of a name without a password."""


def parse(credentials: str) -> str:
    """The name, behind which one colon stands or none: Loop's web client sends none.

    >>> parse("VDE9PWNHRnkuLi46"), parse("VDE9PWNHRnkuLi4=")
    ('T1==cGFy...', 'T1==cGFy...')

    Raises `Undecodable`.
    """
    if len(credentials) > LONGEST:
        raise Undecodable("longer than any")
    try:
        text = binascii.a2b_base64(credentials + "=" * (-len(credentials) % 4), strict_mode=True).decode()
    except ValueError:
        raise Undecodable("not base64 of a text") from None
    name, _, password = text.partition(":")
    if not name or password:
        raise Undecodable("no name, or a password")
    return name
