"""What a client says when it wants to listen, and the notices that it is sent (contract 6.2).  Pure.

A notice is written down without the counts, which are those of the moment in which it is told.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from chalicelib.errors import ValidationError
from chalicelib.sora import connection, metadata
from chalicelib.sora.connection import ROLES
from chalicelib.wire import untrusted

CREATED: Final = "connection.created"
DESTROYED: Final = "connection.destroyed"

LARGEST_MESSAGE: Final = 128 * 1024
"""What a gateway takes, in bytes."""
LARGEST_AUTHN: Final = 32 * 1024
"""What a client says of itself stands in one notice beside its metadata."""
LONGEST_TOKEN: Final = 8 * 1024


class BadConnect(ValidationError):
    """Somebody wants to listen and does not say so as the contract has it."""


class Connect(NamedTuple):
    """What a client asks for that wants to listen; `authn` is what it says of itself, as JSON text."""

    channel_id: str
    role: str
    client_id: str | None
    bundle_id: str | None
    authn: str | None
    access_token: str | None


def read_connect(text: str) -> Connect:
    """The first message of a client.  Raises `Malformed`, `TooLarge`, `BadConnect`."""
    members = untrusted.members(text.encode(errors="surrogatepass"), limit=LARGEST_MESSAGE)
    channel_id = _string(members, "channel_id")
    if channel_id is None or not connection.can_exist(channel_id):
        raise BadConnect(f"channel_id: 1 to {connection.LONGEST_ID} bytes expected")
    role = _string(members, "role")
    if role not in ROLES:
        raise BadConnect(f"role: one of {', '.join(ROLES)} expected")
    said = members.get("signaling_notify_metadata")
    authn = None if said is None else metadata.compact(said)
    if authn is not None and metadata.size(authn) > LARGEST_AUTHN:
        raise BadConnect(f"signaling_notify_metadata: more than {LARGEST_AUTHN} bytes")
    return Connect(
        channel_id, role, _id(members, "client_id"), _id(members, "bundle_id"), authn, _token(members)
    )


def _id(members: Mapping[str, str], name: str) -> str | None:
    if members.get(name, "null") == "null":
        return None
    given = _string(members, name)
    if given is None or len(given.encode()) > connection.LONGEST_ID:
        raise BadConnect(f"{name}: up to {connection.LONGEST_ID} bytes expected")
    return given


def _string(members: Mapping[str, str], name: str) -> str | None:
    """The string of that name; `None` where there is none.  Raises `BadConnect`."""
    raw = members.get(name, "")
    if not raw.startswith('"'):
        return None
    text: str = json.loads(raw)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadConnect(f"{name}: half a surrogate pair") from None
    return text


def _token(members: Mapping[str, str]) -> str | None:
    raw = members.get("metadata", "")
    if not raw.startswith("{"):
        return None
    said = untrusted.members(raw.encode(), limit=LARGEST_MESSAGE)
    return _string(said, "access_token") if len(said.get("access_token", "")) <= LONGEST_TOKEN else None


class Who(msgspec.Struct, frozen=True):
    """A connection as notices name it; `authn` and `metadata` are JSON texts."""

    connection_id: str
    client_id: str
    bundle_id: str
    role: str | None
    session_id: str | None
    authn: str | None
    metadata: str


def notice(event: str, who: Who, timestamp: str, minutes: int) -> str:
    """That somebody came or went, without the counts.

    What would not fit a message without them is told without what the client said of itself.
    """
    role = f'"role":{metadata.spell(who.role)},' if who.role is not None else ""
    session = f'"session_id":{metadata.spell(who.session_id)},' if who.session_id is not None else ""
    head = f'{{"type":"notify","event_type":"{event}","timestamp":"{timestamp}",{role}{session}{_ids(who)}'
    rest = f',"audio":false,"video":false{_said(who)},"minutes":{minutes}}}'
    if metadata.size(head) + metadata.size(rest) > LARGEST_MESSAGE - ROOM_FOR_COUNTS:
        rest = f',"audio":false,"video":false,"metadata":{who.metadata},"minutes":{minutes}}}'
    return head + rest


ROOM_FOR_COUNTS: Final = 256


def _ids(who: Who) -> str:
    return (
        f'"client_id":{metadata.spell(who.client_id)},"bundle_id":{metadata.spell(who.bundle_id)},'
        f'"connection_id":{metadata.spell(who.connection_id)}'
    )


def _said(who: Who) -> str:
    authn = f',"authn_metadata":{who.authn}' if who.authn is not None else ""
    return f'{authn},"metadata":{who.metadata}'


def with_counts(text: str, roles: Iterable[str | None]) -> str:
    """A notice with how many are in the channel, by their roles.

    >>> with_counts('{"minutes":0}', ["sendrecv", "recvonly", None])[12:]
    ',"channel_connections":3,"channel_sendrecv_connections":1,"channel_sendonly_connections":0,\
"channel_recvonly_connections":1}'
    """
    found = list(roles)
    counts = "".join(f',"channel_{role}_connections":{found.count(role)}' for role in ROLES)
    return f'{text[:-1]},"channel_connections":{len(found)}{counts}}}'


def entry(who: Who) -> str:
    """A connection in the list that a newcomer gets."""
    return f"{{{_ids(who)}{_said(who)}}}"


def with_others(text: str, entries: Iterable[str]) -> str:
    """A notice with the list for the newcomer: as much of it as a message holds.

    >>> with_others('{"minutes":0}', ['{"client_id":"A"}'])
    '{"minutes":0,"data":[{"client_id":"A"}]}'
    """
    cut = ',"data_truncated":true'
    room = LARGEST_MESSAGE - metadata.size(text) - len(',"data":[]') - len(cut)
    fitting: list[str] = []
    missing = ""
    for each in entries:
        size = metadata.size(each) + 1
        if size > room:
            missing = cut
            continue
        room -= size
        fitting.append(each)
    return f'{text[:-1]},"data":[{",".join(fitting)}]{missing}}}'


def refusal(reason: str) -> str:
    """Why somebody may not listen."""
    return f'{{"type":"error","reason":{metadata.spell(reason)}}}'
