"""`python -m infra.reseal`: what is encrypted at rest, anew under the key of now: the former one can go then.

Needs the settings of the deployment, with the former key in `OWT_KEY_SECRET_ALSO` or `OWT_KMS_KEY_ID_ALSO`,
and may be repeated.  Who changes a service or room meanwhile is not disturbed; the next run does the rest.
"""

import contextlib
import sys
from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import references
from chalicelib.errors import AppError
from chalicelib.owt import service, settings, vault
from chalicelib.owt.store.rooms import ListedRoomRow, RoomRow
from chalicelib.owt.store.services import ListedServiceRow, ServiceRow
from chalicelib.store import keys, writes
from chalicelib.store.expressions import assign
from chalicelib.store.table import Item
from chalicelib.store.writes import Cancelled, Change


def main() -> int:
    """Encrypt everything anew; says how much there was."""
    references.begin()
    try:
        done = sum(map(_service, _services()))
    except (AppError, BotoCoreError, ClientError) as why:
        sys.stderr.write(f"foyer: {why}\n")
        return 1
    print(f"encrypted anew: {done}")
    return 0


def _services() -> Iterator[str]:
    yield settings.get().super_service_id
    yield from (row.sk for row in writes.query_all(ListedServiceRow, keys.OWT_SERVICES, consistent=True))


def _service(service_id: str) -> int:
    """A service's key and the SIP passwords of its rooms; how many those are."""
    listed = writes.query_all(ListedRoomRow, keys.owt_rooms(service_id), consistent=True)
    return _key(service_id) + sum(_password(row.sk) for row in listed)


def _key(service_id: str) -> int:
    where = keys.owt_service(service_id)
    row = writes.get(ServiceRow, *where, consistent=True)
    if row is None:
        return 0
    sealed = vault.seal(vault.unseal(row.key, where), where)
    anew = [assign(ServiceRow.key, sealed)]
    unchanged = ServiceRow.key == row.key
    if row.also is not None:
        anew.append(assign(ServiceRow.also, vault.seal(vault.unseal(row.also, where), where)))
        unchanged &= ServiceRow.also == row.also
    shown = assign(ListedServiceRow.shown_key, service.shown(sealed))
    changes = [
        Change(where, anew, unchanged),
        Change(keys.owt_service_listed(service_id), [shown], Item.pk.exists()),
    ]
    with contextlib.suppress(Cancelled):
        writes.transact(changes)
        return 1
    return 0


def _password(room_id: str) -> int:
    where = keys.owt_room(room_id)
    row = writes.get(RoomRow, *where, consistent=True)
    if row is None or row.sip_password is None:
        return 0
    sealed = vault.seal(vault.unseal(row.sip_password, where), where)
    unchanged = (RoomRow.version == row.version) & (RoomRow.sip_password == row.sip_password)
    with contextlib.suppress(writes.Refused):
        writes.update(*where, [assign(RoomRow.sip_password, sealed)], unchanged)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
