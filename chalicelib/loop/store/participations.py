"""Participations as a room's item keeps them, and what writes say about one of them.

A client in a call reports, refreshes and leaves by one update of its own entry, whose condition tells all
that has to be known of the room and of the caller.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action, RemoveAction, SetAction

from chalicelib.loop.session import Participation
from chalicelib.loop.store.rooms import RoomRow
from chalicelib.store.expressions import Names, Values, alias, placeholder
from chalicelib.store.table import spell_number

MAP: Final = RoomRow.participations.attr_name
ENDS: Final = RoomRow.ends_at.attr_name
DELETED: Final = RoomRow.deleted_at.attr_name

ID: Final = "c"
NAME: Final = "n"
OWNER: Final = "o"
MOST: Final = "m"
UNTIL: Final = "u"
TOKEN: Final = "t"
JOINED: Final = "j"
STATE: Final = "s"
EVENT: Final = "e"
CONNECTIONS: Final = "kc"
SENDS: Final = "ks"
RECEIVES: Final = "kr"
REPORTED: Final = "r"
REPORTS: Final = "k"
NON_CONFORMING: Final = "x"
LEFT: Final = "l"
LEAVE: Final = "y"
"""The id of the leave that ended it: sent again after an answer that was lost, it knows itself."""

Value: TypeAlias = dict[str, Any]
"""A value as DynamoDB spells it."""


def guest(token_hash: str) -> str:
    """The key of a guest's participation."""
    return f"g{token_hash}"


def signed_in(uid: str) -> str:
    """The key of a Hawk caller's participation."""
    return f"h{uid}"


def replaced(connection_id: str) -> str:
    """The key of a participation whose own key another one has now."""
    return f"z{connection_id}"


def text(value: str) -> Value:
    """A text as DynamoDB spells it."""
    return {"S": value}


def number(value: float) -> Value:
    """A number as DynamoDB spells it."""
    return {"N": spell_number(value)}


def spell(one: Participation) -> Value:
    """A participation as its room keeps it."""
    entry = {
        ID: text(one.id),
        NAME: text(one.name),
        OWNER: {"BOOL": one.is_owner},
        MOST: number(one.most),
        UNTIL: number(one.until),
        TOKEN: text(one.token),
        JOINED: number(one.joined),
        STATE: text(one.state),
        CONNECTIONS: number(one.connections),
        SENDS: number(one.sends),
        RECEIVES: number(one.receives),
        REPORTS: number(one.reports),
        NON_CONFORMING: number(one.non_conforming),
    }
    if one.event is not None:
        entry[EVENT] = text(one.event)
    if one.reported is not None:
        entry[REPORTED] = number(one.reported)
    if one.left is not None:
        entry[LEFT] = number(one.left)
    return {"M": entry}


def read(key: str, entry: Value) -> Participation:
    """The participation that stands under `key`."""
    kept = entry["M"]
    return Participation(
        key=key,
        id=kept[ID]["S"],
        name=kept[NAME]["S"],
        is_owner=kept[OWNER]["BOOL"],
        most=int(kept[MOST]["N"]),
        until=float(kept[UNTIL]["N"]),
        token=kept[TOKEN]["S"],
        joined=float(kept[JOINED]["N"]),
        state=kept[STATE]["S"],
        event=kept[EVENT]["S"] if EVENT in kept else None,
        connections=int(kept[CONNECTIONS]["N"]),
        sends=int(kept[SENDS]["N"]),
        receives=int(kept[RECEIVES]["N"]),
        reported=float(kept[REPORTED]["N"]) if REPORTED in kept else None,
        reports=int(kept[REPORTS]["N"]),
        non_conforming=int(kept[NON_CONFORMING]["N"]),
        left=float(kept[LEFT]["N"]) if LEFT in kept else None,
    )


def every(row: RoomRow) -> list[Participation]:
    """All that a room remembers, in the order of joining; some of them ended."""
    found: Mapping[str, Value] = row.participations or {}
    return sorted((read(key, entry) for key, entry in found.items()), key=lambda each: (each.joined, each.id))


def of_key(row: RoomRow, key: str) -> Participation | None:
    """The participation under `key`, if the room remembers one."""
    entry = (row.participations or {}).get(key)
    return read(key, entry) if entry is not None else None


