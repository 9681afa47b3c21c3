"""Comparisons of owners: what they find, what they send, when they begin, and how they end."""

from typing import Any

import pytest
from exchange_world import TIMING, ExchangeWorld
from records import record

from dynamo.keys import partition_bounds
from dynamo.merkle.tree import ROOT
from dynamo.messages import Broadcast, ReplicaPage, ReplicaPut, StatusIs
from dynamo.messages_exchange import (
    ASK_EXCHANGE,
    COMPARE_NODES,
    KEYS_AT_ONCE_MAX,
    LIST_ITEMS,
    READ_ITEMS,
    AskExchange,
    CompareNodes,
    ItemsAre,
    ListItems,
    NodesDiffer,
    ReadItems,
)
from dynamo.repair import answering, walk
from dynamo.repair.exchange import ANSWER_TIMEOUT_MS, PAUSE_MS, RETRY_MS, SOON_MS
from dynamo.repair.trees import Trees
from dynamo.types import ItemKey, NodeId, PartitionId

KEYS = [b"key-%d" % number for number in range(300)]


def linked(world: ExchangeWorld) -> ExchangeWorld:
    world.grow()
    world.link()
    return world


def agree(world: ExchangeWorld) -> None:
    world.pass_until_in_sync()
    first, *others = (world.held(name) for name in world.owners)
    assert all(first == other for other in others)
    for owner in world.owners.values():
        owner.trees.validate()


def test_equal_owners_say_little() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    linked(world).pass_until_in_sync()
    assert set(world.sent) == {"CompareNodes", "NodesDiffer"}
    assert world.bytes < 32 * world.partitions, "two questions may cross, each of 14 bytes a tree"


@pytest.mark.parametrize("behind", ["n1", "n2"])
def test_what_one_lacks_the_other_gives_whoever_begins(behind: str) -> None:
    world = ExchangeWorld()
    ahead = "n2" if behind == "n1" else "n1"
    world.put_everywhere(KEYS)
    for key in KEYS[:20]:
        world.put(ahead, key, 2)
    for key in (b"new-1", b"new-2"):
        world.put(ahead, key)
    agree(linked(world))
    assert world.held(behind)[world.key(KEYS[0])] == record(2)
    assert sum(owner.meters.keys_repaired for owner in world.owners.values()) == 22


def test_both_may_know_what_the_other_does_not() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS[:2])
    world["n1"].trees.put(world.key(KEYS[0]), record(7, b"one", "n1/a"), None)
    world["n2"].trees.put(world.key(KEYS[0]), record(8, b"two", "n2/a"), None)
    world.put("n1", KEYS[2])
    world.put("n2", KEYS[3])
    agree(linked(world))
    assert len(world.held("n1")) == 4
    joined = world.held("n1")[world.key(KEYS[0])]
    assert b"one" in joined
    assert b"two" in joined


def test_one_key_among_many_costs_a_path_and_a_partition() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    world.put("n1", KEYS[7], 2)
    agree(linked(world))
    assert world["n1"].meters.keys_compared + world["n2"].meters.keys_compared < 5
    assert world.bytes < 3000


def test_three_owners_send_a_returned_one_everything_once() -> None:
    """While one brings it up to date it is busy for the other."""
    world = ExchangeWorld(3)
    world.put_everywhere(KEYS, payload=bytes(1000))
    differing = 0
    for key in KEYS[:200]:
        for name in ("n1", "n2"):
            world.put(name, key, 2, bytes(1000))
        differing += len(record(2, bytes(1000)))
    agree(linked(world))
    assert world.sent["ReplicaPut"] == 200
    assert sum(len(m.items) for _, _, m in world.heard if isinstance(m, ReplicaPage)) == 200
    assert world.bytes < 2.5 * differing, "each as it is here and as it was there"


def test_late_writes_are_not_repaired() -> None:
    """What arrives by itself a moment after the roots were compared costs no repair."""
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    world.put("n1", KEYS[0], 2)
    linked(world)
    while not world.sent["NodesDiffer"]:
        world.pass_ms(5)
    world.put("n2", KEYS[0], 2)
    agree(world)
    assert not world.sent["ListItems"]
    assert world["n1"].meters.keys_repaired == 0


