"""One comparison of two owners, told by the one who began it: from roots to records that differ.

    roots of all common trees  ─▶ a pause, late writes arrive ─▶ some of those that still differ
      branches ─▶ leaves       ─▶ a pause, few leaves are compared again
        page by page: my keys and hashes beside theirs
          missing there: push ·  missing here, or different: read, merge, push what they lack

A walk is a generator: it yields what to ask, or how long to wait, and is sent the answer. What it
has in hand is one page of keys, so its memory has a bound, and nothing is repaired by hearsay: a
record is read before anything of it is replaced, and pushed to be merged there, never to overwrite.
"""

from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from dynamo.errors import CorruptData
from dynamo.keys import partition_bounds
from dynamo.merkle.tree import FIRST_LEAF, ROOT, is_leaf
from dynamo.messages import REPLICA_PUT, ReplicaPage, ReplicaPut
from dynamo.messages_exchange import (
    COMPARE_NODES,
    KEYS_AT_ONCE_MAX,
    LIST_ITEMS,
    NODES_AT_ONCE_MAX,
    READ_ITEMS,
    CompareNodes,
    ItemsAre,
    ListItems,
    NodesDiffer,
    ReadItems,
)
from dynamo.meters import Meters
from dynamo.repair.settled import is_removed
from dynamo.repair.trees import TreeName, Trees
from dynamo.siblings.codec import decode_record, verified
from dynamo.siblings.fingerprint import fingerprint
from dynamo.types import Actor, ItemKey

FEW_LEAVES = 64
"""So many differing leaves may be writes on their way, and are compared again after a pause; more
are not. Raising it: more bytes before a large repair; lowering it: needless lists under load."""
TREES_AT_ONCE = 16
"""Trees gone down at one time, with one pause for all. Raising it: sooner through when many differ
a little; lowering it: less memory for the leaves found, at most 1,024 of each tree."""
PUSH_BYTES_MAX = 1 << 20
"""Records pushed before the other side is heard again, and one more."""
NOBODY = 0
"""The request id of a push: its acknowledgement is not waited for, the next comparison tells."""


class Ask(NamedTuple):
    """Say this, with the records pushed before it, and go on with the answer."""

    message: CompareNodes | ListItems | ReadItems
    pushed: tuple[ReplicaPut, ...] = ()

    @property
    def answer(self) -> "type[Answer]":
        """What is said in return."""
        return _ANSWERS[type(self.message)]


class Pause(NamedTuple):
    """Go on after so long."""

    ms: float


Answer: TypeAlias = NodesDiffer | ItemsAre | ReplicaPage
_ANSWERS: dict[type[Any], type[Answer]] = {
    CompareNodes: NodesDiffer,
    ListItems: ItemsAre,
    ReadItems: ReplicaPage,
}
Result = TypeVar("Result")
Story: TypeAlias = Generator[Ask | Pause, Any, Result]
Place: TypeAlias = tuple[TreeName, int]
"""A node of a tree."""


