"""The settings of who is told of commands: addresses, and what requests to them are signed with."""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from chalicelib import settings
from chalicelib.owt import media_settings
from chalicelib.owt.command import Command
from chalicelib.settings import require

PREFIX: Final = "whsec_"
SHORTEST_SECRET: Final = 24
LONGEST_SECRET: Final = 64
"""Bytes of a secret, as Standard Webhooks has it."""
LONGEST_URL: Final = 2048
EVERY: Final = ""
"""Where something is the same for all services."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, str])
_URL: Final = re.compile(r"[!-\[\]-~]+")


class Endpoint(NamedTuple):
    """Where a service's commands are sent."""

    url: str
    secrets: tuple[bytes, ...]
    """The keys of the signatures; several while one of them takes another's place."""


class Endpoints(NamedTuple):
    """All of them."""

    urls: Mapping[str, str]
    secrets: Mapping[str, tuple[bytes, ...]]
    private: bool
    """Whether addresses may be such as are not public."""

    def of(self, service: str) -> Endpoint | None:
        """That of a service, if it has one."""
        url = self.urls.get(service) or self.urls.get(EVERY)
        secrets = self.secrets.get(service) or self.secrets.get(EVERY)
        return Endpoint(url, secrets) if url and secrets else None


@cache
def get() -> Endpoints:
    """The process's endpoints.  Raises `BadSetting`."""
    given = media_settings.get()
    private = given.command_webhook_private
    urls = _by_service("COMMAND_WEBHOOK_URL", given.command_webhook_url)
    secrets = _by_service("COMMAND_WEBHOOK_SECRET", given.command_webhook_secret)
    for url in urls.values():
        require(
            _is_url(url, private), "COMMAND_WEBHOOK_URL: addresses like https://worker.example.com/commands"
        )
    for service in urls:
        require(
            service in secrets or EVERY in secrets or (service == EVERY and bool(secrets)),
            "COMMAND_WEBHOOK_SECRET: each address needs one",
        )
    return Endpoints(urls, {service: _keys(text) for service, text in secrets.items()}, private)


settings.also_reset(get.cache_clear)


def wanted(command: Command) -> bool:
    """Whether a command is to be sent somewhere."""
    return get().of(command.service) is not None


def _by_service(name: str, text: str) -> dict[str, str]:
    """Raises `BadSetting`."""
    text = text.strip()
    if not text.startswith("{"):
        return {EVERY: text} if text else {}
    try:
        found = _OBJECT.decode(text)
    except msgspec.MsgspecError:
        raise settings.BadSetting(f"{name}: one text, or a JSON object of texts by service id") from None
    require(EVERY not in found and all(found.values()), f"{name}: neither ids nor values may be empty")
    return found


def _is_url(url: str, private: bool) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = bool(_URL.fullmatch(url)) and len(url) <= LONGEST_URL and "@" not in parts.netloc
    return (
        plain and (parts.scheme == "https" or (private and parts.scheme == "http")) and bool(parts.hostname)
    )


def _keys(text: str) -> tuple[bytes, ...]:
    """The keys in one or several secrets with blanks between them.  Raises `BadSetting`."""
    return tuple(_key(each) for each in text.split())


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    require(
        text.startswith(PREFIX) and SHORTEST_SECRET <= len(key) <= LONGEST_SECRET,
        f"COMMAND_WEBHOOK_SECRET: {PREFIX} and {SHORTEST_SECRET} to {LONGEST_SECRET} bytes in base64",
    )
    return key
