"""The process's one SDK session and its clients; endpoints and credentials come from the environment."""

import threading
from functools import cache
from typing import Any

import botocore
import botocore.session
from botocore import httpsession
from botocore.config import Config

USER_AGENT = f"foyer Botocore/{botocore.__version__}"
"""The SDK composes its own anew, twice, for each call: a tenth of the call's CPU time."""

_lock = threading.Lock()


@cache
def _session() -> botocore.session.Session:
    made = botocore.session.Session()
    made.set_default_client_config(Config(user_agent=USER_AGENT))
    return made


def session() -> botocore.session.Session:
    """The session: what one client loads of the SDK's data, the next one finds there."""
    with _lock:
        return _session()


def roots() -> str:
    """The file of certificates that the SDK trusts; the package's has those of AWS alone, quickly read."""
    return str(httpsession.where())


def client(service: str, config: Config) -> Any:
    """A new client; making one is not thread safe, hence the lock."""
    with _lock:
        return _session().create_client(service, config=config)
