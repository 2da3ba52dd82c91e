"""What goes over the wire: destinations, bodies, frames to clients, `golive`; and our own texts.  Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from chalicelib.errors import TooLarge, ValidationError
from chalicelib.jitsi import conference as conferences
from chalicelib.jitsi import principal
from chalicelib.jitsi.conference import Conference
from chalicelib.jitsi.errors import BadFrame, NotAConference
from chalicelib.wire import stomp
from chalicelib.wire.request import Request
from chalicelib.wire.stomp import Frame, Version

VISITOR_TOPIC: Final = "/secured/conference/visitor/topic."
STATE_TOPIC: Final = "/secured/conference/state/topic."
LIST_TOPICS: Final = "/secured/conference/visitors-list/"

GOLIVE_LIMIT: Final = 8 * 1024
SUBSCRIPTIONS: Final = 8
LONGEST_ID: Final = 256

DENIED: Final = "Access denied"
MALFORMED: Final = "Protocol error"
UNAVAILABLE: Final = "Service unavailable"


class Destination(NamedTuple):
    """A destination's class and, for topics of a conference, what stands behind the dot."""

    kind: str
    conference: str = ""


def destination(text: str) -> Destination:
    """What a destination names."""
    if text.startswith(VISITOR_TOPIC):
        return Destination(principal.VISITOR, text[len(VISITOR_TOPIC) :])
    if text.startswith(STATE_TOPIC):
        return Destination(principal.STATE, text[len(STATE_TOPIC) :])
    if text.startswith(LIST_TOPICS):
        return Destination(principal.LIST)
    return Destination(principal.OTHER)


class Listening(msgspec.Struct, array_like=True, frozen=True):
    """A subscription as its session keeps it; the texts as the wire spells them."""

    kind: str
    conference: str
    id: str
    destination: str
    ack: bool = False
    epoch: int = 0
    released: bool = False
    at: int = 0
    """When it was asked for, in milliseconds: a later SUBSCRIBE with the same id is another one."""
    again: int = 0
    """Tells it from an earlier one that had this id on this socket; 0 where nothing has to."""


_listening = msgspec.json.Decoder(Listening)
_encoder = msgspec.json.Encoder()


def spell(listening: Listening) -> str:
    """A subscription as text."""
    return _encoder.encode(listening).decode()


def listening(text: str) -> Listening:
    """A subscription from our own text."""
    return _listening.decode(text)


def topic(kind: str, conference: str) -> str:
    """The topic under which a gateway's memory finds listeners."""
    return f"{kind} {conference}"


def topic_of(text: str) -> str:
    """The topic of a subscription's text."""
    found = _listening.decode(text)
    return f"{found.kind} {found.conference}"


class Address(NamedTuple):
    """How one subscription is addressed: the texts are escaped for the socket's version already."""

    id: str
    destination: str
    ack: bool = False
    again: int = 0
    """Tells it from an earlier one with this id on this socket, where the front has to."""


_addresses = msgspec.json.Decoder(list[Address])


def usual_destination(kind: str, conference: str) -> str:
    """The destination as most clients spell it."""
    return (VISITOR_TOPIC if kind == principal.VISITOR else STATE_TOPIC) + conference


def pack(addresses: Sequence[Address], usual: str) -> str:
    """The addresses of one socket in one topic, in as few bytes as possible."""
    if len(addresses) == 1:
        only = addresses[0]
        if only == Address(only.id, usual) and not only.id.startswith("["):
            return only.id
    spelled = [
        (each.id, "" if each.destination == usual else each.destination, each.ack, each.again)
        for each in addresses
    ]
    return _encoder.encode([each if each[-1] else each[:-1] for each in spelled]).decode()


def unpack(text: str, usual: str) -> list[Address]:
    """The addresses that `pack` spelled."""
    if not text.startswith("["):
        return [Address(text, usual)]
    return [each._replace(destination=each.destination or usual) for each in _addresses.decode(text)]


def addresses(subscriptions: Iterable[Listening]) -> list[Address]:
    """How the subscriptions of one topic are addressed."""
    return [address(each) for each in subscriptions]


def address(subscription: Listening) -> Address:
    """How one subscription is addressed."""
    return Address(subscription.id, subscription.destination, subscription.ack, subscription.again)


def dedup(message_id: str, to: Address) -> str:
    """What a front that deduplicates tells the messages to one subscription by."""
    return f"{message_id}#{to.again}/{to.id}" if to.again else f"{message_id}/{to.id}"


