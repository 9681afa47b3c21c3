"""What a read found."""

from collections.abc import Callable
from typing import Any

from dynamo_client.errors import NotFound, Siblings

Context = bytes | Callable[[], bytes]
"""A context, or how to make it: most reads write nothing afterwards."""


class Item:
    """All live values of a key, and the context that covers them."""

    __slots__ = ("_context", "values")

    def __init__(self, values: list[Any], context: Context) -> None:
        self.values = values
        """Every sibling, decoded; empty if there is none. Concurrent writes make several."""
        self._context = context

    @property
    def context(self) -> bytes:
        """Opaque: give it to the write that replaces what was read."""
        self._context = context = said(self._context)
        return context

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


def said(context: Context) -> bytes:
    """The context itself."""
    return context if isinstance(context, bytes) else context()
