"""The console's files, and the headers under which browsers take them.  Read when they are asked for."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

from chalicelib.wire.reply import Reply

FOLDER: Final = Path(__file__).resolve().parent / "static"
INDEX: Final = "index.html"
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,40}\.(html|js|css|svg|txt)")
TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Always asked for anew, and answered with 304: modules of two releases do not fit together.
    "Cache-Control": "no-cache",
}


@cache
def _read(name: str) -> tuple[str, str] | None:
    """A file's text and its tag; `None` where there is no such file."""
    if not NAME.fullmatch(name):
        return None
    try:
        text = (FOLDER / name).read_text()
    except FileNotFoundError:
        return None
    return text, f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def answer(name: str, known: str | None = None, below: str = "") -> Reply | None:
    """A file, or 304 when it is the one that the browser knows (`If-None-Match`); `None` where there is none.

    `below` is put before the addresses in the page, for who came without a slash at the end.
    """
    found = _read(name)
    if found is None:
        return None
    text, tag = found
    headers = HEADERS | {"Content-Type": TYPES[name.rpartition(".")[2]]}
    if below:
        text = re.sub(r'(href|src)="(?=[a-z])', rf'\1="{below}', text)
        return Reply(200, text, headers)
    headers["ETag"] = tag
    if known is not None and any(each.strip().removeprefix("W/") in (tag, "*") for each in known.split(",")):
        return Reply(304, "", headers)
    return Reply(200, text, headers)
