"""The records this node composed last, still decoded: a writer that comes back finds its own.

Most writers of an item are the ones that wrote it before, with the context they were given then.
For them neither the record nor the context need be decoded again. An entry counts only while the
store still holds the very bytes that it was made of; what was merged or checkpointed since is
decoded anew.
"""

from collections import OrderedDict
from typing import NamedTuple

from dynamo.siblings.record import Record, Seen
from dynamo.types import ItemKey

RECENT_MAX = 8192
"""Entries; beyond, the oldest goes. Raising it: more memory, up to 5 KiB each."""
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

    An `OrderedDict`, for taking the first out of a plain one goes past all that were taken before:
    8 % of a node whose writers seldom come back.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: OrderedDict[ItemKey, Composition] = OrderedDict()

    def find(self, key: ItemKey, data: bytes | None) -> Composition | None:
        """The composition whose bytes the store holds now, if it is remembered."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.data is data else None

    def remember(self, key: ItemKey, composition: Composition) -> None:
        """The newest composition of an item."""
        if len(composition.data) > RECENT_RECORD_BYTES_MAX:
            self._entries.pop(key, None)
            return
        self._entries[key] = composition
        if len(self._entries) > RECENT_MAX:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
