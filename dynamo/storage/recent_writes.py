"""The writes that no checkpoint has covered yet, in a plain dict with its bytes counted.

Two of them make the engine's memory: the active one takes writes, the frozen one is being written
to the checkpoint table. A removal is a None, because it must hide what lies below.
"""

from collections.abc import Iterator

from dynamo.storage.key_index import KeyIndex

ENTRY_BYTES = 200
"""What an entry costs besides its key and record: two bytes objects and its share of the dict."""


class RecentWrites:
    """Newest records by key; a str for a key is one of the node's own states, never scanned."""

    def __init__(self) -> None:
        self.entries: dict[bytes | str, bytes | None] = {}
        self.bytes = 0
        self._index = KeyIndex()
        self._indexed = 0

    def put(self, key: bytes | str, record: bytes | None) -> None:
        """Make `record` the newest under `key`, or note its removal."""
        entries = self.entries
        if key in entries:
            old = entries[key]
            if old is not None:
                self.bytes -= len(old)
        else:
            self.bytes += ENTRY_BYTES + len(key)
        if record is not None:
            self.bytes += len(record)
        entries[key] = record

    def scan(self, after: bytes, until: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """All entries with after < key < until, in key order, removals included."""
        self._index_new_keys()
        entries = self.entries
        for key in self._index.between(after, until):
            yield key, entries[key]

    def _index_new_keys(self) -> None:
        # Writes pay nothing for the order: a dict yields its newest keys first when reversed.
        newest = reversed(self.entries)
        for _ in range(len(self.entries) - self._indexed):
            key = next(newest)
            if isinstance(key, bytes):
                self._index.add(key)
        self._indexed = len(self.entries)
