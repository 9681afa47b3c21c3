"""A simulated node's disk, and the real engine over it, its jobs run in simulated time.

    put ─▶ engine ─▶ take_group ··· sync takes a while ··· run ─▶ promised ─▶ Persisted
                     checkpoint slices, one by one, beside it

`promised` is what this disk has sworn to remember: the writes of every group whose `run` returned
(under the durability `interval` as long as the power does not fail).
After any start the engine must hold at least that, and every acknowledgement counts only promises.
A hint may be removed only when its owner's disk has promised all that it holds.
A power loss in the middle of a job runs the job into a call that never returns.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple

from dynamo.errors import CorruptData, StorageFailed
from dynamo.repair.boot import IDENTITY, decode_identity
from dynamo.repair.hints import hint_key, is_hint_key, parse_hint_key
from dynamo.siblings.codec import decode_record
from dynamo.storage.engine import LogEngine
from dynamo.storage.files import DiskFull
from dynamo.storage.port import EngineOptions, RunningCheckpoint, WriteGroup
from dynamo.storage.recovery import Recovery
from dynamo.storage.tables import Items, MemoryTable
from dynamo.testing.disk import PowerLost, SimulatedFiles
from dynamo.testing.world import World
from dynamo.types import ItemKey, NodeId

OPTIONS = EngineOptions(
    memory_bytes_max=1 << 20,
    segment_bytes=128 << 10,
    log_bytes_max=96 << 10,
    group_bytes_max=64 << 10,
    slice_bytes=8 << 10,
    disk_reserve_bytes=1 << 20,
)
"""Small, so that a short run sees many segments, checkpoints and slices."""

Promised = dict[ItemKey | str, bytes | None]

SYNC_MS = 1.0
INTERVAL_MS = 40.0
"""Between two syncs under the durability `interval`."""
SLICE_MS = 2.0
DISK_BYTES = 64 << 20
DISK_CHECK_MS = 100.0
"""Between two looks at how much room is left."""
DISK_FULL_RETRY_MS = 50.0
"""A group that finds the disk full waits so long; nothing of it was acknowledged."""
MIDDLE_CALLS_MAX = 4
"""A power loss in the middle of a job happens at one of its first so many calls."""


class Violation(AssertionError):
    """The system under test broke a promise; the text says which, where and how."""


class Table(MemoryTable):
    """The checkpoint table on a disk that may be full."""

    def __init__(self, files: SimulatedFiles) -> None:
        super().__init__()
        self._files = files

    def write(self, items: Items, meta: dict[str, bytes]) -> None:
        """Set and remove, if there is any room. Raises DiskFull."""
        if items and self._files.free_bytes() <= 0:
            raise DiskFull("no space left on the simulated disk")
        super().write(items, meta)

    def image(self, files: SimulatedFiles) -> "Table":
        """A copy, on a copy of the disk."""
        copy = Table(files)
        copy.write(sorted(self.values.items()), dict(self.meta))
        return copy


class Image(NamedTuple):
    """A disk at some time."""

    files: SimulatedFiles
    table: Table
    promised: Promised

    def identity(self) -> tuple[str, int, int]:
        """Who it was: incarnation, epoch, unclean epoch."""
        return decode_identity(self.promised[IDENTITY])


class Disk:
    """What outlives a process: files, the checkpoint table, and what was promised of them."""

    def __init__(self, world: World, name: str, options: EngineOptions = OPTIONS) -> None:
        self.options = options
        self.rng: Random = world.rng(f"disk {name}")
        self.world, self.name = world, name
        self.slowness = 1.0
        """Factor on every sync; a fault raises it."""
        self.next_sync_fails = False
        self.files = SimulatedFiles(DISK_BYTES)
        self.table = Table(self.files)
        self.promised: Promised = {}
        self.lost: list[tuple[float, Promised]] = []
        """Promises that went with a lost disk or a damaged value, and when."""
        self.removing: dict[ItemKey, bytes] = {}
        """Tombstones whose removal was begun; it may be durable before anybody hears of it."""
        self.removed: dict[ItemKey, bytes] = {}
        """The last tombstone of each key that was removed: what its operations were is known."""
        self.damaged: dict[ItemKey, None] = {}
        """Records that were damaged and not written again since."""
        self.is_old = False
        """Whether an old image stands here that nobody has found out yet."""
        self.others: dict[str, Disk] = {}
        """All disks of the cluster by their node's name, this one as well."""
        self.owners: Callable[[ItemKey], Collection[str]] = lambda key: self.others.keys()
        """Who owns an item now."""
        self.dropping: set[ItemKey] = set()
        """Hints whose removal is not durable yet: after a crash they may be there or not."""
        self.hinted: set[ItemKey] = set()
        """Items of which a hint was ever kept here."""

    def image(self) -> Image:
        """What is on the disk now."""
        files = self.files.image()
        return Image(files, self.table.image(files), dict(self.promised))

    def replace(self, image: Image | None = None) -> None:
        """The disk is gone; an empty one, or one of some time ago, stands in its place."""
        held: Promised = dict(self.removed.items())
        held |= {key: record for key, record in self.promised.items() if record is not None}
        self.lost.append((self.world.now, held))
        self.removing, self.removed = {}, {}
        if image is None:
            files = SimulatedFiles(DISK_BYTES)
            image = Image(files, Table(files), {})
        self.files, self.table, self.promised = image
        self.files.capacity_bytes = DISK_BYTES
        self.is_old = bool(self.promised)
        self.damaged = {}

    def lose_record(self, key: ItemKey) -> None:
        """A record was damaged."""
        self.lost.append((self.world.now, {key: self.promised.pop(key)}))
        self.damaged[key] = None

    def records_since(self, key: ItemKey, since_ms: float) -> list[bytes]:
        """What this disk holds durably, and what it held until it was lost since then."""
        held = [lost.get(key) for lost_ms, lost in self.lost if lost_ms >= since_ms]
        held.append(self.removed.get(key))
        return [record for record in (self.promised.get(key), *held) if record is not None]

    def copies_since(
        self, key: ItemKey, owners: tuple[NodeId, ...], since_ms: float
    ) -> list[bytes]:
        """The same, of an owner's own record and of what is kept here for owners."""
        places = [hint_key(owner, key) for owner in owners] if key in self.hinted else []
        if self.name in owners:
            places.append(key)
        return [record for place in places for record in self.records_since(place, since_ms)]

    def kept(self, key: ItemKey, owners: tuple[NodeId, ...]) -> list[bytes]:
        """What this disk holds of an item now: its own record, and hints for owners."""
        places = [hint_key(owner, key) for owner in owners] if key in self.hinted else []
        held = [self.promised.get(place) for place in (key, *places)]
        return [record for record in held if record is not None]

    def hints(self) -> int:
        """How many hints this disk has promised to keep."""
        return sum(
            isinstance(key, bytes) and is_hint_key(key) and record is not None
            for key, record in self.promised.items()
        )

    def check_delivered(self, place: ItemKey, record: bytes | None, elsewhere: list[bytes]) -> None:
        """Raise Violation unless the owner's disk has had all dots that the hint knows of, or what
        is `elsewhere` on this one, if it is no owner any more."""
        owner, key = parse_hint_key(place)
        hinted = decode_record(record or b"").history
        held = self.others[owner].records_since(key, 0.0)
        if owner not in self.owners(key):
            held += elsewhere
        told = [decode_record(data).history for data in held]
        if not any(history.descends(hinted) for history in told):
            raise Violation(f"{self.name} drops a hint of {key!r} that {owner} does not have")

    def sync_ms(self) -> float:
        """How long the next sync takes."""
        return SYNC_MS * self.slowness * (0.5 + self.rng.random())


