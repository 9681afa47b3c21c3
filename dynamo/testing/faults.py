"""What goes wrong and when, drawn from the seed: three faults or more at any time.

    track 1   ██ pause n2 ██   ████ delay n1-n3 ████   █ crash n3 █ ...
    track 2      ███ slow disk n1 ███  ██ loss n2-n3 ██ ...
    track 3   ████ skew n2 ████   ██ duplication ██   █ lost disk n1 █ ...

Each track is a chain of episodes with hardly a pause between them. Two limits keep the promises
promisable: a disk is lost only while every other one is whole (P1 speaks of W-1 disks), and at the
end everything is healed.
"""

from collections import Counter
from collections.abc import Callable

from dynamo.testing.cluster import Cluster, Machine
from dynamo.testing.network import Route

KINDS = (
    *("delay", "loss", "duplication", "reordering", "pause", "crash", "restart"),
    *("clock skew", "slow disk", "failed fsync", "lost disk"),
)
PAUSE_MS = (20.0, 900.0)
DOWN_MS = (5.0, 600.0)
EPISODE_MS = (50.0, 900.0)
GAP_MS = 60.0
SKEW_MS = 1500.0
"""Jumps of a wall clock, well above the bound on skew."""

Heal = Callable[[], None]


class Faults:
    """Draws episodes until told to stop, and counts those that occurred."""

    def __init__(self, cluster: Cluster, tracks: int, kinds: tuple[str, ...] = KINDS) -> None:
        self._cluster, self._world = cluster, cluster.world
        self._rng = cluster.world.rng("faults")
        self._kinds = kinds
        self._machines = list(cluster.machines.values())
        self._clients: list[str] = []
        self._running: dict[int, tuple[str, Heal]] = {}
        self._number = 0
        self._stopped = False
        self.counts: Counter[str] = Counter()
        self.overlapping_max = 0
        """The most faults that were going on at one time."""
        self._tracks = tracks

    def begin(self, clients: list[str]) -> None:
        """Start all tracks."""
        self._clients = clients
        for _ in range(self._tracks):
            self._world.at(self._rng.random() * GAP_MS, self._next)

    def stop(self) -> None:
        """End every episode, heal everything, start what is down."""
        self._stopped = True
        for number in list(self._running):
            self._end(number)
        for machine in self._machines:
            machine.resume()
            machine.disk.slowness = 1.0
            machine.disk.next_sync_fails = False
            machine.clock.offset_ms = 0.0
            machine.start()

    def _next(self) -> None:
        """One episode, and after it the next of this track."""
        if self._stopped:
            return
        kind = self._rng.choice(self._kinds)
        begun = getattr(self, f"_{kind.replace(' ', '_')}")()
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

    # network

    def _delay(self) -> tuple[float, Heal]:
        extra = self._rng.choice((2.0, 10.0, 50.0))
        return self._on_routes(lambda route, on: setattr(route, "delay_ms", extra * on))

    def _duplication(self) -> tuple[float, Heal]:
        return self._on_routes(
            lambda route, on: setattr(route, "duplicate", 0.2 * on), clients=False
        )

    def _reordering(self) -> tuple[float, Heal]:
        return self._on_routes(lambda route, on: setattr(route, "reorder", 0.3 * on))

    def _on_routes(
        self, change: Callable[[Route, int], None], *, clients: bool = True
    ) -> tuple[float, Heal]:
        """Change some routes to and from one machine."""
        rng, network = self._rng, self._cluster.network
        name = self._machine().name
        others = [m.name for m in self._machines if m.name != name]
        chosen: list[str] = [other for other in others if rng.random() < 0.7]
        if clients:
            chosen += [client for client in self._clients if rng.random() < 0.3]
        routes = [network.route(name, other) for other in chosen if rng.random() < 0.8]
        routes += [network.route(other, name) for other in chosen if rng.random() < 0.8]
        for route in routes:
            change(route, 1)

        def heal() -> None:
            for route in routes:
                change(route, 0)

        return self._lasting(), heal

    def _loss(self) -> tuple[float, Heal]:
        """Connections break; for some the way is cut until the end of the episode."""
        rng, network = self._rng, self._cluster.network
        machine = self._machine()
        cut = []
        for other in [*(m.name for m in self._machines), *self._clients]:
            if other == machine.name or rng.random() < 0.4:
                continue
            notice = self._notice_ms()
            for connection in network.between(machine.name, other):
                connection.break_("connection reset", notice)
            if rng.random() < 0.5:
                cut.append(network.route(machine.name, other))
        for route in cut:
            route.blocked += 1

        def heal() -> None:
            for route in cut:
                route.blocked -= 1

        return self._lasting(), heal

    def _notice_ms(self) -> tuple[float, float]:
        """How late each side learns of a break: soon by a reset, or by silence."""
        idle = float(self._cluster.config.timing.idle_timeout_ms)
        draw = self._rng
        one, other = (draw.random() * draw.choice((2.0, 50.0, idle)) for _ in range(2))
        return one, other

    # machines

    def _pause(self) -> tuple[float, Heal] | None:
        machine = self._running_machine()
        if machine is None:
            return None
        machine.pause()
        return self._rng.uniform(*PAUSE_MS), machine.resume

    def _crash(self) -> tuple[float, Heal] | None:
        """kill -9 or power loss; often of several machines at once."""
        rng = self._rng
        chosen = [machine for machine in self._machines if rng.random() < 0.25]
        if rng.random() < 0.1:
            chosen = list(self._machines)
        if not chosen:
            chosen = [self._machine()]
        for machine in chosen:
            if rng.random() < 0.6:
                machine.lose_power()
            else:
                machine.kill()
        return self._down(), lambda: self._start(chosen)

    def _restart(self) -> tuple[float, Heal] | None:
        machine = self._running_machine()
        if machine is None:
            return None
        machine.stop()
        return self._down() + 100.0, lambda: self._start([machine])

    def _clock_skew(self) -> tuple[float, Heal]:
        clock = self._machine().clock
        jump = self._rng.uniform(-SKEW_MS, SKEW_MS)
        clock.offset_ms += jump

        def heal() -> None:
            clock.offset_ms -= jump

        return self._lasting(), heal

    def _slow_disk(self) -> tuple[float, Heal]:
        disk = self._machine().disk
        disk.slowness = self._rng.choice((5.0, 30.0, 150.0))
        return self._lasting(), lambda: setattr(disk, "slowness", 1.0)

    def _failed_fsync(self) -> tuple[float, Heal] | None:
        machine = self._running_machine()
        if machine is None:
            return None
        machine.disk.next_sync_fails = True

        def heal() -> None:
            machine.disk.next_sync_fails = False
            machine.start()

        return self._down() + 100.0, heal

    def _lost_disk(self) -> tuple[float, Heal] | None:
        machine = self._machine()
        if not all(other.is_whole() for other in self._machines):
            return None
        machine.lose_disk()
        return self._down(), lambda: self._start([machine])

    def _start(self, machines: list[Machine]) -> None:
        for machine in machines:
            machine.start()

    def _machine(self) -> Machine:
        return self._rng.choice(self._machines)

    def _running_machine(self) -> Machine | None:
        machine = self._machine()
        process = machine.process
        return machine if process is not None and process.accepts() else None

    def _down(self) -> float:
        return self._rng.uniform(*DOWN_MS)

    def _lasting(self) -> float:
        return self._rng.uniform(*EPISODE_MS)