class Walker(NamedTuple):
    """What a walk works with."""

    trees: Trees
    absorb: Callable[[ItemKey, bytes], bool]
    """Merge a record into this node's own; whether that said anything new. Raises CorruptData."""
    next_id: Callable[[], int]
    meters: Meters
    equal: Callable[[TreeName], None]
    """Told of each tree that was found equal on both sides."""
    late_ms: float
    """How long writes that are under way may take to arrive."""
    pause_ms: Callable[[], float]
    """How long to rest after each page."""

    def walk(self, names: list[TreeName]) -> Story[bool]:
        """Compare these trees with the other side's, and repair what differs; whether all were
        equal from the first. Raises CorruptData if the other side sends what is no record."""
        unequal = yield from self._compare([(name, ROOT) for name in names])
        doubtful = [name for (name, _), children in unequal.items() if children]
        if doubtful:
            yield Pause(self.late_ms)
        for first in range(0, len(doubtful), TREES_AT_ONCE):
            yield from self._repair_trees(doubtful[first : first + TREES_AT_ONCE])
        return not unequal

    def _repair_trees(self, names: list[TreeName]) -> Story[None]:
        """Find the leaves that differ, and make what lies below them alike."""
        places = [(name, ROOT) for name in names]
        while places and not is_leaf(places[0][1]):
            unequal = yield from self._compare(places)
            places = self._below(unequal)
        leaves = _by_tree(places)
        few = [name for name, numbers in leaves.items() if len(numbers) <= FEW_LEAVES]
        if few:
            yield Pause(self.late_ms)
            late = [place for place in places if place[0] in few]
            again = _by_tree((yield from self._compare(late)))
            leaves = {**leaves, **dict.fromkeys(few, frozenset()), **again}
        for name, numbers in leaves.items():
            if numbers:
                yield from self._repair_items(name, numbers)

    def _compare(self, places: list[Place]) -> Story[dict[Place, bytes]]:
        """The places where the other side has another hash, with the hashes of its children."""
        unequal: dict[Place, bytes] = {}
        for first in range(0, len(places), NODES_AT_ONCE_MAX):
            nodes = {
                (name, node): (*name, node, tree.hash(node))
                for name, node in places[first : first + NODES_AT_ONCE_MAX]
                if (tree := self.trees.tree(name)) is not None
            }
            if not nodes:
                continue
            question = CompareNodes(COMPARE_NODES, self.next_id(), tuple(nodes.values()))
            answer: NodesDiffer = yield Ask(question)
            for partition, n, node, children in answer.nodes:
                if ((partition, n), node) in nodes:
                    unequal[(partition, n), node] = children
            for name, node in nodes:
                if node == ROOT and (name, node) not in unequal:
                    self.equal(name)
        return unequal

    def _below(self, unequal: dict[Place, bytes]) -> list[Place]:
        """The children that differ, of nodes that do."""
        return [
            (name, child)
            for (name, node), children in unequal.items()
            if children and (tree := self.trees.tree(name)) is not None
            for child in tree.differing(node, children)
        ]

    def _repair_items(self, name: TreeName, leaves: frozenset[int]) -> Story[None]:
        """Page by page through the partition: what is below these leaves on either side."""
        packed = b"".join(leaf.to_bytes(2, "big") for leaf in sorted(leaves))
        after, until = partition_bounds(name[0])
        while after < until:
            listed, end = self.trees.listed(name, leaves, after, until)
            question = ListItems(LIST_ITEMS, self.next_id(), *name, packed, after, end)
            answer: ItemsAre = yield Ask(question)
            end = min(end, answer.upto)
            if end <= after:
                return  # the other side goes in circles
            mine = {key: hash for key, hash in listed if key <= end}
            theirs = {
                key: hash
                for key, hash in answer.items
                if after < key <= end and self.trees.covers(name, key)
            }
            self.meters.keys_compared += len(mine.keys() | theirs.keys())
            push = [
                key for key in mine if key not in theirs and not self._removed(key, answer.taken)
            ]
            read = [key for key, hash in theirs.items() if mine.get(key) != hash]
            yield from self._repair(push, read)
            yield Pause(self.pause_ms())
            after = end

    def _repair(self, push: list[ItemKey], read: list[ItemKey]) -> Story[None]:
        """Read what may be newer there, push what they lack; a page of each at a time."""
        while push or read:
            asked, read = read[:KEYS_AT_ONCE_MAX], read[KEYS_AT_ONCE_MAX:]
            question = ReadItems(READ_ITEMS, self.next_id(), tuple(asked))
            page: ReplicaPage = yield Ask(question, tuple(self._pushed(push)))
            push += self._merged(dict(page.items), asked)
            if page.items and not page.last:
                read = asked[_place(asked, page.items[-1][0]) + 1 :] + read

    def _removed(self, key: ItemKey, taken: dict[Actor, int]) -> bool:
        """Whether this is a tombstone which the other side had and removed; then it is here too."""
        if not taken or (data := self.trees.held(key)) is None:
            return False
        try:
            removed = is_removed(taken, decode_record(data))
        except CorruptData:
            return False
        if removed:
            self.trees.delete(key, None)
            self.meters.tombstones_removed += 1
        return removed

    def _pushed(self, push: list[ItemKey]) -> Iterable[ReplicaPut]:
        """Take from the keys as many as may be pushed at once."""
        size = 0
        while push and size < PUSH_BYTES_MAX:
            key = push.pop()
            if (record := self.trees.held(key)) is not None:
                size += len(record)
                self.meters.keys_repaired += 1
                yield ReplicaPut(REPLICA_PUT, NOBODY, key, record, b"")
        self.meters.exchange_bytes += size

    def _merged(self, records: dict[ItemKey, bytes], asked: list[ItemKey]) -> Iterable[ItemKey]:
        """Merge what came; the keys of which this node knows more than was sent."""
        for key in asked:
            if (record := records.get(key)) is None:
                continue
            if not verified(record):
                raise CorruptData("a record's digest does not fit its bytes")
            self.meters.exchange_bytes += len(record)
            try:
                self.meters.keys_repaired += self.absorb(key, record)
            except CorruptData:  # their bytes are sound and say nothing: what is here replaces them
                yield key
                continue
            if fingerprint(key, self.trees.held(key)) != fingerprint(key, record):
                yield key


def _by_tree(places: Iterable[Place]) -> dict[TreeName, frozenset[int]]:
    """The numbers of the leaves of each tree, in the order of the trees."""
    found: dict[TreeName, set[int]] = {}
    for name, node in places:
        found.setdefault(name, set()).add(node - FIRST_LEAF)
    return {name: frozenset(numbers) for name, numbers in found.items()}


def _place(keys: list[ItemKey], key: ItemKey) -> int:
    """Where a key stands; the last place for one that was not asked for."""
    return keys.index(key) if key in keys else len(keys) - 1