def test_a_write_that_arrives_while_leaves_are_compared_is_not_repaired() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    world.put("n1", KEYS[0], 2)
    linked(world)
    while world.sent["NodesDiffer"] < 3:
        world.pass_ms(1)
    world.put("n2", KEYS[0], 2)
    agree(world)
    assert not world.sent["ReadItems"]


def test_pages_are_bounded_in_keys_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "PUSH_BYTES_MAX", 10_000)
    monkeypatch.setattr(answering, "READ_BYTES_MAX", 10_000)
    world = ExchangeWorld(partitions=16)
    for number in range(400):
        world.put("n1", b"a%d" % number, 1, bytes(990))
        world.put("n2", b"b%d" % number, 1, bytes(990))
    agree(linked(world))
    assert len(world.held("n1")) == 800
    pushes = 0
    for source, _, message in world.heard:
        if source == "n1":
            pushes = pushes + 1 if isinstance(message, ReplicaPut) else 0
            assert pushes < 11, "records pushed before the other side is heard"
        if isinstance(message, ReplicaPage):
            assert sum(len(data) for _, data in message.items) < 11_100
        if isinstance(message, ReadItems):
            assert len(message.keys) <= KEYS_AT_ONCE_MAX


def test_a_partition_of_many_pages_whose_ends_do_not_meet() -> None:
    world = ExchangeWorld()
    for number in range(1500):
        key = ItemKey(b"\x00\x05\x00\x00\x00\x01key-%04d\x00\x01" % number)
        if number % 3:
            world["n1"].trees.put(key, record(1), None)
        if number % 7 == 0 or number > 1000:
            world["n2"].trees.put(key, record(2), None)
    agree(linked(world))
    assert len(world.held("n1")) > 1000


def test_a_pair_is_compared_once_per_interval_and_soon_after_a_repair() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    linked(world).pass_ms(SOON_MS + 100)
    assert sum(owner.meters.exchanges for owner in world.owners.values()) == 1
    world.pass_ms(3 * TIMING.exchange_interval_ms)
    begun = sum(owner.meters.exchanges for owner in world.owners.values())
    assert 3 <= begun <= 5
    world.put("n1", KEYS[0], 2)
    world.pass_ms(TIMING.exchange_interval_ms + SOON_MS + 500)
    assert sum(owner.meters.exchanges for owner in world.owners.values()) >= begun + 2


def test_repairs_that_never_end_come_later_each_time() -> None:
    """A co-owner with a full store takes nothing."""
    world = ExchangeWorld()
    world.put("n1", KEYS[0])
    world["n2"].engine.refusal = lambda: "memory full"  # type: ignore[method-assign]
    linked(world).pass_ms(10 * TIMING.exchange_interval_ms)
    begun = world["n1"].meters.exchanges
    assert 8 < begun < 15
    del world["n2"].engine.refusal
    agree(world)


def test_nothing_is_compared_before_the_trees_are_grown() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    world["n2"].exchange.pace(PAUSE_MS / (4 * SOON_MS))
    world.link()
    world.pass_ms(3 * SOON_MS)
    assert world["n1"].trees.ungrown() == 0
    assert world["n2"].exchange.status(world.now_ms)["trees_growing"] > 0
    assert not world["n2"].meters.exchanges
    assert not world.sent["ListItems"], "a tree that is not grown differs from none"
    world["n2"].exchange.pace(1)
    agree(world)


def test_a_co_owner_whose_trees_are_not_grown_says_so() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    world.link()
    while world["n1"].trees.ungrown():
        world["n1"].trees.grow()
    (answer,) = world.ask("n2", CompareNodes(COMPARE_NODES, 1, ((PartitionId(3), 2, ROOT, 0),)))
    assert answer.message.nodes == ((3, 2, ROOT, b""),)
    agree(world)


