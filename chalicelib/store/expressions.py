"""The conditions and changes that most writes consist of; PynamoDB's own do more, and take ten times as long.

They mix with PynamoDB's: a condition joins others by `&` and `|`, a change stands among other actions.
"""

from collections.abc import Mapping
from typing import Any, Final

from pynamodb.attributes import Attribute, BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import And, Condition
from pynamodb.expressions.update import Action, RemoveAction, SetAction

from chalicelib.store import table
from chalicelib.store.table import Item, spell_number

Names = dict[str, str]
"""The aliases of attributes in one request, by their names in items."""
Values = dict[str, Any]
"""The values of one request, by their placeholders."""


MOST: Final = 1000
"""An expression of 4 KB has fewer names and values."""
ALIASES: Final = tuple(f"#{number}" for number in range(MOST))
PLACEHOLDERS: Final = tuple(f":{number}" for number in range(MOST))


def alias(names: Names, name: str) -> str:
    """What stands for a name in one request's expressions."""
    return names.setdefault(name, ALIASES[len(names)])


def placeholder(values: Values, value: dict[str, Any]) -> str:
    """What stands for a value in one request's expressions."""
    made = PLACEHOLDERS[len(values)]
    values[made] = value
    return made


def _equation(name: str, value: dict[str, Any], names: Names, values: Values) -> str:
    return f"{alias(names, name)} = {placeholder(values, value)}"


def _kept(attribute: Attribute[Any], value: Any) -> tuple[str, dict[str, Any]]:
    """An attribute's name in an item, and how a value of it stands there."""
    name = attribute.attr_path[0]
    if isinstance(attribute, UnicodeAttribute):
        return name, {"S": value}
    if isinstance(attribute, NumberAttribute):
        return name, {"N": spell_number(value)}
    if isinstance(attribute, BinaryAttribute):
        return name, {"B": value}
    return name, {attribute.attr_type: attribute.serialize(value)}


class _Ours(Condition):
    """A condition of this module; two of them are joined without PynamoDB."""

    def __and__(self, other: Condition) -> Condition:
        return _Both(self, other) if isinstance(other, _Ours) else And(self, other)


class _Both(_Ours):
    operator = "AND"

    def __init__(self, one: Condition, other: Condition) -> None:
        self.values = (one, other)

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        one, other = self.values
        before = one.serialize(placeholder_names, expression_attribute_values)
        return f"({before} AND {other.serialize(placeholder_names, expression_attribute_values)})"


class Same(_Ours):
    """That an attribute has this value."""

    operator, values = "=", ()

    def __init__(self, attribute: Attribute[Any], value: Any) -> None:
        self.name, self.value = _kept(attribute, value)

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        """The condition as DynamoDB takes it."""
        return _equation(self.name, self.value, placeholder_names, expression_attribute_values)


class Less(_Ours):
    """That one attribute is less than another one."""

    operator, values = "<", ()

    def __init__(self, one: Attribute[Any], other: Attribute[Any]) -> None:
        self.one, self.other = one.attr_name, other.attr_name

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        """The condition as DynamoDB takes it."""
        return f"{alias(placeholder_names, self.one)} < {alias(placeholder_names, self.other)}"


class _Function(_Ours):
    """That a function of DynamoDB says yes to an attribute."""

    def __init__(self, function: str, attribute: Attribute[Any]) -> None:
        super().__init__(function)
        self.name = attribute.attr_name

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        """The condition as DynamoDB takes it."""
        return f"{self.operator} ({alias(placeholder_names, self.name)})"


STANDS: Final[Condition] = _Function("attribute_exists", Item.pk)
"""That there is such a row."""
ABSENT: Final[Condition] = _Function("attribute_not_exists", Item.pk)
"""That there is no such row."""


def absent(attribute: Attribute[Any]) -> Condition:
    """That a row has no such attribute, or is not there; made once, it may serve any number of requests."""
    return _Function("attribute_not_exists", attribute)


class _Assignments(SetAction):
    def __init__(self, kept: Mapping[str, dict[str, Any]]) -> None:
        self.kept = kept

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        texts = [
            _equation(name, value, placeholder_names, expression_attribute_values)
            for name, value in self.kept.items()
        ]
        return ", ".join(texts)


class _Removal(RemoveAction):
    def __init__(self, name: str) -> None:
        self.name = name

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        return alias(placeholder_names, self.name)


class _Sum(SetAction):
    def __init__(self, attribute: Attribute[Any], more: int) -> None:
        self.name, self.value = _kept(attribute, more)

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        name = alias(placeholder_names, self.name)
        return f"{name} = {name} + {placeholder(expression_attribute_values, self.value)}"


def assign(attribute: Attribute[Any], value: Any) -> Action:
    """Give an attribute this value; `None` removes it."""
    if value is None:
        return _Removal(attribute.attr_name)
    name, kept = _kept(attribute, value)
    return _Assignments({name: kept})


def assign_all(kind: type[Item], values: Mapping[str, Any]) -> list[Action]:
    """Give attributes of a row of this kind these values; `None` removes.  Such a row has plain ones only."""
    columns = table.columns(kind)
    kept: dict[str, dict[str, Any]] = {}
    removed: list[Action] = []
    for name, value in values.items():
        column = columns[name]
        spelled = column.spelled(value)
        if spelled is None:
            removed.append(_Removal(column.kept_as))
        else:
            kept[column.kept_as] = spelled
    return [_Assignments(kept), *removed] if kept else removed


def add(attribute: Attribute[Any], more: int) -> Action:
    """Make a number so much more, or less."""
    return _Sum(attribute, more)
