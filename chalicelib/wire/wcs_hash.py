"""The signature of WCS hooks: `Authorization: WCS <HMAC-MD5 of the body in hexadecimal>`.

MD5 is the other side's choice; as the hash of an HMAC it is not broken.  The signature says who sent a body,
not when: the same bytes pass again.
"""

import hmac
import re
from collections.abc import Iterable
from typing import Final

from chalicelib.errors import Forbidden

SCHEME: Final = "wcs"

_HEX: Final = re.compile(r"[0-9a-fA-F]{32}")


class NotSigned(Forbidden):
    """The header proves nothing; `reason` is for the log, and the text for the peer tells nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__("The request is not signed")
        self.reason = reason


def is_signature(header: str | None) -> bool:
    """Whether a header is of this scheme.

    >>> is_signature("WCS ea43e4f8c69b846c217954a35cf3bec3"), is_signature("Basic QTpi"), is_signature(None)
    (True, False, False)
    """
    return (header or "").strip().partition(" ")[0].lower() == SCHEME


def parse(header: str | None) -> str:
    """The signature in an `Authorization` header, in lower case.  Raises `NotSigned`."""
    scheme, _, digits = (header or "").strip().partition(" ")
    if scheme.lower() != SCHEME:
        raise NotSigned("another scheme" if scheme else "no header")
    digits = digits.strip()
    if not _HEX.fullmatch(digits):
        raise NotSigned("no signature of 32 hexadecimal digits")
    return digits.lower()


def sign(secret: str, body: bytes) -> str:
    """The signature of a body.

    >>> sign("1234567890", b'{"a":1}')
    'ea43e4f8c69b846c217954a35cf3bec3'
    """
    # A secret of the environment that is not UTF-8 stands for its bytes.
    return hmac.digest(secret.encode(errors="surrogateescape"), body, "md5").hex()


def signed(signature: str, secrets: Iterable[str], body: bytes) -> bool:
    """Whether one of the secrets made the signature of exactly these bytes, in constant time."""
    found = [hmac.compare_digest(signature.encode(), sign(secret, body).encode()) for secret in secrets]
    return any(found)