def lives(entry: Value, now: float) -> bool:
    """Whether it takes a seat; the same as `Participation.lives`, without reading all of it."""
    kept = entry["M"]
    return LEFT not in kept and float(kept[UNTIL]["N"]) > now


def present(entries: Mapping[str, Value], now: float) -> int:
    """How many are in the room."""
    return sum(lives(entry, now) for entry in entries.values())


def id_of(entry: Value) -> str:
    """The id of a participation."""
    found: str = entry["M"][ID]["S"]
    return found


def leave_of(row: RoomRow, key: str) -> str | None:
    """The id of the leave that ended a participation."""
    entry = (row.participations or {}).get(key, {"M": {}})
    found: str | None = entry["M"].get(LEAVE, {}).get("S")
    return found


class Among(Condition):
    """That the room stands and a participation in it lives, perhaps with certain values in it."""

    operator, values = "AND", ()

    def __init__(self, key: str, now: float, **same: Value) -> None:
        self.key, self.now, self.same = key, number(now), same

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        """The condition as DynamoDB takes it."""
        names, values = placeholder_names, expression_attribute_values
        path, now = _path(names, self.key), placeholder(values, self.now)
        whole = (
            f"attribute_not_exists({alias(names, DELETED)}) AND {alias(names, ENDS)} > {now}"
            f" AND attribute_not_exists({path}.{LEFT}) AND {path}.{UNTIL} > {now}"
        )
        return whole + "".join(
            f" AND {path}.{name} = {placeholder(values, value)}" for name, value in self.same.items()
        )


class StateIn(Condition):
    """That a participation's last state is one of these; `unless`, that it is none of them."""

    operator, values = "IN", ()

    def __init__(self, key: str, states: Iterable[str], *, unless: bool = False) -> None:
        self.key, self.states, self.unless = key, sorted(states), unless

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        """The condition as DynamoDB takes it."""
        path = _path(placeholder_names, self.key)
        listed = ", ".join(placeholder(expression_attribute_values, text(each)) for each in self.states)
        found = f"{path}.{STATE} IN ({listed})"
        return f"NOT ({found})" if self.unless else found


class Unchanged(Condition):
    """That something of a participation is as it was read: `value`, or `None` where it was not there."""

    operator, values = "=", ()

    def __init__(self, key: str, name: str, value: Value | None) -> None:
        self.key, self.name, self.value = key, name, value

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        """The condition as DynamoDB takes it."""
        path = f"{_path(placeholder_names, self.key)}.{self.name}"
        if self.value is None:
            return f"attribute_not_exists({path})"
        return f"{path} = {placeholder(expression_attribute_values, self.value)}"


class _Assigned(SetAction):
    def __init__(self, key: str, assigned: Mapping[str, Value], counted: Iterable[str] = ()) -> None:
        self.key, self.assigned, self.counted = key, assigned, counted

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        names, values = placeholder_names, expression_attribute_values
        path = _path(names, self.key)
        parts = [f"{path}.{name} = {placeholder(values, value)}" for name, value in self.assigned.items()]
        if self.counted:
            one = placeholder(values, {"N": "1"})
            parts += [f"{path}.{name} = {path}.{name} + {one}" for name in self.counted]
        return ", ".join(parts)


class _Whole(SetAction):
    def __init__(self, one: Participation) -> None:
        self.key, self.entry = one.key, spell(one)

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        path = _path(placeholder_names, self.key)
        return f"{path} = {placeholder(expression_attribute_values, self.entry)}"


class _Gone(RemoveAction):
    def __init__(self, key: str) -> None:
        self.key = key

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        return _path(placeholder_names, self.key)


def assign(key: str, assigned: Mapping[str, Value], counted: Iterable[str] = ()) -> Action:
    """Set these fields of a participation, and make those that are `counted` one more."""
    return _Assigned(key, assigned, counted)


def put(one: Participation) -> Action:
    """Write a participation whole."""
    return _Whole(one)


def remove(key: str) -> Action:
    """Remember a participation no more."""
    return _Gone(key)


def _path(names: Names, key: str) -> str:
    return f"{alias(names, MAP)}.{alias(names, key)}"
