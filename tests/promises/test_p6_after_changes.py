"""P6 once owners have changed: tombstones go when nobody else has anything left of their partition.

Whole nodes joined by hand; age and intervals are fractions of a second.
"""

from typing import Any

import pytest
from brain_cluster import KEYS, N1, N2, N3, N4, BrainCluster

from dynamo.messages import HINT_PUT, PUT_DONE, HintPut, Received
from dynamo.messages_exchange import ASK_LEFT
from dynamo.repair.exchange import Exchange
from dynamo.repair.handoff import Handoff
from dynamo.repair.strays import Strays
from dynamo.siblings.codec import decode_record, encode_record
from dynamo.siblings.record import NOTHING, Value
from dynamo.types import Instant, ItemKey, NodeId, PartitionId, Stamp

LONG_MS = 8000.0
"""Many times longer than a tombstone waits if nobody holds it up."""
SOME = KEYS[:12]


class Deleted:
    """Keys that were written, then deleted, before or after n4 joined."""

    def __init__(self, after_join: bool = True) -> None:
        self.cluster = BrainCluster(exchange_interval_ms=200, tombstone_age_ms=300)
        self.before: dict[bytes, bytes] = {}
        self.write()
        if not after_join:
            self.delete()
        self.cluster.add(N4)
        assert self.cluster.join(N2, N4) is not None
        self.cluster.pass_ms(4000)
        assert set(self.cluster.epochs().values()) == {3}

    def write(self, value: bytes = b"old") -> None:
        for key, by in zip(SOME, (N1, N2, N3) * len(SOME), strict=False):
            self.cluster.written(by, key, value)
            held = self.cluster.stores[N1].get(self.item(key))
            if held is not None:
                self.before[key] = held

    def delete(self, by: NodeId = N2) -> None:
        for key in SOME:
            self.put(by, key, None, self.context(by, key))

    def put(self, by: NodeId, key: bytes, value: bytes | None, context: bytes) -> None:
        message = self.cluster.put_message(key, value, context)  # type: ignore[arg-type]
        answer = self.cluster.ask(by, message)
        assert answer.kind == PUT_DONE

    def context(self, by: NodeId, key: bytes) -> bytes:
        context: bytes = self.cluster.get(by, key).context
        return context

    def item(self, key: bytes) -> ItemKey:
        return self.cluster.key_of(key)[1]

    def place(self, key: bytes) -> PartitionId:
        return self.cluster.key_of(key)[0]

    def owners(self, key: bytes) -> tuple[NodeId, ...]:
        ring = self.cluster.brains[N2].topology.ring
        return ring.preference_list(self.cluster.key_of(key)[0], 3)

    def bystander(self, key: bytes) -> NodeId:
        (other,) = set(self.cluster.brains[N2].topology.members) - set(self.owners(key))
        return other

    def left(self) -> dict[bytes, list[NodeId]]:
        """Who still holds anything of which key."""
        held = {
            key: [node for node, store in self.cluster.stores.items() if store.get(self.item(key))]
            for key in SOME
        }
        return {key: nodes for key, nodes in held.items() if nodes}

    def read(self, by: NodeId = N2) -> dict[bytes, Any]:
        return {key: found for key in SOME if (found := self.cluster.read(by, key))}


@pytest.mark.parametrize("after_join", [False, True])
def test_tombstones_go_by_themselves_after_a_change_of_owners(after_join: bool) -> None:
    world = Deleted(after_join)
    if after_join:
        world.delete()
    world.cluster.pass_ms(LONG_MS)
    assert world.left() == {}
    assert world.read() == {}


def test_a_former_owner_that_is_away_holds_them_up_and_brings_nothing_back() -> None:
    world = Deleted()
    key = next(key for key in SOME if world.bystander(key) != N2)
    away = world.bystander(key)
    world.cluster.stores[away].put(world.item(key), world.before[key], None)
    world.cluster.stop(away)
    present = next(node for node in world.owners(key) if node != away)
    world.put(present, key, None, world.context(present, key))
    world.cluster.pass_ms(LONG_MS)
    assert set(world.left()[key]) == {*world.owners(key), away}
    world.cluster.start(away)
    world.cluster.settle()
    world.cluster.pass_ms(LONG_MS)
    assert key not in world.left()
    assert world.cluster.read(present, key) == ()


def _composed(world: Deleted, node: NodeId, key: bytes) -> bytes:
    """A record that a node wrote under a dot of its own while it was an owner."""
    identity = world.cluster.brains[node].kernel.scope.identity
    dot = identity.next_dot(world.cluster.key_of(key)[0])
    history = NOTHING.history.with_dot(dot.actor, dot.counter, 0)
    operation = world.cluster.put_message(key, b"").operation
    value = Value(dot.actor, dot.counter, Stamp(1), operation, b"only here")
    return encode_record(NOTHING._replace(history=history, values=(value,)))


def _never(*_: Any) -> list[Any]:
    return []


def test_what_is_left_with_a_former_owner_holds_up_its_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, key = Deleted(), SOME[0]
    stray = world.bystander(key)
    with monkeypatch.context() as patched:
        patched.setattr(Strays, "advance", _never)
        world.cluster.stores[stray].put(world.item(key), _composed(world, stray, key), None)
        world.delete(by=N1 if stray != N1 else N2)
        world.cluster.pass_ms(LONG_MS)
        held_up = {each for each in SOME if world.place(each) == world.place(key)}
        assert set(world.left()) == held_up
    world.cluster.pass_ms(LONG_MS)
    by = world.owners(key)[0]
    assert world.cluster.read(by, key) == (b"only here",), "no owner took it for a stale copy"
    assert set(world.left()) == {key}


