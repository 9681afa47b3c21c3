"""A hash tree's numbers: who is whose child, what a change costs, what a tree takes."""

import pytest

from dynamo.merkle.tree import (
    CHILDREN_BYTES,
    FANOUT,
    FIRST_LEAF,
    LEAVES,
    NODES,
    ROOT,
    TREE_BYTES,
    HashTree,
    first_child,
    is_leaf,
    leaf_of,
)


def test_every_node_but_the_root_is_somebodys_child() -> None:
    children = [first_child(node) + i for node in range(FIRST_LEAF) for i in range(FANOUT)]
    assert sorted(children) == list(range(1, NODES))
    assert [node for node in range(NODES) if is_leaf(node)] == list(range(FIRST_LEAF, NODES))


def test_a_leaf_has_no_children() -> None:
    with pytest.raises(AssertionError):
        first_child(FIRST_LEAF)


@pytest.mark.parametrize("leaf", [0, 1, FANOUT - 1, FANOUT, LEAVES - 1])
def test_a_change_shows_on_the_way_to_the_root_and_nowhere_else(leaf: int) -> None:
    tree = HashTree()
    tree.change(leaf, 0, 7)
    changed = [node for node in range(NODES) if tree.hash(node)]
    assert changed == [ROOT, 1 + leaf // FANOUT, FIRST_LEAF + leaf]
    assert {tree.hash(node) for node in changed} == {7}
    tree.change(leaf, 7, 0)
    assert tree == HashTree()


def test_children_that_differ_are_found() -> None:
    one, other = HashTree(), HashTree()
    one.change(33, 0, 5)
    other.change(1000, 0, 6)
    assert len(one.children(ROOT)) == CHILDREN_BYTES
    assert one.differing(ROOT, other.children(ROOT)) == [1 + 33 // 32, 1 + 1000 // 32]
    assert one.differing(2, other.children(2)) == [FIRST_LEAF + 33]
    assert one.differing(1, other.children(1)) == []


def test_the_largest_hash_fits() -> None:
    one, other = HashTree(), HashTree()
    one.change(0, 0, (1 << 64) - 1)
    assert other.differing(ROOT, one.children(ROOT)) == [1]


def test_256_trees_take_little() -> None:
    assert TREE_BYTES * 256 < 2.2 * (1 << 20)


def test_leaves_are_taken_evenly_and_from_the_whole_key() -> None:
    """Keys of one partition begin alike and often count up."""
    taken = [0] * LEAVES
    for number in range(64 * LEAVES):
        taken[leaf_of(b"\x00\x07\x00\x00\x00\x01key-%d\x00\x01" % number)] += 1
    assert min(taken) > 16
    assert max(taken) < 160
