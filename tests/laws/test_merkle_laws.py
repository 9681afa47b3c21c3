"""A hash tree against a naive oracle: the set of items itself.

Hashes here are numbers of 64 bits drawn apart from each other, as `fingerprint` makes them; that
two differ and cancel each other out has odds of 1 in 2**64, which no example meets.
"""

import random

from hypothesis import given
from hypothesis import strategies as st

from dynamo.merkle.tree import FIRST_LEAF, ROOT, HashTree, is_leaf, leaf_of
from dynamo.siblings.codec import MARK_AT
from dynamo.siblings.fingerprint import fingerprint
from dynamo.types import ItemKey

Items = dict[bytes, int]

keys = st.binary(min_size=1, max_size=6)
versions = st.integers(1, 3)
sets = st.dictionaries(keys, versions, max_size=30)


def item_hash(key: bytes, version: int) -> int:
    """As different for each key and version as a real one."""
    return 0 if not version else fingerprint(ItemKey(key), bytes(MARK_AT) + b"%8d" % version)


def tree_of(items: Items) -> HashTree:
    tree = HashTree()
    for key, version in items.items():
        tree.change(leaf_of(key), 0, item_hash(key, version))
    return tree


def differing_leaves(one: HashTree, other: HashTree) -> set[int]:
    """As two replicas find them: from the root down, into what differs."""
    nodes = [] if one.hash(ROOT) == other.hash(ROOT) else [ROOT]
    while nodes and not is_leaf(nodes[0]):
        nodes = [child for node in nodes for child in one.differing(node, other.children(node))]
    return {node - FIRST_LEAF for node in nodes}


@given(sets, sets)
def test_equal_sets_have_equal_roots_and_no_others(one: Items, other: Items) -> None:
    assert (tree_of(one).hash(ROOT) == tree_of(other).hash(ROOT)) == (one == other)


@given(sets, sets)
def test_the_leaves_that_differ_are_those_of_items_that_differ(one: Items, other: Items) -> None:
    differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    found = differing_leaves(tree_of(one), tree_of(other))
    assert found == {leaf_of(key) for key in differing}


@given(st.lists(st.tuples(keys, st.integers(0, 3)), max_size=60), st.randoms(use_true_random=False))
def test_a_tree_is_that_of_what_is_left_in_whatever_order(
    changes: list[tuple[bytes, int]], order: random.Random
) -> None:
    """Version 0 removes. Changes of one key keep their order, keys are shuffled."""
    items: Items = {}
    tree = HashTree()
    for key, version in changes:
        tree.change(leaf_of(key), item_hash(key, items.get(key, 0)), item_hash(key, version))
        items[key] = version
    left = [(key, version) for key, version in items.items() if version]
    order.shuffle(left)
    assert tree == tree_of(dict(left))