def test_a_rebuilding_partition_takes_no_part() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    partition, _ = world.tree_of(KEYS[0])
    world["n2"].ready.discard(partition)
    world.put("n1", KEYS[0], 2)
    linked(world).pass_ms(5000)
    assert world.held("n2")[world.key(KEYS[0])] == record(1)
    assert not world.in_sync("n1")
    assert not world.sent["ListItems"]
    world["n2"].ready.add(partition)
    agree(world)


def test_who_compares_with_another_is_busy() -> None:
    world = ExchangeWorld(3)
    linked(world)
    root = ((PartitionId(0), 3, ROOT, 0),)
    (first,) = world.ask("n3", CompareNodes(COMPARE_NODES, 1, root), world["n1"].name)
    (second,) = world.ask("n3", CompareNodes(COMPARE_NODES, 2, root), world["n2"].name)
    assert (first.message.busy, second.message.busy) == (False, True)
    assert world.ask("n3", CompareNodes(COMPARE_NODES, 0, ()), world["n2"].name) == []
    (still,) = world.ask("n3", CompareNodes(COMPARE_NODES, 3, root), world["n2"].name)
    assert still.message.busy, "only the one who compares can end it"
    world.ask("n3", CompareNodes(COMPARE_NODES, 0, ()), world["n1"].name)
    (free,) = world.ask("n3", CompareNodes(COMPARE_NODES, 4, root), world["n2"].name)
    assert not free.message.busy
    world.now_ms += answering.SERVING_MS
    (after,) = world.ask("n3", CompareNodes(COMPARE_NODES, 5, root), world["n1"].name)
    assert not after.message.busy, "who says nothing more is forgotten"


def test_a_lost_link_ends_a_comparison_on_both_sides() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    for key in KEYS:
        world.put("n1", key, 2)
    linked(world)
    while not world.sent["ReadItems"]:
        world.pass_ms(5)
    world.cut("n1", "n2")
    sent = world.sent.total()
    world.pass_ms(3000)
    assert world.sent.total() == sent
    world.link()
    agree(world)


def test_an_answer_that_never_comes_is_given_up() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    world.put("n1", KEYS[0], 2)
    linked(world)
    world.silent.add(world["n2"].name)
    world.pass_ms(SOON_MS + ANSWER_TIMEOUT_MS + RETRY_MS + 100)
    assert world["n1"].meters.exchanges == 0
    assert world.sent["CompareNodes"] >= 2, "and tried again"
    world.silent.clear()
    agree(world)


def test_late_and_foreign_answers_are_dropped() -> None:
    world = ExchangeWorld()
    linked(world)
    peer, stranger = world["n2"].name, NodeId("n9")
    assert world.ask("n1", NodesDiffer(47, 1, False, ()), peer) == []
    assert world.ask("n1", ItemsAre(48, 1, (), ItemKey(b""), {}), stranger) == []
    assert not world["n1"].exchange.waits_for(peer, 1)


def test_a_record_whose_digest_is_wrong_ends_the_link() -> None:
    world = ExchangeWorld()
    world.put("n2", KEYS[0])
    world["n2"].engine.put(world.key(KEYS[0]), b"x" * 40, None)
    linked(world).pass_ms(SOON_MS + 500)
    assert world.disconnected == ["a record's digest does not fit its bytes"]
    assert world.held("n1") == {}


def test_what_a_peer_lists_outside_of_the_partition_is_ignored() -> None:
    """Nobody can make a node store what does not belong where it looks."""
    world = ExchangeWorld()
    world.put("n1", KEYS[0])
    world.put("n2", KEYS[0], 2)
    linked(world)
    stray = ItemKey(b"\xff\xf0\x00\x00\x00\x01stray\x00\x01")
    unknown = ItemKey(world.key(KEYS[0])[:2] + b"\x00\x00\x00\x09stray\x00\x01")

    class Strays:
        """The trees of n2, which may be compiled, and items that do not belong to any."""

        def __init__(self, trees: Trees) -> None:
            self._trees = trees

        def __getattr__(self, name: str) -> Any:
            return getattr(self._trees, name)

        def listed(self, *arguments: Any) -> Any:
            items, end = self._trees.listed(*arguments)
            return [*items, (unknown, 5), (stray, 5)], end

    world["n2"].exchange._answering._trees = Strays(world["n2"].trees)  # type: ignore[assignment]
    agree(world)
    read = [m for _, _, m in world.heard if isinstance(m, ReadItems) and m.keys]
    assert read
    assert all(stray not in m.keys and unknown not in m.keys for m in read)


