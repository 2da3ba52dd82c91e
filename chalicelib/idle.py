"""Requests that only wait: whoever runs the handlers may give their place to others meanwhile."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Places = Callable[[], AbstractContextManager[None]]
_places: list[Places] = []


def install(places: Places | None) -> None:
    """Have `places` told of every request that waits; a gateway that runs the handlers does this."""
    _places[:] = [places] if places is not None else []


def waiting() -> AbstractContextManager[None]:
    """To be entered by a request for as long as it waits for something else than storage."""
    return _places[0]() if _places else nullcontext()
