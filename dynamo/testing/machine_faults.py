"""What befalls a machine: its process, its clock, its disk.

A disk is lost only while every other one is whole: P1 speaks of W-1 disks.
"""

from random import Random
from typing import ClassVar

from dynamo.testing.cluster import Cluster, Machine
from dynamo.testing.network_faults import EPISODE_MS, Episode

PAUSE_MS = (20.0, 900.0)
DOWN_MS = (5.0, 600.0)
LOSES_DISKS = ("lost disk",)
"""What happens to one disk at a time, and only while all others are whole."""
SKEW_MS = 1500.0
"""Jumps of a wall clock, well above the bound on skew."""


class MachineFaults:
    """Episodes of one or several machines."""

    KINDS: ClassVar = (
        *("pause", "crash", "restart", "clock skew"),
        *("slow disk", "failed fsync", "lost disk"),
    )

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.rng: Random = cluster.world.rng("machine faults")
        """Of the episode that begins."""
        self._machines = list(cluster.machines.values())

    def heal(self) -> None:
        """Start what is down, and let nothing ail any more."""
        for machine in self._machines:
            machine.resume()
            machine.disk.slowness = 1.0
            machine.disk.next_sync_fails = False
            machine.clock.offset_ms = 0.0
            machine.start()

    def pause(self) -> Episode | None:
        """SIGSTOP."""
        machine = self._running_machine()
        if machine is None:
            return None
        machine.pause()
        return self.rng.uniform(*PAUSE_MS), machine.resume

    def crash(self) -> Episode:
        """kill -9 or power loss; often of several machines at once. Power is lost only where
        every group is synced before it counts."""
        rng = self.rng
        chosen = [machine for machine in self._machines if rng.random() < 0.25]
        if rng.random() < 0.1:
            chosen = list(self._machines)
        if not chosen:
            chosen = [self._machine()]
        for machine in chosen:
            if rng.random() < 0.6 and self._cluster.options.durability == "fsync":
                machine.lose_power()
            else:
                machine.kill()
        return self._down(), lambda: self._start(chosen)

    def restart(self) -> Episode | None:
        """SIGTERM, and a start later."""
        machine = self._running_machine()
        if machine is None:
            return None
        machine.stop()
        return self._down() + 100.0, lambda: self._start([machine])

    def clock_skew(self) -> Episode:
        """A wall clock jumps, and jumps back."""
        clock = self._machine().clock
        jump = self.rng.uniform(-SKEW_MS, SKEW_MS)
        clock.offset_ms += jump

        def heal() -> None:
            clock.offset_ms -= jump

        return self.rng.uniform(*EPISODE_MS), heal

    def slow_disk(self) -> Episode:
        """Every sync takes many times as long."""
        disk = self._machine().disk
        disk.slowness = self.rng.choice((5.0, 30.0, 150.0))
        return self.rng.uniform(*EPISODE_MS), lambda: setattr(disk, "slowness", 1.0)

    def failed_fsync(self) -> Episode | None:
        """The next sync fails, which ends the process."""
        machine = self._running_machine()
        if machine is None:
            return None
        machine.disk.next_sync_fails = True

        def heal() -> None:
            machine.disk.next_sync_fails = False
            machine.start()

        return self._down() + 100.0, heal

    def lost_disk(self) -> Episode | None:
        """A disk is gone, an empty one stands in its place."""
        machine = self._machine()
        if self._cluster.topology.is_joint:
            return None
        if not all(other.is_whole() for other in self._cluster.members()):
            return None
        machine.lose_disk()
        return self._down(), lambda: self._start([machine])

    def _start(self, machines: list[Machine]) -> None:
        for machine in machines:
            machine.start()

    def _machine(self) -> Machine:
        return self.rng.choice(self._machines)

    def _running_machine(self) -> Machine | None:
        machine = self._machine()
        process = machine.process
        return machine if process is not None and process.accepts() else None

    def _down(self) -> float:
        return self.rng.uniform(*DOWN_MS)
