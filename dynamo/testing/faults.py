"""What goes wrong and when, drawn from the seed: three faults or more at any time.

    track 1   ██ pause n2 ██   ████ delay n1-n3 ████   █ crash n3 █ ...
    track 2      ███ slow disk n1 ███  ██ partition n1 | n2 n3 ██ ...
    track 3   ████ skew n2 ████   ██ duplication ██   █ lost disk n1 █ ...

Each track is a chain of episodes with hardly a pause between them. At the end everything is healed.
What an episode of each kind does is told in `network_faults` and `machine_faults`.
"""

from collections import Counter
from collections.abc import Callable

from dynamo.testing.cluster import Cluster
from dynamo.testing.machine_faults import MachineFaults
from dynamo.testing.network_faults import Episode, Heal, NetworkFaults

KINDS: tuple[str, ...] = (*NetworkFaults.KINDS, *MachineFaults.KINDS)
GAP_MS = 60.0


class Faults:
    """Draws episodes until told to stop, and counts those that occurred."""

    def __init__(self, cluster: Cluster, tracks: int, kinds: tuple[str, ...] = KINDS) -> None:
        self._world, self._rng = cluster.world, cluster.world.rng("faults")
        self._network = NetworkFaults(cluster, self._rng)
        self._machines = MachineFaults(cluster, self._rng)
        self._kinds, self._tracks = kinds, tracks
        self._begin: dict[str, Callable[[], Episode | None]] = {
            kind: getattr(part, kind.replace(" ", "_").replace("-", "_"))
            for part in (self._network, self._machines)
            for kind in part.KINDS
        }
        self._running: dict[int, tuple[str, Heal]] = {}
        self._number = 0
        self._stopped = False
        self.counts: Counter[str] = Counter()
        self.overlapping_max = 0
        """The most faults that were going on at one time."""

    def begin(self, clients: list[str]) -> None:
        """Start all tracks."""
        self._network.clients = clients
        for _ in range(self._tracks):
            self._world.at(self._rng.random() * GAP_MS, self._next)

    def stop(self) -> None:
        """End every episode, heal everything, start what is down."""
        self._stopped = True
        for number in list(self._running):
            self._end(number)
        self._machines.heal()

    def _next(self) -> None:
        """One episode, and after it the next of this track."""
        if self._stopped:
            return
        kind = self._rng.choice(self._kinds)
        begun = self._begin[kind]()
        if begun is None:
            self._world.at(1.0, self._next)
            return
        lasts_ms, heal = begun
        self._number += 1
        self._running[self._number] = (kind, heal)
        self.counts[kind] += 1
        self.overlapping_max = max(self.overlapping_max, len(self._running))
        self._world.note(f"fault {kind} for {lasts_ms:.0f} ms")
        self._world.at(lasts_ms, self._end, self._number)
        self._world.at(lasts_ms + self._rng.random() * GAP_MS, self._next)

    def _end(self, number: int) -> None:
        found = self._running.pop(number, None)
        if found is not None:
            found[1]()
