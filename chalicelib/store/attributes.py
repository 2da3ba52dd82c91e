"""PynamoDB's plain attributes, looked up on a row at once: rows are no maps, and nothing has to be told."""

from typing import TYPE_CHECKING, Any

from pynamodb import attributes
from pynamodb.constants import MAP

if TYPE_CHECKING:
    from pynamodb.attributes import (
        BinaryAttribute,
        BooleanAttribute,
        NumberAttribute,
        UnicodeAttribute,
        UnicodeSetAttribute,
    )

    class RawMapAttribute(attributes.Attribute[dict[str, dict[str, Any]]]):
        """A map as DynamoDB spells it: who keeps something in it reads and spells its entries."""

else:

    class _Direct:
        """Stands before an attribute's class; `name` is what a row calls the attribute."""

        def __set_name__(self, owner: Any, name: str) -> None:
            super().__set_name__(owner, name)
            self.name = name

        def __get__(self, row: Any, owner: Any) -> Any:
            return self if row is None else row.attribute_values.get(self.name)

        def __set__(self, row: Any, value: Any) -> None:
            row.attribute_values[self.name] = value

    class BinaryAttribute(_Direct, attributes.BinaryAttribute):
        """Bytes."""

    class BooleanAttribute(_Direct, attributes.BooleanAttribute):
        """True or false."""

    class NumberAttribute(_Direct, attributes.NumberAttribute):
        """A number."""

    class UnicodeAttribute(_Direct, attributes.UnicodeAttribute):
        """A text."""

    class UnicodeSetAttribute(_Direct, attributes.UnicodeSetAttribute):
        """A set of texts; an empty one is none."""

    class RawMapAttribute(_Direct, attributes.Attribute):
        """A map as DynamoDB spells it: who keeps something in it reads and spells its entries."""

        attr_type = MAP

        def serialize(self, value: Any) -> Any:
            """The map as it is."""
            return value

        def deserialize(self, value: Any) -> Any:
            """The map as it is."""
            return value


__all__ = [
    "BinaryAttribute",
    "BooleanAttribute",
    "NumberAttribute",
    "RawMapAttribute",
    "UnicodeAttribute",
    "UnicodeSetAttribute",
]
