"""What goes wrong between machines: bad routes, breaks, partitions, links that come and go.

partition   n1 c1 c4 ║ n2 n3 c2 c3      nothing passes, nobody connects
one-way     n1 ──✗──▶ n2, n1 ◀── n2     what n1 sends waits, as TCP does, until the way is
                                        open again or one side gives the connection up
flapping    n1 ── n2 ✗ n1 ── n2 ✗ ...   one link, broken as soon as it has come back
"""

from collections.abc import Callable
from random import Random
from typing import ClassVar

from dynamo.testing.cluster import Cluster
from dynamo.testing.network import Route

EPISODE_MS = (50.0, 900.0)
FLAP_MS = (15.0, 120.0)
"""How long a flapping link stays up, or down, at a time."""

Heal = Callable[[], None]
Episode = tuple[float, Heal]
"""How long it lasts, and how it ends."""


class NetworkFaults:
    """Episodes on routes between machines, clients included."""

    KINDS: ClassVar = (
        *("delay", "loss", "duplication", "reordering"),
        *("partition", "one-way", "flapping"),
    )

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._world, self._network = cluster, cluster.world, cluster.network
        self.rng: Random = self._world.rng("network faults")
        """Of the episode that begins."""
        self._machines: list[str] = list(cluster.machines)
        self.clients: list[str] = []

    def delay(self) -> Episode:
        """Slow routes."""
        extra = self.rng.choice((2.0, 10.0, 50.0))
        return self._on_routes(lambda route, on: setattr(route, "delay_ms", extra * on))

    def duplication(self) -> Episode:
        """Messages that arrive twice."""
        return self._on_routes(
            lambda route, on: setattr(route, "duplicate", 0.2 * on), clients=False
        )

    def reordering(self) -> Episode:
        """Messages that overtake each other."""
        return self._on_routes(lambda route, on: setattr(route, "reorder", 0.3 * on))

    def loss(self) -> Episode:
        """Connections break; for some the way is cut until the end of the episode."""
        rng, network = self.rng, self._network
        machine = self._machine()
        cut = []
        for other in [*self._machines, *self.clients]:
            if other == machine or rng.random() < 0.4:
                continue
            notice = self._notice_ms(rng)
            for connection in network.between(machine, other):
                connection.break_("connection reset", notice)
            if rng.random() < 0.5:
                cut.append(network.route(machine, other))
        for route in cut:
            route.blocked += 1

        def heal() -> None:
            for route in cut:
                route.blocked -= 1

        return self._lasting(), heal

    def partition(self) -> Episode:
        """Two groups of machines, each with its clients; either may hold the majority."""
        return self._lasting(), self._cut(self._divided(), self.rng)

    def one_way(self) -> Episode:
        """The same, but only what the first group sends gets lost."""
        pairs = self._divided()
        network = self._network
        for sender, receiver in pairs:
            network.silence(sender, receiver)
            patient = sender not in self._machines or receiver not in self._machines
            if patient and self.rng.random() < 0.5:
                continue  # a client's connection has nobody who would give it up
            for connection in network.between(sender, receiver):
                connection.give_up_if_silent(self._idle_ms() * self.rng.uniform(1.0, 1.3))

        def heal() -> None:
            for sender, receiver in pairs:
                network.unsilence(sender, receiver)

        return self._lasting(), heal

    def flapping(self) -> Episode:
        """One link between two machines, down and up again until the episode ends."""
        rng = self.rng
        one, other = rng.sample(self._machines, 2)
        mend: Heal | None = None
        ended = False

        def turn() -> None:
            nonlocal mend
            if ended:
                return
            if mend is None:
                mend = self._cut([(one, other)], rng)
            else:
                mend()
                mend = None
            self._world.at(rng.uniform(*FLAP_MS), turn)

        def heal() -> None:
            nonlocal ended
            ended = True
            if mend is not None:
                mend()

        turn()
        return self._lasting(), heal

    def _on_routes(self, change: Callable[[Route, int], None], *, clients: bool = True) -> Episode:
        """Change some routes to and from one machine."""
        rng, network = self.rng, self._network
        name = self._machine()
        others = [other for other in self._machines if other != name]
        chosen: list[str] = [other for other in others if rng.random() < 0.7]
        if clients:
            chosen += [client for client in self.clients if rng.random() < 0.3]
        routes = [network.route(name, other) for other in chosen if rng.random() < 0.8]
        routes += [network.route(other, name) for other in chosen if rng.random() < 0.8]
        for route in routes:
            change(route, 1)

        def heal() -> None:
            for route in routes:
                change(route, 0)

        return self._lasting(), heal

    def _divided(self) -> list[tuple[str, str]]:
        """Every pair of one on this side and one on the other side of a division."""
        rng, machines = self.rng, self._machines
        alone = set(rng.sample(machines, rng.randrange(1, len(machines))))
        near = {client for client in self.clients if rng.random() < 0.5}
        everybody = (*machines, *self.clients)
        here = [name for name in everybody if name in alone or name in near]
        there = [name for name in everybody if name not in here]
        return [(one, other) for one in here for other in there]

    def _cut(self, pairs: list[tuple[str, str]], rng: Random) -> Heal:
        """Break what joins these pairs, and let nobody connect until healed."""
        routes = [self._network.route(*pair) for pair in pairs]
        for pair in pairs:
            notice = self._notice_ms(rng)
            for connection in self._network.between(*pair):
                connection.break_("partitioned", notice)
        for route in routes:
            route.blocked += 1

        def heal() -> None:
            for route in routes:
                route.blocked -= 1

        return heal

    def _notice_ms(self, draw: Random) -> tuple[float, float]:
        """How late each side learns of a break: soon by a reset, or by silence."""
        idle = self._idle_ms()
        one, other = (draw.random() * draw.choice((2.0, 50.0, idle)) for _ in range(2))
        return one, other

    def _idle_ms(self) -> float:
        return float(self._cluster.config.timing.idle_timeout_ms)

    def _machine(self) -> str:
        return self.rng.choice(self._machines)

    def _lasting(self) -> float:
        return self.rng.uniform(*EPISODE_MS)
