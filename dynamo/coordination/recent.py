"""The records this node composed last, still decoded: a writer that comes back finds its own.

Most writers of an item are the ones that wrote it before, with the context they were given then.
For them neither the record nor the context need be decoded again. An entry counts only while the
store still holds the very bytes that it was made of; what was merged or checkpointed since is
decoded anew.
"""

from typing import NamedTuple

from dynamo.siblings.record import Record, Seen
from dynamo.types import ItemKey

RECENT_MAX = 8192
"""Entries; beyond, the older half goes. Raising it: more memory, up to 5 KiB each."""
RECENT_RECORD_BYTES_MAX = 2048
"""Larger records are not kept: decoding them is cheap beside their bytes."""


class Composition(NamedTuple):
    """What was stored, and the context that its writer was given."""

    data: bytes
    record: Record
    seen: Seen
    context: bytes


class Recent:
    """Compositions by item, bounded in number and in bytes.

    Two halves, of which the older one goes whole: to take the oldest out of one dict, its iterator
    would first go past all that were taken before, 8 % of a node whose writers seldom come back.
    """

    __slots__ = ("_older", "_younger")

    def __init__(self) -> None:
        self._younger: dict[ItemKey, Composition] = {}
        self._older: dict[ItemKey, Composition] = {}

    def find(self, key: ItemKey, data: bytes | None) -> Composition | None:
        """The composition whose bytes the store holds now, if it is remembered."""
        entry = self._younger.get(key) or self._older.get(key)
        return entry if entry is not None and entry.data is data else None

    def remember(self, key: ItemKey, composition: Composition) -> None:
        """The newest composition of an item."""
        if len(composition.data) > RECENT_RECORD_BYTES_MAX:
            self._younger.pop(key, None)
            self._older.pop(key, None)
            return
        self._younger[key] = composition
        if 2 * len(self._younger) >= RECENT_MAX:
            self._older, self._younger = self._younger, {}

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)
