"""A real directory whose syncs are counted, and can be held up.

What was written through a handle is durable when an `fdatasync` that began after it has returned.
"""

from threading import Condition, Lock

from dynamo.storage.files import OsFiles

HELD_S_MAX = 20.0


class WatchedFiles(OsFiles):
    """`Files` that know which bytes are durable."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._seen = Lock()
        self._written: dict[int, list[bytes]] = {}
        self._syncing: list[bytes] = []
        self._durable: list[bytes] = []
        self._gate = Condition()
        self._held = False
        self.syncs = 0

    def pwrite(self, handle: int, data: bytes, offset: int) -> None:
        """As ever; remembered as not yet durable."""
        super().pwrite(handle, data, offset)
        with self._seen:
            self._written.setdefault(handle, []).append(data)

    def fdatasync(self, handle: int) -> None:
        """As ever, once it is not held up; what it covers becomes durable when it returns."""
        with self._seen:
            covered = self._written.pop(handle, [])
            self._syncing += covered
        with self._gate:
            assert self._gate.wait_for(lambda: not self._held, HELD_S_MAX), "held for too long"
        super().fdatasync(handle)
        with self._seen:
            self._durable += covered
            self.syncs += 1

    def hold(self, held: bool) -> None:
        """Hold up every sync from now on, or let them go."""
        with self._gate:
            self._held = held
            self._gate.notify_all()

    def has_begun(self, what: bytes) -> bool:
        """Whether a sync that covers these bytes was asked for; it may be held up."""
        with self._seen:
            return any(what in data for data in self._syncing)

    def has_durably(self, what: bytes) -> bool:
        """Whether a returned sync covers these bytes."""
        with self._seen:
            return any(what in data for data in self._durable)
