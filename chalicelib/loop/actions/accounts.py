"""Registration, and its end (contract section 5)."""

from collections.abc import Mapping
from typing import Final

from chalicelib.loop.auth import Hawk, Nobody
from chalicelib.loop.errors import ValidationError
from chalicelib.loop.store import credentials
from chalicelib.wire.untrusted import Json

TOPICS: Final = frozenset({"rooms", "calls"})
OLD_NAMES: Final = ("simplePushURL", "simple_push_url")
"""What older clients call the URL for calls."""
LONGEST_URL: Final = 2048


def register(caller: Nobody | Hawk, body: Mapping[str, Json], query: Mapping[str, list[str]]) -> str | None:
    """New credentials for nobody: their session token.

    For a caller who has some: the URLs take the place of those from before, all of them, where any is given.
    Raises `ValidationError`, `Unavailable`.
    """
    urls = push_urls(body, query)
    if isinstance(caller, Nobody):
        return credentials.issue(urls.get("rooms"), urls.get("calls"))
    if urls:
        credentials.set_urls(caller.uid, urls.get("rooms"), urls.get("calls"))
    return None


def unregister(caller: Hawk) -> None:
    """Push nowhere any more.  Raises `Unavailable`."""
    credentials.set_urls(caller.uid, None, None)


def delete_account(caller: Hawk) -> None:
    """End the caller's credentials, and with them where to push.  Raises `Unavailable`."""
    credentials.delete(caller.uid)


def push_urls(body: Mapping[str, Json], query: Mapping[str, list[str]]) -> dict[str, str]:
    """The URLs of a registration by topic, in its present and its two older forms.

    >>> push_urls({"simplePushURLs": {"rooms": "https://a"}, "simple_push_url": "https://b"}, {})
    {'rooms': 'https://a', 'calls': 'https://b'}

    Raises `ValidationError`.
    """
    given = body.get("simplePushURLs") or {}
    if not isinstance(given, dict):
        raise ValidationError("simplePushURLs is not an object")
    if not given.keys() <= TOPICS:
        raise ValidationError("simplePushURLs: rooms and calls are the only topics")
    old = [body[name] for name in OLD_NAMES if name in body]
    old += [query[name][-1] for name in OLD_NAMES[:1] if query.get(name)]
    named = {**({"calls": old[0]} if old else {}), **given}
    return {topic: _url(topic, named[topic]) for topic in sorted(named, reverse=True)}


def _url(topic: str, value: Json) -> str:
    if not isinstance(value, str) or not value.startswith("http"):
        raise ValidationError(f"simplePushURLs: {topic} does not start with http")
    if len(value) > LONGEST_URL:
        raise ValidationError(f"simplePushURLs: {topic} has more than {LONGEST_URL} characters")
    return value