class Engine:
    """The real engine, which may be compiled, behind one that keeps its writes in order until their
    group is durable."""

    def __init__(self, disk: Disk) -> None:
        self.real = real = LogEngine(disk.files, disk.table, disk.options)
        self.get, self.head, self.get_meta, self.scan = (
            real.get,
            real.head,
            real.get_meta,
            real.scan,
        )
        self.refusal, self.damaged_keys = real.refusal, real.damaged_keys
        self._disk = disk
        self._unpromised: deque[tuple[ItemKey | str, bytes | None]] = deque()

    def put(self, key: ItemKey, record: bytes, token: Hashable) -> None:
        """As always."""
        self._unpromised.append((key, record))
        if is_hint_key(key):
            self._disk.hinted.add(parse_hint_key(key)[1])
        self.real.put(key, record, token)

    def delete(self, key: ItemKey, token: Hashable) -> None:
        """As always. A hint is removed only when it is delivered."""
        try:
            record = self.get(key)
        except CorruptData:
            record = None
        if record is not None and is_hint_key(key):
            self._disk.check_delivered(key, record, self._elsewhere(key))
            self._disk.dropping.add(key)
        elif record is not None:
            self._disk.removing[key] = record
        self._unpromised.append((key, None))
        self.real.delete(key, token)

    def put_meta(self, name: str, value: bytes, token: Hashable | None = None) -> None:
        """As always."""
        self._unpromised.append((name, value))
        self.real.put_meta(name, value, token)

    def _elsewhere(self, place: ItemKey) -> list[bytes]:
        """What else is here of a hint's item."""
        owner, key = parse_hint_key(place)
        others = [hint_key(NodeId(name), key) for name in self._disk.others if name != owner]
        found = [self.get(other) for other in (key, *others)]
        return [record for record in found if record is not None]

    def promise(self, group: WriteGroup) -> None:
        """The group is on the disk: its writes, as many as it has tokens, are promises now."""
        promised, unpromised = self._disk.promised, self._unpromised
        for _ in group.tokens:  # type: ignore[attr-defined]
            key, record = unpromised.popleft()
            promised[key] = record
            if record is None and isinstance(key, bytes):
                self._disk.dropping.discard(key)
                if key in self._disk.removing:
                    self._disk.removed[key] = self._disk.removing.pop(key)
            self._disk.damaged.pop(key, None)  # type: ignore[arg-type]


