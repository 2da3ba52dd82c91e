"""The process's one SDK session and its clients; endpoints and credentials come from the environment."""

import threading
from functools import cache
from typing import Any

import botocore.session
from botocore import httpsession
from botocore.config import Config

_lock = threading.Lock()


@cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


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
