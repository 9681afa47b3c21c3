"""A disk in memory that forgets like a real one: what was not synced may be lost, torn or kept.

Writes lie in a cache by sector until `fdatasync`, names until `sync_directory`. A power loss then
decides for each unsynced sector on its own whether it is kept, dropped, or torn (its first bytes
new, the rest old), and keeps a random first part of the unsynced renames, creates and removals, as
a journaling file system does. A crash of the process alone loses nothing, but leaves it unsynced.

All chance comes from the caller's generator, so that a seed repeats a run exactly.
"""

from collections.abc import Callable
from random import Random

from dynamo.errors import StorageFailed
from dynamo.storage.files import SECTOR_BYTES, DiskFull


class PowerLost(Exception):
    """The call during which the power failed; whoever sees it is no more."""


class _File:
    """The bytes on the platter, and what is still on its way there."""

    def __init__(self, size: int) -> None:
        self.durable = bytearray(size)
        self.unsynced: dict[int, bytes] = {}

    def visible(self) -> bytes:
        data = bytearray(self.durable)
        _lay(self.unsynced, data)
        return bytes(data)

    def write(self, data: bytes, offset: int) -> None:
        assert offset + len(data) <= len(self.durable), "writes stay inside the file"
        first = offset // SECTOR_BYTES
        end = -(-(offset + len(data)) // SECTOR_BYTES)
        content = self.durable[first * SECTOR_BYTES : end * SECTOR_BYTES]
        older = {s - first: self.unsynced[s] for s in range(first, end) if s in self.unsynced}
        _lay(older, content)
        within = offset - first * SECTOR_BYTES
        content[within : within + len(data)] = data
        for sector in range(first, end):
            start = (sector - first) * SECTOR_BYTES
            self.unsynced[sector] = bytes(content[start : start + SECTOR_BYTES])

    def sync(self) -> None:
        _lay(self.unsynced, self.durable)
        self.unsynced.clear()

    def lose_power(self, rng: Random) -> None:
        for sector, content in sorted(self.unsynced.items()):
            kept = rng.choice((0, len(content), rng.randrange(len(content))))
            start = sector * SECTOR_BYTES
            self.durable[start : start + kept] = content[:kept]
        self.unsynced.clear()


def _lay(sectors: dict[int, bytes], data: bytearray) -> None:
    for sector, content in sectors.items():
        start = sector * SECTOR_BYTES
        data[start : start + len(content)] = content


_Names = dict[str, _File]


class SimulatedFiles:
    """`Files` over a simulated disk, with faults to inject."""

    def __init__(self, capacity_bytes: int = 1 << 40) -> None:
        self.capacity_bytes = capacity_bytes
        """Lower it to fill the disk."""
        self.calls = 0
        """Calls so far that change something; `power_fails_at` counts the same."""
        self.power_fails_at: int | None = None
        """The call (counted from 1) that raises PowerLost instead of returning."""
        self.sync_ms = 0.0
        """How long one sync takes; raise it for a slow disk."""
        self._delay_ms = 0.0
        self._failing: list[str] = []
        self._names: _Names = {}
        self._durable_names: _Names = {}
        self._unsynced_names: list[Callable[[_Names], None]] = []
        self._handles: dict[int, _File] = {}
        self._next_handle = 0

    # Faults

    def power_loss(self, rng: Random) -> None:
        """Decide what is left of all that was not synced; the process is gone."""
        kept = rng.randint(0, len(self._unsynced_names))
        for change in self._unsynced_names[:kept]:
            change(self._durable_names)
        self._names = dict(self._durable_names)
        self._unsynced_names.clear()
        for _, file in sorted(self._names.items()):
            file.lose_power(rng)
        self.process_crash()

    def process_crash(self) -> None:
        """The process is gone; the kernel still has everything, unsynced as it was."""
        self._handles.clear()
        self._failing.clear()
        self.power_fails_at = None

    def fail_next(self, verb: str) -> None:
        """Let the next call of that name (`fdatasync`, `pwrite`, `create`, ...) fail."""
        self._failing.append(verb)

    def flip(self, name: str, offset: int, mask: int = 1) -> None:
        """Flip bits of a byte that is on the platter."""
        self._names[name].durable[offset] ^= mask

    def cut(self, name: str, size: int) -> None:
        """The end of a file is gone from the platter."""
        del self._names[name].durable[size:]

    def wipe(self) -> None:
        """An empty disk in its place."""
        self._names, self._durable_names = {}, {}
        self._unsynced_names.clear()
        self.process_crash()

    def image(self) -> "SimulatedFiles":
        """A copy of the disk as the machine sees it now, all of it synced."""
        copy = SimulatedFiles(self.capacity_bytes)
        for name, file in self._names.items():
            twin = copy._names[name] = _File(0)
            twin.durable = bytearray(file.visible())
        copy._durable_names = dict(copy._names)
        return copy

    def take_delay_ms(self) -> float:
        """How long the calls since the last asking took, for the simulator to schedule."""
        delay_ms, self._delay_ms = self._delay_ms, 0.0
        return delay_ms

    # Files

    def list(self) -> list[str]:
        """The visible names, sorted."""
        return sorted(self._names)

    def create(self, name: str, size: int, *, written: bool = True) -> None:
        """Zeros, synced but for the name; a power loss in the middle may leave a part of it."""
        assert name not in self._names, "a new file has a new name"
        if size > self.free_bytes():
            raise DiskFull(f"cannot create {name}: no space left on the simulated disk")
        try:
            self._call("create")
        except PowerLost:
            self._change_names(lambda names: names.update({name: _File(size // 2)}))
            raise
        file = _File(size)
        self._change_names(lambda names: names.update({name: file}))

    def open(self, name: str) -> int:
        """A handle, never given twice."""
        self._next_handle += 1
        self._handles[self._next_handle] = self._names[name]
        return self._next_handle

    def close(self, handle: int) -> None:
        """Let go of a handle."""
        del self._handles[handle]

    def pwrite(self, handle: int, data: bytes, offset: int) -> None:
        """Into the cache; a power loss during the call may find any part of it there."""
        file = self._handles[handle]
        try:
            self._call("pwrite")
        except PowerLost:
            file.write(data, offset)
            raise
        file.write(data, offset)

    def fdatasync(self, handle: int) -> None:
        """To the platter; a failure drops what was cached, as kernels do."""
        file = self._handles[handle]
        self._delay_ms += self.sync_ms
        try:
            self._call("fdatasync")
        except StorageFailed:
            file.unsynced.clear()
            raise
        file.sync()

    def read(self, name: str) -> bytes:
        """The whole file, with what is not synced yet."""
        return self._names[name].visible()

    def size(self, name: str) -> int:
        """The file's length in bytes."""
        return len(self._names[name].durable)

    def rename(self, old: str, new: str) -> None:
        """Durable after `sync_directory`."""
        self._call("rename")
        self._change_names(lambda names: names.update({new: names.pop(old)}))

    def remove(self, name: str) -> None:
        """Durable after `sync_directory`."""
        self._call("remove")
        self._change_names(lambda names: names.__delitem__(name))

    def sync_directory(self) -> None:
        """All names become durable."""
        self._delay_ms += self.sync_ms
        self._call("sync_directory")
        for change in self._unsynced_names:
            change(self._durable_names)
        self._unsynced_names.clear()

    def free_bytes(self) -> int:
        """The capacity less the files."""
        return self.capacity_bytes - sum(len(file.durable) for file in self._names.values())

    def release(self) -> None:
        """Handles end with the process that held them."""
        self._handles.clear()

    def tick(self, verb: str) -> None:
        """Count a call of something else on the same power supply, such as a table."""
        self._call(verb)

    def _call(self, verb: str) -> None:
        self.calls += 1
        if self.calls == self.power_fails_at:
            raise PowerLost(f"the power failed in {verb}, call {self.calls}")
        if verb in self._failing:
            self._failing.remove(verb)
            raise StorageFailed(f"the simulated {verb} failed")

    def _change_names(self, change: Callable[[_Names], None]) -> None:
        change(self._names)
        self._unsynced_names.append(change)
