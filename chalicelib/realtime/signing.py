"""How calls of `@connections` are signed: SigV4 for API Gateway, an HMAC of our own for gateways.

A new HMAC object costs more than hashing a short text.  So whatever stays the same from one call to the next
is hashed once, and the state is copied.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote

SERVICE: Final = "execute-api"
FOREVER: Final = float("inf")
BLOCK: Final = 64
INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Credentials(NamedTuple):
    """What AWS knows the caller by."""

    access_key: str
    secret_key: str
    token: str = ""
    expires_at: float = FOREVER


CredentialsProvider = Callable[[], Credentials]


class Signer(Protocol):
    """Proves to an endpoint who calls."""

    def lines(self, method: str, target: str, digest: str, now: float) -> str:
        """The header lines that prove it; the last one without its CRLF.

        `target` is what follows the endpoint's address in the request line, `digest` the body's SHA-256.
        """


class Hmac:
    """HMAC-SHA256 (RFC 2104) with the key's two blocks hashed once.

    >>> Hmac(b"key").hexdigest(b"The quick brown fox jumps over the lazy dog")[:16]
    'f7bc83f430538424'
    """

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= BLOCK else hashlib.sha256(key).digest()).ljust(BLOCK, b"\0")
        self.inner = hashlib.sha256(block.translate(INNER))
        self.outer = hashlib.sha256(block.translate(OUTER))

    def begin(self, text: bytes) -> None:
        """Put `text` before every later message."""
        self.inner.update(text)

    def digest(self, message: bytes) -> bytes:
        """The code of a message."""
        return self._outer_of(message).digest()

    def hexdigest(self, message: bytes) -> str:
        """The code of a message in hex."""
        return self._outer_of(message).hexdigest()

    def _outer_of(self, message: bytes) -> "hashlib._Hash":
        inner = self.inner.copy()
        inner.update(message)
        outer = self.outer.copy()
        outer.update(inner.digest())
        return outer


class SigV4:
    """AWS Signature Version 4 for one endpoint and one set of credentials; for calls without a query.

    `base` is the path of the endpoint's address as it goes over the wire.  The canonical URI encodes that
    spelling once more, as every service but S3 wants it.
    """

    def __init__(self, credentials: Credentials, region: str, host: str, base: str) -> None:
        self._credentials = credentials
        self._region = region
        self._host = host
        self._base = quote(base, safe="/~")
        self._requests = {method: self._request(method) for method in ("POST", "DELETE")}
        self._second = -1
        self._day = ""

    def lines(self, method: str, target: str, digest: str, now: float) -> str:
        """See `Signer`."""
        if int(now) != self._second:
            self._enter(int(now))
        request = self._requests[method].copy()
        canonical = target.replace("%", "%25").replace("@", "%40")
        request.update(f"{canonical}{self._after_path}{digest}".encode())
        return self._lines + self._code.hexdigest(request.hexdigest().encode())

    def _request(self, method: str) -> "hashlib._Hash":
        return hashlib.sha256(f"{method}\n{self._base}".encode())

    def _enter(self, second: int) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        scope = f"{stamp[:8]}/{self._region}/{SERVICE}/aws4_request"
        if stamp[:8] != self._day:
            self._day = stamp[:8]
            key = f"AWS4{self._credentials.secret_key}".encode()
            for part in (self._day, self._region, SERVICE, "aws4_request"):
                key = Hmac(key).digest(part.encode())
            self._key = key
        self._code = Hmac(self._key)
        self._code.begin(f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n".encode())
        token = self._credentials.token
        signed = "host;x-amz-date;x-amz-security-token" if token else "host;x-amz-date"
        canonical_token = f"x-amz-security-token:{token}\n" if token else ""
        self._after_path = f"\n\nhost:{self._host}\nx-amz-date:{stamp}\n{canonical_token}\n{signed}\n"
        token_line = f"X-Amz-Security-Token: {token}\r\n" if token else ""
        self._lines = (
            f"X-Amz-Date: {stamp}\r\n{token_line}Authorization: AWS4-HMAC-SHA256 "
            f"Credential={self._credentials.access_key}/{scope}, SignedHeaders={signed}, Signature="
        )
        self._second = second


class GatewayHmac:
    """What a gateway's management listener expects, over the second, method, path with query, and body."""

    def __init__(self, secret: str, base: str) -> None:
        self._secret = secret.encode()
        self._base = base
        self._second = -1

    def lines(self, method: str, target: str, digest: str, now: float) -> str:
        """See `Signer`."""
        if int(now) != self._second:
            self._second = int(now)
            self._code = Hmac(self._secret)
            self._code.begin(f"{self._second}\n".encode())
            self._lines = f"X-Foyer-Date: {self._second}\r\nX-Foyer-Signature: "
        return self._lines + self._code.hexdigest(f"{method}\n{self._base}{target}\n{digest}".encode())
