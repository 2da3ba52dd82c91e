"""Where the service is, and what proves that we may use it.

Each part comes from the first of these that has it: an option, the environment (`FOYER_URL`, and the
service's own `JITSI_…`, `OWT_…`), a file in the form of the local stage's `endpoints.json`.  Where another
address is given the file counts for nothing: its credentials belong to its service alone.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import typer

from cli import http
from cli.errors import Failed, Misused

FILE: Final = Path(".local") / "endpoints.json"
SECRET: Final = "secret:"
ADMIN: Final = "/admin/v1"
KID: Final = "local"
BASE_PATH: Final = "/waiting-queue"
_WS: Final = re.compile(r"wss?://[^/\s]")
STRANGER: Final = "what answers is not Foyer: is the address right?"


@dataclass(frozen=True)
class Target:
    """One service."""

    given_url: str = ""
    given_sockets: str = ""
    given_file: Path | None = None
    given_admin_token: str = field(default="", repr=False)

    @cached_property
    def path(self) -> Path | None:
        """The file that counts; `None` where there is none.  Raises `Misused`."""
        if self.given_file is not None:
            if not self.given_file.is_file():
                raise Misused(f"{self.given_file}: there is no such file")
            return self.given_file
        here = Path.cwd()
        found = (folder / FILE for folder in (here, *here.parents))
        return next((path for path in found if path.is_file()), None)

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """What the file says, unless another address was given.  Raises `Misused`."""
        if self.path is None:
            return {}
        try:
            found = json.loads(self.path.read_text())
        except OSError as error:
            raise Misused(f"{self.path}: {error.strerror}") from None
        except ValueError as error:
            raise Misused(f"{self.path}: not JSON: {error}") from None
        if not isinstance(found, dict):
            raise Misused(f"{self.path}: a JSON object is expected")
        ours = {str(found.get(name, "")).rstrip("/") for name in ("http", "https")}
        return {} if self.given_url and self.given_url.rstrip("/") not in ours else found

    def part(self, name: str) -> Mapping[str, Any]:
        """What the file says about one system."""
        found = self.document.get(name)
        return found if isinstance(found, dict) else {}

    @cached_property
    def base(self) -> str:
        """The base of all HTTP addresses, without a slash at its end.  Raises `Misused`."""
        found = self.document
        address = self.given_url or str(found.get("http") or found.get("https") or "")
        if not address:
            raise Misused(
                "which service? `make run` starts one here; else give --url https://…, or set FOYER_URL"
            )
        return http.url(address).rstrip("/")

    @cached_property
    def sockets(self) -> str:
        """The address that visitors and moderators open.  Raises `Misused`."""
        if self.given_sockets:
            if not _WS.match(self.given_sockets):
                raise Misused(f"{self.given_sockets}: an address like wss://queue.example.com/… is expected")
            return self.given_sockets
        base = str(self.document.get("ws") or self.base.replace("http", "ws", 1))
        return f"{base.rstrip('/')}{self.queue.base_path}/visitor/websocket"

    @cached_property
    def queue(self) -> "Queue":
        """What the waiting queue expects of tokens and names."""
        return Queue(self.part("jitsi"), self.path)

    @property
    def golive(self) -> str:
        """Where Prosody says that a conference is live."""
        return f"{self.base}{self.queue.base_path}/golive"

    def admin(self, path: str, **query: object) -> http.Call:
        """A read of the admin API.  Raises `Misused`."""
        return http.Call("GET", http.with_query(f"{self.base}{ADMIN}{path}", **query), self._admin_headers())

    def admin_post(self, path: str, value: Any) -> http.Call:
        """A write of the admin API.  Raises `Misused`."""
        return http.post(f"{self.base}{ADMIN}{path}", value, self._admin_headers())

    def _admin_headers(self) -> dict[str, str]:
        token = self.given_admin_token or str(self.part("console").get("token") or "")
        if not token:
            raise Misused("no token of the admin API: give --admin-token @FILE, or set FOYER_ADMIN_TOKEN")
        return {"Authorization": f"Bearer {token}"}

    @property
    def super_service(self) -> tuple[str, str]:
        """Id and key of the super service; empty texts where they are not known."""
        found = self.part("owt")
        names = ("super_service_id", "super_service_key")
        given = [os.environ.get(f"OWT_{name.upper()}") or str(found.get(name) or "") for name in names]
        return given[0], given[1]

    @property
    def hooks(self) -> str:
        """The base of a media server's hooks."""
        return f"{self.base}{self.part('wcs').get('base_path') or '/rest/my_api'}"

    def hook_secret(self, api: str) -> str:
        """What hooks of an api are signed with; "" where it is not known."""
        items = [item.strip() for item in os.environ.get("WCS_SECRETS", "").split(",")]
        found = next((item.partition(":")[2] for item in items if item.partition(":")[0] == api), "")
        own = str(self.part("wcs").get("base_path") or "").rpartition("/")[2]
        return found or (str(self.part("wcs").get("secret") or "") if own == api else "")

    def sora_key(self, setting: str = "SORA_API_KEYS") -> str:
        """What calls of the metadata API bring; "" where that is not known."""
        given = os.environ.get(setting, "").split(",")[0].strip()
        return given or str(self.part("sora").get("key") or "")


