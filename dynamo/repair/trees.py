"""The hash trees of one node, kept true to the store beneath them (the paper's section 4.7).

    puts ─▶ Trees ─▶ store            the old record's hash out of its tree, the new one's in
              │
              └─ grow():   a partition that has no tree yet is scanned, some rows at a time

One tree for each (partition, N) of which this node is an owner, over the items of all tables of
that N, because these have the same owners. A put pays for three hashes of a key (the records bring
theirs along) and an XOR: about 1 us of a compiled node.

Invariant: a grown tree is the tree of what the store holds. While a partition is scanned, puts at
or behind the cursor change its trees and those ahead of it do not: the scan will come to them.
"""

from collections.abc import Callable, Collection, Hashable

from dynamo.config import TableConfig
from dynamo.errors import CorruptData
from dynamo.keys import partition_bounds, partition_of_key, table_of_key
from dynamo.merkle.tree import HashTree, leaf_of
from dynamo.ports import DAMAGED_KEYS_MAX, RecordStore
from dynamo.ring.ring import Ring
from dynamo.siblings.codec import MARK_AT, MARK_BYTES, decode_record, mark_of
from dynamo.siblings.fingerprint import fingerprint
from dynamo.types import ItemKey, NodeId, PartitionId

ROWS_MAX = 256
"""Rows of the store that one slice looks at, about 2 ms. Raising it: longer pauses of the event
loop; lowering it: more messages for one partition."""
SCAN_ROWS = 8
"""What beginning a scan takes, in rows."""
TreeName = tuple[PartitionId, int]
"""A partition and an N."""

_UNSEEN = ItemKey(b"")


