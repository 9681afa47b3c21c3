"""Where checkpoints go: the port, and a table in memory for the simulator."""

from itertools import islice
from typing import Protocol

from dynamo.storage.key_index import KeyIndex

Items = list[tuple[bytes, bytes | None]]
"""What a write sets, in key order; None removes the key."""


class CheckpointTable(Protocol):
    """An ordered table whose writes are atomic and durable.

    `write` may run in another thread than the rest, one at a time; a `get` that begins after a
    `write` returned sees all of it.
    """

    def get(self, key: bytes) -> bytes | memoryview | None:
        """The value under `key`; a view of it holds until the next call. Raises CorruptData."""

    def scan(self, after: bytes, until: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` items with after < key < until, in key order; holds nothing open."""

    def write(self, items: Items, meta: dict[str, bytes]) -> None:
        """Set and remove, durably and all at once. Raises DiskFull, StorageFailed."""

    def get_meta(self, name: str) -> bytes | memoryview | None:
        """A named value kept beside the items; a view of it holds until the next call."""

    def refresh(self) -> None:
        """Let go of what reads hold, so that old pages can be used again."""

    def close(self) -> None:
        """Let go of everything."""


class MemoryTable:
    """A sorted dict: what it took it keeps, through any simulated power loss."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.meta: dict[str, bytes] = {}
        self._index = KeyIndex()

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`."""
        return self.values.get(key)

    def scan(self, after: bytes, until: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` items with after < key < until."""
        keys = islice(self._index.between(after, until), limit)
        return [(key, self.values[key]) for key in keys]

    def write(self, items: Items, meta: dict[str, bytes]) -> None:
        """Set and remove; nothing here can fail half way."""
        for key, value in items:
            if value is None:
                if self.values.pop(key, None) is not None:
                    self._index.discard(key)
            else:
                if key not in self.values:
                    self._index.add(key)
                self.values[key] = value
        self.meta.update(meta)

    def get_meta(self, name: str) -> bytes | None:
        """A named value kept beside the items."""
        return self.meta.get(name)

    def refresh(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing to let go of; the content stays, as a disk's would."""
