"""The client for `@connections` of API Gateway and of gateways: many posts at a known pace."""

import hashlib
import logging
import re
import threading
import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from chalicelib import clock
from chalicelib.errors import Unavailable, ValidationError
from chalicelib.realtime.engine import Address, Call, Engine, Limits, Route, Signed, tls
from chalicelib.realtime.ports import Outcome, Post
from chalicelib.realtime.signing import FOREVER, Credentials, CredentialsProvider, GatewayHmac, SigV4
from chalicelib.store import aws

log = logging.getLogger(__name__)

API_GATEWAY: Final = "apigateway"
GATEWAY: Final = "gateway"

WINDOW: Final = 1024
"""How many posts of one caller are under way or waiting; the rest is not even read yet."""
BULK_WINDOW: Final = 2048
BULK_SOCKETS: Final = 500
BULK_BYTES: Final = 512 * 1024
TEXTS: Final = 256
"""How many different texts of one fan-out are kept encoded and hashed."""
ROUTES: Final = 64
REREAD_S: Final = 300.0
"""Credentials are asked for again after this time; botocore renews its own well before their end."""
EXPIRES_SOON_S: Final = 60.0
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
NOTHING: Final = hashlib.sha256(b"").hexdigest()

_plain_id = re.compile(r"([A-Za-z0-9_.~-]+)(=*)")
_plain_base = re.compile(r"(/[A-Za-z0-9_.~@%-]+)*")


class Endpoint(msgspec.Struct, frozen=True):
    """Where a front takes posts: its address, whose it is, and what it can do beyond API Gateway."""

    url: str
    kind: str
    bulk: bool = False
    dedup: bool = False


class _BulkAnswer(msgspec.Struct):
    gone: list[str] = []
    retry: list[str] = []


def botocore_credentials() -> Credentials:
    """The credentials of the process, as botocore finds and renews them.  Raises `Unavailable`."""
    found = aws.session().get_credentials()
    if found is None:
        raise Unavailable("there are no AWS credentials")
    frozen = found.get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")


class Connections:
    """Posts texts to sockets through `@connections`; one object for a process, whose pace it keeps.

    Synchronous and thread safe outside, one event loop in a daemon thread inside.  One thread, not a loop in
    each calling thread: the pace and the connections then belong to all callers without locks.  A freeze of
    the process costs nothing but connections: those that died meanwhile are found closed, or idle for too
    long by either clock, and are made anew; a call that went out on a dead one is sent again once.  A thread
    that did not survive (a fork) is replaced on the next use.

    `rate` counts requests: posts, repeated posts, and one for each bulk body.  The order of posts to one
    socket is not kept.
    """

    def __init__(
        self,
        *,
        rate: float,
        secret: str,
        region: str,
        credentials: CredentialsProvider = botocore_credentials,
        connections: int = 32,
        timeout: float = 2.0,
        tries: int = 3,
        budget: float = 2.0,
    ) -> None:
        self._rate = rate
        self._secret = secret
        self._region = region
        self._credentials = credentials
        self._limits = Limits(connections, timeout, tries, budget)
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str], Route] = {}
        self._engines: list[Engine] = []
        weakref.finalize(self, _stop, self._engines)

    def warm(self, endpoint: Endpoint, line: bool = True) -> None:
        """Have ready what the first post needs: credentials, TLS roots, a line.  Raises `Unavailable`."""
        if endpoint.kind == API_GATEWAY:
            self._credentials()
        route = self._route(endpoint)
        if route.address.tls:
            tls(route.address.roots)
        if line:
            self._engine().open_first(route)

    def post_many(self, endpoint: Endpoint, posts: Iterable[Post]) -> list[Outcome]:
        """Send each text; the outcomes in the same order.  `posts` is read as fast as they are sent.

        `RETRY`: throttled, failing, unreachable or silent, after the tries that the budget allows; whether a
        silent one wrote the text is not known.  `FAILED`: refused for good, and logged.  Raises
        `ValidationError` for an endpoint that cannot be used, `Unavailable`, and what `posts` raises.
        """
        bulk = endpoint.bulk and endpoint.kind == GATEWAY
        batch = _Batch(self._engine(), self._route(endpoint), BULK_WINDOW if bulk else WINDOW)
        try:
            if bulk:
                _feed_bulk(batch, posts)
            else:
                _feed(batch, posts, endpoint)
        finally:
            batch.wait(len(batch.results))
        _report(batch, endpoint)
        return batch.results

    def close(self, endpoint: Endpoint, socket_id: str, code: int) -> Outcome:
        """Close a socket: `SENT` or `GONE` when it is closed.  API Gateway chooses the close code itself."""
        batch = _Batch(self._engine(), self._route(endpoint), 1)
        query = f"?code={code}" if endpoint.kind == GATEWAY else ""
        index = batch.add()
        try:
            batch.submit(_PostCall(batch, index, "DELETE", _target(socket_id) + query, b"", NOTHING))
        except ValueError:
            batch.refuse(index)
        batch.wait(1)
        _report(batch, endpoint)
        return batch.results[0]

    def stop(self) -> None:
        """Close all connections and end the thread; the next use starts anew."""
        with self._lock:
            _stop(self._engines)

    def _engine(self) -> Engine:
        with self._lock:
            if not (self._engines and self._engines[0].alive()):
                self._engines[:] = [Engine(self._limits, self._rate)]
            return self._engines[0]

    def _route(self, endpoint: Endpoint) -> Route:
        key = endpoint.url, endpoint.kind
        with self._lock:
            route = self._routes.get(key)
            if route is None:
                if len(self._routes) >= ROUTES:
                    self._routes.clear()
                route = self._routes[key] = self._new_route(endpoint)
            return route

    def _new_route(self, endpoint: Endpoint) -> Route:
        address = read_address(endpoint)
        if endpoint.kind == GATEWAY:
            if not self._secret:
                raise Unavailable("there is no secret to sign a gateway's calls with")
            signed = Signed(GatewayHmac(self._secret, address.base), FOREVER, FOREVER)
            return Route(address, lambda: signed)
        region, provider = aws.region_of(address.host) or self._region, self._credentials

        def sign() -> Signed:
            found = provider()
            now = clock.now()
            renew_at = min(now + REREAD_S, max(now + 1.0, found.expires_at - EXPIRES_SOON_S))
            return Signed(SigV4(found, region, address.authority, address.base), renew_at, found.expires_at)

        return Route(address, sign)


