"""Whether storage answers: one consistent read with a deadline."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from functools import cache
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import settings
from chalicelib.store import aws, table, writes

DEADLINE_S: Final = 0.5


@cache
def _client() -> Any:
    return aws.client(
        "dynamodb",
        Config(
            connect_timeout=DEADLINE_S,
            read_timeout=DEADLINE_S,
            retries={"total_max_attempts": 1, "mode": "standard"},
        ),
    )


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="ready")


settings.also_reset(_client.cache_clear)


def failing() -> list[str]:
    """What does not work, by name; found out within half a second of asking."""
    _client()  # making it, once in a process, is no fault of storage
    read = _threads().submit(_read)
    try:
        read.result(timeout=DEADLINE_S)
    except TooSlow:
        return ["table: no answer within 500 ms"]
    except ClientError as error:
        return [f"table: {error.response.get('Error', {}).get('Code', 'refused')}"]
    except BotoCoreError as error:
        return [f"table: {type(error).__name__}"]
    return []


def _read() -> None:
    _client().get_item(TableName=table.name(), Key=writes.key("ready", "-"), ConsistentRead=True)
