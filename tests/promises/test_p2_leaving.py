"""P2 while a member leaves: what it keeps for others is handed over before it goes."""

from brain_cluster import BrainCluster

from dynamo.messages import PUT_DONE
from dynamo.types import NodeId

KEY = b"alice"


class Parting:
    """Five members; an owner of a key is away, and a fallback keeps what was written meanwhile."""

    def __init__(self) -> None:
        self.cluster = BrainCluster(5, 32)
        partition, self.item = self.cluster.key_of(KEY)
        ring = self.cluster.brains[NodeId("n1")].topology.ring
        self.owners = ring.preference_list(partition, 3)
        self.fallbacks = ring.fallbacks(partition, 3)
        self.away = self.owners[2]
        self.cluster.stop(self.away)
        self.write(b"one")

    def write(self, value: bytes) -> None:
        """With all copies that can be had."""
        put = self.cluster.put_message(KEY, value)
        answer = self.cluster.ask(self.owners[0], put._replace(w=3))
        assert answer.kind == PUT_DONE, answer

    def hints(self, name: NodeId) -> int:
        return self.cluster.brains[name].kernel.hints.count()

    def order_to_leave(self, name: NodeId) -> None:
        answer = self.cluster.order(self.owners[0], "leave", name)
        assert answer is not None
        assert answer.verdict == "won", answer

    @property
    def epoch(self) -> int:
        return self.cluster.brains[self.owners[0]].topology.epoch


def test_who_leaves_stays_until_its_hints_are_handed_over() -> None:
    world = Parting()
    keeper = world.fallbacks[0]
    assert world.hints(keeper) == 1
    world.order_to_leave(keeper)
    world.cluster.pass_ms(5000)
    assert world.epoch == 2, "the change is under way"
    waiting = world.cluster.brains[world.owners[0]].kernel.status()["change"]["waiting"]
    assert waiting[f"{keeper} leaves and hands over its hints"] == 1
    world.cluster.start(world.away)
    world.cluster.settle()
    world.cluster.pass_ms(5000)
    assert world.hints(keeper) == 0
    assert world.cluster.stores[world.away].get(world.item) is not None
    assert world.epoch == 3, "and now it has ended"


def test_who_leaves_keeps_nothing_new() -> None:
    world = Parting()
    keeper, other = world.fallbacks
    world.order_to_leave(keeper)
    world.cluster.pass_ms(200)
    before = world.hints(keeper)
    world.write(b"two")
    assert world.hints(keeper) == before == 1
    assert world.hints(other) == 1, "the next fallback does"


def test_a_dead_member_that_leaves_is_not_waited_for() -> None:
    world = Parting()
    keeper = world.fallbacks[0]
    world.cluster.stop(keeper)
    world.cluster.start(world.away)
    world.order_to_leave(keeper)
    world.cluster.pass_ms(5000)
    assert world.epoch == 3
