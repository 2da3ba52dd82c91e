"""One HTTP answer as plain values, whatever framework sends it."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

LARGEST_ANSWER: Final = 6 * 1024 * 1024 - 16 * 1024
"""Lambda answers with 6 MB at most; what is left out is for the headers and the envelope."""
LONGEST_ESCAPE: Final = 6
"""Bytes that one may become when JSON is spelled within JSON."""


class Reply(msgspec.Struct, frozen=True):
    """What a route answers."""

    status: int
    body: bytes | str = ""
    headers: Mapping[str, str] = {}
    notes: Mapping[str, Any] = {}
    """What the log's line of the request says besides; none of it goes to the peer."""


def json_reply(
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Reply:
    """`value` as compact JSON."""
    whole = {"Content-Type": "application/json", **(headers or {})}
    return Reply(status, msgspec.json.encode(value), whole, notes or {})


def sent_length(body: bytes) -> int:
    """How long a document is as a part of what Lambda sends: JSON within JSON.

    >>> sent_length(b'{"a":1}'), sent_length('"é"'.encode())
    (11, 12)
    """
    return len(json.dumps(body.decode()))


def can_be_sent(body: bytes) -> bool:
    """Whether an answer is not larger than what Lambda sends."""
    return LONGEST_ESCAPE * len(body) <= LARGEST_ANSWER or sent_length(body) <= LARGEST_ANSWER
