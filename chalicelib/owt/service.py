"""Services, the tenants of the conference management API (contract section 5)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from chalicelib.owt.errors import BadData
from chalicelib.wire.untrusted import Json

SUPER_NAME: Final = "superService"
LONGEST: Final = 1024
"""Characters of a name or a key."""


@dataclass(frozen=True)
class NewService:
    """What a service is made of."""

    name: str
    key: str = field(repr=False)
    require_v2: bool = False


class Service(msgspec.Struct, frozen=True):
    """A service as it may be shown; `shown_key` stands for its key and tells nothing of it."""

    id: str
    name: str
    shown_key: str
    require_v2: bool = False


def parse_new(body: Json) -> NewService:
    """Read `{"name", "key", "requireV2"?}`.  Raises `BadData`."""
    if not isinstance(body, dict):
        raise BadData("An object with name and key is expected")
    require_v2 = body.get("requireV2", False)
    if not isinstance(require_v2, bool):
        raise BadData("requireV2 is true or false")
    return NewService(_text(body, "name"), _text(body, "key"), require_v2)


def _text(body: dict[str, Json], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadData(f"{name} is a text, not empty")
    if len(value) > LONGEST:
        raise BadData(f"{name} has more than {LONGEST} characters")
    return value


def shown(sealed: bytes) -> str:
    """The form in which a key is shown: a hash of what is stored, which chance has gone into."""
    return hashlib.sha256(sealed).hexdigest()


def super_service(service_id: str, require_v2: bool) -> Service:
    """The super service, which no row is needed for."""
    return Service(service_id, SUPER_NAME, shown(f"super {service_id}".encode()), require_v2)


def document(service: Service, rooms: Sequence[str]) -> dict[str, Any]:
    """A service as it is answered; `requireV2` only where it is demanded."""
    found: dict[str, Any] = {
        "_id": service.id,
        "name": service.name,
        "key": service.shown_key,
        "encrypted": True,
        "rooms": list(rooms),
    }
    return found | {"requireV2": True} if service.require_v2 else found
