"""The durable engine: a log in front of a table, the paper's write buffer without its loss window.

    put -> active table --(freeze)--> frozen table --(checkpoint slices)--> checkpoint table
       \\-> waiting writes -> group -> log: one write, one sync -> tokens

    get = active, else frozen, else table                               (paper 6.1, Dynamo's buffer)

Invariants. What `get` answers never goes back. A group whose `run` returned survives any crash. A
write reaches the checkpoint table only after the log has synced it. The table's stored number says
which groups it holds; all later ones are in the log.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from heapq import merge
from itertools import count
from zlib import crc32

from dynamo.errors import CorruptData
from dynamo.ports import DAMAGED_KEYS_MAX, DISK_FULL, MEMORY_FULL
from dynamo.storage.checkpoint import (
    Checkpoint,
    Position,
    read_position,
    read_state,
    write_position,
)
from dynamo.storage.files import DiskFull, Files
from dynamo.storage.log import Log
from dynamo.storage.port import EngineFigures, EngineOptions, RunningCheckpoint, WriteGroup
from dynamo.storage.recent_writes import RecentWrites
from dynamo.storage.recovery import Recovery, Replay
from dynamo.storage.sealing import opened, unopened
from dynamo.storage.segment import Writes, encode_writes
from dynamo.storage.tables import CheckpointTable
from dynamo.types import ItemKey

SEGMENTS_MAX = 6
"""A checkpoint is due when more segments hold groups; each unclean start begins a new one."""

_ELSEWHERE = b"no record: the key is not among these writes"
"""Told from records by identity. One look at a dict instead of two, since None is a removal."""

_DEFAULTS = EngineOptions()


class Group:
    """Sealed writes: encoded on the event loop, written and synced wherever `run` is called."""

    def __init__(self, log: Log, number: int, writes: Writes, tokens: list[Hashable]) -> None:
        self.number = number
        self.tokens = tokens
        self._log = log
        self._payload = encode_writes(writes)
        self._checksum = crc32(self._payload)

    def run(self) -> None:
        """Append to the log. Raises DiskFull (run it again later) or StorageFailed (end)."""
        self._log.append(self.number, self._payload, self._checksum)


class LogEngine:
    """`Engine` over a directory of log segments and a checkpoint table."""

    def __init__(
        self, files: Files, table: CheckpointTable, options: EngineOptions = _DEFAULTS
    ) -> None:
        self._files = files
        self._table = table
        self._options = options
        self._log = Log(
            files,
            options.segment_bytes,
            spares_max=1 + options.log_bytes_max // options.segment_bytes,
            sync_each=options.durability == "fsync",
        )
        self._active = RecentWrites()
        self._frozen = RecentWrites()
        self._newest = self._active.entries
        self._waiting: Writes = {}
        self._waiting_bytes = 0
        self._tokens: list[Hashable] = []
        self._full: deque[tuple[Writes, list[Hashable]]] = deque()
        self._number = 0
        self._under_way: Group | None = None
        self._frozen_number: int | None = None
        self._frozen_log_bytes = self._covered_log_bytes = 0
        self._running: Checkpoint | None = None
        self._disk_low = False
        self.damaged_keys: dict[bytes, None] = {}
        """Keys whose value in the table was found damaged, at most `DAMAGED_KEYS_MAX`."""

    # Records

    def get(self, key: ItemKey) -> bytes | None:
        """The newest record under `key`, durable or not yet. Raises CorruptData."""
        record = self._newest.get(key, _ELSEWHERE)
        if record is not _ELSEWHERE:
            return record
        record = self._frozen.entries.get(key, _ELSEWHERE)
        if record is not _ELSEWHERE:
            return record
        data = self._table.get(key)
        if data is None:
            return None
        try:
            return opened(key, data)
        except CorruptData:
            self._note_damaged(key)
            raise

    def head(self, key: ItemKey, size: int) -> bytes | None:
        """The first bytes of what `get` answers, read without its checksum: a tenth of the work
        where the value is large, and no more of it is told than these bytes."""
        for entries in (self._newest, self._frozen.entries):
            record = entries.get(key, _ELSEWHERE)
            if record is not _ELSEWHERE:
                return None if record is None else record[:size]
        data = self._table.get(key)
        return None if data is None else unopened(data, size)

    def put(self, key: ItemKey, record: bytes, token: Hashable) -> None:
        """Make `record` the newest; its token comes back from `synced`."""
        assert key, "an item key is never empty"
        self._set(key, record, len(record), token)

    def delete(self, key: ItemKey, token: Hashable) -> None:
        """A logged removal; visible at once."""
        self._set(key, None, 0, token)

    def put_meta(self, name: str, value: bytes, token: Hashable | None = None) -> None:
        """Set one of the node's own small states, through the same log."""
        self._set(name, value, len(value), token)

    def get_meta(self, name: str) -> bytes | None:
        """The newest state of that name. Raises CorruptData."""
        for entries in (self._newest, self._frozen.entries):
            if name in entries:
                return entries[name]
        return read_state(self._table, name)

    def scan(self, after: ItemKey, until: ItemKey, limit: int) -> list[tuple[ItemKey, bytes]]:
        """At most `limit` records with after < key < until, in key order.

        A damaged value is left out and noted in `damaged_keys`: to an exchange it looks missing,
        which is what makes another replica send it.
        """
        sources = (
            self._active.scan(after, until),
            self._frozen.scan(after, until),
            self._table_rows(after, until, limit),
        )
        found: list[tuple[ItemKey, bytes]] = []
        last: bytes | None = None
        for key, age, data in merge(*map(_of_age, count(), sources)):
            if key == last:
                continue
            last = key
            record = self._opened_or_noted(key, data) if age == 2 and data is not None else data
            if record is not None:
                found.append((ItemKey(key), record))
                if len(found) == limit:  # looking for one more would read a page more of the table
                    break
        return found

    def refusal(self) -> str | None:
        """Why no client write is accepted now (`memory full`, `disk full`), or None."""
        if self._active.bytes + self._frozen.bytes >= self._options.memory_bytes_max:
            return MEMORY_FULL
        if self._disk_low or self._log.disk_full:
            return DISK_FULL
        return None

    def check_disk(self) -> None:
        """Look how much room is left; about once a second is often enough."""
        self._disk_low = self._files.free_bytes() < self._options.disk_reserve_bytes
        if not self._disk_low:
            self._log.disk_full = False  # whether a segment has room shows at the next attempt

    # Groups

    def take_group(self) -> Group | None:
        """Seal the waiting writes; None when nothing waits or a group is under way."""
        if self._under_way is not None:
            return None
        if not self._full:
            if not self._waiting:
                return None
            self._seal()
        writes, tokens = self._full.popleft()
        self._number += 1
        self._under_way = Group(self._log, self._number, writes, tokens)
        return self._under_way

    def synced(self, group: WriteGroup) -> list[Hashable]:
        """The tokens of a group whose `run` returned, in the order of their writes."""
        assert isinstance(group, Group), "the group is one of this engine's"
        assert group is self._under_way, "groups are done one at a time"
        self._under_way = None
        return [token for token in group.tokens if token is not None]

    def sync(self) -> None:
        """Job. Make all groups that were run durable (for durability `interval`)."""
        self._log.sync()

    # Checkpoints

    def checkpoint_due(self) -> bool:
        """Whether memory or log have grown to where a checkpoint should begin."""
        if self._running is not None:
            return False
        return (
            self._frozen_number is not None
            or self._active.bytes * 2 >= self._options.memory_bytes_max
            or self._log.appended_bytes - self._covered_log_bytes >= self._options.log_bytes_max
            or self._log.segments() > SEGMENTS_MAX
        )

    def begin_checkpoint(self) -> Checkpoint | None:
        """Freeze what is in memory; None while the log has still to sync some of it."""
        if self._running is not None:
            return None
        if self._frozen_number is None:
            self._freeze()
        if self._log.synced_number < (self._frozen_number or 0):
            return None
        self._running = self._make_checkpoint(clean=False)
        return self._running

    def checkpointed(self, checkpoint: RunningCheckpoint) -> None:
        """All slices have run: let go of the frozen writes."""
        assert checkpoint is self._running, "one checkpoint runs at a time"
        self._frozen = RecentWrites()
        self._table.refresh()
        self._running = self._frozen_number = None
        self._covered_log_bytes = self._frozen_log_bytes

    def checkpoint_failed(self, checkpoint: RunningCheckpoint) -> None:
        """A slice raised DiskFull: keep everything in memory and in the log."""
        assert checkpoint is self._running, "one checkpoint runs at a time"
        for key, record in self._active.entries.items():
            self._frozen.put(key, record)
        self._active, self._frozen = self._frozen, RecentWrites()
        self._newest = self._active.entries
        self._running = self._frozen_number = None
        self._disk_low = True

    def figures(self) -> EngineFigures:
        """What is held now."""
        return EngineFigures(
            self._active.bytes + self._frozen.bytes,
            self._options.memory_bytes_max,
            self._log.appended_bytes - self._covered_log_bytes,
            self._log.segments(),
            self._running is not None,
            len(self.damaged_keys),
        )

    # Opening and closing

    def open(self) -> Recovery:
        """Job. Find what was there. Raises CorruptData, DiskFull, StorageFailed."""
        found = read_position(self._table)
        position = found or Position(0, 0, begun=False, clean=False)
        if found is None:
            write_position(self._table, position)
        replay = Replay(position, self._replay)
        replay.run(self._files, new_table=found is None)
        self._number = replay.last_number
        self._log.start(replay, position.generation)
        if position.clean:
            generation, begun = self._log.first_needed(position.number)
            write_position(self._table, Position(position.number, generation, begun, clean=False))
        self.check_disk()
        return Recovery(
            fresh=self._number == 0 and not replay.damaged,
            clean=position.clean,
            damaged=replay.damaged,
            groups_replayed=replay.groups,
            bytes_replayed=replay.bytes,
            torn_bytes=replay.torn_bytes,
        )

    def close_clean(self) -> list[Hashable]:
        """Job. Make everything durable and mark the stop as clean; tokens as from `synced`.

        No other job may run any more. A group or checkpoint that was left half way is done again.
        """
        tokens: list[Hashable] = []
        while (group := self._under_way or self.take_group()) is not None:
            if group.number > self._log.last_number:
                group.run()
            tokens += self.synced(group)
        self._log.sync()
        self._running = None
        with suppress(DiskFull):  # then the next start replays the log instead
            if self._frozen_number is not None:
                self._run_checkpoint(clean=False)
            self._freeze()
            self._run_checkpoint(clean=True)
        self.close()
        return tokens

    def close(self) -> None:
        """Let go of the files as they are; the next open replays the log."""
        self._log.close()
        self._table.close()
        self._files.release()

    def _set(
        self, key: bytes | str, record: bytes | None, size: int, token: Hashable | None
    ) -> None:
        self._active.put(key, record)
        if self.damaged_keys:
            self.damaged_keys.pop(key, None)  # type: ignore[arg-type]
        self._waiting[key] = record
        self._tokens.append(token)
        self._waiting_bytes += size
        if self._waiting_bytes > self._options.group_bytes_max:
            self._seal()

    def _seal(self) -> None:
        self._full.append((self._waiting, self._tokens))
        self._waiting, self._tokens, self._waiting_bytes = {}, [], 0

    def _freeze(self) -> None:
        """Everything written so far is in the groups up to `_frozen_number`, once they are run, and
        nothing that is written later is in them."""
        if self._waiting:
            self._seal()
        self._frozen, self._active = self._active, RecentWrites()
        self._newest = self._active.entries
        self._frozen_number = self._number + len(self._full)
        self._frozen_log_bytes = self._log.appended_bytes

    def _make_checkpoint(self, *, clean: bool) -> Checkpoint:
        number = self._frozen_number
        assert number is not None, "a checkpoint writes what was frozen"
        slice_bytes = self._options.slice_bytes
        return Checkpoint(self._frozen, self._table, self._log, number, slice_bytes, clean=clean)

    def _run_checkpoint(self, *, clean: bool) -> None:
        self._running = self._make_checkpoint(clean=clean)
        for step in self._running.slices():
            step()
        self.checkpointed(self._running)

    def _replay(self, writes: Writes) -> None:
        for key, record in writes.items():
            self._active.put(key, record)

    def _table_rows(self, after: bytes, until: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Rows in pages, each read in a transaction of its own, so that no reader pins pages."""
        while True:
            page = self._table.scan(after, until, limit)
            yield from page
            if len(page) < limit:
                return
            after = page[-1][0]

    def _opened_or_noted(self, key: bytes, data: bytes) -> bytes | None:
        try:
            return opened(key, data)
        except CorruptData:
            self._note_damaged(key)
            return None

    def _note_damaged(self, key: bytes) -> None:
        if len(self.damaged_keys) < DAMAGED_KEYS_MAX:
            self.damaged_keys[key] = None


def _of_age(
    age: int, rows: Iterable[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Rows that sort behind newer ones of the same key. A function, because mypyc goes through all
    of a generator expression where it stands."""
    for key, data in rows:
        yield key, age, data
