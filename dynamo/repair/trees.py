"""The hash trees of one node, kept true to the store beneath them (the paper's section 4.7).

    puts ─▶ Trees ─▶ store            noted: the key, and what was there before the first put
              │
              ├─ settle(): old hash out, new hash in, some notes at a time
              └─ grow():   a partition that has no tree yet is scanned, some rows at a time

One tree for each (partition, N) of which this node is an owner, over the items of all tables of
that N, because these have the same owners. A put pays for a look into two dicts; what it changed is
hashed later, once for all puts of a key in between.

Invariant: a grown tree with its notes settled is the tree of what the store holds. While a
partition is scanned, puts at or behind the cursor are noted and those ahead of it are not: the scan
will come to them.
"""

from collections.abc import Callable, Collection, Hashable

from dynamo.config import TableConfig
from dynamo.errors import CorruptData
from dynamo.keys import partition_bounds, partition_of_key, table_of_key
from dynamo.merkle.tree import HashTree, leaf_of
from dynamo.ports import DAMAGED_KEYS_MAX, RecordStore
from dynamo.ring.ring import Ring
from dynamo.siblings.codec import DIGEST_BYTES
from dynamo.siblings.fingerprint import fingerprint
from dynamo.types import ItemKey, NodeId, PartitionId

ROWS_MAX = 256
"""Rows of the store that one slice looks at, about 2 ms. Raising it: longer pauses of the event
loop; lowering it: more messages for one partition."""
SCAN_ROWS = 8
"""What beginning a scan takes, in rows."""
NOTES_MAX = 4096
NOTES_BYTES_MAX = 4 << 20
"""Changes that wait to be hashed, and the old records that they hold. At either bound each put
hashes one, so that raising them only spares more of the hashing of hot keys."""

HASHES_MAX = 32_768
"""Hashes that are remembered: what a put replaces was mostly hashed when it was put. Lowering it:
hot records are decoded twice; each takes about 200 bytes."""

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
        self._ungrown = dict.fromkeys(sorted({partition for partition, _ in self._trees}))
        self._reached: dict[bytes, ItemKey] = {}
        """By partition (two bytes) the last key that is in its trees or in the notes."""
        self._notes: dict[ItemKey, bytes | None] = {}
        self._notes_bytes = 0
        self._last_key = _UNSEEN
        self._last_record: bytes | None = None
        self._hashes: dict[ItemKey, tuple[bytes, int]] = {}
        """Of the items hashed last: the record's digest and the item's hash."""

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

    def put(self, key: ItemKey, record: bytes, token: Hashable) -> None:
        """Make `record` the newest, and note what was there before."""
        if key not in self._notes and key <= self._reached.get(key[:2], _UNSEEN):
            self._note(key)
        self._last_key = _UNSEEN
        self._store.put(key, record, token)

    def delete(self, key: ItemKey, token: Hashable) -> None:
        """Remove the record, and note what it was."""
        if key not in self._notes and key <= self._reached.get(key[:2], _UNSEEN):
            self._note(key)
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

    def unsettled(self) -> int:
        """Items that were changed and are still to be hashed."""
        return len(self._notes)

    def remembered(self) -> int:
        """Items whose hash is remembered."""
        return len(self._hashes)

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
            self._change(key, None, record)
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

    def settle(self, notes_max: int) -> None:
        """Hash what the newest so many notes tell of."""
        for _ in range(notes_max):
            if not self._notes:  # one that is damaged takes those of its partition along
                return
            self._hash_note(*self._notes.popitem())

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
        assert len(self._notes) <= NOTES_MAX, "too many changes wait to be hashed"
        self.settle(len(self._notes))
        for (partition, n), tree in self._trees.items():
            if partition not in self._ungrown:
                fresh = HashTree()
                for key, record in self._store.scan(*partition_bounds(partition), 1 << 30):
                    if self.copies.get(table_of_key(key)) == n:
                        fresh.change(leaf_of(key), 0, fingerprint(key, record))
                assert fresh == tree, f"the tree of partition {partition}, N={n} is not its items'"

    def _note(self, key: ItemKey) -> None:
        """Keep what a put replaces, until it is hashed."""
        before = self._last_record
        if key != self._last_key:
            try:
                before = self._store.get(key)
            except CorruptData:
                self._forget(partition_of_key(key))
                return
        size = len(before or b"")
        while self._notes and (
            len(self._notes) >= NOTES_MAX or self._notes_bytes + size > NOTES_BYTES_MAX
        ):
            oldest = next(iter(self._notes))
            self._hash_note(oldest, self._notes.pop(oldest))
        if key <= self._reached.get(key[:2], _UNSEEN):  # unless the oldest turned out to be damaged
            self._notes[key] = before
            self._notes_bytes += size

    def _hash_note(self, key: ItemKey, before: bytes | None) -> None:
        """Bring the tree up to what is in the store now."""
        self._notes_bytes -= len(before or b"")
        try:
            self._change(key, before, self._store.get(key))
        except CorruptData:
            self._forget(partition_of_key(key))

    def _change(self, key: ItemKey, before: bytes | None, after: bytes | None) -> None:
        """Old hash out, new hash in; nothing for items of no tree."""
        n = self.copies.get(table_of_key(key), 0)
        tree = self._trees.get((partition_of_key(key), n))
        if tree is not None:
            before_hash = 0 if before is None else self._hash(key, before)
            after_hash = 0 if after is None else self._hash(key, after)
            tree.change(leaf_of(key), before_hash, after_hash)

    def _hash(self, key: ItemKey, record: bytes) -> int:
        """The item's hash, from memory if its record was the last one hashed of this item."""
        digest = record[:DIGEST_BYTES]
        known = self._hashes.get(key)
        if known is not None and known[0] == digest:
            return known[1]
        hashed = fingerprint(key, record)
        if known is None and len(self._hashes) >= HASHES_MAX:
            del self._hashes[next(iter(self._hashes))]
        self._hashes[key] = (digest, hashed)
        return hashed

    def _forget(self, partition: PartitionId) -> None:
        """What a tree took in cannot be read any more to take it out: grow it anew."""
        self.lost(partition)
        for name in self._trees:
            if name[0] == partition:
                self._trees[name] = HashTree()
        self._reached.pop(partition.to_bytes(2, "big"), None)
        for key in [key for key in self._notes if partition_of_key(key) == partition]:
            self._notes_bytes -= len(self._notes.pop(key) or b"")
        self._ungrown[partition] = None