class LiveBody(msgspec.Struct, frozen=True, rename="camel"):
    """To visitors: go, within `random_delay_ms` (contract 5.1)."""

    conference: str
    random_delay_ms: int
    status: str = "live"


def live_body(conference: str, delay_ms: int) -> str:
    """The JSON of the live message, its fields in the documented order."""
    return f'{{"conference":{_text(conference)},"status":"live","randomDelayMs":{delay_ms}}}'


def count_body(conference: str, waiting: int) -> str:
    """The JSON of the count, its fields in the documented order (contract 5.2)."""
    return f'{{"conference":{_text(conference)},"visitorsWaiting":{waiting}}}'


def _text(value: str) -> str:
    return _encoder.encode(value).decode()


def message(address: Address, message_id: str, body: str) -> str:
    """A MESSAGE frame; nothing is escaped here, for the address is already."""
    ack = f"ack:{message_id}\n" if address.ack else ""
    return (
        f"MESSAGE\ndestination:{address.destination}\nsubscription:{address.id}\nmessage-id:{message_id}\n{ack}"
        f"content-type:application/json\ncontent-length:{len(body.encode())}\n\n{body}\0"
    )


def connected(version: Version, heartbeat: str) -> str:
    """The CONNECTED frame (contract 3.2)."""
    return f"CONNECTED\nversion:{version}\nheart-beat:{heartbeat}\n\n\0"


def receipt(receipt_id: str, version: Version) -> str:
    """The RECEIPT frame, its value escaped so that the client reads the very text it sent."""
    return stomp.encode(Frame("RECEIPT", (("receipt-id", receipt_id),)), version)


def error(
    summary: str, sentence: str, version: Version, receipt_id: str | None = None, versions: str | None = None
) -> str:
    """The ERROR frame (contract 3.7)."""
    headers = [("message", summary), ("content-type", "text/plain")]
    if versions is not None:
        headers.append(("version", versions))
    if receipt_id is not None:
        headers.append(("receipt-id", receipt_id))
    try:
        return stomp.encode(Frame("ERROR", tuple(headers), sentence), version)
    except stomp.FrameError:
        return stomp.encode(Frame("ERROR", tuple(headers[:2]), sentence), version)


def read_subscribe(frame: Frame, version: Version) -> tuple[str, str, bool]:
    """The id, the destination and whether acknowledgements were asked for.  Raises `BadFrame`."""
    to = frame.get("destination")
    if not to:
        raise BadFrame("SUBSCRIBE without a destination")
    identity = frame.get("id")
    if identity is None:
        if version is not Version.V1_0:
            raise BadFrame("SUBSCRIBE without an id")
        identity = to
    if len(identity.encode()) > LONGEST_ID and identity != to:
        raise BadFrame("The subscription's id is too long")
    ack = frame.get("ack", "auto")
    if ack not in ("auto", "client", "client-individual"):
        raise BadFrame("The ack mode is unknown")
    return identity, to, ack != "auto"


def read_unsubscribe(frame: Frame, version: Version) -> str:
    """The subscription's id.  Raises `BadFrame`."""
    identity = frame.get("id")
    if identity is None and version is Version.V1_0:
        identity = frame.get("destination")
    if identity is None:
        raise BadFrame("UNSUBSCRIBE without an id")
    return identity


class GoLive(msgspec.Struct, frozen=True):
    """The body of `POST /golive` and `DELETE /golive`."""

    conference: str


def read_golive(request: Request) -> Conference:
    """The conference that a `golive` call names.  Raises `ValidationError`, `TooLarge`, `NotAConference`."""
    if len(request.body) > GOLIVE_LIMIT:
        raise TooLarge("the body is larger than 8 KiB")
    body = request.json(GOLIVE_LIMIT)
    if not isinstance(body, dict):
        raise ValidationError("the body is not a JSON object")
    named = body.get("conference")
    if not isinstance(named, str) or not named.strip():
        raise NotAConference("the conference is missing")
    return conferences.parse(named)


class GoLiveAnswer(msgspec.Struct, frozen=True):
    """What `golive` answers: the conference's normalised name, and `live` or `waiting`."""

    conference: str
    status: str


class Problem(msgspec.Struct, frozen=True):
    """What went wrong, in one sentence."""

    error: str
