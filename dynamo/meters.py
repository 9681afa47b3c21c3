"""What a node counts about itself, as plain numbers that are read when somebody asks.

    machines --observe, += 1--> Meters --read at scrape time--> a shell's metrics page

No lock and no label look-up stands in the hot path: `observe` is one bisection and two additions.
All meters of a node are written by one thread, that of its kernel. A histogram keeps the count of
each bucket by itself (not cumulative); slot i counts the values in (bounds[i-1], bounds[i]], the
last slot those above every bound.
"""

from bisect import bisect_left
from collections.abc import Iterator

LATENCY_BOUNDS_MS: tuple[float, ...] = (
    *(0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0),
    *(50.0, 70.0, 100.0, 200.0, 300.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0),
)
GROUP_BOUNDS: tuple[float, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
SIBLINGS_BOUNDS: tuple[float, ...] = (0, 1, 2, 3, 5, 10, 20, 50, 100)


class Histogram:
    """How often values fell where, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are ascending upper bounds, each belonging to the bucket that it closes."""
        assert list(bounds) == sorted(set(bounds)), "bounds ascend"
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def count_instant(self) -> None:
        """Count what took no time that the core could see; for the hottest paths."""
        self.counts[0] += 1

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)

    def cumulative(self) -> Iterator[tuple[float | None, int]]:
        """(bound, values at or below it) for each bound, at last (None, all values)."""
        total = 0
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            total += count
            yield bound, total


class LatencyHistogram(Histogram):
    """Durations in milliseconds, from a tenth to ten seconds."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(LATENCY_BOUNDS_MS)


OPERATIONS: tuple[tuple[str, str], ...] = (
    *(("put", "ok"), ("put", "failed"), ("put", "unknown")),
    *(("get", "ok"), ("get", "failed")),
    *(("outcome", "ok"), ("outcome", "failed"), ("outcome", "unknown")),
    *(("replica_put", "ok"), ("replica_put", "failed")),
    *(("replica_get", "ok"), ("replica_get", "failed")),
)
"""(operation, outcome) as they occur: only what may have changed something can be `unknown`, and
`failed` means that nothing was changed. Each has its histogram, `Meters.put_ok` and so on."""


class Meters:
    """Everything one node's machines count, from its start; numbers only rise."""

    __slots__ = (
        *(f"{operation}_{outcome}" for operation, outcome in OPERATIONS),
        *("siblings", "commit_group", "fsync_ms"),
        *("hedges", "read_repairs", "repairs_dropped", "forwards", "coordinated_away"),
        *("too_many_siblings", "overloaded", "too_late", "corrupt_records"),
        *("rebuilt_partitions", "rebuilt_records"),
        *("exchanges", "keys_compared", "keys_repaired", "exchange_bytes", "tombstones_removed"),
        "strays_dropped",
        *("suspicions", "refutations", "probes", "flaps"),
        *("hints_kept", "hints_delivered", "hints_refused", "hints_lost"),
    )

    def __init__(self) -> None:
        self.put_ok = LatencyHistogram()
        self.put_failed = LatencyHistogram()
        self.put_unknown = LatencyHistogram()
        self.get_ok = LatencyHistogram()
        self.get_failed = LatencyHistogram()
        self.outcome_ok = LatencyHistogram()
        self.outcome_failed = LatencyHistogram()
        self.outcome_unknown = LatencyHistogram()
        self.replica_put_ok = LatencyHistogram()
        self.replica_put_failed = LatencyHistogram()
        self.replica_get_ok = LatencyHistogram()
        self.replica_get_failed = LatencyHistogram()
        self.siblings = Histogram(SIBLINGS_BOUNDS)
        """Values that each successful get returned; 0 is `not found`."""
        self.commit_group = Histogram(GROUP_BOUNDS)
        """Writes that one sync of the log made durable."""
        self.fsync_ms = LatencyHistogram()
        self.hedges = 0
        """Extra replicas asked because the first were slow."""
        self.read_repairs = 0
        self.repairs_dropped = 0
        """Repairs not done because their queue was full; a later read finds them again."""
        self.forwards = self.coordinated_away = 0
        """Requests passed on to an owner; puts begun here because no owner was reached."""
        self.too_many_siblings = 0
        """Puts refused because the item had its maximum of siblings."""
        self.overloaded = self.too_late = 0
        """Operations refused at a bound; operations that arrived after their deadline."""
        self.corrupt_records = 0
        """Records found damaged on this node's disk."""
        self.rebuilt_partitions = self.rebuilt_records = 0
        self.exchanges = self.keys_compared = 0
        """Comparisons with co-owners that this node began and went through, and keys in them."""
        self.keys_repaired = 0
        """Records that a comparison brought here or pushed to the other side."""
        self.exchange_bytes = 0
        """What these records have together, and those that brought nothing new."""
        self.suspicions = 0
        """Times that a peer became suspect here."""
        self.refutations = 0
        """Times that this node denied what was said of it."""
        self.probes = 0
        """Questions to peers that were silent, and to others about them."""
        self.flaps = 0
        """Returns of peers that had come and gone too often to be believed at once."""
        self.tombstones_removed = self.strays_dropped = 0
        """By proof that all owners had them; the latter of partitions that this node owned once."""
        self.hints_kept = self.hints_delivered = self.hints_refused = self.hints_lost = 0
        """Records taken in for absent owners; hints handed over; hints refused for want of room."""

    def operations(self) -> Iterator[tuple[str, str, LatencyHistogram]]:
        """(operation, outcome, durations) in a fixed order."""
        for operation, outcome in OPERATIONS:
            yield operation, outcome, getattr(self, f"{operation}_{outcome}")
