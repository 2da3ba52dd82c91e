"""Pushes that a media server is to pass on to its own clients (contract 7): the worker's part."""

import logging
import ssl
from functools import cache, partial
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from chalicelib import clock
from chalicelib.outbox import kicks, owed
from chalicelib.settings import also_reset
from chalicelib.sora import metadata, settings, store
from chalicelib.sora.store import UpstreamRow
from chalicelib.store.keys import Key

log = logging.getLogger(__name__)

TARGET: Final = "Sora_20160711.PushChannel"
TIMEOUT_S: Final = 2.0
AT_ONCE_S: Final = 20.0
"""For how long one worker goes on, before it leaves the rest to the next one."""


def tell(key: Key) -> None:
    """Send what is owed for the channel of this row, one after another in the order of the writes.

    Who claims the first row has the channel to itself: nobody sends another one before that is gone.
    """
    until = clock.monotonic() + AT_ONCE_S
    while (first := store.first_upstream(key.pk)) is not None:
        where = Key(first.pk, first.sk)
        if clock.monotonic() > until:
            kicks.kick(store.UPSTREAM, where)
            return
        row = owed.claim(UpstreamRow, where)
        if row is None:
            return
        if (row.expires_at or 0) > clock.now():
            _post(row)
        owed.insist(partial(owed.finish, row))


def _post(row: UpstreamRow) -> None:
    """One call for a push, whatever becomes of it."""
    ours = settings.get()
    if not ours.upstream_url:
        return
    body = f'{{"channel_id":{metadata.spell(row.channel_id)},"data":{row.data}}}'
    headers = {"content-type": "application/json", "x-sora-target": TARGET}
    if ours.upstream_key:
        headers["authorization"] = f"Bearer {ours.upstream_key}"
    try:
        answer = _pool().request(
            "POST",
            ours.upstream_url,
            body=body.encode(),
            headers=headers,
            timeout=urllib3.Timeout(total=TIMEOUT_S),
            retries=False,
            redirect=False,
        )
    except (HTTPError, OSError) as error:
        log.warning("the media server was not told of a push: %s", type(error).__name__)
        return
    if not 200 <= answer.status < 300:
        log.warning("the media server did not take a push: %d", answer.status)


@cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(num_pools=2, maxsize=4, ssl_context=ssl.create_default_context())


also_reset(_pool.cache_clear)
