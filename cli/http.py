"""One HTTP request: sent, or spelled as a line for the shell."""

import json
import shlex
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from cli.errors import Failed, Misused

TIMEOUT: Final = urllib3.Timeout(connect=5, read=30)
JSON: Final = {"Content-Type": "application/json"}
_AS_TYPED: Final = "-._~:/?#[]@!$&'()*+,;=%"


@dataclass(frozen=True)
class Call:
    """A request as it goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    def curl(self, *more: str) -> str:
        """A line for the shell that makes this request and prints the whole answer."""
        words = ["curl", "-sS", "-i", "--globoff", "--path-as-is", *more]
        if self.method != ("GET" if self.body is None else "POST"):
            words += ["-X", self.method]
        for name, value in self.headers.items():
            words += ["-H", f"{name}: {value}"]
        if self.body is not None:
            try:
                words += ["--data-raw", self.body.decode()]
            except UnicodeDecodeError:
                raise Misused("--curl: the body is no text") from None
        return shlex.join([*words, self.url])


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body's value; its text where it is no JSON, `None` where there is none."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return self.body.decode(errors="replace")


def url(text: str) -> str:
    """An address as we send and sign it: what no URL may hold is percent-encoded.  Raises `Misused`.

    >>> url("http://127.0.0.1:8080/v1/rooms?name=Größe x")
    'http://127.0.0.1:8080/v1/rooms?name=Gr%C3%B6%C3%9Fe%20x'
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise Misused(f"{text}: not an address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Misused(f"{text}: an address like https://foyer.example.com is expected")
    return quote(text.partition("#")[0], safe=_AS_TYPED)


def with_query(address: str, **query: object) -> str:
    """An address with a query of what is given.

    >>> with_query("http://a/b", name="x y", limit=None)
    'http://a/b?name=x%20y'
    """
    given = {name: value for name, value in query.items() if value is not None}
    return f"{address}?{urlencode(given, quote_via=quote, safe='')}" if given else address


def body(value: Any) -> bytes:
    """A value as the body of a request."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def post(address: str, value: Any, headers: Mapping[str, str] | None = None) -> Call:
    """A `POST` of JSON."""
    return Call("POST", address, JSON | dict(headers or {}), body(value))


@cache
def _pool(proxy: str) -> urllib3.PoolManager:
    options: dict[str, Any] = {"timeout": TIMEOUT, "retries": False}
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def send(call: Call) -> Answer:
    """Make a request once.  Raises `Failed` where there is no answer."""
    parts = urlsplit(call.url)
    host = parts.netloc.rpartition("@")[2]
    proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(parts.scheme, "")
    try:
        found = _pool(proxy).request(
            call.method, call.url, body=call.body, headers=dict(call.headers), redirect=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise Failed(f"{parts.scheme}://{host} does not answer: {reason(error)}") from None
    return Answer(found.status, {name.lower(): value for name, value in found.headers.items()}, found.data)


def reason(error: BaseException) -> str:
    """Why, in the words of the innermost error that has any."""
    inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
    if isinstance(inner, BaseException) and not isinstance(error, OSError):
        return reason(inner)
    return getattr(error, "strerror", None) or str(error).rpartition(": ")[2] or type(error).__name__


def segment(text: str) -> str:
    """A text as one segment of a path.

    >>> segment("a/b c")
    'a%2Fb%20c'
    """
    return quote(text, safe="")
