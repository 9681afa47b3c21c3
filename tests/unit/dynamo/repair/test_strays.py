"""Records of partitions that this node owns no more: offered, proven durable elsewhere, dropped."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hints_world import N1, N2, N3, N10, RING, TABLE, damage, key_of, record_of

from dynamo.config import TableConfig
from dynamo.coordination.decisions import STRAYS, Ids
from dynamo.messages import REPLICA_GET, REPLICA_PUT, ReplicaGet, ReplicaPut, Send
from dynamo.meters import Meters
from dynamo.ports import MEMORY_FULL
from dynamo.repair import strays
from dynamo.repair.boot import FORGOT
from dynamo.repair.strays import PAGE_ROWS_MAX, PAUSE_MS, RETRY_MS, SILENCE_MS, Strays
from dynamo.repair.trees import Trees
from dynamo.ring.joint import Rings
from dynamo.ring.ring import Ring
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import ItemKey, NodeId, PartitionId

FOUNDED = replace(RING, partitions=64, owners=RING.owners[:64])
CHANGED = replace(FOUNDED, epoch=3)
"""Every partition is n1's and n2's."""
UP = {N1, N2, N10}
INTERVAL_MS = 60_000.0
A, B, C = (key_of(name) for name in (b"a", b"b", b"c"))
OURS = record_of("x", 1)


class World:
    """What n3 holds, and what it says."""

    def __init__(self, me: NodeId = N3, ring: Ring = CHANGED, target: Ring | None = None) -> None:
        self.store, self.meters, self.now_ms = MemoryEngine(), Meters(), 1000.0
        self.forgot: list[PartitionId] = []
        self.trees = Trees(self.store, ring, me, (TableConfig("cart", TABLE, 2, 1, 2),))
        self.strays = Strays(
            *(me, Rings(ring, target), self.trees, STRAYS, Ids(STRAYS, 0).next),
            *(INTERVAL_MS, self.meters, self.forgot.append),
        )

    def hold(self, *keys: ItemKey, record: bytes = OURS) -> None:
        for key in keys:
            self.trees.put(key, record, None)

    def holds(self, *keys: ItemKey) -> list[bool]:
        return [self.trees.held(key) is not None for key in keys]

    def advance(self, ms: float = 0.0, up: set[NodeId] = UP) -> list[Send]:
        """What is said after so long."""
        self.now_ms += ms
        said = self.strays.advance(up, self.now_ms)
        self.strays.validate()
        return [effect for effect in said if isinstance(effect, Send)]

    def asked(self) -> list[Send]:
        """The first question of the pass; it may take slices until something is found."""
        for _ in range(100):
            if said := self.advance(PAUSE_MS):
                return said
        raise AssertionError("nothing is asked")

    def answer(self, said: list[Send], how: Callable[[Send], list[object]]) -> list[Send]:
        """All these are answered; what is said then."""
        return [more for send in said for more in how(send) if isinstance(more, Send)]

    def same(self, send: Send) -> list[object]:
        return [*self.strays.same(owner_of(send), id_of(send), self.now_ms)]

    def another(self, send: Send) -> list[object]:
        return [*self.strays.answered(owner_of(send), id_of(send), b"other", self.now_ms)]

    def finish(self, proof: Send) -> None:
        """The first owner has it; so has the second."""
        again = [send for send in self.stored(proof) if isinstance(send, Send)]
        (last,) = self.answer(again, self.same)
        self.stored(last)

    def stored(self, send: Send) -> list[object]:
        return [*self.strays.acknowledged(owner_of(send), id_of(send), None, True, self.now_ms)]


def id_of(send: Send) -> int:
    message = send.message
    assert isinstance(message, ReplicaGet | ReplicaPut)
    return message.id


def owner_of(send: Send) -> NodeId:
    assert isinstance(send.to, str)
    return NodeId(send.to)


def keys_of(said: list[Send]) -> list[ItemKey]:
    return [send.message.key for send in said]  # type: ignore[union-attr]


def test_a_page_that_an_owner_holds_is_dropped_once_that_is_durable_there() -> None:
    world = World()
    world.hold(A, B, C)
    said = world.asked()
    assert {send.to for send in said} == {N1}
    assert said[0].message == ReplicaGet(REPLICA_GET, id_of(said[0]), A, OURS[:8])
    assert keys_of(said) == [A, B, C]
    (proof,) = world.answer(said, world.same)
    assert proof.message == ReplicaPut(REPLICA_PUT, id_of(proof), C, OURS, b"")
    assert world.holds(A, B, C) == [True] * 3, "it may not be durable there"
    again = [send for send in world.stored(proof) if isinstance(send, Send)]
    assert {send.to for send in again} == {N2}, "the other owner"
    assert keys_of(again) == [A, B, C]
    (proof,) = world.answer(again, world.same)
    assert world.holds(A, B, C) == [True] * 3
    assert world.stored(proof) == []
    assert world.holds(A, B, C) == [False] * 3
    assert world.meters.strays_dropped == 3
    assert world.forgot == [3]
    assert world.store.get_meta(FORGOT)


def test_what_is_damaged_goes_when_all_else_has_gone() -> None:
    world = World()
    world.hold(A, B)
    damage(world.store, A)
    said = world.asked()
    assert keys_of(said) == [B]
    (proof,) = world.answer(said, world.same)
    assert world.store.damaged_keys, "there was something else to hand over first"
    world.finish(proof)
    world.advance(INTERVAL_MS)
    for _ in range(100):
        world.advance(PAUSE_MS)
    assert not world.store.damaged_keys
    assert world.meters.strays_dropped == 2


def test_what_the_owner_holds_otherwise_is_put_there_first() -> None:
    world = World()
    world.hold(A, B)
    one, other = world.asked()
    (put,) = world.another(one)
    assert isinstance(put, Send)
    assert put.message == ReplicaPut(REPLICA_PUT, id_of(put), A, OURS, b"")
    assert world.same(other) == [], "the put is still awaited"
    (proof,) = world.stored(put)
    assert isinstance(proof, Send)
    world.finish(proof)
    assert world.holds(A, B) == [False, False]


def test_what_was_written_meanwhile_stays_for_the_next_pass() -> None:
    world = World()
    world.hold(A, B)
    (proof,) = world.answer(world.asked(), world.same)
    world.hold(A, record=record_of("x", 2))
    world.finish(proof)
    assert world.holds(A, B) == [True, False]
    for _ in range(10):
        assert world.advance(PAUSE_MS) == [], "the pass is over"
    world.now_ms += INTERVAL_MS
    assert keys_of(world.asked()) == [A]


@pytest.mark.parametrize("how", ["refused", "lost", "silent"])
def test_an_owner_that_does_not_answer_loses_nothing(how: str) -> None:
    world = World()
    world.hold(A, B)
    said = world.asked()
    world.same(said[0])
    if how == "refused":
        world.strays.refused(N1, id_of(said[1]), "rebuilding", world.now_ms)
    elif how == "lost":
        world.strays.lost(N1, "killed", world.now_ms)
    else:
        world.advance(SILENCE_MS + 1)
    world.same(said[1])
    assert world.holds(A, B) == [True, True]
    assert world.advance(RETRY_MS / 2) == []
    world.now_ms += RETRY_MS
    assert keys_of(world.asked()) == [A, B], "from the start"


def test_while_an_owner_is_away_everything_waits() -> None:
    world = World()
    world.hold(A)
    for _ in range(100):
        assert world.advance(PAUSE_MS, {N1, N10}) == []
    assert world.holds(A) == [True]


def test_a_full_store_waits_for_room() -> None:
    world = World()
    world.hold(A)
    world.store.refusal = lambda: MEMORY_FULL  # type: ignore[method-assign]
    for _ in range(100):
        assert world.advance(RETRY_MS) == []


def test_a_page_has_a_bound_in_number_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    keys = [key_of(b"%04d" % number) for number in range(PAGE_ROWS_MAX + 6)]
    world.hold(*keys)
    said = world.asked()
    assert keys_of(said) == keys[:PAGE_ROWS_MAX]
    (proof,) = world.answer(said, world.same)
    world.finish(proof)
    monkeypatch.setattr(strays, "PAGE_BYTES_MAX", 2 * len(OURS))
    assert keys_of(world.asked()) == keys[PAGE_ROWS_MAX : PAGE_ROWS_MAX + 2]


@pytest.mark.parametrize(
    ("me", "ring", "target"),
    [(N1, CHANGED, None), (N3, FOUNDED, None), (N3, CHANGED, CHANGED)],
    ids=["an owner", "a ring that never changed", "while a change is under way"],
)
def test_nobody_is_asked_by(me: NodeId, ring: Ring, target: Ring | None) -> None:
    world = World(me, ring, target)
    world.hold(A)
    for _ in range(100):
        assert world.advance(PAUSE_MS) == []
    assert world.holds(A) == [True]
