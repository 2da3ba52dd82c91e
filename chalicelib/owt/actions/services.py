"""What may be done with services (contract section 5): by the super service, or a look at oneself."""

from typing import Any

from chalicelib.owt import service
from chalicelib.owt.errors import NotPermitted
from chalicelib.owt.store import services
from chalicelib.wire.request import Request

BODY_LIMIT = 1024 * 1024


def _only_super(is_super: bool) -> None:
    if not is_super:
        raise NotPermitted("services are the super service's business")


def listed(is_super: bool) -> list[dict[str, Any]]:
    """Every service, the super service first, each with its rooms as they are now.  Raises `NotPermitted`."""
    _only_super(is_super)
    return [service.document(each, services.rooms(each.id)) for each in services.every()]


def create(is_super: bool, request: Request) -> dict[str, Any]:
    """A new service without rooms.  Raises `NotPermitted`, `ValidationError`, also for a name in use."""
    _only_super(is_super)
    return service.document(services.create(service.parse_new(request.json(BODY_LIMIT))), [])


def read(caller_id: str, is_super: bool, service_id: str) -> dict[str, Any]:
    """One service.  Raises `NotPermitted` for another one than the caller's, `NoService`."""
    if caller_id != service_id:
        _only_super(is_super)
    return service.document(services.read(service_id), services.rooms(service_id))


def delete(caller_id: str, is_super: bool, service_id: str) -> None:
    """End a service: no new call of it is served, and its rooms go.

    Raises `NotPermitted`, also for the super service itself, `NoService`.
    """
    _only_super(is_super)
    if service_id == caller_id:
        raise NotPermitted("the super service stays")
    services.delete(service_id)
