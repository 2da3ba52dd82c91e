"""What may be done with services (contract section 5): by the super service, or a look at oneself."""

from collections.abc import Callable
from typing import Any

from chalicelib.owt import service
from chalicelib.owt.auth import Caller
from chalicelib.owt.errors import NotPermitted
from chalicelib.owt.store import rooms, services
from chalicelib.wire.untrusted import Json


def _only_super(caller: Caller) -> None:
    if not caller.is_super:
        raise NotPermitted("services are the super service's business")


def listed(caller: Caller) -> list[dict[str, Any]]:
    """Every service, the super service first, each with its rooms as they are now.

    Raises `NotPermitted`, `Unavailable`.
    """
    _only_super(caller)
    return [service.document(each, rooms.listed(each.id)) for each in services.every()]


def create(caller: Caller, body: Callable[[], Json]) -> dict[str, Any]:
    """A new service, without rooms.

    Raises `NotPermitted`, and only then `ValidationError`, also for a name in use; `Unavailable`.
    """
    _only_super(caller)
    return service.document(services.create(service.parse_new(body())), [])


def look(caller: Caller, service_id: str) -> dict[str, Any]:
    """One service.  Raises `NotPermitted` for another one than the caller, `NoService`, `Unavailable`."""
    if service_id != caller.service:
        _only_super(caller)
    return service.document(services.read(service_id), rooms.listed(service_id))


def delete(caller: Caller, service_id: str) -> None:
    """End a service: no call of it is served any more, and its rooms go.

    Raises `NotPermitted`, also for the super service itself, `NoService`, `Unavailable`.
    """
    _only_super(caller)
    if service_id == caller.service:
        raise NotPermitted("the super service stays")
    services.delete(service_id)
