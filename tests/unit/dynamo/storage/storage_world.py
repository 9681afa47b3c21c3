"""One node's disk, as the storage tests use it: a log's files and a table on one power supply."""

from random import Random

from dynamo.storage.engine import LogEngine
from dynamo.storage.port import EngineOptions
from dynamo.storage.recovery import Recovery
from dynamo.storage.tables import Items, MemoryTable
from dynamo.testing.disk import SimulatedFiles
from dynamo.types import ItemKey

SMALL = EngineOptions(
    memory_bytes_max=20_000,
    segment_bytes=4096,
    log_bytes_max=8192,
    group_bytes_max=2048,
    slice_bytes=1000,
    disk_reserve_bytes=0,
)
"""Everything happens within a few dozen writes."""


class PoweredTable(MemoryTable):
    """A table whose writes are calls of the simulated disk: they happen in whole or not at all."""

    def __init__(self, files: SimulatedFiles) -> None:
        super().__init__()
        self._files = files

    def write(self, items: Items, meta: dict[str, bytes]) -> None:
        self._files.tick("table before")
        super().write(items, meta)
        self._files.tick("table after")


class StorageWorld:
    """An engine over a simulated disk that can lose power at any call."""

    def __init__(self, options: EngineOptions = SMALL) -> None:
        self.options = options
        self.files = SimulatedFiles()
        self.table = PoweredTable(self.files)
        self.engine = LogEngine(self.files, self.table, options)

    def open(self) -> Recovery:
        """A new process on the same disk."""
        self.engine = LogEngine(self.files, self.table, self.options)
        return self.engine.open()

    def lose_power(self, rng: Random) -> None:
        self.files.power_loss(rng)

    def put(self, key: bytes, value: bytes | None, token: int = 0) -> None:
        if value is None:
            self.engine.delete(ItemKey(key), token)
        else:
            self.engine.put(ItemKey(key), value, token)

    def get(self, key: bytes) -> bytes | None:
        return self.engine.get(ItemKey(key))

    def group(self) -> list[object]:
        """Make everything that waits durable."""
        tokens: list[object] = []
        while (group := self.engine.take_group()) is not None:
            group.run()
            tokens += self.engine.synced(group)
        return tokens

    def write(self, writes: dict[bytes, bytes | None]) -> list[object]:
        """One group of writes, durable on return."""
        for number, (key, value) in enumerate(writes.items()):
            self.put(key, value, number)
        return self.group()

    def checkpoint(self) -> None:
        checkpoint = self.engine.begin_checkpoint()
        assert checkpoint is not None, "the log has synced everything"
        for step in checkpoint.slices():
            step()
        self.engine.checkpointed(checkpoint)

    def contents(self) -> dict[bytes, bytes]:
        return dict(self.engine.scan(ItemKey(b""), ItemKey(b"\xff" * 20), 10_000))

    def segments(self) -> list[str]:
        return [name for name in self.files.list() if name.startswith("log-")]
