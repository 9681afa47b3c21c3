"""What owners of a partition say while they compare it (dynamo.repair.exchange).

CompareNodes ─▶ NodesDiffer     from the roots of their trees down to the leaves that differ
ListItems ────▶ ItemsAre        what lies below these leaves
ReadItems ────▶ ReplicaPage     the records of those items that differ
AskTaken ─────▶ TakenIs         what both have taken in for good (dynamo.repair.settled)
AskLeft ──────▶ LeftIs          what is left where no owner looks (dynamo.repair.bystanders)
AskExchange ──▶ StatusIs        a client asks for all this at once
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from dynamo.keys import ITEM_KEY_BYTES_MIN
from dynamo.merkle.tree import CHILDREN_BYTES, LEAVES, NODES
from dynamo.types import Actor, ItemKey, PartitionId

COMPARE_NODES, LIST_ITEMS, READ_ITEMS = range(23, 26)
NODES_DIFFER, ITEMS_ARE, ASK_EXCHANGE = range(47, 50)
ASK_TAKEN, TAKEN_IS, ASK_LEFT, LEFT_IS = range(61, 65)

NODES_AT_ONCE_MAX = 256
"""Nodes of trees in one message. Raising it: fewer messages between equal replicas, longer pauses
of their event loops; lowering it: the reverse."""
KEYS_AT_ONCE_MAX = 256
"""Records asked for in one message; what does not fit in one page is asked for again."""

CLAIMS_AT_ONCE_MAX = 64
"""Partitions in one message about what was taken in."""
PLACES_AT_ONCE_MAX = 256
"""The same about what is left; looking for it takes a few reads of the store for each."""

TreeNode: TypeAlias = tuple[PartitionId, int, int, int]
"""Partition, N, number of the node in their tree (dynamo.merkle.tree), its hash."""
Children: TypeAlias = tuple[PartitionId, int, int, bytes]
"""Partition, N, number of the node, the hashes of its children; none for a leaf, and none for a
root whose tree is not known here."""
Claim: TypeAlias = tuple[PartitionId, int, int, dict[Actor, int], dict[Actor, int], int]
"""Partition, N, the root of their tree (0: not known, or not equal), writer -> counter up to which
all dots were taken in there, the same as far as it is durable, the floor of removed tombstones."""


AskedPlace: TypeAlias = tuple[int, int, tuple[Actor, ...]]
"""Partition, N, writers of whom who asks wants to hear."""
LeftPlace: TypeAlias = tuple[int, int, dict[Actor, int]]
"""Partition, N, writer -> counter up to which its dots are with owners, or nowhere."""


class CompareNodes(NamedTuple):
    """My hashes of these nodes of our trees: where do yours differ? No nodes: I am done."""

    kind: int
    id: int
    nodes: tuple[TreeNode, ...]


class NodesDiffer(NamedTuple):
    """Those of the nodes whose hash is another here. `busy`: I was comparing with somebody else
    and did not look; ask again later."""

    kind: int
    id: int
    busy: bool
    nodes: tuple[Children, ...]


class ListItems(NamedTuple):
    """Your items below these leaves (two bytes each) of the tree of a partition and an N, with
    after < key <= upto; one page."""

    kind: int
    id: int
    partition: PartitionId
    n: int
    leaves: bytes
    after: ItemKey
    upto: ItemKey


class ItemsAre(NamedTuple):
    """Keys in order with the hashes of their items, complete up to and with `upto`; `taken`: what
    was taken in here for good, so that a tombstone which is missing was removed."""

    kind: int
    id: int
    items: tuple[tuple[ItemKey, int], ...]
    upto: ItemKey
    taken: dict[Actor, int]


class ReadItems(NamedTuple):
    """Your records of these items, in this order, as far as a page goes."""

    kind: int
    id: int
    keys: tuple[ItemKey, ...]


class AskTaken(NamedTuple):
    """My roots, and what I have taken in; a writer that I want to hear of with 0."""

    kind: int
    id: int
    claims: tuple[Claim, ...]


class TakenIs(NamedTuple):
    """What I have taken in; with your root where mine is the same."""

    kind: int
    id: int
    claims: tuple[Claim, ...]


class AskLeft(NamedTuple):
    """By the ring of this epoch: what of these is left with you where no owner looks?"""

    kind: int
    id: int
    epoch: int
    places: tuple[AskedPlace, ...]


class LeftIs(NamedTuple):
    """Nothing, of these."""

    kind: int
    id: int
    places: tuple[LeftPlace, ...]


class AskExchange(NamedTuple):
    """Compare yourself with all co-owners now. The answer tells how far that got, whenever one
    asks for the status."""

    kind: int
    id: int


ExchangeMessage: TypeAlias = (
    CompareNodes
    | NodesDiffer
    | ListItems
    | ItemsAre
    | ReadItems
    | AskExchange
    | AskTaken
    | TakenIs
    | AskLeft
    | LeftIs
)


def _names_node(node: object) -> bool:
    """Whether these are four parts of which the first three name a node."""
    return (
        type(node) is tuple
        and len(node) == 4
        and tuple(map(type, node[:3])) == (int, int, int)
        and 0 <= node[0] < 1 << 16
        and 0 <= node[2] < NODES
    )


def _holds_nodes(raw: tuple[Any, ...]) -> bool:
    return len(raw[2]) <= NODES_AT_ONCE_MAX and all(
        _names_node(node) and type(node[3]) is int and 0 <= node[3] < 1 << 64 for node in raw[2]
    )


def _holds_children(raw: tuple[Any, ...]) -> bool:
    return len(raw[3]) <= NODES_AT_ONCE_MAX and all(
        _names_node(node) and type(node[3]) is bytes and len(node[3]) in (0, CHILDREN_BYTES)
        for node in raw[3]
    )


def _holds_leaves(raw: tuple[Any, ...]) -> bool:
    return 0 <= raw[2] < 1 << 16 and len(raw[4]) % 2 == 0 and len(raw[4]) <= 2 * LEAVES


def _holds_hashes(raw: tuple[Any, ...]) -> bool:
    return all(
        type(item) is tuple
        and tuple(map(type, item)) == (bytes, int)
        and len(item[0]) >= ITEM_KEY_BYTES_MIN
        for item in raw[2]
    ) and _counts(raw[4])


def _holds_keys(raw: tuple[Any, ...]) -> bool:
    return len(raw[2]) <= KEYS_AT_ONCE_MAX and all(
        type(key) is bytes and len(key) >= ITEM_KEY_BYTES_MIN for key in raw[2]
    )


def _holds_claims(raw: tuple[Any, ...]) -> bool:
    return len(raw[2]) <= CLAIMS_AT_ONCE_MAX and all(
        type(claim) is tuple
        and tuple(map(type, claim)) == (int, int, int, dict, dict, int)
        and 0 <= claim[0] < 1 << 16
        and 0 <= claim[2] < 1 << 64
        and 0 <= claim[5] < 1 << 64
        and _counts(claim[3])
        and _counts(claim[4])
        for claim in raw[2]
    )


def _asks_places(raw: tuple[Any, ...]) -> bool:
    return _names_places(raw[3], tuple) and all(
        type(writer) is str for place in raw[3] for writer in place[2]
    )


def _holds_places(raw: tuple[Any, ...]) -> bool:
    return _names_places(raw[2], dict) and all(_counts(place[2]) for place in raw[2])


def _names_places(places: tuple[Any, ...], third: type) -> bool:
    return len(places) <= PLACES_AT_ONCE_MAX and all(
        type(place) is tuple
        and tuple(map(type, place)) == (int, int, third)
        and 0 <= place[0] < 1 << 16
        for place in places
    )


def _counts(taken: dict[Any, Any]) -> bool:
    return all(
        type(actor) is str and type(counter) is int and 0 <= counter < 1 << 63
        for actor, counter in taken.items()
    )


EXCHANGE: tuple[
    tuple[int, type[ExchangeMessage], tuple[type, ...], Callable[[tuple[Any, ...]], bool] | None],
    ...,
] = (
    (COMPARE_NODES, CompareNodes, (int, tuple), _holds_nodes),
    (LIST_ITEMS, ListItems, (int, int, int, bytes, bytes, bytes), _holds_leaves),
    (READ_ITEMS, ReadItems, (int, tuple), _holds_keys),
    (NODES_DIFFER, NodesDiffer, (int, bool, tuple), _holds_children),
    (ITEMS_ARE, ItemsAre, (int, tuple, bytes, dict), _holds_hashes),
    (ASK_EXCHANGE, AskExchange, (int,), None),
    (ASK_TAKEN, AskTaken, (int, tuple), _holds_claims),
    (TAKEN_IS, TakenIs, (int, tuple), _holds_claims),
    (ASK_LEFT, AskLeft, (int, int, tuple), _asks_places),
    (LEFT_IS, LeftIs, (int, tuple), _holds_places),
)
"""(kind, class, types of its fields after the kind, what types alone do not say)."""
