"""What goes wrong and when, drawn from the seed: three faults or more at any time.

    track 1   ██ pause n2 ██   ████ delay n1-n3 ████   █ crash n3 █ ...
    track 2      ███ slow disk n1 ███  ██ partition n1 | n2 n3 ██ ...
    track 3   ████ skew n2 ████   ██ duplication ██   █ lost disk n1 █ ...

Each track is a chain of episodes with hardly a pause between them. At the end everything is healed.
What an episode of each kind does is told in `network_faults`, `machine_faults`, `disk_faults`.
"""

import re
from collections import Counter
from collections.abc import Callable

from dynamo.testing.cluster import Cluster
from dynamo.testing.disk_faults import DiskFaults
from dynamo.testing.machine_faults import MachineFaults
from dynamo.testing.member_faults import MemberFaults
from dynamo.testing.network_faults import Episode, Heal, NetworkFaults
from dynamo.testing.script import PlannedFault

KINDS: tuple[str, ...] = (
    *(*NetworkFaults.KINDS, *MachineFaults.KINDS, *MemberFaults.KINDS),
    *(kind for kind in DiskFaults.KINDS if kind not in DiskFaults.ON_REQUEST),
)
GAP_MS = 60.0


class Faults:
    """Draws episodes until told to stop, or follows a script, and counts those that occurred."""

    def __init__(
        self, cluster: Cluster, tracks: int, kinds: tuple[str, ...] = KINDS, gap_ms: float = GAP_MS
    ) -> None:
        """`gap_ms`: how long a track pauses at most between its episodes."""
        self._world, self._rng = cluster.world, cluster.world.rng("faults")
        self._network, self._machines = NetworkFaults(cluster), MachineFaults(cluster)
        self._disks = DiskFaults(cluster)
        self._kinds, self._tracks, self._gap_ms = kinds, tracks, gap_ms
        parts = (self._network, self._machines, self._disks, MemberFaults(cluster))
        self._parts: dict[str, NetworkFaults | MachineFaults | DiskFaults | MemberFaults] = {
            kind: part for part in parts for kind in part.KINDS
        }
        self._running: dict[int, tuple[str, Heal]] = {}
        self._number = 0
        self._stopped = False
        self.begun: list[PlannedFault] = []
        self.counts: Counter[str] = Counter()
        self.overlapping_max = 0
        """The most faults that were going on at one time."""

    def begin(self, clients: list[str], script: tuple[PlannedFault, ...] | None = None) -> None:
        """Start all tracks, or only what the script has."""
        self._network.clients = clients
        if script is None:
            for _ in range(self._tracks):
                self._world.at(self._rng.random() * self._gap_ms, self._next)
        for planned in script or ():
            self._world.at(planned.at_ms - self._world.now, self._follow, planned)

    def stop(self) -> None:
        """End every episode, heal everything, start what is down."""
        self._stopped = True
        for number in list(self._running):
            self._end(number)
        self._disks.heal()
        self._machines.heal()

    def _next(self) -> None:
        """One episode, and after it the next of this track."""
        if self._stopped:
            return
        self._number += 1
        lasts_ms = self._begin(self._number, self._rng.choice(self._kinds))
        if lasts_ms is None:
            self._world.at(1.0, self._next)
            return
        self._world.at(lasts_ms + self._rng.random() * self._gap_ms, self._next)

    def _follow(self, planned: PlannedFault) -> None:
        if not self._stopped:
            self._begin(planned.number, planned.kind)

    def _begin(self, number: int, kind: str) -> float | None:
        """Begin an episode; how long it lasts, or None if it cannot be now."""
        part = self._parts[kind]
        part.rng = self._world.rng(f"fault {number}")
        begin: Callable[[], Episode | None] = getattr(part, re.sub(r"\W", "_", kind))
        begun = begin()
        if begun is None:
            return None
        lasts_ms, heal = begun
        self.begun.append(PlannedFault(number, kind, self._world.now))
        self._running[number] = (kind, heal)
        self.counts[kind] += 1
        self.overlapping_max = max(self.overlapping_max, len(self._running))
        self._world.note(f"fault {kind} for {lasts_ms:.0f} ms")
        self._world.at(lasts_ms, self._end, number)
        return lasts_ms

    def _end(self, number: int) -> None:
        found = self._running.pop(number, None)
        if found is not None:
            found[1]()