def test_a_slower_pace_rests_longer() -> None:
    def took_ms(share: float) -> float:
        world = ExchangeWorld()
        for key in KEYS:
            world.put("n1", key)
        for owner in world.owners.values():
            owner.exchange.pace(share)
        began = linked(world).now_ms
        agree(world)
        return world.now_ms - began

    assert took_ms(0.05) > took_ms(1.0) + 1000
    with pytest.raises(AssertionError):
        ExchangeWorld()["n1"].exchange.pace(0)


def test_a_client_that_asks_gets_a_comparison_at_once_and_sees_how_far_it_is() -> None:
    world = ExchangeWorld(3)
    world.put_everywhere(KEYS)
    linked(world).pass_until_in_sync()
    world.pass_ms(200)
    (answer,) = world.ask("n1", AskExchange(ASK_EXCHANGE, 5))
    assert isinstance(answer.message, StatusIs)
    assert answer.to == 7
    assert answer.message.status["in_sync"] == {
        "n2": {"trees": 16, "in_sync": 0},
        "n3": {"trees": 16, "in_sync": 0},
    }
    world.pass_ms(100)
    assert world.in_sync("n1")


def test_the_age_of_the_last_full_sync_grows_while_one_is_away() -> None:
    world = ExchangeWorld()
    linked(world).pass_until_in_sync()
    assert world["n1"].exchange.status(world.now_ms)["in_sync_age_ms"] < 3 * SOON_MS
    world.cut("n1", "n2")
    world.pass_ms(20_000)
    assert world["n1"].exchange.status(world.now_ms)["in_sync_age_ms"] >= 20_000


def test_a_node_alone_has_nobody_to_compare_with() -> None:
    world = ExchangeWorld(1)
    world.put("n1", KEYS[0])
    linked(world).pass_ms(1000)
    assert not world.sent
    assert world.in_sync("n1")
    assert world["n1"].exchange.deadline() is None
    assert world["n1"].exchange.status(world.now_ms)["in_sync_age_ms"] == 0


def test_lists_are_of_the_partition_that_is_named() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    linked(world)
    partition, n = world.tree_of(KEYS[0])
    everything = b"".join(leaf.to_bytes(2, "big") for leaf in range(1024))
    question = ListItems(
        LIST_ITEMS, 1, partition, n, everything, ItemKey(b""), ItemKey(b"\xff" * 9)
    )
    (answer,) = world.ask("n1", question, world["n2"].name)
    first, until = partition_bounds(partition)
    assert answer.message.items
    assert answer.message.upto == until
    assert all(first < key < until for key, _ in answer.message.items)
    missing = ReadItems(READ_ITEMS, 2, (world.key(b"nothing"), world.key(KEYS[0])))
    (page,) = world.ask("n1", missing, world["n2"].name)
    assert [key for key, _ in page.message.items] == [world.key(KEYS[0])]
    assert page.message.last


def test_a_full_store_takes_no_part() -> None:
    world = ExchangeWorld()
    world.put_everywhere(KEYS)
    world.put("n2", KEYS[0], 2)
    world["n1"].engine.refusal = lambda: "memory full"  # type: ignore[method-assign]
    linked(world).pass_ms(3000)
    assert world["n1"].meters.exchanges == 0
    del world["n1"].engine.refusal
    agree(world)


def test_pushes_go_to_one_and_are_merged_there() -> None:
    world = ExchangeWorld()
    world.put("n1", KEYS[0])
    linked(world)
    seen: list[Any] = []
    perform = world._perform

    def watched(name: Any, effects: list[Any]) -> None:
        seen.extend(e for e in effects if isinstance(e, Broadcast))
        perform(name, effects)

    world._perform = watched  # type: ignore[method-assign]
    agree(world)
    assert [len(effect.to) for effect in seen] == [1]
