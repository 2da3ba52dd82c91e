"""The environment as one frozen object, read on first use; a bad setting stops the start with one line."""

import os
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from chalicelib.errors import AppError

T = TypeVar("T")

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})

REFERENCE: Final = "ssm:"
"""What a value begins with that stands elsewhere; a parameter's name with a slash follows."""
LookUp = Callable[[Mapping[str, str]], Mapping[str, str]]


class BadSetting(AppError):
    """A setting is unknown or malformed; the text names it and never its value."""


class Given(msgspec.Struct, frozen=True):
    """What an operator may set.  Some of it is secret, so none is shown."""

    def __repr__(self) -> str:
        return type(self).__name__


class Settings(Given, frozen=True):
    """What every part shares; the prefix of the names is `FOYER_`."""

    stage: str = "local"
    table: str = "foyer"
    queue_url: str = ""
    shards: int = 16
    sweep_interval_s: float = 60.0
    gateway_secret: str = ""
    gateway_secret_also: str = ""
    """Taken as well, while one takes the other's place."""
    api_endpoint: str = ""
    """Management endpoint of the API Gateway WebSocket API; empty where there is none."""
    send_rate: int = 5000
    """Posts a second that all fan-outs of one process stay below."""
    front_lease_s: float = 30.0
    work_lease_s: float = 30.0
    """For how long a worker has what it took on to itself; what a dead one left is taken on after that."""
    log_level: str = "INFO"
    stack: str = ""
    """What CloudWatch knows the metrics of these functions by; the stage, unless given."""
    storage_budget_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot work.  Raises `BadSetting`."""
        require(1 <= self.shards <= 36, "FOYER_SHARDS: between 1 and 36")
        require(self.sweep_interval_s > 0, "FOYER_SWEEP_INTERVAL_S: more than 0")
        require(self.send_rate > 0, "FOYER_SEND_RATE: more than 0")
        require(self.front_lease_s > 0, "FOYER_FRONT_LEASE_S: more than 0")
        require(self.work_lease_s > 0, "FOYER_WORK_LEASE_S: more than 0")
        require(
            self.log_level in {"DEBUG", "INFO", "WARNING", "ERROR"},
            "FOYER_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR",
        )


def require(condition: bool, complaint: str) -> None:
    """Raises `BadSetting` with `complaint` unless `condition` holds."""
    if not condition:
        raise BadSetting(complaint)


def load(cls: type[T], prefix: str, environ: Mapping[str, str]) -> T:
    """Make `cls`, a struct or dataclass, from the variables below `prefix`.  Raises `BadSetting`."""
    kinds = typing.get_type_hints(cls)
    fields = {prefix + name.upper(): name for name in kinds}
    given = {name: text for name, text in environ.items() if name.startswith(prefix)}
    for name in given:
        if name not in fields:
            raise BadSetting(f"{name}: there is no such setting")
    given |= _looked_up({name: text for name, text in given.items() if _refers(text)})
    return cls(**{fields[name]: convert(name, text, kinds[fields[name]]) for name, text in given.items()})


_look_up: list[LookUp] = []


def look_up_with(look_up: LookUp) -> None:
    """Have `load` ask `look_up` for what settings refer to, by the settings' names."""
    _look_up[:] = [look_up]


def _refers(text: str) -> bool:
    return text.strip().startswith(f"{REFERENCE}/")


def _looked_up(wanted: Mapping[str, str]) -> Mapping[str, str]:
    """Raises `BadSetting`."""
    if not wanted:
        return {}
    require(bool(_look_up), f"{', '.join(wanted)}: nothing is looked up here")
    return _look_up[0](wanted)


def convert(name: str, text: str, kind: Any) -> Any:
    """Read `text` as `kind`: text, a number, yes or no, or a comma-separated tuple.  Raises `BadSetting`."""
    origin = typing.get_origin(kind)
    if origin is types.UnionType or origin is typing.Union:
        if not text.strip():
            return None
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
        origin = typing.get_origin(kind)
    if origin is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        if text.strip().lower() in TRUE:
            return True
        if text.strip().lower() in FALSE:
            return False
        raise BadSetting(f"{name}: true or false expected")
    if kind is int or kind is float:
        try:
            number = kind(text.strip())
        except ValueError:
            raise BadSetting(f"{name}: {'whole ' if kind is int else ''}number expected") from None
        if number != number or number in (float("inf"), float("-inf")):
            raise BadSetting(f"{name}: finite number expected")
        return number
    return text


# Names that other parts read straight from the environment, the command line's, and test switches.
NOT_OURS = frozenset(
    {
        *("FOYER_TEST_FULL", "FOYER_TEST_AWS", "FOYER_QUEUE_NAME"),
        *("FOYER_URL", "FOYER_WS_URL", "FOYER_ENDPOINTS", "FOYER_ADMIN_TOKEN"),
    }
)


@cache
def get() -> Settings:
    """The process's settings.  Raises `BadSetting`."""
    return load(Settings, "FOYER_", {k: v for k, v in os.environ.items() if k not in NOT_OURS})


def reset() -> None:
    """Forget what was read, for tests that change the environment."""
    get.cache_clear()
    for forget in _ALSO_RESET:
        forget()


_ALSO_RESET: list[Any] = []


def also_reset(forget: Any) -> None:
    """Have `reset` call `forget` too; for facades' own settings and what is derived from them."""
    _ALSO_RESET.append(forget)
