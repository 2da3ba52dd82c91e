"""The keys that tokens are checked with: from the settings, or fetched by one bounded, caching fetcher.

A fetch goes to the configured host only, follows nothing, reads little and gives up soon; callers of
the same key share it.  What was fetched serves on for a day while its server is in trouble (contract 6.1).
"""

import contextlib
import hashlib
import http.client
import ipaddress
import logging
import re
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import SplitResult, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from chalicelib.errors import ValidationError
from chalicelib.settings import BadSetting
from chalicelib.wire import untrusted
from chalicelib.wire.bearer import (
    HMAC_ALGORITHMS,
    RSA_ALGORITHMS,
    BadKey,
    Key,
    KeySource,
    KeysUnavailable,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)

HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "foyer",
}
RETRIABLE: Final = frozenset({408, 425, 429})
KINDS: Final = ("secret", "pem", "keyserver", "jwks", "certs")
SHORT_SECRET: Final = 32
"""Below as many bytes as HS256 yields, a secret is easier to guess than a signature (RFC 7518 3.2)."""

_ITEM: Final = re.compile(rf"(?:^|[,\n])\s*(?=(?:{'|'.join(KINDS)}):)")
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,10})", re.IGNORECASE)
_UNCACHED: Final = re.compile(r"(?:^|[,\s])no-(?:store|cache)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Bounds:
    """What a fetch may cost, and how long its result serves (contract 6.1)."""

    attempt_s: float = 2.0
    """One try, from the connection to the last byte."""
    tries: int = 3
    within_s: float = 5.0
    """All tries, and the longest that a caller waits."""
    pause_s: float = 0.1
    """Before the second try; twice that before the third."""
    size: int = 64 * 1024
    keys: int = 128
    absences: int = 1024
    flights: int = 8
    """Fetches of one source under way at once."""
    fresh_s: float = 6 * 3600.0
    """Where the server names no max-age."""
    least_fresh_s: float = 1.0
    most_fresh_s: float = 24 * 3600.0
    """A key that its owner withdrew must not live on for the year some servers say."""
    absent_s: float = 60.0
    stale_s: float = 24 * 3600.0
    """For how long after its freshness a value serves while its server is in trouble."""
    rest_s: float = 5.0
    """After a failure without any value to serve, how long to wait before asking again."""
    allow_insecure: bool = False
    """Plain http, to loopback addresses only."""
    tls: ssl.SSLContext | None = None
    clock: Callable[[], float] = time.monotonic


BOUNDS: Final = Bounds()


class StaticSecrets:
    """Shared secrets for HS256, HS384 and HS512; several while one replaces another."""

    def __init__(self, *secrets: str) -> None:
        """Raises `BadKey`."""
        self._keys = tuple(Key.secret(secret) for secret in secrets)
        if any(len(secret.encode()) < SHORT_SECRET for secret in secrets):
            logger.warning("a shared secret is shorter than %d bytes", SHORT_SECRET)

    def keys(self, kid: str | None, alg: str) -> Iterable[Key]:
        """All secrets, whatever the kid."""
        return self._keys if alg in HMAC_ALGORITHMS else ()


class StaticPem:
    """Public keys or certificates in PEM, for RS256, RS384 and RS512."""

    def __init__(self, *pems: str) -> None:
        """Raises `BadKey`."""
        self._keys = tuple(Key.rsa(key) for pem in pems for key in public_keys(pem))

    def keys(self, kid: str | None, alg: str) -> Iterable[Key]:
        """All keys, whatever the kid: a PEM has none."""
        return self._keys if alg in RSA_ALGORITHMS else ()


class KeyServer:
    """`{base}/{lower-case hex SHA-256 of kid}.pem`, one document per key."""

    def __init__(self, base: str, bounds: Bounds = BOUNDS) -> None:
        """Raises `BadKey` if we would never fetch from there."""
        self._base = checked_url(base, bounds, directory=True)
        self._documents = Documents(self._read, bounds, absence_counts=True)

    def keys(self, kid: str | None, alg: str) -> Iterable[Key]:
        """The key of that kid.  Raises `KeysUnavailable`."""
        if kid is None or alg not in RSA_ALGORITHMS:
            return ()
        name = hashlib.sha256(kid.encode()).hexdigest()
        key = self._documents.get(f"{self._base}{name}.pem")
        return () if key is None else (key,)

    @staticmethod
    def _read(body: bytes) -> Key:
        """The one key in a document.  Raises `BadKey`."""
        material, *more = public_keys(body.decode("ascii", errors="replace"))
        if more:
            raise BadKey("several keys in one document")
        return Key.rsa(material)


class _KeyTable:
    """One document that names all keys by kid."""

    def __init__(self, url: str, bounds: Bounds = BOUNDS) -> None:
        """Raises `BadKey` if we would never fetch from there."""
        self._url = checked_url(url, bounds)
        self._bounds = bounds
        self._documents = Documents(self._read, bounds, absence_counts=False)

    def keys(self, kid: str | None, alg: str) -> Iterable[Key]:
        """The keys of that kid; a kid not listed has the document fetched anew, at most once a minute.

        Raises `KeysUnavailable`.
        """
        if alg not in RSA_ALGORITHMS:
            return ()
        table = self._documents.get(self._url) or {}
        if kid not in table:
            not_before = self._bounds.clock() - self._bounds.absent_s
            table = self._documents.get(self._url, tried_since=not_before) or {}
        return [key for key in table.get(kid, ()) if alg in key.algorithms]

    def _read(self, body: bytes) -> dict[str | None, tuple[Key, ...]]:
        """The keys by kid.  Raises `BadKey`."""
        try:
            document = untrusted.parse(body, limit=self._bounds.size)
        except ValidationError:
            raise BadKey("not JSON") from None
        if not isinstance(document, dict):
            raise BadKey("not a JSON object")
        table: dict[str | None, tuple[Key, ...]] = {}
        for number, (kid, key) in enumerate(self._entries(document)):
            if number == self._bounds.keys:
                logger.warning("%s names more than %d keys", _host(self._url), self._bounds.keys)
                break
            table[kid] = (*table.get(kid, ()), key)
        if not table:
            raise BadKey("no usable key")
        return table

    @staticmethod
    def _entries(document: dict[str, Any]) -> Iterator[tuple[str | None, Key]]:
        """The usable keys.  Raises `BadKey`."""
        raise NotImplementedError


class JwksUrl(_KeyTable):
    """A JSON Web Key Set (RFC 7517); its RSA signature keys, by kid."""

    @staticmethod
    def _entries(document: dict[str, Any]) -> Iterator[tuple[str | None, Key]]:
        """The RSA signature keys; a secret in a public document is none.  Raises `BadKey`."""
        entries = document.get("keys")
        if not isinstance(entries, list):
            raise BadKey("not a JSON Web Key Set")
        for entry in entries:
            try:
                yield _jwk(entry)
            except (jwt.PyJWTError, BadKey, ValueError, TypeError) as error:
                logger.info("a key of the key set is not for us: %s", error)


def _jwk(entry: Any) -> tuple[str | None, Key]:
    """Kid and key of one JSON Web Key.  Raises `BadKey`, `PyJWTError`, `ValueError` or `TypeError`."""
    if not isinstance(entry, dict) or entry.get("kty") != "RSA":
        raise BadKey("not an RSA key")
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise BadKey("named by a kid that is no text")
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        raise BadKey("not meant for signatures")
    algorithms = frozenset([entry["alg"]]) if entry.get("alg") is not None else RSA_ALGORITHMS
    # The public members only: with `d`, PyJWT would make a private key of it.
    public = {"kty": "RSA", "n": entry.get("n"), "e": entry.get("e")}
    return kid, Key.rsa(jwt.PyJWK(public, "RS256").key, algorithms)


class CertMapUrl(_KeyTable):
    """A JSON object from kid to X.509 certificate in PEM, which serves only to carry the key."""

    @staticmethod
    def _entries(document: dict[str, Any]) -> Iterator[tuple[str | None, Key]]:
        """The RSA keys of the certificates."""
        for kid, pem in document.items():
            try:
                if not isinstance(pem, str):
                    raise BadKey("not a certificate")
                yield kid, Key.rsa(public_keys(pem)[0])
            except BadKey as error:
                logger.warning("a certificate of the map is unusable: %s", error)


class KeySet:
    """Several sources as one trust set, in the order of the setting."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = tuple(sources)

    def keys(self, kid: str | None, alg: str) -> Iterator[Key]:
        """The keys of every source, fetched as the caller comes to them.

        A source in trouble is reported behind the others, as one of them may have the key.
        Raises `KeysUnavailable`.
        """
        trouble = None
        for source in self._sources:
            try:
                yield from source.keys(kid, alg)
            except KeysUnavailable as error:
                trouble = error
        if trouble:
            raise trouble


def from_setting(spec: str, *, name: str = "keys", bounds: Bounds = BOUNDS) -> KeySet:
    """Make the trust set that a setting describes.

    Items stand behind commas or line ends, each `secret:<text>`, `pem:<path, or the PEM itself>`,
    `keyserver:<url>`, `jwks:<url>` or `certs:<url>`; blanks around an item do not count, and in a PEM
    `\\n` may stand for a line end.  Raises `BadSetting`, which never shows the value.
    """
    sources: list[KeySource] = []
    items = _ITEM.split(spec)
    if items[0].strip():
        raise BadSetting(f"{name}: an item begins with none of {', '.join(kind + ':' for kind in KINDS)}")
    for number, item in enumerate(items[1:], 1):
        kind, _, text = item.strip().partition(":")
        try:
            sources.append(_source(kind, text.strip(), bounds))
        except BadKey as error:
            raise BadSetting(f"{name}: item {number} ({kind}) is {error}") from None
    return KeySet(sources)


def _source(kind: str, text: str, bounds: Bounds) -> KeySource:
    """One item of a setting.  Raises `BadKey`."""
    match kind:
        case "secret":
            return StaticSecrets(text)
        case "pem":
            return StaticPem(text if "-----BEGIN" in text else _pem_file(text, bounds))
        case "keyserver":
            return KeyServer(text, bounds)
        case "jwks":
            return JwksUrl(text, bounds)
        case _:
            return CertMapUrl(text, bounds)


def _pem_file(path: str, bounds: Bounds) -> str:
    """What stands in a file.  Raises `BadKey`."""
    try:
        with Path(path).open("rb") as file:
            return file.read(bounds.size).decode("ascii", errors="replace")
    except (OSError, ValueError):
        raise BadKey("not a file that can be read") from None


def public_keys(pem: str) -> list[object]:
    """The public keys of all PEM blocks, keys and certificates.  Raises `BadKey`."""
    blocks = list(_PEM.finditer(pem.replace("\\n", "\n")))
    if not blocks:
        raise BadKey("not PEM")
    return [_public_key(block[0].encode(), block[1]) for block in blocks]


def _public_key(block: bytes, label: str) -> object:
    """The public key of one PEM block.  Raises `BadKey`."""
    if "PRIVATE" in label:
        raise BadKey("a private key, where a public one belongs")
    try:
        if label == "CERTIFICATE":
            return x509.load_pem_x509_certificate(block).public_key()
        return load_pem_public_key(block)
    except Exception as error:  # cryptography names no closed set of errors for bad input
        raise BadKey("not a public key in PEM") from error


def checked_url(url: str, bounds: Bounds, *, directory: bool = False) -> str:
    """`url`, if we may fetch from there; a directory ends in a slash.  Raises `BadKey`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadKey("not a URL") from None
    if (
        not host
        or parts.username is not None
        or parts.fragment
        or not url.isascii()
        or re.search(r"[\s,]", url)
    ):
        raise BadKey("not a plain URL")
    if parts.scheme != "https" and not (
        parts.scheme == "http" and bounds.allow_insecure and _is_loopback(host)
    ):
        raise BadKey("not an https URL")
    if parts.scheme == "https" and bounds.tls is None:
        _shared_tls()  # now, while the process warms up, and not in its first fetch
    if not directory:
        return url
    if parts.query:
        raise BadKey("a URL with a query, where a directory belongs")
    return url.rstrip("/") + "/"


def _is_loopback(host: str) -> bool:
    """Whether the host can only be this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(url: str) -> str:
    """What the log may say of where a key comes from."""
    return urlsplit(url).netloc


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    body: bytes
    fresh_s: float


class FetchFailed(Exception):
    """There was no answer that could be used; `retriable` if the next try may fare better."""

    def __init__(self, reason: str, *, retriable: bool) -> None:
        super().__init__(reason)
        self.retriable = retriable


@cache
def _shared_tls() -> ssl.SSLContext:
    """One context for all: loading the trusted roots takes longer than a fetch."""
    return ssl.create_default_context()


def fetch(url: str, bounds: Bounds = BOUNDS, *, within_s: float | None = None) -> Answer:
    """GET `url` in one try, shorter than usual with `within_s`.  Raises `FetchFailed`.

    A socket's timeout starts anew with every byte, so a timer shuts the socket of a server that drips.
    """
    parts = urlsplit(url)
    allowed = bounds.attempt_s if within_s is None else min(within_s, bounds.attempt_s)
    end = time.monotonic() + allowed
    connection = _connection(parts, bounds, allowed)
    late = threading.Event()
    timer: threading.Timer | None = None
    try:
        connection.connect()
        left = end - time.monotonic()
        if left <= 0:
            raise FetchFailed("no answer in time", retriable=True)
        timer = threading.Timer(left, _shut, (connection.sock, late))
        timer.daemon = True
        timer.start()
        target = parts.path or "/"
        connection.request(
            "GET",
            f"{target}?{parts.query}" if parts.query else target,
            headers=HEADERS,
            preload_content=False,
            decode_content=False,
        )
        with contextlib.closing(connection.getresponse()) as response:
            if response.status != 200:
                return Answer(response.status, b"", 0.0)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise FetchFailed("the answer is compressed", retriable=False)
            body = response.read(bounds.size + 1)
            if late.is_set():
                raise FetchFailed("no answer in time", retriable=True)
            if len(body) > bounds.size:
                raise FetchFailed("the answer is too large", retriable=False)
            return Answer(200, body, _freshness(response.headers, bounds))
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        reason = "no answer in time" if late.is_set() else type(error).__name__
        raise FetchFailed(reason, retriable=True) from error
    finally:
        if timer is not None:
            timer.cancel()
        connection.close()


def _connection(parts: SplitResult, bounds: Bounds, timeout: float) -> HTTPConnection:
    """A connection that is not yet made; its timeout bounds connecting and the TLS handshake."""
    host = parts.hostname or ""
    if parts.scheme == "http":
        return HTTPConnection(host, parts.port, timeout=timeout)
    return HTTPSConnection(host, parts.port, timeout=timeout, ssl_context=bounds.tls or _shared_tls())


def _shut(sock: socket.socket, late: threading.Event) -> None:
    """Wake whoever reads from `sock`; past TLS, whose own shutdown would wait for the peer."""
    late.set()
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _freshness(headers: Mapping[str, str], bounds: Bounds) -> float:
    """For how many seconds an answer serves (RFC 9111 4.2, 5.2.2)."""
    control = headers.get("Cache-Control", "")
    stated = _MAX_AGE.search(control)
    if _UNCACHED.search(control):
        fresh = 0.0
    elif stated:
        age = headers.get("Age", "0")
        fresh = float(stated[1]) - (float(age) if re.fullmatch(r"[0-9]{1,10}", age) else 0.0)
    else:
        fresh = bounds.fresh_s
    return min(max(fresh, bounds.least_fresh_s), bounds.most_fresh_s)


@dataclass(slots=True)
class _Entry(Generic[T]):
    """What is known of one document; `value` is `None` while it is absent or was never had."""

    value: T | None
    digest: bytes
    fresh_until: float
    stale_until: float
    tried_at: float
    failed: bool = False
    """Whether the last try brought no answer."""


class Documents(Generic[T]):
    """Fetched documents by URL: single flight, positive and negative memory, stale while in trouble."""

    def __init__(self, read: Callable[[bytes], T], bounds: Bounds, *, absence_counts: bool) -> None:
        self._read = read
        self._bounds = bounds
        self._absence_counts = absence_counts
        self._lock = threading.Lock()
        self._present: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._missing: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._flights: dict[str, threading.Event] = {}

    def get(self, url: str, *, tried_since: float | None = None) -> T | None:
        """The document, or `None` if there is none.  Raises `KeysUnavailable`.

        With `tried_since`, one that was last asked for earlier is asked for again.
        """
        with self._lock:
            entry = self._entry(url)
            if entry is not None and self._serves(entry, tried_since):
                return self._value(entry, tried_since)
            flight = self._flights.get(url) or self._take_off(url)
        if flight is not None:
            flight.wait(self._bounds.within_s)
        with self._lock:
            entry = self._entry(url)
            if entry is None:
                raise KeysUnavailable("The keys cannot be fetched now")
            return self._value(entry, tried_since)

    def _entry(self, url: str) -> _Entry[T] | None:
        """What is known of `url`, marked as used."""
        for known in (self._present, self._missing):
            entry = known.get(url)
            if entry is not None:
                known.move_to_end(url)
                return entry
        return None

    def _serves(self, entry: _Entry[T], tried_since: float | None) -> bool:
        """Whether the entry needs no new fetch."""
        if self._bounds.clock() >= entry.fresh_until:
            return False
        return tried_since is None or entry.tried_at >= tried_since

    def _value(self, entry: _Entry[T], tried_since: float | None) -> T | None:
        """The entry's value, fresh or stale.  Raises `KeysUnavailable`, also where only news would help."""
        too_old = self._bounds.clock() >= max(entry.fresh_until, entry.stale_until)
        if too_old or (entry.failed and (entry.value is None or tried_since is not None)):
            raise KeysUnavailable("The keys cannot be fetched now")
        return entry.value

    def _take_off(self, url: str) -> threading.Event | None:
        """Start a fetch, which outlives its callers' patience; `None` if too many are under way."""
        if len(self._flights) >= self._bounds.flights:
            return None
        landed = threading.Event()
        pilot = threading.Thread(target=self._fly, args=(url, landed), name="keys", daemon=True)
        try:
            pilot.start()
        except RuntimeError:  # no more threads
            return None
        self._flights[url] = landed
        return landed

    def _fly(self, url: str, landed: threading.Event) -> None:
        """Fetch, remember what came of it, and wake the callers."""
        try:
            answer = self._ask(url)
            if answer is None:
                self._keep_absent(url)
            else:
                self._keep(url, answer)
        except FetchFailed as error:
            logger.warning("keys from %s: %s", _host(url), error)
            self._keep_trouble(url)
        except BadKey as error:
            logger.warning("keys from %s: the document is %s", _host(url), error)
            # Some servers send a page of theirs, with 200, for every key that they do not have.
            self._keep_trouble(url, absent=self._absence_counts)
        except Exception:
            logger.exception("keys from %s", _host(url))
            self._keep_trouble(url)
        finally:
            with self._lock:
                self._flights.pop(url, None)
            landed.set()

    def _ask(self, url: str) -> Answer | None:
        """The document, in up to three tries; `None` if the server says that there is none.

        Raises `FetchFailed`.
        """
        bounds = self._bounds
        end = time.monotonic() + bounds.within_s
        for pause in (bounds.pause_s * 2**number for number in range(bounds.tries - 1)):
            try:
                return self._judge(fetch(url, bounds, within_s=end - time.monotonic()))
            except FetchFailed as error:
                if not error.retriable or time.monotonic() + pause >= end:
                    raise
            time.sleep(pause)
        return self._judge(fetch(url, bounds, within_s=end - time.monotonic()))

    def _judge(self, answer: Answer) -> Answer | None:
        """A document, its absence, or trouble.  Raises `FetchFailed`.

        Stores of static files say 403 for what is absent, so any refusal of the request counts.
        """
        if answer.status == 200:
            return answer
        if 400 <= answer.status < 500 and answer.status not in RETRIABLE and self._absence_counts:
            return None
        retriable = answer.status in RETRIABLE or answer.status >= 500
        raise FetchFailed(f"status {answer.status}", retriable=retriable)

    def _keep(self, url: str, answer: Answer) -> None:
        """Remember a document; one that did not change keeps its very keys.  Raises `BadKey`."""
        with self._lock:
            old = self._present.get(url)
        digest = hashlib.sha256(answer.body).digest()
        value = old.value if old is not None and old.digest == digest else self._read(answer.body)
        now = self._bounds.clock()
        fresh_until = now + answer.fresh_s
        with self._lock:
            self._missing.pop(url, None)
            self._present[url] = _Entry(value, digest, fresh_until, fresh_until + self._bounds.stale_s, now)
            self._present.move_to_end(url)
            if len(self._present) > self._bounds.keys:
                self._present.popitem(last=False)

    def _keep_absent(self, url: str, *, for_s: float | None = None, failed: bool = False) -> None:
        """Remember for a while that there is no document, or that none could be had."""
        now = self._bounds.clock()
        until = now + (self._bounds.absent_s if for_s is None else for_s)
        with self._lock:
            self._present.pop(url, None)
            self._missing[url] = _Entry(None, b"", until, until, now, failed)
            self._missing.move_to_end(url)
            if len(self._missing) > self._bounds.absences:
                self._missing.popitem(last=False)

    def _keep_trouble(self, url: str, *, absent: bool = False) -> None:
        """Let the old document serve on for a while; without one, remember that there is none to be had."""
        if self._prolong(url):
            return
        if absent:
            self._keep_absent(url)
        else:
            self._keep_absent(url, for_s=self._bounds.rest_s, failed=True)

    def _prolong(self, url: str) -> bool:
        """Serve the old document for another minute, if there is one and it is not too old."""
        now = self._bounds.clock()
        with self._lock:
            old = self._present.get(url)
            if old is None or now >= old.stale_until:
                return False
            old.failed = True
            old.tried_at = now
            old.fresh_until = max(old.fresh_until, min(now + self._bounds.absent_s, old.stale_until))
            return True
