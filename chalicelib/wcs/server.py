"""Where a server's own REST API is, as an operator spells it.  Pure."""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from chalicelib.errors import ValidationError
from chalicelib.wire.basic import Login

LONGEST_PLACE: Final = 1024
WANTED: Final = "nodeId=https://host:port, with user:password@ before the host or without"

_ITEM: Final = re.compile(r"(.+?)=(https?://.+)", re.IGNORECASE)
_PLACE: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_USER: Final = re.compile(r"[^:\x00-\x1f\x7f]+")
_PASSWORD: Final = re.compile(r"[^\x00-\x1f\x7f]+")


class Server(msgspec.Struct, frozen=True):
    """A server that can be called."""

    node: str
    """What its events have as `nodeId`."""
    address: str
    """Scheme, host and port, without the login."""
    host: str
    login: Login | None = None

    @property
    def secure(self) -> bool:
        """Whether it is called over https."""
        return self.address.startswith("https:")


def read(item: str) -> Server:
    """A server as the setting has it; a login's reserved characters are percent-encoded, as in any URL.

    >>> read("n1@10.0.0.5=https://ops:a%2Cb@wcs.example:8444").address
    'https://wcs.example:8444'

    Raises `ValidationError`, which says nothing of what was given.
    """
    try:
        return _read(item)
    except ValueError:
        raise ValidationError(WANTED) from None


def _read(item: str) -> Server:
    """Raises `ValueError`."""
    found = _ITEM.fullmatch(item)
    parts = urlsplit(found[2] if found else "")
    place = parts.netloc.rpartition("@")[2]
    more = parts.path.removeprefix("/") + parts.query + parts.fragment
    if found is None or more or parts.port == 0 or len(place) > LONGEST_PLACE or not _PLACE.fullmatch(place):
        raise ValueError
    login = _login(parts.username, parts.password)
    return Server(found[1], f"{parts.scheme}://{place}", parts.hostname or "", login)


def _login(user: str | None, password: str | None) -> Login | None:
    """Who calls; `None` for anybody.  Raises `ValueError`."""
    if user is None and password is None:
        return None
    login = Login(unquote(user or "", errors="strict"), unquote(password or "", errors="strict"))
    if not _USER.fullmatch(login.user) or not _PASSWORD.fullmatch(login.password):
        raise ValueError
    return login