def _report(batch: "_Batch", endpoint: Endpoint) -> None:
    """Log what went wrong, once for each kind of trouble, without ids and texts."""
    for (outcome, why), count in batch.troubles.items():
        level = logging.ERROR if outcome is Outcome.FAILED else logging.WARNING
        log.log(level, "%d of %d calls to %s: %s", count, len(batch.results), endpoint.url, why)
    if batch.refused:
        log.error("%d of %d calls had an id or text that cannot be sent", batch.refused, len(batch.results))


def _stop(engines: list[Engine]) -> None:
    while engines:
        engines.pop().stop()


def read_address(endpoint: Endpoint) -> Address:
    """Where an endpoint is.  Raises `ValidationError`.

    Credentials of AWS go over plain http to this machine only; a gateway's calls carry no secret.
    """
    try:
        parts = urlsplit(endpoint.url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise ValidationError("an endpoint's address cannot be read") from None
    base = parts.path.rstrip("/")
    strange = parts.query or parts.fragment or parts.username is not None or not host.isascii()
    if parts.scheme not in ("http", "https") or not host or strange or not _plain_base.fullmatch(base):
        raise ValidationError("an endpoint is an http or https address without query")
    if {".", ".."} & set(base.split("/")):
        raise ValidationError("an endpoint's path has no dot segments")
    if endpoint.kind not in (API_GATEWAY, GATEWAY):
        raise ValidationError(f"an endpoint is of kind {API_GATEWAY} or {GATEWAY}")
    secure = parts.scheme == "https"
    if not secure and endpoint.kind == API_GATEWAY and host not in LOOPBACK:
        raise ValidationError("API Gateway is called over https")
    usual = 443 if secure else 80
    authority = f"[{host}]" if ":" in host else host
    if port not in (None, usual):
        authority += f":{port}"
    roots = aws.roots() if endpoint.kind == API_GATEWAY else ""
    return Address(host, port or usual, secure, authority, base, roots)


class _Batch:
    """The outcomes of one caller's posts, and the caller who waits for them.

    Two threads share it: `_settled` is written by the engine's only, `_goal` by the caller's.  The caller
    clears `_reached` and sets the goal before it looks at `_settled`; the engine counts before it looks at
    the goal.  So one of them notices.
    """

    def __init__(self, engine: Engine, route: Route, window: int) -> None:
        self.results: list[Outcome] = []
        self.troubles: Counter[tuple[Outcome, str]] = Counter()
        self.refused = 0
        self._engine = engine
        self._route = route
        self._window = window
        self._settled = 0
        self._goal = -1
        self._reached = threading.Event()

    def add(self) -> int:
        """The place of one more post; waits while too many are under way."""
        index = len(self.results)
        if index - self._settled - self.refused >= self._window:
            self.wait(index - self._window // 2)
        self.results.append(Outcome.RETRY)
        return index

    def submit(self, call: Call) -> None:
        """Have a call made whose outcome comes here."""
        self._engine.submit(self._route, call)

    def refuse(self, index: int) -> None:
        """Give up a post before it became a call."""
        self.results[index] = Outcome.FAILED
        self.refused += 1

    def settle(self, index: int, outcome: Outcome, why: str) -> None:
        """Take an outcome; for the engine's thread."""
        self.results[index] = outcome
        if why:
            self.troubles[outcome, why] += 1
        self._settled += 1
        if self._settled == self._goal:
            self._reached.set()

    def wait(self, goal: int) -> None:
        """Wait until so many posts have their outcome."""
        goal -= self.refused
        self._reached.clear()
        self._goal = goal
        while self._settled < goal and not self._reached.wait(1.0) and self._engine.alive():
            pass


class _PostCall(Call):
    """A call for one post."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: _Batch, index: int, method: str, target: str, body: bytes, digest: str) -> None:
        super().__init__(method, target, body, digest)
        self._batch = batch
        self._index = index

    def settle(self, outcome: Outcome, why: str = "") -> None:
        """See `Call`."""
        self._batch.settle(self._index, outcome, why)


def _feed(batch: _Batch, posts: Iterable[Post], endpoint: Endpoint) -> None:
    gateway = endpoint.kind == GATEWAY
    texts: dict[str, tuple[bytes, str]] = {}
    for socket_id, text, dedup, close_after in posts:
        index = batch.add()
        try:
            target = _target(socket_id)
            if gateway and (dedup or close_after):
                target += _query(dedup if endpoint.dedup else "", close_after)
            known = texts.get(text)
            if known is None:
                if len(texts) >= TEXTS:
                    texts.clear()
                body = text.encode()
                known = texts[text] = body, hashlib.sha256(body).hexdigest()
        except ValueError:
            batch.refuse(index)
            continue
        batch.submit(_PostCall(batch, index, "POST", target, *known))


def _target(socket_id: str) -> str:
    """The path of a socket below its endpoint.  Raises `ValueError` for an id that no path can hold.

    >>> _target("L0SM9cOFvHcCIhw="), _target("a/b c")
    ('/@connections/L0SM9cOFvHcCIhw%3D', '/@connections/a%2Fb%20c')
    """
    plain = _plain_id.fullmatch(socket_id)
    if plain is None:
        name = quote(socket_id, safe="", errors="strict")
    else:
        name, padding = plain.groups()
        if padding:
            name += "%3D" * len(padding)
    if name in ("", ".", ".."):
        raise ValueError("not an id")
    return "/@connections/" + name


def _query(dedup: str, close_after: float) -> str:
    asked = {}
    if dedup:
        asked["dedup"] = dedup
    if close_after > 0:
        asked["close_after"] = f"{close_after:g}"
    return "?" + urlencode(asked, quote_via=quote, safe="") if asked else ""


class _BulkCall(Call):
    """A call for the posts of one bulk body."""

    __slots__ = ("_batch", "_members")

    def __init__(self, batch: _Batch, members: dict[str, int], body: bytes) -> None:
        super().__init__("POST", "/@bulk", body, hashlib.sha256(body).hexdigest(), json=True)
        self._batch = batch
        self._members = members

    def settle(self, outcome: Outcome, why: str = "") -> None:
        """See `Call`."""
        for index in self._members.values():
            self._batch.settle(index, outcome, why)

    def accept(self, body: bytes) -> None:
        """See `Call`."""
        try:
            answer = msgspec.json.decode(body, type=_BulkAnswer)
        except msgspec.MsgspecError:
            self.settle(Outcome.RETRY, "was answered with something else than outcomes")
            return
        gone, retry = set(answer.gone), set(answer.retry)
        for socket_id, index in self._members.items():
            if socket_id in gone:
                self._batch.settle(index, Outcome.GONE, "")
            elif socket_id in retry:
                self._batch.settle(index, Outcome.RETRY, "was put off by the gateway")
            else:
                self._batch.settle(index, Outcome.SENT, "")


class _BulkBody:
    """A bulk body that grows post by post; it names a socket once, because the answer goes by sockets."""

    def __init__(self) -> None:
        self.members: dict[str, int] = {}
        self._groups: dict[tuple[str, float], tuple[bytes, list[bytes]]] = {}
        self._size = len(b'{"posts":[]}')

    def add(self, index: int, post: Post) -> bool:
        """Take a post, or not when there is no room.  Raises `ValueError` for what JSON cannot hold."""
        if not post.socket_id:
            raise ValueError("not an id")
        if len(self.members) >= BULK_SOCKETS or post.socket_id in self.members:
            return False
        entry = msgspec.json.encode((post.socket_id, post.dedup))
        size = len(entry) + 1
        key = post.text, post.close_after
        group = self._groups.get(key)
        if group is None:
            tail = b',"close_after":%g' % post.close_after if post.close_after > 0 else b""
            group = b'{"text":%b%b,"to":[' % (msgspec.json.encode(post.text), tail), []
            size += len(group[0]) + len(b"]},")
        if self.members and self._size + size > BULK_BYTES:
            return False
        self._groups[key] = group
        group[1].append(entry)
        self.members[post.socket_id] = index
        self._size += size
        return True

    def spell(self) -> bytes:
        """The body as it goes over the wire."""
        groups = b",".join(head + b",".join(entries) + b"]}" for head, entries in self._groups.values())
        return b'{"posts":[%b]}' % groups


def _feed_bulk(batch: _Batch, posts: Iterable[Post]) -> None:
    body = _BulkBody()
    for post in posts:
        index = batch.add()
        try:
            if not body.add(index, post):
                batch.submit(_BulkCall(batch, body.members, body.spell()))
                body = _BulkBody()
                body.add(index, post)
        except ValueError:
            batch.refuse(index)
    if body.members:
        batch.submit(_BulkCall(batch, body.members, body.spell()))
