"""The messages that tell `work` where to look: only a row's key, never what is owed."""

import json
import logging
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import metrics, settings, waits
from chalicelib.store import aws
from chalicelib.store.keys import Key

log = logging.getLogger(__name__)

LONGEST_DELAY_S: Final = 900
BACKUP_DELAY_S: Final = 5

Local = Callable[[str], None]
_local: list[Local] = []
_aside: list[Local] = []


def install(local: Local | None, aside: Local | None = None) -> None:
    """Have kicks without delay served in this process at once; a gateway that runs the handlers does this.

    `aside` serves those that may take their time; where it is missing, `local` does.
    """
    _local[:] = [local] if local is not None else []
    _aside[:] = [each for each in (aside, local) if each is not None][:1]


def aside(body: str) -> bool:
    """Have a kick served in this process by a thread that may take its time; `False` where there is none."""
    if not _aside or waits.hosted():
        return False
    _aside[0](body)
    return True


def spell(kind: str, key: Key) -> str:
    """The body of a kick."""
    return json.dumps({"kind": kind, "pk": key.pk, "sk": key.sk}, separators=(",", ":"))


def read(body: str) -> tuple[str, Key]:
    """A kick's kind and key.  Raises `KeyError`, `TypeError`, `ValueError`."""
    fields = json.loads(body)
    kind, pk, sk = fields["kind"], fields["pk"], fields["sk"]
    if not (isinstance(kind, str) and isinstance(pk, str) and isinstance(sk, str)):
        raise TypeError("a kick's fields are texts")
    return kind, Key(pk, sk)


@cache
def client() -> Any:
    """The process's SQS client."""
    return aws.client(
        "sqs",
        Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"}),
    )


settings.also_reset(client.cache_clear)


def kick(kind: str, key: Key, delay_s: float = 0.0) -> bool:
    """Have `work` look at an owed row after `delay_s` seconds; a lost kick is the sweep's business.

    Where the handlers run in a gateway's process, that looks at once, and the queue is the backup.
    """
    body = spell(kind, key)
    if _local and delay_s <= 0:
        _local[0](body)
        delay_s = BACKUP_DELAY_S
    return send(body, delay_s)


def send(body: str, delay_s: float) -> bool:
    """Send a message to the work queue; `False` when there is no queue or it did not take it."""
    url = settings.get().queue_url
    if not url:
        return False
    delay = min(LONGEST_DELAY_S, max(0, round(delay_s)))
    try:
        client().send_message(QueueUrl=url, MessageBody=body, DelaySeconds=delay)
    except (BotoCoreError, ClientError) as error:
        log.warning("the work queue did not take a kick: %s", type(error).__name__)
        metrics.KICK_FAILURES.add()
        return False
    return True
