"""Writes without a reachable owner (decision 022), and changes of members."""

from brain_cluster import CART, N1, N2, N3, N4, WALL_MS, BrainCluster, written_cluster

from dynamo.errors import Code
from dynamo.messages import FAILED, PUT, PUT_DONE, Put
from dynamo.ring.ring import Ring
from dynamo.siblings.record import operation_id
from dynamo.types import ItemKey, NodeId, OperationId

KEYS = [b"key-%d" % number for number in range(500)]
LONG_MS = 10_000


class Five:
    """n1 … n5, and an item of which n1 is no owner but will be one when the last owner leaves."""

    def __init__(self) -> None:
        self.cluster = cluster = BrainCluster(5, 32)
        cluster.pass_ms(2000)
        ring = cluster.brains[N1].topology.ring
        self.key = next(key for key in KEYS if N1 not in self.owners_in(ring, key))
        self.owners = self.owners_in(ring, self.key)

    def owners_in(self, ring: Ring, key: bytes) -> tuple[NodeId, ...]:
        return ring.preference_list(self.cluster.key_of(key)[0], 3)

    def put(self, at: NodeId, value: bytes, w: int = 0) -> int:
        cluster, number = self.cluster, self.cluster.next_id()
        operation = operation_id((WALL_MS + int(cluster.now_ms)) << 16, 1, number)
        put = Put(PUT, number, 0, 0, CART, self.key, b"", None, value, operation, w)
        answer = cluster.ask(at, put)
        kind: int = answer.kind
        return kind


def test_a_stand_in_that_becomes_an_owner_has_not_seen_what_it_wrote_as_one() -> None:
    """Its hint is kept, or handed over and dropped; its record knows nothing of it yet."""
    world = Five()
    cluster = world.cluster
    for owner in world.owners:
        cluster.stop(owner)
    assert world.put(N1, b"first") == PUT_DONE
    for owner in world.owners:
        cluster.start(owner)
    cluster.settle()
    joining = _change_that_gives_it(world)
    assert joining, "some change makes n1 an owner"
    assert world.put(N1, b"second") == PUT_DONE
    cluster.pass_ms(2 * LONG_MS)
    for node in (N1, *world.owners):
        if node in world.owners_in(cluster.brains[N1].topology.ring, world.key):
            assert sorted(cluster.read(node, world.key)) == [b"first", b"second"], node


def _change_that_gives_it(world: Five) -> bool:
    """One owner after the other is proposed to leave, until n1 is to take its place."""
    cluster = world.cluster
    for owner in world.owners:
        cluster.order(N1, "leave", owner)
        target = cluster.brains[N1].topology.target
        if target is not None and N1 in world.owners_in(target, world.key):
            return True
        cluster.order(N1, "cancel")
        cluster.pass_ms(LONG_MS)
    return False


def test_who_is_no_member_keeps_nothing_for_owners() -> None:
    world = Five()
    stranger = NodeId("n6")
    world.cluster.add(stranger)
    for _ in range(2):  # what its own start may have denied is not the reason
        assert world.put(stranger, b"lost", w=1) == FAILED
        world.cluster.pass_ms(2000)
    assert world.cluster.brains[stranger].kernel.hints.count() == 0
    told = world.cluster.answers[max(world.cluster.answers)]
    assert (Code(told.code), told.unknown) == (Code.NOT_SERVING, False)


def test_who_drops_records_drops_the_fences_in_them() -> None:
    cluster = written_cluster()
    cluster.pass_ms(100)
    operation = operation_id((WALL_MS + int(cluster.now_ms)) << 16, 1, 1)
    item = cluster.key_of(b"asked by nobody")[1]
    assert not any(_may_deny(cluster, node, item, operation) for node in (N1, N2, N3))
    cluster.join(N2, N4)
    cluster.pass_ms(LONG_MS)
    dropped = [node for node in (N1, N2, N3) if _dropped(cluster, node)]
    assert dropped
    assert all(_may_deny(cluster, node, item, operation) for node in dropped)


def _may_deny(cluster: BrainCluster, node: NodeId, item: ItemKey, operation: OperationId) -> bool:
    return cluster.brains[node].kernel.scope.denied.may_cover(item, operation, 0)


def _dropped(cluster: BrainCluster, node: NodeId) -> int:
    return cluster.brains[node].kernel.scope.meters.strays_dropped
