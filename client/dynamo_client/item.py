"""What a read found."""

from typing import Any

from dynamo_client.errors import NotFound, Siblings


class Item:
    """All live values of a key, and the context that covers them."""

    __slots__ = ("context", "values")

    def __init__(self, values: list[Any], context: bytes) -> None:
        self.values = values
        """Every sibling, decoded; empty if there is none. Concurrent writes make several."""
        self.context = context
        """Opaque: give it to the write that replaces what was read."""

    @property
    def found(self) -> bool:
        """Whether there is any value."""
        return bool(self.values)

    @property
    def value(self) -> Any:
        """The one value. Raises NotFound if there is none, Siblings if there are several."""
        if len(self.values) == 1:
            return self.values[0]
        if not self.values:
            raise NotFound("the item has no value")
        raise Siblings(self.values, self.context)

    def __repr__(self) -> str:
        return f"Item(values={self.values!r}, context={self.context!r})"
