"""What the bench asks of the client library, so that its tests need no cluster.

`dynamo_client.connect(...)` gives a `Database`; nothing else of it is used.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Key = str | bytes


class Item(Protocol):
    """What a read found."""

    @property
    def found(self) -> bool:
        """Whether there is a value."""

    @property
    def values(self) -> Sequence[Any]:
        """All siblings."""

    @property
    def context(self) -> Any:
        """What a write must give back to replace what was read."""


class Table(Protocol):
    """Items by key."""

    async def get(self, key: Key, *, r: int | None = None) -> Item:
        """Read a key from so many replicas; None: as many as its table says."""

    async def put(self, key: Key, value: Any, *, context: Any = None) -> Any:
        """Write a key; the next context of this writer."""

    async def update(self, key: Key, fn: Callable[[list[Any]], Any]) -> Any:
        """Read, let `fn` make one value of all siblings, write."""


class Database(Protocol):
    """A connection to a cluster."""

    def table(self, name: str) -> Table:
        """A table by its name."""

    async def outcome(self, operation_id: Any) -> str:
        """`applied`, `not applied` or `unknown`."""
