"""Partitions and flapping links cut what they should, and are gone when they are healed."""

from quiet_run import QuietRun

from dynamo.testing.network_faults import FLAP_MS, NetworkFaults

IDLE_MS = 400.0


class Run(QuietRun):
    """With the faults of its network."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.faults = NetworkFaults(self.cluster)

    def pairs(self) -> list[tuple[str, str]]:
        return [(one, other) for one in self.names for other in self.names if one < other]

    def cut(self) -> set[tuple[str, str]]:
        """Pairs that cannot connect."""
        network = self.cluster.network
        return {pair for pair in self.pairs() if not network.reaches(*pair)}

    def joined(self) -> set[tuple[str, str]]:
        """Pairs with a connection."""
        network = self.cluster.network
        return {pair for pair in self.pairs() if network.between(*pair)}


def test_a_partition_cuts_two_groups_until_it_is_healed() -> None:
    for seed in range(10):
        run = Run(seed)
        assert run.joined() == set(run.pairs())
        _, heal = run.faults.partition()
        cut = run.cut()
        assert cut
        run.world.run_until(run.world.now + 2 * IDLE_MS)
        assert run.joined() == set(run.pairs()) - cut
        group = {name for name in run.names if (run.names[0], name) not in cut}
        assert cut == {pair for pair in run.pairs() if len(group.intersection(pair)) == 1}
        heal()
        assert not run.cut()
        run.settle()
        assert run.joined() == set(run.pairs())


def test_a_one_way_partition_ends_connections_by_silence_only() -> None:
    for seed in range(10):
        run = Run(seed)
        _, heal = run.faults.one_way()
        cut = run.cut()
        run.world.run_until(run.world.now + IDLE_MS / 2)
        assert run.joined() == set(run.pairs())
        run.world.run_until(run.world.now + 2 * IDLE_MS)
        assert run.joined() == set(run.pairs()) - cut
        heal()
        run.settle()
        assert run.joined() == set(run.pairs())


def test_a_flapping_link_comes_and_goes() -> None:
    run = Run(1)
    _, heal = run.faults.flapping()
    (pair,) = run.cut()
    seen = set()
    for _ in range(200):
        run.world.run_until(run.world.now + FLAP_MS[0])
        seen.add((bool(run.cut()), pair in run.joined()))
    assert {(True, False), (False, True)} <= seen
    heal()
    run.world.run_until(run.world.now + 2 * FLAP_MS[1])
    assert not run.cut()
    run.settle()
    assert run.joined() == set(run.pairs())
