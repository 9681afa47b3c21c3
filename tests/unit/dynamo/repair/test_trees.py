"""Trees stay those of the store: while they grow, while notes wait, and over damage."""

import itertools
import random
from typing import Any

import pytest
from records import item, record

from dynamo.config import TableConfig, builtin
from dynamo.errors import CorruptData
from dynamo.keys import partition_of_key
from dynamo.merkle.tree import LEAVES, ROOT, leaf_of
from dynamo.repair.trees import ROWS_MAX, Trees
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member, Ring
from dynamo.siblings.codec import MARK_AT
from dynamo.siblings.fingerprint import fingerprint
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import ItemKey, NodeId, PartitionId, TableId

Q = 16
RING: Ring = plan(tuple(Member(NodeId(n), n, "", 1.0) for n in ("n1", "n2", "n3")), Q, 3).ring
TABLES = (TableConfig("three", TableId(1), 3), TableConfig("two", TableId(2), 2, 1, 1))
KEYS = [b"key-%d" % number for number in range(600)]


class DamagedEngine(MemoryEngine):
    """Some of its records cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged: set[ItemKey] = set()

    def get(self, key: ItemKey) -> bytes | None:
        if key in self.damaged:
            raise CorruptData("damaged")
        return super().get(key)

    def put(self, key: ItemKey, record: bytes, token: Any) -> None:
        self.damaged.discard(key)
        super().put(key, record, token)

    def scan(self, after: ItemKey, until: ItemKey, limit: int) -> list[tuple[ItemKey, bytes]]:
        return [row for row in super().scan(after, until, limit) if row[0] not in self.damaged]


def trees_over(engine: MemoryEngine) -> Trees:
    return Trees(engine, RING, NodeId("n1"), TABLES)


def grown(trees: Trees) -> Trees:
    while trees.ungrown():
        trees.grow()
    trees.validate()
    return trees


def filled() -> DamagedEngine:
    engine = DamagedEngine()
    for number, key in enumerate(KEYS):
        table = 1 + number % 2
        engine.put(item(Q, key, table), record(1), None)
    return engine


def test_there_is_a_tree_for_each_partition_and_n_that_the_node_owns() -> None:
    names = set(trees_over(MemoryEngine()).names())
    first_two = RING.primaries_of(NodeId("n1"), 2)
    assert names == {(p, 3) for p in range(Q)} | {(p, 2) for p in first_two}
    assert len(names) < 2 * Q


def test_trees_grow_from_what_is_there_and_are_not_shown_before() -> None:
    trees = trees_over(filled())
    assert trees.ungrown() == Q
    assert trees.tree((PartitionId(0), 3)) is None
    grown(trees)
    roots = [tree.hash(ROOT) for name in trees.names() if (tree := trees.tree(name))]
    assert len(roots) == len(trees.names())
    assert any(roots)


def test_an_item_is_in_the_tree_of_its_tables_n() -> None:
    engine = MemoryEngine()
    key = item(Q, b"k", 2)
    engine.put(key, record(1), None)
    trees = grown(trees_over(engine))
    partition = partition_of_key(key)
    three, two = trees.tree((partition, 3)), trees.tree((partition, 2))
    assert three is not None
    assert three.hash(ROOT) == 0
    owns = (partition, 2) in trees.names()
    assert (two is not None) == owns
    if two is not None:
        assert two.hash(ROOT) == fingerprint(key, record(1))


def test_puts_are_in_the_trees_at_once() -> None:
    trees = grown(trees_over(filled()))
    for counter in (2, 3):
        for key in KEYS:
            trees.put(item(Q, key), record(counter), None)
        trees.validate()
    assert trees.get(item(Q, KEYS[0])) == record(3)


def test_puts_between_the_slices_of_a_scan_are_counted_once() -> None:
    """Whether they come before or behind the cursor, for keys old and new."""
    rng = random.Random(7)
    engine = MemoryEngine()
    for number in range(3 * ROWS_MAX):  # one partition of several slices
        engine.put(_in_partition(5, number), record(1), None)
    trees = trees_over(engine)
    counter = 1
    while trees.ungrown():
        trees.grow()
        for _ in range(5):
            counter += 1
            trees.put(_in_partition(5, rng.randrange(4 * ROWS_MAX)), record(counter), None)
            trees.get(_in_partition(5, rng.randrange(4 * ROWS_MAX)))
            trees.put(_in_partition(5, rng.randrange(4 * ROWS_MAX)), record(counter), None)
            trees.delete(_in_partition(5, rng.randrange(4 * ROWS_MAX)), None)
    trees.validate()


def test_removals_are_in_the_trees_at_once() -> None:
    """Puts after and before them as well."""
    trees = grown(trees_over(filled()))
    for number, key in enumerate(KEYS):
        if number % 3 == 1:
            trees.put(item(Q, key), record(2), None)
        trees.delete(item(Q, key), None)
        if number % 3 == 2:
            trees.put(item(Q, key), record(3), None)
    assert trees.get(item(Q, KEYS[0])) is None
    trees.validate()


def test_a_read_of_one_item_does_not_pass_for_that_of_another() -> None:
    trees = grown(trees_over(filled()))
    for one, other in itertools.pairwise(KEYS):
        trees.get(item(Q, one))
        trees.put(item(Q, other), record(2), None)
        trees.get(item(Q, other))
        trees.put(item(Q, other), record(3), None)
    trees.validate()


def test_what_replaces_a_damaged_record_makes_its_partition_grow_anew() -> None:
    """Its hash cannot be taken out of the tree any more."""
    engine = filled()
    trees = grown(trees_over(engine))
    key = item(Q, KEYS[0])
    other = next(k for k in (item(Q, k) for k in KEYS[1:]) if k[:2] == key[:2])
    trees.put(other, record(2), None)
    engine.damaged.add(key)
    with pytest.raises(CorruptData):
        trees.get(key)
    assert trees.held(key) is None
    trees.put(key, record(2), None)
    assert trees.ungrown() == 1
    assert trees.tree((partition_of_key(key), 3)) is None
    trees.put(other, record(3), None)
    grown(trees)


def test_what_a_removal_finds_damaged_makes_its_partition_grow_anew() -> None:
    engine = filled()
    trees = grown(trees_over(engine))
    key = item(Q, KEYS[0])
    engine.damaged.add(key)
    trees.delete(key, None)
    assert trees.ungrown() == 1
    grown(trees)


def test_a_false_mark_is_found() -> None:
    engine = MemoryEngine()
    sound = record(1)
    engine.put(item(Q, KEYS[0]), sound[:MARK_AT] + bytes(8) + sound[MARK_AT + 8 :], None)
    with pytest.raises(AssertionError, match="a false mark"):
        grown(trees_over(engine))


def test_a_page_lists_the_items_below_some_leaves() -> None:
    trees = grown(trees_over(filled()))
    name = (PartitionId(3), 3)
    everything, end = trees.listed(name, range(LEAVES), ItemKey(b""), ItemKey(b"\xff" * 9))
    assert end == b"\x00\x04", "the partition's end"
    assert [key for key, _ in everything] == sorted(key for key, _ in everything)
    assert all(trees.covers(name, key) for key, _ in everything)
    some = {leaf_of(key) for key, _ in everything[:2]}
    found, _ = trees.listed(name, some, ItemKey(b""), end)
    assert found == [(key, hash) for key, hash in everything if leaf_of(key) in some]
    after, _ = trees.listed(name, range(LEAVES), everything[0][0], everything[2][0])
    assert after == everything[1:3], "after one key, up to and with another"


def test_a_page_looks_at_so_many_rows() -> None:
    engine = MemoryEngine()
    keys = sorted(_in_partition(5, number) for number in range(2 * ROWS_MAX))
    for key in keys:
        engine.put(key, record(1), None)
    trees = grown(trees_over(engine))
    found, end = trees.listed((PartitionId(5), 3), [leaf_of(keys[-1])], ItemKey(b""), keys[-1])
    assert end == keys[ROWS_MAX - 1]
    assert keys[-1] not in [key for key, _ in found]


def test_keys_of_no_partition_or_table_harm_nothing() -> None:
    trees = grown(trees_over(MemoryEngine()))
    for key in (b"\xff\xff\x00\x00\x00\x01k\x00\x01", b"\x00\x01\x00\x00\x00\x99k\x00\x01"):
        trees.put(ItemKey(key), record(1), None)
        trees.put(ItemKey(key), record(2), None)
    trees.validate()


def test_a_store_is_what_it_was() -> None:
    config = builtin()
    engine = MemoryEngine()
    trees = Trees(engine, RING, NodeId("n1"), config.tables)
    trees.put_meta("name", b"value")
    assert engine.get_meta("name") == b"value"
    assert trees.refusal() is None
    key = item(Q, b"k")
    trees.put(key, record(1), 5)
    assert trees.scan(ItemKey(b""), ItemKey(b"\xff" * 9), 9) == [(key, record(1))]
    group = engine.take_group()
    assert group is not None
    assert engine.synced(group) == [5]


def _in_partition(partition: int, number: int) -> ItemKey:
    return ItemKey(partition.to_bytes(2, "big") + b"\x00\x00\x00\x01key-%d\x00\x01" % number)
