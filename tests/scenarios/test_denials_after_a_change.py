"""A write is denied only if no member keeps it, not even one that owned the item once.

Simulator, seed 125: n2 coordinated a write, reached no other owner and crashed. A change of weights
made it a former owner while it was away. The owners were asked what had become of the write: both
set a fence, `not applied`. Other writes came, until the fence was forgotten. Then n2 handed over
what it had left of the former ring, and the denied value was read.
"""

from brain_cluster import BrainCluster, written_cluster
from records import record

from dynamo.coordination.decisions import STRAYS
from dynamo.coordination.outcomes import APPLIED, NOT_APPLIED, UNKNOWN
from dynamo.messages import (
    ASK_OUTCOME,
    HINT_PUT,
    REPLICA_GET,
    REPLICA_PUT,
    AskOutcome,
    Event,
    HintPut,
    Received,
    ReplicaPut,
)
from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import VOID, fate
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

    def outcome(self, operation: OperationId = OPERATION, epoch: int = 3) -> str:
        """What an owner says."""
        id = self.cluster.next_id()
        ask = AskOutcome(ASK_OUTCOME, id, 0, epoch, CART, self.key, b"", operation)
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
    assert world.outcome() == APPLIED


def test_a_hint_that_was_on_its_way_is_found_when_all_are_asked_again() -> None:
    world = Moved()
    cluster, hint = world.cluster, HintPut(HINT_PUT, 9, world.item, PARTIAL, b"", world.owners[1])
    arrived: list[NodeId] = []

    def let_it_arrive(node: NodeId, event: Event) -> None:
        """As soon as n1 has said once that it keeps nothing."""
        feed(node, event)
        asked = isinstance(event, Received) and event.messages[0][0] == REPLICA_GET
        if node == N1 and asked and not arrived:
            arrived.append(node)
            feed(N1, Received(N2, (tuple(hint),)))

    feed, cluster.feed = cluster.feed, let_it_arrive  # type: ignore[method-assign]
    assert world.outcome() == UNKNOWN
    assert arrived
    cluster.pass_ms(3000)
    assert world.outcome() == APPLIED


def test_who_has_not_said_to_hold_the_epoch_is_not_believed() -> None:
    world = Moved()
    others = [node for node in world.cluster.brains if node not in world.owners]
    for doubtful in (*others, world.owners[1]):
        council = world.cluster.brains[world.owners[0]].council
        council.lost(doubtful, "another link", 0.0)
        assert world.outcome() == UNKNOWN, doubtful
        council._heard[doubtful] = 3
    assert world.outcome() == NOT_APPLIED


def test_a_strict_table_on_its_first_ring_asks_all_members_as_well() -> None:
    """One of them may hold a later ring already, and serve newcomers that nobody else knows."""
    cluster = BrainCluster(4, sloppy=False)
    asked = next(key for key in (b"%d" % n for n in range(99)) if N1 not in owners_of(cluster, key))
    owner = owners_of(cluster, asked)[0]
    ask = AskOutcome(ASK_OUTCOME, cluster.next_id(), 0, 1, CART, asked, b"", OPERATION)
    cluster.stop(N1)
    answer = cluster.ask(owner, ask)
    if answer is None:
        cluster.pass_ms(2000)
        answer = cluster.answers[ask.id]
    assert answer.state == UNKNOWN
    cluster.start(N1)
    cluster.settle()
    assert cluster.ask(owner, ask._replace(id=cluster.next_id())).state == NOT_APPLIED


def owners_of(cluster: BrainCluster, key: bytes) -> tuple[NodeId, ...]:
    return cluster.brains[N2].topology.ring.preference_list(cluster.key_of(key)[0], 3)


def test_who_was_no_member_for_a_time_brings_nothing_back() -> None:
    """It was removed while it was away and held a write that was denied meanwhile."""
    world = Moved()
    world.keep(N1)
    cluster = world.cluster
    cluster.stop(N1)
    assert cluster.order(N2, "leave", N1) is not None
    cluster.pass_ms(8000)
    assert cluster.brains[N2].topology.epoch == 5
    assert world.outcome(epoch=5) == NOT_APPLIED, "all members say so"
    cluster.start(N1)
    cluster.settle()
    assert cluster.stores[N1].get(world.item) == PARTIAL
    assert cluster.join(N2, N1) is not None
    cluster.pass_ms(8000)
    assert cluster.brains[N1].topology.epoch == cluster.brains[N2].topology.epoch == 7
    for store in cluster.stores.values():
        held = store.get(world.item)
        assert held is None or fate(decode_record(held), OPERATION) == VOID
    assert world.outcome(epoch=7) == NOT_APPLIED


def test_who_was_told_at_its_start_that_it_is_a_member_was_one() -> None:
    """It adopted no epoch: it started when its join was decided, and slept through the rest."""
    cluster = BrainCluster()
    assert cluster.join(N2, N4) is not None
    cluster.add(N4)
    cluster.settle()
    cluster.stores[N4].put(cluster.key_of(b"item")[1], PARTIAL, None)
    before = cluster.brains[N4].kernel.scope.identity.actor
    cluster.stop(N4)
    assert cluster.order(N2, "cancel") is not None
    assert cluster.join(N2, N4) is not None
    cluster.start(N4)
    cluster.settle()
    assert cluster.brains[N4].topology.since(N4) == cluster.brains[N2].topology.epoch
    assert cluster.brains[N4].kernel.scope.identity.actor != before
    assert cluster.stores[N4].get(cluster.key_of(b"item")[1]) is None


def test_who_is_no_member_any_more_can_put_nothing() -> None:
    """Its links last a moment longer than its membership."""
    world = Moved()
    cluster, item, owner = world.cluster, world.item, world.owners[0]
    assert cluster.order(N2, "leave", N1) is not None
    cluster.pass_ms(8000)
    assert cluster.brains[owner].topology.epoch == 5
    assert N1 in cluster.brains[owner].kernel.scope.peers.up, "the link is still there"
    for message in (
        ReplicaPut(REPLICA_PUT, 9 << 3 | STRAYS, item, PARTIAL, b""),
        HintPut(HINT_PUT, 9, item, PARTIAL, b"", world.owners[1]),
    ):
        cluster.feed(owner, Received(N1, (tuple(message),)))
        cluster.settle()
    assert cluster.stores[owner].get(item) is None
    assert not cluster.brains[owner].kernel.hints.count()
