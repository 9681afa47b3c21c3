"""What befalls a machine: its process and its clock.

A node that stands on an old image is let run until a peer finds it out: the number of its start is
all that tells, and with every further start it comes closer to what the peers remember.
"""

from random import Random
from typing import ClassVar

from dynamo.testing.cluster import Cluster, Machine
from dynamo.testing.network_faults import EPISODE_MS, Episode

PAUSE_MS = (20.0, 900.0)
DOWN_MS = (5.0, 600.0)
SKEW_MS = 1500.0
"""Jumps of a wall clock, well above the bound on skew."""


class MachineFaults:
    """Episodes of one or several machines."""

    KINDS: ClassVar = ("pause", "crash", "restart", "clock skew")

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.rng: Random = cluster.world.rng("machine faults")
        """Of the episode that begins."""
        self._machines = list(cluster.machines.values())

    def heal(self) -> None:
        """Start what is down, and let nothing ail any more."""
        for machine in self._machines:
            machine.resume()
            machine.clock.offset_ms = 0.0
            machine.start()

    def pause(self) -> Episode | None:
        """SIGSTOP."""
        machine = self._running_machine()
        if machine is None:
            return None
        machine.pause()
        return self.rng.uniform(*PAUSE_MS), machine.resume

    def crash(self) -> Episode | None:
        """kill -9 or power loss; often of several machines at once. Power is lost only where
        every group is synced before it counts."""
        rng = self.rng
        chosen = [machine for machine in self._machines if rng.random() < 0.25]
        if rng.random() < 0.1:
            chosen = list(self._machines)
        chosen = [machine for machine in chosen or [self._machine()] if not machine.disk.is_old]
        if not chosen:
            return None
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

    def _start(self, machines: list[Machine]) -> None:
        for machine in machines:
            machine.start()

    def _machine(self) -> Machine:
        return self.rng.choice(self._machines)

    def _running_machine(self) -> Machine | None:
        machine = self._machine()
        process = machine.process
        runs = process is not None and process.accepts()
        return machine if runs and not machine.disk.is_old else None

    def _down(self) -> float:
        return self.rng.uniform(*DOWN_MS)
