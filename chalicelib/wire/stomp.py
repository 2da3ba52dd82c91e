"""STOMP 1.0, 1.1 and 1.2 frames: WebSocket text in, frames out, and back; keeps nothing between calls.

A message holds whole frames (contract 15.4), so there is no buffer.  Every step takes
time linear in the message, and frames that need no escaping take the short path.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from chalicelib.errors import AppError


class ProtocolFault(AppError):
    """The peer broke the protocol; `reason` is one sentence that it may read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FrameError(ProtocolFault):
    """The text is not a frame that we accept, or the frame has no spelling in the version."""


class NoCommonVersion(ProtocolFault):
    """The client speaks none of our versions."""

    def __init__(self) -> None:
        super().__init__("No common STOMP version")


class Version(StrEnum):
    """The versions we speak."""

    V1_0 = "1.0"
    V1_1 = "1.1"
    V1_2 = "1.2"


SUPPORTED: Final = "1.2,1.1,1.0"
"""What an ERROR that follows `NoCommonVersion` carries in its `version` header."""

BEFORE_CONNECT: Final = Version.V1_0
"""Before a version is agreed nothing is escaped, so that a receipt's text returns as it came."""

SUBPROTOCOLS: Final = ("v12.stomp", "v11.stomp", "v10.stomp")
"""WebSocket sub-protocols, best first (contract 2.1)."""


class Limits(msgspec.Struct, frozen=True):
    """What one frame may measure; sizes are UTF-8 bytes (contract 3.1)."""

    frame: int = 16 * 1024
    """From the command to the NUL, both included."""
    headers: int = 32
    header_line: int = 8 * 1024


LIMITS: Final = Limits()


class Frame(msgspec.Struct, frozen=True):
    """One frame, its headers unescaped and in the order they came."""

    command: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def get(self, name: str, default: str | None = None) -> str | None:
        """The header's value; the first one wins when it is repeated (STOMP 1.2, Repeated Header Entries)."""
        for key, value in self.headers:
            if key == name:
                return value
        return default

    @property
    def authorization(self) -> str | None:
        """The `Authorization` header in whatever case it is written (contract 3.1)."""
        for key, value in self.headers:
            if len(key) == 13 and key.lower() == "authorization":
                return value
        return None


SESSION_COMMANDS: Final = frozenset({"CONNECT", "STOMP", "CONNECTED", "DISCONNECT", "RECEIPT", "ERROR"})
MESSAGE_COMMANDS: Final = frozenset({"SUBSCRIBE", "UNSUBSCRIBE", "SEND", "MESSAGE", "ACK", "NACK"})
TRANSACTION_COMMANDS: Final = frozenset({"BEGIN", "COMMIT", "ABORT"})
COMMANDS: Final = SESSION_COMMANDS | MESSAGE_COMMANDS | TRANSACTION_COMMANDS
WITH_BODY: Final = frozenset({"SEND", "MESSAGE", "ERROR"})
NEVER_ESCAPED: Final = frozenset({"CONNECT", "STOMP", "CONNECTED"})

_EOL: Final = ("\n", "\r\n")
_EOLS: Final = re.compile(r"(?:\r?\n)*")
_COMMAND: Final = re.compile(r"[A-Z]{1,32}")
_LENGTH: Final = re.compile(r"[0-9]{1,9}")
_ESCAPE: Final = re.compile(r"\\(.?)", re.DOTALL)
_HEART_BEAT: Final = re.compile(r"([0-9]{1,9}),([0-9]{1,9})")

_UNESCAPED: Final = {
    Version.V1_0: {},
    Version.V1_1: {"n": "\n", "c": ":", "\\": "\\"},
    Version.V1_2: {"n": "\n", "c": ":", "\\": "\\", "r": "\r"},
}
_ESCAPED: Final = {
    version: str.maketrans({plain: "\\" + letter for letter, plain in table.items()})
    for version, table in _UNESCAPED.items()
}


def negotiate(accept_version: str | None) -> Version:
    """The highest version both sides speak; no header means 1.0.  Raises `NoCommonVersion`."""
    if accept_version is None:
        return Version.V1_0
    offered = {item.strip() for item in accept_version.split(",")}
    for version in (Version.V1_2, Version.V1_1, Version.V1_0):
        if version in offered:
            return version
    raise NoCommonVersion


def parse_heart_beat(value: str | None) -> tuple[int, int]:
    """What the peer can send and wants to receive, in ms; no header means neither.  Raises `FrameError`."""
    if value is None:
        return 0, 0
    pair = _HEART_BEAT.fullmatch(value.replace(" ", ""))
    if pair is None:
        raise FrameError("The heart-beat header is malformed")
    return int(pair[1]), int(pair[2])


def escape(value: str, version: Version) -> str:
    """Spell a header's name or value as `version` demands."""
    return value.translate(_ESCAPED[version])


def unescape(value: str, version: Version) -> str:
    """Read a header's name or value as `version` spells it.  Raises `FrameError` on an undefined escape."""
    if version is Version.V1_0 or "\\" not in value:
        return value
    table = _UNESCAPED[version]
    try:
        return _ESCAPE.sub(lambda match: table[match[1]], value)
    except KeyError:
        raise FrameError("A header has an undefined escape") from None


def frames(text: str, version: Version, limits: Limits = LIMITS) -> Iterator[Frame]:
    """All frames of one message that cannot change the version.  Raises `FrameError`."""
    offset = 0
    while True:
        frame, offset = decode_one(text, offset, version, limits)
        if frame is None:
            return
        yield frame


