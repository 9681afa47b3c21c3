"""A write is denied only if no member keeps it, not even one that owned the item once.

Simulator, seed 125: n2 coordinated a write, reached no other owner and crashed. A change of weights
made it a former owner while it was away. The owners were asked what had become of the write: both
set a fence, `not applied`. Other writes came, until the fence was forgotten. Then n2 handed over
what it had left of the former ring, and the denied value was read.
"""

from brain_cluster import written_cluster
from records import record

from dynamo.coordination.outcomes import APPLIED, NOT_APPLIED, UNKNOWN
from dynamo.messages import ASK_OUTCOME, HINT_PUT, AskOutcome, HintPut, Received
from dynamo.siblings.codec import decode_record
from dynamo.types import NodeId, OperationId, PartitionId, TableId

N1, N2, N4 = NodeId("n1"), NodeId("n2"), NodeId("n4")
CART = TableId(1)
PARTIAL = record(1, b"partial", "n1/former")
OPERATION = decode_record(PARTIAL).values[0].operation


class Moved:
    """Four members, of which one joined later; an item that n1 owned before and does not now."""

    def __init__(self) -> None:
        self.cluster = cluster = written_cluster()
        cluster.join(N2, N4)
        cluster.pass_ms(5000)
        assert cluster.brains[N2].topology.epoch == 3, "the change has ended"
        keys = (b"item %d" % number for number in range(1000))
        self.key = next(key for key in keys if N1 not in self._owners(key))
        self.owners, self.item = self._owners(self.key), cluster.key_of(self.key)[1]

    def _owners(self, key: bytes) -> tuple[NodeId, ...]:
        partition: PartitionId = self.cluster.key_of(key)[0]
        return self.cluster.brains[N2].topology.ring.preference_list(partition, 3)

    def keep(self, node: NodeId) -> None:
        """A partial write, of which no owner has heard, is left on a disk."""
        self.cluster.stores[node].put(self.item, PARTIAL, None)

    def keep_for(self, node: NodeId, owner: NodeId) -> None:
        """It is left as a hint, which waits to be handed over."""
        hint = HintPut(HINT_PUT, 1 << 40, self.item, PARTIAL, b"", owner)
        self.cluster.feed(node, Received(N1, (tuple(hint),), 0.0))
        assert self.cluster.brains[node].kernel.hints.count() == 1

    def outcome(self, operation: OperationId = OPERATION) -> str:
        """What an owner says."""
        ask = AskOutcome(ASK_OUTCOME, self.cluster.next_id(), 0, 3, CART, self.key, b"", operation)
        answer = self.cluster.ask(self.owners[0], ask)
        if answer is None:
            self.cluster.pass_ms(2000)
            answer = self.cluster.answers[ask.id]
        state: str = answer.state
        return state


def test_nobody_has_it_and_all_say_so() -> None:
    assert Moved().outcome() == NOT_APPLIED


def test_what_a_former_owner_has_left_is_found_and_made_durable() -> None:
    world = Moved()
    world.keep(N1)
    assert world.outcome() == APPLIED
    for owner in world.owners:
        assert world.cluster.stores[owner].get(world.item) == PARTIAL


def test_while_a_former_owner_is_away_nobody_knows() -> None:
    world = Moved()
    world.keep(N1)
    world.cluster.stop(N1)
    assert world.outcome() == UNKNOWN
    world.cluster.start(N1)
    world.cluster.settle()
    assert world.outcome() == APPLIED


def test_an_owner_that_keeps_it_for_another_shows_it_too() -> None:
    world = Moved()
    _, keeper, away = world.owners
    world.keep_for(keeper, away)
    assert world.outcome() == APPLIED


def test_an_owner_that_is_asked_itself_knows_what_it_keeps() -> None:
    world = Moved()
    asked, away, _ = world.owners
    world.keep_for(asked, away)
    assert world.outcome() == UNKNOWN, "until it is handed over"
    world.cluster.pass_ms(3000)
    assert world.outcome() == APPLIED
