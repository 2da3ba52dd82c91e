"""Pages for people, on the local stage alone: where to go from here, the playground, the reference."""

import importlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from infra.gateway.settings import Settings

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER: Final = ROOT / "infra" / "pages"
CONSOLE: Final = ROOT / "chalicelib" / "console" / "static"
ASYNCAPI: Final = ROOT / "asyncapi.yaml"

CREDENTIALS: Final = "/playground/credentials.json"
TOKENS: Final = "/playground/tokens.json"
TOKENS_AT_ONCE: Final = 100
ROOM_CHARACTERS: Final = 255

KINDS: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
    ".yaml": b"application/yaml; charset=utf-8",
}
JSON: Final = b"application/json"
SAFE: Final = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
OURS_ALONE: Final = (b"cross-origin-resource-policy", b"same-origin")
"""Another site's page gets nothing of it, not as a script either."""

HOST: Final = re.compile(r"(localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?")
"""A name that means this machine: one of somebody else's that resolves to it is none."""
POLICY: Final = (
    "default-src 'self'; connect-src 'self'{sockets}; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPED: Final = "; require-trusted-types-for 'script'"
STYLED: Final = "; style-src 'self' 'unsafe-inline'"
"""RapiDoc's elements carry styles of their own."""


class File(NamedTuple):
    """What is served at one path."""

    path: Path
    policy: str = ""


def wants_page(accept: str) -> bool:
    """Whether somebody reads HTML and says so, as browsers do; `*/*` says nothing.

    >>> [wants_page(text) for text in ("text/html,*/*;q=0.8", "application/json", "*/*", "", "text/html;q=0")]
    [True, False, False, False, False]
    """
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind in {"text/html", "application/xhtml+xml"}:
            qualities = [each.partition("=")[2].strip() for each in parameters if each.startswith("q")]
            return not any(text and not text.strip("0.") for text in qualities)
    return False


def files() -> dict[str, File]:
    """Every path that is served, so that no other one can be asked for."""
    known = {"/": File(FOLDER / "index.html", TYPED), "/docs": File(FOLDER / "docs.html", STYLED)}
    known["/playground"] = File(FOLDER / "playground" / "index.html", TYPED)
    if ASYNCAPI.is_file():
        known["/asyncapi.yaml"] = File(ASYNCAPI)
    for prefix, folder in (
        ("/playground/", FOLDER / "playground"),
        ("/playground/vendor/", FOLDER / "vendor"),
        ("/playground/console/", CONSOLE),
    ):
        for path in sorted(folder.glob("*")):
            if path.suffix in KINDS and path.suffix != ".html":
                known[prefix + path.name] = File(path)
    return known


class Pages:
    """What a browser may open on the local stage; requests for anything else are none of ours."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.credentials
        self._files = files()
        self._credentials: Any = None

    def answer(
        self, method: str, path: str, query: str, headers: Sequence[tuple[bytes, bytes]]
    ) -> Answer | None:
        """The answer to a request for a page; `None` where it is for somebody else."""
        if method not in {"GET", "HEAD"}:
            return None
        if len(path) > 1 and path[-1] == "/" != path[-2]:
            path = path[:-1]
        said = {name.lower(): value.decode("latin-1") for name, value in reversed(headers)}
        host = said.get(b"host", "").strip().lower()
        if path == "/" and not wants_page(said.get(b"accept", "")):
            return None  # Sora's
        if path in {CREDENTIALS, TOKENS}:
            return self._secret(path, query, host)
        known = self._files.get(path)
        return None if known is None else page(known, host)

    def _secret(self, path: str, query: str, host: str) -> Answer:
        """Keys and tokens, for pages that were opened under a name of this machine."""
        if HOST.fullmatch(host) is None:
            return document(403, {"message": "Open the playground at localhost or 127.0.0.1"})
        if not self._keys:
            return document(409, {"message": "This gateway has no keys to sign with; make run gives it some"})
        if self._credentials is None:
            self._credentials = signing().Credentials(Path(self._keys), os.environ)
        if path == CREDENTIALS:
            return document(200, keys(self._credentials))
        return tokens(self._credentials, query)


def page(known: File, host: str) -> Answer:
    """A file as it is now."""
    try:
        body = known.path.read_bytes()
    except OSError:
        return document(404, {"message": "Not Found"})
    headers = [
        (b"content-type", KINDS[known.path.suffix]),
        (b"cache-control", b"no-cache"),
        *SAFE,
        OURS_ALONE,
    ]
    if known.path == FOLDER / "index.html":
        headers.append((b"vary", b"accept"))
    if known.policy:
        # Not every browser counts sockets of the page's own address to 'self'.
        sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
        headers.append((b"content-security-policy", (POLICY.format(sockets=sockets) + known.policy).encode()))
    return 200, headers, body


def document(status: int, value: object) -> Answer:
    """JSON that nobody keeps."""
    headers = [(b"content-type", JSON), (b"cache-control", b"no-store"), *SAFE, OURS_ALONE]
    return status, headers, json.dumps(value, separators=(",", ":")).encode()


def signing() -> Any:
    """What signs: not in the gateway's image, which has no local stage either."""
    return importlib.import_module("infra.credentials")


def keys(credentials: Any) -> dict[str, Any]:
    """What callers of this stage have to know: it is what `make run` prints."""
    return {
        "jitsi": {
            "base_path": os.environ.get("JITSI_QUEUE_BASE_PATH", "/waiting-queue").rstrip("/"),
            "muc": credentials.muc,
        },
        "owt": {
            "super_service_id": credentials.super_service_id,
            "super_service_key": credentials.super_service_key,
        },
        "sora": {"key": credentials.sora_key, "socket_key": _first("SORA_SOCKET_KEYS")},
    }


def _first(setting: str) -> str | None:
    return os.environ.get(setting, "").split(",")[0].strip() or None


def tokens(credentials: Any, query: str) -> Answer:
    """As many tokens of one kind as were asked for, no two of them alike."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    kind, room, count = asked.get("kind", ""), asked.get("room", "*"), asked.get("count", "1")
    if not (count.isascii() and count.isdecimal() and len(count) <= 3 and 1 <= int(count) <= TOKENS_AT_ONCE):
        return document(400, {"message": f"count: 1 to {TOKENS_AT_ONCE}"})
    if kind not in {"visitor", "moderator", "server"} or len(room) > ROOM_CHARACTERS:
        return document(400, {"message": "kind: visitor, moderator or server; room: a name"})
    try:
        if kind == "server":
            made = [credentials.server_token()]
        else:
            sign = credentials.visitor_token if kind == "visitor" else credentials.moderator_token
            made = [sign(room, id=os.urandom(8).hex()) for _ in range(int(count))]
    except signing().CannotSign as why:
        return document(409, {"message": str(why)})
    return document(200, {"tokens": made})
