"""The conditions and changes that most writes consist of; PynamoDB's own do more, and take ten times as long.

They mix with PynamoDB's: a condition joins others by `&` and `|`, a change stands among other actions.
"""

from typing import Any, Final

from pynamodb.attributes import Attribute, BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action, RemoveAction, SetAction

from chalicelib.store.table import Item, spell_number

Names = dict[str, str]
"""The aliases of attributes in one request, by their names in items."""
Values = dict[str, Any]
"""The values of one request, by their placeholders."""


def alias(names: Names, name: str) -> str:
    """What stands for a name in one request's expressions."""
    found = names.get(name)
    if found is None:
        found = names[name] = f"#{len(names)}"
    return found


def placeholder(values: Values, value: dict[str, Any]) -> str:
    """What stands for a value in one request's expressions."""
    made = f":{len(values)}"
    values[made] = value
    return made


def _spelled(attribute: Attribute[Any], value: Any) -> dict[str, Any]:
    if isinstance(attribute, NumberAttribute):
        value = spell_number(value)
    elif not isinstance(attribute, UnicodeAttribute | BinaryAttribute):
        value = attribute.serialize(value)
    return {attribute.attr_type: value}


class Same(Condition):
    """That an attribute has this value."""

    operator, values = "=", ()

    def __init__(self, attribute: Attribute[Any], value: Any) -> None:
        self.name, self.value = attribute.attr_name, _spelled(attribute, value)

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        """The condition as DynamoDB takes it."""
        name = alias(placeholder_names, self.name)
        return f"{name} = {placeholder(expression_attribute_values, self.value)}"


class Less(Condition):
    """That one attribute is less than another one."""

    operator, values = "<", ()

    def __init__(self, one: Attribute[Any], other: Attribute[Any]) -> None:
        self.one, self.other = one.attr_name, other.attr_name

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        """The condition as DynamoDB takes it."""
        return f"{alias(placeholder_names, self.one)} < {alias(placeholder_names, self.other)}"


class _Function(Condition):
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


class _Assignment(SetAction):
    def __init__(self, attribute: Attribute[Any], value: Any) -> None:
        self.name, self.value = attribute.attr_name, _spelled(attribute, value)

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        name = alias(placeholder_names, self.name)
        return f"{name} = {placeholder(expression_attribute_values, self.value)}"


class _Removal(RemoveAction):
    def __init__(self, attribute: Attribute[Any]) -> None:
        self.name = attribute.attr_name

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        return alias(placeholder_names, self.name)


class _Sum(SetAction):
    def __init__(self, attribute: Attribute[Any], more: int) -> None:
        self.name, self.value = attribute.attr_name, _spelled(attribute, more)

    def serialize(self, placeholder_names: Names, expression_attribute_values: Values) -> str:
        name = alias(placeholder_names, self.name)
        return f"{name} = {name} + {placeholder(expression_attribute_values, self.value)}"


def assign(attribute: Attribute[Any], value: Any) -> Action:
    """Give an attribute this value; `None` removes it."""
    return _Assignment(attribute, value) if value is not None else _Removal(attribute)


def add(attribute: Attribute[Any], more: int) -> Action:
    """Make a number so much more, or less."""
    return _Sum(attribute, more)