class Trees:
    """A `RecordStore` that hashes what passes through it."""

    def __init__(
        self, store: RecordStore, ring: Ring, me: NodeId, tables: tuple[TableConfig, ...]
    ) -> None:
        self._store = store
        self.lost: Callable[[PartitionId], None] = lambda _: None
        """Told of each partition in which a record was found damaged."""
        self.copies = {table.id: table.n for table in tables}
        """N by table."""
        self._trees = {
            (partition, n): HashTree()
            for n in sorted(set(self.copies.values()))
            for partition in ring.primaries_of(me, n)
        }
        self._by_prefix = {
            partition.to_bytes(2, "big") + table.id.to_bytes(4, "big"): self._trees[
                partition, table.n
            ]
            for table in tables
            for partition in ring.primaries_of(me, table.n)
        }
        """The same by what its items' keys begin with."""
        self._ungrown = dict.fromkeys(sorted({partition for partition, _ in self._trees}))
        self._reached: dict[bytes, ItemKey] = {}
        """By partition (two bytes) the last key that its trees have seen."""
        self._last_key = _UNSEEN
        self._last_record: bytes | None = None

    # the store

    def get(self, key: ItemKey) -> bytes | None:
        """The newest record under `key`, durable or not yet. Raises CorruptData."""
        try:
            record = self._store.get(key)
        except CorruptData:
            self.lost(partition_of_key(key))
            raise
        self._last_key, self._last_record = key, record
        return record

    def head(self, key: ItemKey, size: int) -> bytes | None:
        """The first bytes of the newest record under `key`. Raises CorruptData."""
        return self._store.head(key, size)

    def put(self, key: ItemKey, record: bytes, token: Hashable) -> None:
        """Make `record` the newest."""
        self._replace(key, record)
        self._last_key = _UNSEEN
        self._store.put(key, record, token)

    def delete(self, key: ItemKey, token: Hashable) -> None:
        """Remove the record."""
        self._replace(key, None)
        self._last_key = _UNSEEN
        self._store.delete(key, token)

    def put_meta(self, name: str, value: bytes, token: Hashable = None) -> None:
        """Node state, in the same log."""
        self._store.put_meta(name, value, token)

    def get_meta(self, name: str) -> bytes | None:
        """Node state; raises CorruptData."""
        return self._store.get_meta(name)

    @property
    def damaged_keys(self) -> Collection[bytes]:
        """What was found damaged and not replaced since."""
        return self._store.damaged_keys

    def scan(self, after: ItemKey, until: ItemKey, limit: int) -> list[tuple[ItemKey, bytes]]:
        """At most `limit` records with after < key < until, in key order."""
        return self._store.scan(after, until, limit)

    def refusal(self) -> str | None:
        """Why no write is accepted now, or None."""
        return self._store.refusal()

    # the trees

    def tree(self, name: TreeName) -> HashTree | None:
        """The tree over a partition's items; None if it is not grown, or not this node's."""
        return None if name[0] in self._ungrown else self._trees.get(name)

    def name_of(self, key: ItemKey) -> TreeName | None:
        """The tree to which an item belongs; None if that is not this node's."""
        name = partition_of_key(key), self.copies.get(table_of_key(key), 0)
        return name if name in self._trees else None

    def covers(self, name: TreeName, key: ItemKey) -> bool:
        """Whether an item belongs to a tree."""
        return (partition_of_key(key), self.copies.get(table_of_key(key), 0)) == name

    def held(self, key: ItemKey) -> bytes | None:
        """The record under `key`; one that is damaged is as good as none."""
        try:
            return self._store.get(key)
        except CorruptData:
            return None

    def names(self) -> Collection[TreeName]:
        """All trees of this node, grown or not."""
        return self._trees.keys()

    def ungrown(self) -> int:
        """Partitions whose trees are still to be made from the store."""
        return len(self._ungrown)

    def grow(self) -> None:
        """Hash the next rows of the partitions that have no tree yet, one slice of them."""
        left = ROWS_MAX
        while left > 0 and self._ungrown:
            left -= SCAN_ROWS + self._grow(next(iter(self._ungrown)), left)

    def _grow(self, partition: PartitionId, rows_max: int) -> int:
        """The same for one partition; how many rows that were."""
        first, until = partition_bounds(partition)
        prefix = first[:2]
        rows = self._store.scan(self._reached.get(prefix, first), until, rows_max)
        for key, record in rows:
            if (tree := self._by_prefix.get(key[:6])) is not None:
                tree.change(leaf_of(key), 0, fingerprint(key, record))
        if len(rows) == rows_max:
            self._reached[prefix] = rows[-1][0]
        else:
            self._reached[prefix] = until
            del self._ungrown[partition]
            self._tell_if_damaged(partition)
        return len(rows)

    def _tell_if_damaged(self, partition: PartitionId) -> None:
        """What is damaged is missing in a scan."""
        damaged, prefix = self._store.damaged_keys, partition.to_bytes(2, "big")
        if damaged and (len(damaged) >= DAMAGED_KEYS_MAX or any(k[:2] == prefix for k in damaged)):
            self.lost(partition)

    def listed(
        self, name: TreeName, leaves: Collection[int], after: ItemKey, upto: ItemKey
    ) -> tuple[list[tuple[ItemKey, int]], ItemKey]:
        """(items, end): the items of a tree below some of its leaves with their hashes, in key
        order, after < key <= end; `end` is `upto` unless the rows of one slice end before."""
        partition, n = name
        first, until = partition_bounds(partition)
        upto = min(upto, until)
        rows = self._store.scan(max(after, first), ItemKey(upto + b"\x00"), ROWS_MAX)
        self._tell_if_damaged(partition)
        copies = self.copies
        found = [
            (key, fingerprint(key, record))
            for key, record in rows
            if copies.get(table_of_key(key), 0) == n and leaf_of(key) in leaves
        ]
        return found, (rows[-1][0] if len(rows) == ROWS_MAX else upto)

    def validate(self) -> None:
        """Assert that the trees are those of the store; for tests, it reads everything."""
        for (partition, n), tree in self._trees.items():
            if partition not in self._ungrown:
                fresh = HashTree()
                for key, record in self._store.scan(*partition_bounds(partition), 1 << 30):
                    assert record[MARK_AT : MARK_AT + MARK_BYTES] == mark_of(
                        decode_record(record)
                    ), "a false mark"
                    if self.copies.get(table_of_key(key)) == n:
                        fresh.change(leaf_of(key), 0, fingerprint(key, record))
                assert fresh == tree, f"the tree of partition {partition}, N={n} is not its items'"

    def _replace(self, key: ItemKey, record: bytes | None) -> None:
        """What is there now out of its tree, `record` in; nothing for items of no tree, and for
        those that a scan will come to."""
        tree = self._by_prefix.get(key[:6])
        if tree is None or (self._ungrown and key > self._reached.get(key[:2], _UNSEEN)):
            return
        before = self._last_record
        if key != self._last_key:
            try:
                before = self._store.get(key)
            except CorruptData:
                self._forget(partition_of_key(key))
                return
        tree.change(leaf_of(key), fingerprint(key, before), fingerprint(key, record))

    def _forget(self, partition: PartitionId) -> None:
        """What a tree took in cannot be read any more to take it out: grow it anew."""
        self.lost(partition)
        for name, tree in self._trees.items():
            if name[0] == partition:
                tree.clear()
        self._reached.pop(partition.to_bytes(2, "big"), None)
        self._ungrown[partition] = None
