"""Moving the frozen memory table to the checkpoint table, in slices that a shell can pace.

    frozen, n entries -> sort slices (a few thousand keys, in memory)
                      -> write slices (a small synced transaction each, in key order)
                      -> the last one, with the log number that is now covered; then recycling

Each slice blocks, so it runs in a thread; none holds the GIL for more than about a millisecond. A
crash between slices is harmless: the number is not stored yet, so the log is replayed over what
the earlier slices wrote, to the same end. The engine begins only when the log has synced all that
is frozen: nothing reaches the table before the log.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import msgpack

from dynamo.errors import CorruptData
from dynamo.storage.key_index import KeyIndex
from dynamo.storage.log import Log
from dynamo.storage.recent_writes import RecentWrites
from dynamo.storage.sealing import opened, sealed
from dynamo.storage.segment import FORMAT, require_format
from dynamo.storage.tables import CheckpointTable, Items

SORT_KEYS = 4096
"""Keys per sort slice: about half a millisecond."""

Slice = Callable[[], int]
"""One blocking step; answers the bytes that it wrote, for pacing."""

_POSITION = "engine position"


class Position(NamedTuple):
    """How far the table has come, stored in it with the last slice of each checkpoint."""

    number: int
    """All groups up to this one are in the table."""
    generation: int
    """The segment in which the log goes on; older ones hold nothing that is needed."""
    begun: bool
    """Whether that segment was there: then it must be found again, unless the stop was clean."""
    clean: bool
    """Written by a clean stop: the log holds nothing that the table does not."""


def read_position(table: CheckpointTable) -> Position | None:
    """The stored position, or None in a new table. Raises CorruptData, and StorageFailed for a
    table of another version."""
    data = table.get_meta(_POSITION)
    if data is None:
        return None
    try:
        number, generation, begun, clean, *form = msgpack.unpackb(opened(_POSITION.encode(), data))
    except (TypeError, ValueError) as error:
        raise CorruptData(f"the checkpoint's position does not decode: {error}") from error
    require_format(form[0] if form else 1)  # the first one did not say so
    return Position(number, generation, begun, clean)


def write_position(table: CheckpointTable, position: Position) -> None:
    """Store the position durably, alone."""
    table.write([], _position_meta(position))


def read_state(table: CheckpointTable, name: str) -> bytes | None:
    """One of the node's own states. Raises CorruptData."""
    data = table.get_meta(_state_name(name))
    return None if data is None else opened(name.encode(), data)


class Checkpoint:
    """One frozen memory table on its way to the checkpoint table."""

    def __init__(
        self,
        frozen: RecentWrites,
        table: CheckpointTable,
        log: Log,
        number: int,
        slice_bytes: int,
        *,
        clean: bool,
    ) -> None:
        """`number`: the last group whose writes are in `frozen`; the log has synced it."""
        self._frozen = frozen
        self._table = table
        self._log = log
        self._number = number
        self._clean = clean
        self._slice_bytes = slice_bytes
        self._index = KeyIndex()
        self._states: dict[str, bytes] = {}
        self._complete = False

    def slices(self) -> Iterator[Slice]:
        """The steps in order; each is to be run before the next is asked for."""
        keys = iter(self._frozen.entries)
        for _ in range(0, len(self._frozen.entries), SORT_KEYS):
            yield partial(self._sort, keys)
        sorted_keys = self._index.all()
        while not self._complete:
            yield partial(self._write, sorted_keys)

    def _sort(self, keys: Iterator[bytes | str]) -> int:
        for key in islice(keys, SORT_KEYS):
            if isinstance(key, bytes):
                self._index.add(key)
            else:
                state = self._frozen.entries[key] or b""
                self._states[_state_name(key)] = sealed(key.encode(), state)
        return 0

    def _write(self, sorted_keys: Iterator[bytes]) -> int:
        items, size = self._next_items(sorted_keys)
        self._complete = size < self._slice_bytes
        if not self._complete:
            self._table.write(items, {})
            return size
        generation, begun = self._log.first_needed(self._number)
        position = Position(self._number, generation, begun, self._clean)
        self._table.write(items, {**self._states, **_position_meta(position)})
        self._log.recycle(generation)
        return size

    def _next_items(self, sorted_keys: Iterator[bytes]) -> tuple[Items, int]:
        """Items of at least `slice_bytes` together; fewer bytes mean that these are the last."""
        items: Items = []
        size = 0
        for key in sorted_keys:
            record = self._frozen.entries[key]
            items.append((key, None if record is None else sealed(key, record)))
            size += len(key) + len(record or b"")
            if size >= self._slice_bytes:
                break
        return items, size


def _position_meta(position: Position) -> dict[str, bytes]:
    return {_POSITION: sealed(_POSITION.encode(), msgpack.packb((*position, FORMAT)))}


def _state_name(name: str) -> str:
    return f"state {name}"