def decode_one(text: str, offset: int, version: Version, limits: Limits = LIMITS) -> tuple[Frame | None, int]:
    """Read the frame at `offset`, and say where the next begins; `None` when only heart-beats were left.

    One at a time, because a CONNECT changes how the frames behind it are read.  Raises `FrameError`.
    """
    start = offset
    if text.startswith(_EOL, start) and (eols := _EOLS.match(text, start)):
        start = eols.end()
    if start == len(text):
        return None, start
    nul = text.find("\0", start)
    if (nul if nul >= 0 else len(text)) - start >= limits.frame:
        raise FrameError("The frame is too large")
    if nul < 0:
        raise FrameError("The frame does not end with NUL")

    end = text.find("\n\n", start, nul)
    body_at = end + 2
    with_cr = text.find("\r", start, body_at if end >= 0 else nul) >= 0
    if with_cr and (crlf := text.find("\n\r\n", start, end if end >= 0 else nul)) >= 0:
        end, body_at = crlf, crlf + 3
    if end < 0:
        raise FrameError("The frame has no empty line behind its headers")

    block = text[start:end]
    command, *lines = block.split("\n")
    if with_cr:
        command = command.removesuffix("\r")
    if command not in COMMANDS and not _COMMAND.fullmatch(command):
        raise FrameError("The first line is not a command")
    if len(lines) > limits.headers:
        raise FrameError("The frame has too many headers")
    ascii_only = text.isascii()
    long_or_wide = len(block) > limits.header_line or not ascii_only
    if long_or_wide and any(_size(line) > limits.header_line for line in lines):
        raise FrameError("A header is too long")
    if with_cr:
        lines = [line.removesuffix("\r") for line in lines]
        if "\r" in command or any("\r" in line for line in lines):
            raise FrameError("A header has a carriage return inside")

    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise FrameError("A header has no colon")
        if not name:
            raise FrameError("A header has no name")
        headers.append((name, value))
    if version is Version.V1_0:
        headers = [(name.strip(" \t"), value.strip(" \t")) for name, value in headers]
        if any(not name for name, _ in headers):
            raise FrameError("A header has no name")
    elif "\\" in block and command not in NEVER_ESCAPED:
        headers = [(unescape(name, version), unescape(value, version)) for name, value in headers]

    stop = nul
    if "content-length" in block:
        for name, value in headers:
            if name == "content-length":
                stop = _end_of_body(text, body_at, value, limits)
                break
    if stop > body_at and command not in WITH_BODY:
        raise FrameError("This command has no body")
    if (stop - start if ascii_only else _size(text[start:stop])) >= limits.frame:
        raise FrameError("The frame is too large")
    return Frame(command, tuple(headers), text[body_at:stop]), stop + 1


def encode(frame: Frame, version: Version) -> str:
    """Spell `frame`: bare LF, `content-length` last and only with a body.  Raises `FrameError`.

    What would read back as another frame is refused, for instance a line end in a header of STOMP 1.0.
    """
    if frame.command not in COMMANDS:
        raise FrameError("There is no such command")
    headers = [pair for pair in frame.headers if pair[0] != "content-length"]
    head = "".join([frame.command, *[f"\n{name}:{value}" for name, value in headers]])
    count = len(headers)
    if (
        (version is Version.V1_0 and (" " in head or "\t" in head))
        or head.count("\n") != count
        or head.count(":") != count
        or "\\" in head
        or "\r" in head
    ):
        head = _escaped_head(frame.command, headers, version)
    if "\0" in head or "\n:" in head:
        raise FrameError("A header cannot be spelled")
    body = frame.body
    if not body:
        text = head + "\n\n\0"
    elif frame.command in WITH_BODY:
        text = f"{head}\ncontent-length:{len(body) if body.isascii() else _size(body)}\n\n{body}\0"
    else:
        raise FrameError("This command has no body")
    if not text.isascii():
        _size(text)
    return text


def _escaped_head(command: str, headers: list[tuple[str, str]], version: Version) -> str:
    """Command and headers, escaped where the command allows it.  Raises `FrameError`."""
    if command not in NEVER_ESCAPED:
        headers = [(escape(name, version), escape(value, version)) for name, value in headers]
    for name, value in headers:
        if ":" in name or "\n" in name or "\n" in value or "\r" in name or "\r" in value:
            raise FrameError("A header cannot be spelled")
        if version is Version.V1_0 and (name != name.strip(" \t") or value != value.strip(" \t")):
            raise FrameError("A header cannot be spelled")
    return "\n".join([command, *[f"{name}:{value}" for name, value in headers]])


def _end_of_body(text: str, body_at: int, content_length: str, limits: Limits) -> int:
    """Where the NUL behind a body of so many UTF-8 bytes stands.  Raises `FrameError`."""
    if not _LENGTH.fullmatch(content_length):
        raise FrameError("The content-length is not a number")
    length = int(content_length)
    if length >= limits.frame:
        raise FrameError("The frame is too large")
    stop = body_at + length
    rest = text[body_at:stop]
    if not rest.isascii():
        try:
            stop = body_at + len(rest.encode()[:length].decode())
        except UnicodeError:
            raise FrameError("The content-length ends inside a character") from None
    if text[stop : stop + 1] != "\0":
        raise FrameError("The body does not end with NUL where its content-length says")
    return stop


def _size(text: str) -> int:
    """Length in UTF-8 bytes.  Raises `FrameError` on a lone surrogate, which has none."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise FrameError("The text is not valid Unicode") from None
