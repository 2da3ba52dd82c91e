"""`python -m infra.rekey SERVICE`: another key for a service of conference management, beside the one it has.

Processes take it in a minute (`OWT_SERVICE_CACHE_S`).  When all callers use it, `--finish` ends the other.
Needs the settings of the deployment; the key comes from standard input, as a command's arguments can be seen.
"""

import argparse
import getpass
import sys

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import references
from chalicelib.errors import AppError
from chalicelib.owt import service, vault
from chalicelib.owt.store.services import ListedServiceRow, ServiceRow
from chalicelib.store import keys, writes
from chalicelib.store.expressions import STANDS, assign
from chalicelib.store.writes import Cancelled, Change, Refused


class CannotRekey(Exception):
    """Nothing has changed; the text is one line for a person."""


def main(arguments: list[str] | None = None) -> int:
    """Give a service another key, or end its former one."""
    parser = argparse.ArgumentParser(prog="python -m infra.rekey", description=main.__doc__)
    parser.add_argument("service", help="the service's id")
    parser.add_argument("--finish", action="store_true", help="end the key that it had before")
    given = parser.parse_args(arguments)
    references.begin()
    try:
        if given.finish:
            finish(given.service)
        else:
            add(given.service, _key())
    except (CannotRekey, AppError, BotoCoreError, ClientError) as why:
        sys.stderr.write(f"foyer: {why}\n")
        return 1
    print("the former key is over" if given.finish else "both keys are good, in a minute everywhere")
    return 0


def _key() -> str:
    """Raises `CannotRekey`."""
    key = getpass.getpass("the new key: ") if sys.stdin.isatty() else sys.stdin.read().strip("\n")
    if not key:
        raise CannotRekey("a key is needed")
    return key


def add(service_id: str, key: str) -> None:
    """Have another key taken as well.  Raises `CannotRekey`, `Unavailable`."""
    where = keys.owt_service(service_id)
    one = STANDS & ServiceRow.also.does_not_exist()
    try:
        writes.update(*where, [assign(ServiceRow.also, vault.seal(key, where))], one)
    except Refused as refused:
        raise CannotRekey("it has two already" if refused.old else "there is no such service") from None


def finish(service_id: str) -> None:
    """End the former key.  Raises `CannotRekey`, `Unavailable`."""
    where = keys.owt_service(service_id)
    row = writes.get(ServiceRow, *where, consistent=True)
    if row is None or row.also is None:
        raise CannotRekey("it has one key" if row is not None else "there is no such service")
    shown = assign(ListedServiceRow.shown_key, service.shown(row.also))
    try:
        writes.transact(
            [
                Change(
                    where,
                    [assign(ServiceRow.key, row.also), assign(ServiceRow.also, None)],
                    ServiceRow.also == row.also,
                ),
                Change(keys.owt_service_listed(service_id), [shown], STANDS),
            ]
        )
    except Cancelled:
        raise CannotRekey("it has changed meanwhile") from None


if __name__ == "__main__":
    sys.exit(main())
