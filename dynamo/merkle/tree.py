"""One hash tree over a set of items, to find where two replicas differ (the paper's section 4.7).

                    0                           the root
          1         2    …    32                32 branches
       33 … 64   65 … 96      … 1056            1,024 leaves

    node = XOR of the hashes of all items below it

An item lies below the leaf that a hash of its key chooses, so hot ranges of keys spread out, and
inserting never moves others. A change is one XOR in one leaf: the old hash out, the new hash in, in
any order. The root changes with it; the branches are folded from the leaves where roots differ,
which is rare.

Laws (tests/laws/test_merkle_laws.py), but for hashes that collide, one pair in 2**64:
equal sets of items have equal roots and unequal sets unequal ones; the leaves that differ are the
leaves of the items that differ; a tree of any history of changes is the tree of what is left.
"""

import struct
from array import array
from functools import reduce
from operator import xor

import mmh3

FANOUT = 32
"""Children of a node. A tree is three levels: raising it to 64 makes 4,096 leaves."""
LEAVES = FANOUT * FANOUT
"""More leaves: fewer items to list in one that differs; each costs 8 bytes in every tree."""
ROOT = 0
FIRST_LEAF = 1 + FANOUT
NODES = FIRST_LEAF + LEAVES
TREE_BYTES = 8 * NODES
"""What a tree takes, however many items it covers: 8.3 KiB, so 2.1 MiB for 256 partitions."""
CHILDREN_BYTES = 8 * FANOUT
"""The hashes of a node's children as they travel."""

_CHILDREN = struct.Struct(f">{FANOUT}Q")


class HashTree:
    """The hashes over one set of items; it does not know the items."""

    __slots__ = ("_folded", "_hashes", "_root")

    def __init__(self) -> None:
        self._hashes = array("Q", bytes(TREE_BYTES))
        self._root = 0
        self._folded = True

    def change(self, leaf: int, before: int, after: int) -> None:
        """An item below `leaf` (0 <= leaf < LEAVES) had the hash `before` and has `after`; 0 is
        the hash of no item."""
        both = before ^ after
        self._hashes[FIRST_LEAF + leaf] ^= both
        self._root ^= both
        self._folded = False

    def clear(self) -> None:
        """Cover no item any more."""
        self._hashes, self._root, self._folded = array("Q", bytes(TREE_BYTES)), 0, True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashTree) and self._nodes() == other._nodes()

    def hash(self, node: int) -> int:
        """The hash of a node, 0 <= node < NODES. The root's, for which all trees are asked in
        every exchange, is always there."""
        return self._root if node == ROOT else self._nodes()[node]

    def children(self, node: int) -> bytes:
        """The hashes of an inner node's children, for `differing` on another replica."""
        first = first_child(node)
        return _CHILDREN.pack(*self._nodes()[first : first + FANOUT])

    def differing(self, node: int, theirs: bytes) -> list[int]:
        """The children of an inner node whose hash differs from that in `theirs`."""
        first = first_child(node)
        both = zip(self._nodes()[first : first + FANOUT], _CHILDREN.unpack(theirs), strict=True)
        return [first + place for place, (one, other) in enumerate(both) if one != other]

    def _nodes(self) -> "array[int]":
        """All hashes, those of inner nodes folded from the leaves' (about 50 us after a change)."""
        hashes = self._hashes
        if not self._folded:
            for node in reversed(range(FIRST_LEAF)):
                first = first_child(node)
                hashes[node] = reduce(xor, hashes[first : first + FANOUT])
            self._folded = True
        return hashes


def leaf_of(key: bytes) -> int:
    """The leaf of an item; a hash of its own, so that it has nothing to do with the partition."""
    hashed: int = _hash(key, _SEED)
    return hashed % LEAVES


def first_child(node: int) -> int:
    """The first of an inner node's FANOUT children."""
    assert ROOT <= node < FIRST_LEAF, f"node {node} has no children"
    return 1 + node * FANOUT


def is_leaf(node: int) -> bool:
    """Whether a node is on the lowest level."""
    return node >= FIRST_LEAF


_SEED = 0x6D65726B
_hash = mmh3.mmh3_32_uintdigest