class Store:
    """The jobs of one process's engine."""

    def __init__(
        self,
        disk: Disk,
        post: Callable[..., None],
        persisted: Callable[[list[Any]], None],
        failed: Callable[[str], None],
    ) -> None:
        """`post` runs a call in the process's loop, unless the process is gone by then."""
        self.disk, self.engine = disk, Engine(disk)
        self._post, self._persisted, self._failed = post, persisted, failed
        self._group: WriteGroup | None = None
        self._syncing: WriteGroup | None = None
        self._slice: Callable[[], int] | None = None
        self._checkpointing = False
        self._stopped = False
        if disk.options.durability == "interval":
            disk.world.at(INTERVAL_MS, self._sync_interval)
        disk.world.at(DISK_CHECK_MS, self._check_disk)

    def open(self) -> Recovery:
        """Open the engine. Raises Violation if it does not keep what its disk has promised."""
        recovery = self.engine.real.open()
        if recovery.damaged:
            raise Violation(f"{self.disk.name}: a crash looks like damage to recovery")
        return recovery

    def write_through(self) -> None:
        """Make everything that waits durable now."""
        while (group := self.engine.real.take_group()) is not None:
            group.run()
            self.engine.promise(group)
            self.engine.real.sync()
            self.engine.real.synced(group)

    def kick(self) -> None:
        """There may be writes waiting: start a group unless one is under way."""
        if self._group is None and (group := self.engine.real.take_group()) is not None:
            self._group = self._syncing = group
            self.disk.world.at(self.disk.sync_ms(), self._sync, group)

    def idle(self) -> bool:
        """Whether no job is under way."""
        return self._group is None and not self._checkpointing

    def stop_mid_job(self, rng: Random) -> None:
        """The power fails: a job under way gets as far as one of its calls."""
        self._stopped = True
        files = self.disk.files
        for job in (self._syncing.run if self._syncing else None, self._slice):
            if job is None:
                continue
            files.power_fails_at = files.calls + rng.randint(1, MIDDLE_CALLS_MAX)
            with suppress(PowerLost, StorageFailed, DiskFull):
                job()
            files.power_fails_at = None

    def stop(self) -> None:
        """The process is gone; its jobs come to nothing."""
        self._stopped = True

    def _sync(self, group: WriteGroup) -> None:
        """The log thread: it blocks in the kernel, so a stopped process does not stop it."""
        if self._stopped:
            return
        self._syncing = None
        if self.disk.next_sync_fails:
            self.disk.next_sync_fails = False
            self.disk.files.fail_next("fdatasync")
        try:
            group.run()
        except DiskFull:
            self._syncing = group
            self.disk.world.at(DISK_FULL_RETRY_MS, self._sync, group)
            return
        except StorageFailed as error:
            self._stopped = True
            self._post(self._failed, str(error))
            return
        self.engine.promise(group)
        self._post(self._synced, group)

    def _check_disk(self) -> None:
        """Look how much room is left. A checkpoint that found none before is begun from here."""
        if self._stopped:
            return
        self._post(self.engine.real.check_disk)
        self._post(self._checkpoint_if_due)
        self.disk.world.at(DISK_CHECK_MS, self._check_disk)

    def _sync_interval(self) -> None:
        """What was appended is made durable every so often; until then the kernel has it."""
        if self._stopped:
            return
        try:
            self.engine.real.sync()
        except StorageFailed as error:
            self._stopped = True
            self._post(self._failed, str(error))
            return
        self.disk.world.at(INTERVAL_MS, self._sync_interval)

    def _synced(self, group: WriteGroup) -> None:
        tokens = self.engine.real.synced(group)
        self._group = None
        self.kick()
        self._persisted(tokens)
        self._checkpoint_if_due()

    def _checkpoint_if_due(self) -> None:
        if not self._checkpointing and self.engine.real.checkpoint_due():
            self._checkpoint()

    def _checkpoint(self) -> None:
        checkpoint = self.engine.real.begin_checkpoint()
        if checkpoint is None:
            return
        self._checkpointing = True
        slices = checkpoint.slices()

        def next_slice() -> None:
            self._slice = next(slices, None)
            if self._slice is None:
                self._checkpointing = False
                self.engine.real.checkpointed(checkpoint)
                return
            pause_ms = SLICE_MS * self.disk.slowness
            self.disk.world.at(pause_ms, self._run_slice, checkpoint, next_slice)

        next_slice()

    def _run_slice(self, checkpoint: RunningCheckpoint, done: Callable[[], None]) -> None:
        if self._stopped or self._slice is None:
            return
        job, self._slice = self._slice, None
        try:
            job()
        except DiskFull:
            self._post(self._checkpoint_failed, checkpoint)
            return
        except StorageFailed as error:
            self._stopped = True
            self._post(self._failed, str(error))
            return
        self._post(done)

    def _checkpoint_failed(self, checkpoint: RunningCheckpoint) -> None:
        self._checkpointing = False
        self.engine.real.checkpoint_failed(checkpoint)
