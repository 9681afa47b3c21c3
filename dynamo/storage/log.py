"""The log: groups of writes, durable in the order of their numbers, in recycled segments.

    log-7 (older)      log-8 (current)              log-9 (spare)
    | 41 42 43 44 |    | 45 46 47 . . . . . |       | . . . . . . . . |
      recycled by a checkpoint ^ the next group       made in advance, so that rollover waits for
      of number >= 44                                 nothing

A segment's generation is its place in the order and stands in its name; renaming a segment is
enough to recycle it, because groups of another generation are never read. A group is one write and
one sync. After a failed write or sync nobody knows what the disk holds (the kernel may have dropped
the dirty pages), so the log refuses everything and the process must end.

The log has no thread of its own: `append` and `sync` run in one thread at a time, `recycle` may run
in another at the same time; the lock guards only the lists of segments that they share.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import NamedTuple, Protocol

from dynamo.errors import DynamoError, StorageFailed
from dynamo.storage.files import DiskFull, Files
from dynamo.storage.segment import (
    GROUP_HEADER_BYTES,
    HEADER_BYTES,
    aligned,
    encode_group,
    header_block,
)

_PREFIX = "log-"


class Segment(NamedTuple):
    """A file of the log that is no longer written."""

    generation: int
    size: int
    last_number: int
    """The highest group number inside; 0 when there is none."""


class Found(Protocol):
    """What recovery tells the log."""

    segments: list[Segment]
    last_number: int
    bytes: int


class Log:
    """Appends groups, rolls over to the spare segment, recycles what checkpoints have covered."""

    def __init__(
        self, files: Files, segment_bytes: int, *, spares_max: int, sync_each: bool
    ) -> None:
        """`spares_max`: recycled segments to keep, as many as fill up from one checkpoint to the
        next; `sync_each`: whether every group is synced before `append` returns."""
        self._files = files
        self._spares_max = spares_max
        self._segment_bytes = segment_bytes
        self._sync_each = sync_each
        self._lock = Lock()
        self._old: deque[Segment] = deque()
        self._spares: deque[Segment] = deque()
        self._handle: int | None = None
        self._size = 0
        self._offset = 0
        self._unsynced = False
        self._failed = ""
        self.generation = 0
        """Of the current segment; all lower ones are older, all higher ones spares."""
        self.last_number = 0
        self.synced_number = 0
        self.appended_bytes = 0
        self.disk_full = False
        """Whether the last attempt to make a segment found no room."""

    def start(self, found: Found, first_needed: int) -> None:
        """Take over what recovery found, and the numbers to go on from.

        A new segment is begun even if the last one has room: groups behind its torn tail must
        never be mistaken for what is written next. A full disk is no reason not to start.
        """
        self.last_number = self.synced_number = found.last_number
        self.appended_bytes = found.bytes
        self.generation = max([first_needed, *(s.generation for s in found.segments)])
        for segment in found.segments:
            unused = segment.last_number == 0 and segment.generation != first_needed
            if unused or segment.generation < first_needed:
                self._reuse_or_remove(segment)
            else:
                self._sync_replayed(segment)
                self._old.append(segment)
        self._files.sync_directory()
        with suppress(DiskFull):
            if not self._spares:
                self._spares.append(self._create_spare(self._segment_bytes, written=True))
                self._files.sync_directory()
            self._roll_over(0)

    def append(self, number: int, payload: bytes, checksum: int) -> None:
        """Write one group and make it durable. Raises DiskFull (try again), StorageFailed."""
        assert number == self.last_number + 1, "groups are written in the order of their numbers"
        self._refuse_if_failed()
        size = GROUP_HEADER_BYTES + len(payload)
        if self._handle is None or self._offset + size > self._size:
            self._roll_over(size)
        assert self._handle is not None, "rolling over opens a segment or raises"
        group = encode_group(self.generation, number, self.synced_number, payload, checksum)
        self._write(self._handle, group)
        self.last_number = number
        if self._sync_each:
            self.synced_number = number

    def sync(self) -> None:
        """Make every group appended so far durable (for the durability `interval`)."""
        self._refuse_if_failed()
        if self._handle is None or not self._unsynced:
            return
        number = self.last_number
        try:
            self._files.fdatasync(self._handle)
        except DynamoError as error:
            raise self._failure(error) from error
        self._unsynced = False
        self.synced_number = number

    def first_needed(self, number: int) -> tuple[int, bool]:
        """The first generation that may hold groups above `number`, and whether it is there yet.

        It is not when the disk was too full at the start to begin a segment.
        """
        with self._lock:
            for segment in self._old:
                if segment.last_number > number:
                    return segment.generation, True
            begun = self._handle is not None
            return self.generation if begun else self.generation + 1, begun

    def recycle(self, first_needed: int) -> None:
        """Reuse or remove all segments before that generation; have a spare ready.

        Only what the stored position no longer names may go, hence a generation and not a number:
        the segment that was current when the position was made stays, whatever it holds.
        """
        self._refuse_if_failed()
        with self._lock:
            changed = False
            while self._old and self._old[0].generation < first_needed:
                changed = True
                self._reuse_or_remove(self._old.popleft())
            if not self._spares:
                with suppress(DiskFull):  # `disk_full` says so; the groups themselves are safe
                    self._spares.append(self._create_spare(self._segment_bytes, written=True))
                    changed = True
            if changed:
                self._files.sync_directory()

    def segments(self) -> int:
        """How many files hold groups that no checkpoint has covered."""
        return len(self._old) + 1

    def close(self) -> None:
        """Let go of the current segment without syncing it."""
        if self._handle is not None:
            self._files.close(self._handle)
            self._handle = None

    def _write(self, handle: int, group: bytes) -> None:
        self._unsynced = True
        try:
            self._files.pwrite(handle, group, self._offset)
            if self._sync_each:
                self._files.fdatasync(handle)
                self._unsynced = False
        except DynamoError as error:
            raise self._failure(error) from error
        self._offset = aligned(self._offset + len(group))
        self.appended_bytes += len(group)

    def _roll_over(self, size: int) -> None:
        """Go on in a spare segment with room for `size` bytes, made now if there is none."""
        self.sync()
        with self._lock:
            if not self._spares or self._spares[0].size < HEADER_BYTES + size:
                self._make_room_for(size)
            spare = self._spares.popleft()
            if self._handle is not None:
                self._files.close(self._handle)
                self._old.append(Segment(self.generation, self._size, self.last_number))
            self._handle = self._files.open(segment_name(spare.generation))
            self.generation, self._size, self._offset = spare.generation, spare.size, HEADER_BYTES

    def _make_room_for(self, size: int) -> None:
        while self._spares:  # too small for this group; a later generation must not come first
            self._files.remove(segment_name(self._spares.popleft().generation))
        wanted = max(self._segment_bytes, aligned(HEADER_BYTES + size))
        self._spares.append(self._create_spare(wanted, written=False))  # a group is waiting
        self._files.sync_directory()

    def _next_generation(self) -> int:
        return max([self.generation, *(spare.generation for spare in self._spares)]) + 1

    def _create_spare(self, size: int, *, written: bool) -> Segment:
        generation = self._next_generation()
        name = segment_name(generation)
        try:
            self._files.create(name, size, written=written)
        except DiskFull:
            self.disk_full = True
            raise
        self.disk_full = False
        self._write_header(name, size)
        return Segment(generation, size, 0)

    def _write_header(self, name: str, size: int) -> None:
        handle = self._files.open(name)
        self._files.pwrite(handle, header_block(size), 0)
        self._files.fdatasync(handle)
        self._files.close(handle)

    def _sync_replayed(self, segment: Segment) -> None:
        # After a mere crash of the process its last groups are read back from the kernel's cache.
        handle = self._files.open(segment_name(segment.generation))
        self._files.fdatasync(handle)
        self._files.close(handle)

    def _reuse_or_remove(self, segment: Segment) -> None:
        name = segment_name(segment.generation)
        if len(self._spares) >= self._spares_max or segment.size != self._segment_bytes:
            self._files.remove(name)
            return
        generation = self._next_generation()
        self._files.rename(name, segment_name(generation))
        # A crash may have come before the first one.
        self._write_header(segment_name(generation), segment.size)
        self._spares.append(Segment(generation, segment.size, 0))

    def _refuse_if_failed(self) -> None:
        if self._failed:
            raise StorageFailed(f"the log failed before: {self._failed}")

    def _failure(self, error: Exception) -> StorageFailed:
        self._failed = str(error)
        return StorageFailed(f"the log cannot be trusted any more: {error}")


def segment_name(generation: int) -> str:
    """The file's name; names sort as generations do."""
    return f"{_PREFIX}{generation:016d}"


def generations(names: list[str]) -> Iterator[int]:
    """The generations of all segments among the names of a directory, rising."""
    for name in names:
        if name.startswith(_PREFIX) and name[len(_PREFIX) :].isdigit():
            yield int(name[len(_PREFIX) :])
