"""One direction of one connection, in what weather: bytes come in, and go on when they may.

    leaves(i) = max(arrived(i) + delay, leaves(i-1) + size(i-1) / rate),  and not while held

Order is kept and nothing is lost: what is held goes on when the hold ends, as TCP sends again what
a broken network dropped. Whoever has too much under way is not read from any more, so that a dead
direction pushes back on its sender as a full window does.
"""

from collections import deque

WAITING_BYTES_MAX = 256 << 10
"""Beyond it the sender is not read from. Higher: more of what a partition holds arrives late in one
piece; lower: throughput of a delayed link, which is at most so much per delay."""


class Way:
    """The weather of one direction between two parties, shared by all their connections."""

    __slots__ = ("bytes_per_s", "cut", "delay_s", "held")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Fine weather."""
        self.delay_s = self.bytes_per_s = 0.0
        """`bytes_per_s` 0: as fast as it can."""
        self.held = self.cut = False
        """`held`: nothing arrives. `cut`: connections break, and no new one is made."""

    @property
    def is_clear(self) -> bool:
        """Whether nothing is wrong here."""
        return not (self.delay_s or self.bytes_per_s or self.held or self.cut)


class Flow:
    """The bytes under way in one direction of one connection."""

    __slots__ = ("_chunks", "_free_s", "waiting_bytes", "way")

    def __init__(self, way: Way) -> None:
        self.way = way
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._free_s = 0.0
        self.waiting_bytes = 0

    def push(self, data: bytes, now: float) -> None:
        """Bytes came in; empty ones are the end of the stream, and arrive in their turn."""
        self._chunks.append((now, data))
        self.waiting_bytes += len(data)

    def take(self, now: float) -> tuple[bytes, bool]:
        """What goes on now, and whether the stream ends with it."""
        taken: list[bytes] = []
        while (due := self.due()) is not None and due <= now:
            _, data = self._chunks.popleft()
            if not data:
                return b"".join(taken), True
            rate = self.way.bytes_per_s
            self._free_s = due + len(data) / rate if rate else 0.0
            self.waiting_bytes -= len(data)
            taken.append(data)
        return b"".join(taken), False

    def due(self) -> float | None:
        """When something may go on; None while nothing waits or nothing may pass."""
        if not self._chunks or self.way.held:
            return None
        return max(self._chunks[0][0] + self.way.delay_s, self._free_s)

    @property
    def is_full(self) -> bool:
        """Whether the sender should wait."""
        return self.waiting_bytes > WAITING_BYTES_MAX
