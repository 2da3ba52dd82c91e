"""JSON in, JSON out: hooks and what `connect` is answered, queries, streams (contract 2, 5 and 6)."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from chalicelib.errors import ValidationError
from chalicelib.wcs import stream
from chalicelib.wcs.errors import NoHook
from chalicelib.wcs.stream import Fields, Wanted
from chalicelib.wire import untrusted

LARGEST_BODY: Final = 1 << 20
"""Bytes; what is echoed has to fit into a Lambda function's answer, three times as long there at worst."""
CONNECT: Final = "connect"
STATUS: Final = "StreamStatusEvent"
KEEP_ALIVE: Final = "StreamKeepAliveEvent"
REST_CLIENT_CONFIG: Final = "restClientConfig"

_HOOK: Final = re.compile(r"[A-Za-z]+")
_CHOICES: Final[Mapping[str, frozenset[str] | None]] = {
    "restExclude": None,
    "clientExclude": None,
    "restOnError": frozenset({"LOG", "FAIL"}),
    "restPolicy": frozenset({"NOTIFY", "OVERWRITE", "DISABLE"}),
    "restOverwrite": None,
}
_USUAL: Final = {
    "restExclude": "",
    "clientExclude": "",
    "restOnError": "LOG",
    "restPolicy": "NOTIFY",
    "restOverwrite": "",
}


class WcsProblem(msgspec.Struct, frozen=True):
    """Every error here: one sentence."""

    error: str


def hook_name(given: str) -> str:
    """The hook that a path names.  Raises `NoHook`."""
    name = unquote(given)
    if not _HOOK.fullmatch(name):
        raise NoHook("there is no hook of this name")
    return name


def read(body: bytes) -> Fields:
    """The members of an object.  Raises `ValidationError`."""
    return untrusted.members(body, limit=LARGEST_BODY)


def rest_client_config(status_event: str = "") -> dict[str, dict[str, str]]:
    """How a server shall treat the hooks that we know, with some of the first one's values replaced.

    Raises `ValidationError`.
    """
    return {
        STATUS: _USUAL | _replaced(status_event),
        KEEP_ALIVE: _USUAL | {"restExclude": stream.NEVER, "restOnError": "FAIL"},
    }


def _replaced(text: str) -> dict[str, str]:
    if not text.strip():
        return {}
    values = untrusted.parse(text.encode(errors="replace"), limit=LARGEST_BODY)
    if not isinstance(values, dict):
        raise ValidationError("an object is expected")
    return {name: _choice(name, value) for name, value in values.items()}


def _choice(name: str, value: Any) -> str:
    if name not in _CHOICES:
        raise ValidationError("one of its names does not exist")
    choices = _CHOICES[name]
    if not isinstance(value, str) or (choices is not None and value not in choices):
        raise ValidationError(f"{name} cannot be this")
    return value


def configured(members: Fields, config: Mapping[str, Any]) -> bytes:
    """What `connect` sent, with how the server shall treat hooks."""
    return spell(dict(members) | {REST_CLIENT_CONFIG: msgspec.json.encode(config).decode()})


def spell(members: Fields) -> bytes:
    """An object whose members' values are JSON texts."""
    return ("{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}").encode()


def spell_streams(streams: Iterable[Fields]) -> bytes:
    """A list of streams."""
    return b"[" + b",".join(spell(stream.ordered(each)) for each in streams) + b"]"


def read_query(body: bytes) -> Wanted:
    """What `find` looks for; nothing means any stream.  Raises `ValidationError`."""
    return stream.wanted(read(body)) if body.strip() else {}


def read_termination(body: bytes) -> Wanted:
    """Which streams shall end: an id or a name at least, lest all of them do.  Raises `ValidationError`."""
    looked_for = read_query(body)
    named = [looked_for[name] for name in ("mediaSessionId", "name") if name in looked_for]
    if not named:
        raise ValidationError("mediaSessionId or name is expected")
    if not all(isinstance(each, str) and each for each in named):
        raise ValidationError("mediaSessionId and name are texts, and not empty")
    if not isinstance(looked_for.get("published", True), bool):
        raise ValidationError("published is true or false")
    return looked_for


def read_flag(values: Iterable[str]) -> bool | None:
    """A parameter of the query that is true, false, or not there.  Raises `ValidationError`."""
    given = list(values)
    if not given:
        return None
    if given[-1] not in ("true", "false"):
        raise ValidationError("true or false is expected")
    return given[-1] == "true"
