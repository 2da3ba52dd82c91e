"""The process's one SDK session and its clients; endpoints and credentials come from the environment."""

import encodings.idna  # noqa: F401 - else the first connection of all loads it, in a request
import os
import threading
from functools import cache
from typing import Any, Final

import botocore
import botocore.session
from botocore import handlers, httpsession
from botocore.config import Config

USER_AGENT = f"foyer Botocore/{botocore.__version__}"
"""The SDK composes its own anew, twice, for each call: a tenth of the call's CPU time."""

SERVICES: Final = frozenset({"apigatewaymanagementapi", "dynamodb", "kms", "sqs", "ssm", "sts"})

DOMAINS: Final = frozenset({"amazonaws.com", "amazonaws.com.cn"})

_lock = threading.Lock()


def _concerns_us(event: str) -> bool:
    """Whether an event of the SDK, such as `before-call.s3.PutObject`, is one of our services or of all."""
    phase, _, rest = event.partition(".")
    return phase != "docs" and (not rest or rest.partition(".")[0] in SERVICES | {"*"})


@cache
def _session() -> botocore.session.Session:
    made = botocore.session.Session(include_builtin_handlers=False)
    events = made.get_component("event_emitter")
    special = {handlers.REGISTER_FIRST: events.register_first, handlers.REGISTER_LAST: events.register_last}
    for event, handler, *when in handlers.BUILTIN_HANDLERS:
        if _concerns_us(event):
            register = special[when[0]] if when else events.register
            register(event, handler)
    made.set_default_client_config(Config(user_agent=USER_AGENT))
    return made


def session() -> botocore.session.Session:
    """The session: what one client loads of the SDK's data, the next one finds there."""
    with _lock:
        return _session()


def region() -> str:
    """Where storage is, and all else of AWS: by the environment, or by the profile as for the SDK."""
    given = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return str(given or session().get_config_variable("region") or "us-east-1")


def region_of(host: str) -> str:
    """Where an API of API Gateway is, by its host; "" where that does not say it.

    >>> region_of("abc.execute-api.eu-west-1.amazonaws.com"), region_of("127.0.0.1")
    ('eu-west-1', '')
    """
    _, service, where, domain = (*host.split(".", 3), "", "", "")[:4]
    return where if service == "execute-api" and domain in DOMAINS else ""


def roots() -> str:
    """The file of certificates that the SDK trusts; the package's has those of AWS alone, quickly read."""
    return str(httpsession.where())


def client(service: str, config: Config) -> Any:
    """A new client; making one is not thread safe, hence the lock."""
    with _lock:
        return _session().create_client(service, config=config)
