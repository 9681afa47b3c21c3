"""What a shell or the simulator asks of an engine: records for the core, jobs for a thread.

    event loop                                  thread
    put, put, put ... take_group() -> group     group.run()          one write, one sync
    synced(group) -> tokens                     (tell the kernel: Persisted)
    checkpoint_due()? begin_checkpoint()        for step in checkpoint.slices(): step()
    checkpointed(checkpoint)

Only what is named a job may run in a thread: `group.run`, `sync`, the slices of a checkpoint,
`open` and `close_clean`. Groups and `sync` run in one thread at a time; a checkpoint may run beside
them.
"""

from collections.abc import Hashable, Iterator
from typing import Literal, NamedTuple, Protocol

from dynamo.ports import RecordStore
from dynamo.storage.checkpoint import Slice
from dynamo.storage.recovery import Recovery

Durability = Literal["fsync", "interval", "memory"]


class EngineOptions(NamedTuple):
    """An engine's knobs; the defaults are for one node per core with a gigabyte to itself."""

    durability: Durability = "fsync"
    """`fsync`: a group is synced before its tokens come back; `interval`: when the shell calls
    `sync`; `memory`: never, there are no files."""
    memory_bytes_max: int = 128 << 20
    """Active and frozen writes together. At the bound `refusal` says `memory full`; a checkpoint is
    due at half of it. Higher: fewer and longer checkpoints, more to replay. Lower: the reverse."""
    segment_bytes: int = 64 << 20
    """Size of a log segment, written with zeros when it is made."""
    log_bytes_max: int = 192 << 20
    """A checkpoint is due after so many log bytes, so that overwriting a few keys for ever does
    not grow the log. Higher: hot keys are written to the table less often; lower: a start after
    a crash replays less."""
    group_bytes_max: int = 4 << 20
    """What one write and sync take at most; more that waits goes in the next groups."""
    slice_bytes: int = 3 << 19
    """One checkpoint transaction. Higher: fewer syncs, longer pauses for the log beside it."""
    disk_reserve_bytes: int = 512 << 20
    """Below so much free room `refusal` says `disk full`: the rest is for checkpoints and
    deletes."""


class EngineFigures(NamedTuple):
    """What an engine holds now, for metrics and status."""

    memory_bytes: int = 0
    memory_bytes_max: int = 0
    log_bytes: int = 0
    log_segments: int = 0
    checkpoint_running: bool = False
    damaged_keys: int = 0


class WriteGroup(Protocol):
    """Writes that are made durable together."""

    def run(self) -> None:
        """The blocking part. Raises DiskFull (run it again later) or StorageFailed (end)."""


class RunningCheckpoint(Protocol):
    """A frozen table on its way to disk."""

    def slices(self) -> Iterator[Slice]:
        """Blocking steps, each to be run before the next is asked for."""


class Engine(RecordStore, Protocol):
    """A store of records with its jobs."""

    def open(self) -> Recovery:
        """Job. Find what was there. Raises CorruptData, DiskFull, StorageFailed."""

    def put_meta(self, name: str, value: bytes, token: Hashable | None = None) -> None:
        """Set one of the node's own small states, through the same log."""

    def take_group(self) -> WriteGroup | None:
        """Seal the waiting writes; None when nothing waits or a group is under way."""

    def synced(self, group: WriteGroup) -> list[Hashable]:
        """The tokens of a group whose `run` returned."""

    def sync(self) -> None:
        """Job. Make all groups that were run durable (for durability `interval`)."""

    def checkpoint_due(self) -> bool:
        """Whether memory or log have grown to where a checkpoint should begin."""

    def begin_checkpoint(self) -> RunningCheckpoint | None:
        """Freeze what is in memory; None while the log has still to sync some of it: ask again
        after the next `synced`, or while nothing is there to write."""

    def checkpointed(self, checkpoint: RunningCheckpoint) -> None:
        """All slices have run: let go of the frozen writes."""

    def checkpoint_failed(self, checkpoint: RunningCheckpoint) -> None:
        """A slice raised DiskFull: keep everything in memory and in the log."""

    def check_disk(self) -> None:
        """Look how much room is left; about once a second is often enough."""

    def figures(self) -> EngineFigures:
        """What is held now."""

    def close_clean(self) -> list[Hashable]:
        """Job. Make everything durable and mark the stop as clean; tokens as from `synced`. No
        other job may run any more; one that was left half way is done again."""

    def close(self) -> None:
        """Let go of the files as they are; the next open replays the log."""