def test_a_hint_holds_them_up_until_it_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    world, key = Deleted(), SOME[0]
    owner, keeper = world.owners(key)[1], world.bystander(key)
    with monkeypatch.context() as patched:
        patched.setattr(Handoff, "advance", _never)
        record = _composed(world, keeper, key)
        hint = HintPut(HINT_PUT, 1 << 40, world.item(key), record, b"", owner)
        world.cluster.feed(keeper, Received(owner, (tuple(hint),)))
        world.delete(by=N1 if keeper != N1 else N2)
        world.cluster.pass_ms(LONG_MS)
        assert key in world.left()
    world.cluster.pass_ms(LONG_MS)
    assert world.cluster.read(world.owners(key)[0], key) == (b"only here",)


def test_a_hint_that_an_owner_keeps_holds_them_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was kept by a stand-in, which is an owner since its writer has left."""
    world, key = Deleted(), SOME[0]
    assert N4 in world.owners(key)
    world.put(N4, key, b"by n4", world.context(N4, key))
    record = _composed(world, N4, key)
    assert world.cluster.order(N2, "leave", N4) is not None
    world.cluster.pass_ms(4000)
    assert world.cluster.epochs()[N2] == 5
    with monkeypatch.context() as patched:
        patched.setattr(Handoff, "advance", _never)
        hint = HintPut(HINT_PUT, 1 << 40, world.item(key), record, b"", N3)
        world.cluster.feed(N1, Received(N2, (tuple(hint),)))
        world.delete()
        world.cluster.pass_ms(LONG_MS)
        assert {N1, N2, N3} <= set(world.left()[key])
    world.cluster.pass_ms(LONG_MS)
    assert world.cluster.read(N2, key) == (b"only here",), "no owner took it for a stale copy"


def test_what_one_owner_alone_was_handed_is_not_stale_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That a bystander has nothing left says that owners have it, not that all have."""
    world, key = Deleted(), SOME[0]
    bystander, owner = world.bystander(key), world.owners(key)[1]
    with monkeypatch.context() as patched:
        patched.setattr(Exchange, "advance", _never)
        record = _composed(world, bystander, key)
        world.delete(by=N1 if bystander != N1 else N2)
        assert world.cluster.brains[owner].kernel._replica.absorb(world.item(key), record)
        beside = next(k for k in KEYS if k != key and world.place(k) == world.place(key))
        world.cluster.written(world.owners(key)[0], beside, b"a tombstone that waits")
        world.put(owner, beside, None, world.context(owner, beside))
        world.cluster.pass_ms(LONG_MS)
    world.cluster.pass_ms(LONG_MS)
    for each in world.owners(key):
        held = world.cluster.stores[each].get(world.item(key))
        assert held is not None, each
        assert decode_record(held).values[0].payload == b"only here"


def test_the_dots_of_who_has_left_the_cluster_hold_nothing_up() -> None:
    world = Deleted()
    for key in SOME:
        if N4 in world.owners(key):
            world.put(N4, key, b"by n4", world.context(N4, key))
    assert world.cluster.order(N2, "leave", N4) is not None
    world.cluster.pass_ms(4000)
    assert world.cluster.epochs()[N2] == 5
    world.delete()
    world.cluster.pass_ms(LONG_MS)
    del world.cluster.stores[N4]
    assert world.left() == {}


def test_who_joins_again_writes_under_another_name_and_nothing_of_it_is_stale() -> None:
    """All dots of its former life are taken to be known."""
    world = Deleted()
    cluster = world.cluster
    actor = cluster.brains[N4].kernel.scope.identity.actor
    assert cluster.order(N2, "leave", N4) is not None
    cluster.pass_ms(4000)
    world.delete()
    cluster.pass_ms(LONG_MS)
    assert cluster.join(N2, N4) is not None
    cluster.pass_ms(4000)
    assert set(cluster.epochs().values()) == {7}
    assert cluster.brains[N4].kernel.scope.identity.actor != actor
    mine = [key for key in SOME if N4 in world.owners(key)]
    for key in mine:
        cluster.written(N4, key, b"new")
    cluster.pass_ms(LONG_MS)
    for key in mine:
        assert cluster.read(N2 if N2 in world.owners(key) else N3, key) == (b"new",)


def test_who_goes_by_another_ring_says_nothing() -> None:
    world = Deleted()
    key = SOME[0]
    partition, _ = world.cluster.key_of(key)
    bystander, owner = world.bystander(key), world.owners(key)[0]
    for epoch, answered in ((2, 0), (3, 1)):
        asked = (ASK_LEFT, 77 + epoch, epoch, ((partition, 3, ("n9/x",)),))
        told = _said_to(world, bystander, owner, asked)
        assert len(told.places) == answered
    asked = (ASK_LEFT, 99, 3, ((partition, 3, ("n1/a",)),))
    told = _said_to(world, owner, bystander, asked)
    assert told.places == ((partition, 3, {}),), "of an owner's dots its records tell"


def _said_to(world: Deleted, at: NodeId, source: NodeId, message: Any) -> Any:
    now = Instant(world.cluster.now_ms, 1_700_000_000_000)
    (effect,) = world.cluster.brains[at].handle(Received(source, (message,)), now)
    return effect.message  # type: ignore[union-attr]