class Queue:
    """The waiting queue's part of the file, under what the environment says."""

    def __init__(self, found: Mapping[str, Any], file: Path | None) -> None:
        self._found = found
        self._file = file

    def _one(self, setting: str, name: str, otherwise: str) -> str:
        given = os.environ.get(setting, "").split(",")[0].strip()
        return given if given not in {"", "*"} else str(self._found.get(name) or otherwise)

    @property
    def base_path(self) -> str:
        """The prefix of the paths."""
        if "JITSI_QUEUE_BASE_PATH" in os.environ:
            return os.environ["JITSI_QUEUE_BASE_PATH"].rstrip("/")
        return str(self._found.get("base_path", BASE_PATH))

    @property
    def user_secret(self) -> str:
        """The one secret that people's tokens are signed with; "" where there is not one."""
        spec = os.environ.get("JITSI_USER_KEYS", "")
        text = spec.removeprefix(SECRET)
        if spec.startswith(SECRET) and not any(mark in text for mark in ",\n"):
            return text
        return "" if spec else str(self._found.get("user_secret") or "")

    @property
    def user_issuer(self) -> str:
        """Who signs people's tokens."""
        return self._one("JITSI_USER_ISSUERS", "user_issuer", "chat")

    @property
    def user_audience(self) -> str:
        """For whom people's tokens are."""
        return self._one("JITSI_USER_AUDIENCES", "user_audience", "jitsi")

    @property
    def server_issuer(self) -> str:
        """Who signs servers' tokens."""
        return self._one("JITSI_SERVER_ISSUERS", "server_issuer", "jitsi").partition("@")[0]

    @property
    def server_audience(self) -> str:
        """For whom servers' tokens are."""
        return self._one("JITSI_SERVER_AUDIENCES", "server_audience", "jitsi")

    @property
    def server_kid(self) -> str:
        """The id of the server's key."""
        return str(self._found.get("server_kid") or KID)

    @property
    def server_key(self) -> str:
        """The private key of servers' tokens as PEM; "" where there is none.  Raises `Misused`."""
        name = self._found.get("server_private_key")
        if not name or self._file is None:
            return ""
        path = self._file.parent / str(name)
        try:
            return path.read_text()
        except OSError as error:
            raise Misused(f"{path}: {error.strerror}") from None

    @property
    def domain(self) -> str:
        """The domain of conferences without a tenant; "" where it is not known."""
        return os.environ.get("JITSI_MUC_DOMAIN_BASE") or str(self._found.get("muc_domain") or "")

    @property
    def prefix(self) -> str:
        """The first label of a conference's host."""
        return os.environ.get("JITSI_MUC_DOMAIN_PREFIX") or str(self._found.get("muc_prefix") or "conference")

    def conference(self, name: str) -> str:
        """The whole name of a conference; a room alone is one of our domain's.  Raises `Misused`."""
        if "@" in name:
            return name
        if not self.domain:
            raise Misused(
                f"{name}: a whole name like {name}@conference.meet.example.com, as no domain is known"
            )
        return f"{name}@{self.prefix}.{self.domain}"


def of(context: typer.Context) -> Target:
    """The service that the options before the command name."""
    found = context.find_object(Target)
    assert found is not None
    return found


@contextmanager
def environment(more: Mapping[str, str]) -> Iterator[None]:
    """Have the service's own code read these settings where the environment has none of that name."""
    from chalicelib import settings

    if any(text.strip().startswith(f"{settings.REFERENCE}/") for text in os.environ.values()):
        from chalicelib import references

        references.begin()
    added = {name: value for name, value in more.items() if name not in os.environ}
    os.environ |= added
    settings.reset()
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
        settings.reset()


def done(answer: http.Answer) -> http.Answer:
    """An answer that says that it was done.  Raises `Failed` for any other."""
    if answer.good:
        return answer
    where = answer.headers.get("location", "")
    said = f"it is at {where}" if 300 <= answer.status < 400 and where else _said(answer)
    raise Failed(f"the service answers {answer.status}{f': {_one_line(said)}' if said else ''}")


def members(answer: http.Answer, *names: str) -> dict[str, Any]:
    """What an answer has to say that it was done, these members among it.  Raises `Failed` for any other."""
    found = done(answer).json()
    if not isinstance(found, dict) or not found.keys() >= set(names):
        raise Failed(STRANGER)
    return found


def asked(call: http.Call, *names: str, absent: str = "") -> dict[str, Any]:
    """What the operators' API answers, these members among it.  Raises `Failed`.

    `absent` is said of what is not there.
    """
    answer = http.send(call)
    found = answer.json()
    error = found.get("error") if isinstance(found, dict) else None
    if answer.status == 404:
        ours = isinstance(error, dict) and isinstance(error.get("code"), str)
        if not ours:
            raise Failed("there is no operators' API there: is the address right, and ADMIN_TOKENS set?")
        if absent:
            raise Failed(absent)
    return members(answer, *names)


def _said(answer: http.Answer) -> str:
    found = answer.json()
    if isinstance(found, dict):
        found = found.get("error", found.get("message", found))
    if isinstance(found, dict):
        found = found.get("message", found)
    return str(found) if found else ""


def _one_line(text: str) -> str:
    return "".join(char for char in " ".join(text.split())[:300] if char.isprintable())
