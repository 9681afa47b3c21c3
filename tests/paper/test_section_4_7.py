"""Section 4.7, "Handling permanent failures: replica synchronization", one test per claim."""

from exchange_world import ExchangeWorld

from dynamo.merkle.tree import LEAVES, ROOT, leaf_of
from dynamo.messages_exchange import CompareNodes, ItemsAre, ListItems, NodesDiffer

KEYS = [b"key-%d" % number for number in range(400)]


def world_of(nodes: int = 2, n: int = 0) -> ExchangeWorld:
    world = ExchangeWorld(nodes, n=n)
    world.put_everywhere(KEYS)
    world.grow()
    return world


def test_4_7_replicas_are_kept_synchronized_by_an_anti_entropy_protocol() -> None:
    """Without a read, and where hints that were lost will never bring anything."""
    world = world_of(3)
    for number, key in enumerate(KEYS[:60]):
        world.put(f"n{1 + number % 3}", key, 2)
    world.link()
    world.pass_until_in_sync()
    assert world.held("n1") == world.held("n2") == world.held("n3")


def test_4_7_equal_roots_say_that_no_synchronization_is_needed() -> None:
    world = world_of()
    world.link()
    world.pass_until_in_sync()
    asked = [m for _, _, m in world.heard if isinstance(m, CompareNodes) and m.nodes]
    assert {node for message in asked for _, _, node, _ in message.nodes} == {ROOT}
    assert all(not m.nodes for _, _, m in world.heard if isinstance(m, NodesDiffer))


def test_4_7_each_branch_is_checked_without_the_whole_tree_or_data_set() -> None:
    world = world_of()
    world.put("n1", KEYS[3], 2)
    world.link()
    world.pass_until_in_sync()
    told = [node for _, _, m in world.heard if isinstance(m, NodesDiffer) for node in m.nodes]
    assert 0 < len(told) < 12, "a path from the root, seen twice"
    listed = [key for _, _, m in world.heard if isinstance(m, ItemsAre) for key, _ in m.items]
    assert world.key(KEYS[3]) in listed
    assert len(listed) < len(KEYS) / 10


def test_4_7_hosts_exchange_children_until_they_reach_the_leaves_that_are_out_of_sync() -> None:
    world = world_of()
    out_of_sync = KEYS[5:25]
    for key in out_of_sync:
        world.put("n2", key, 2)
    world.link()
    world.pass_until_in_sync()
    lists = [m for _, _, m in world.heard if isinstance(m, ListItems)]
    found = {
        (m.partition, int.from_bytes(m.leaves[at : at + 2], "big"))
        for m in lists
        for at in range(0, len(m.leaves), 2)
    }
    assert found == {(world.tree_of(key)[0], leaf_of(world.key(key))) for key in out_of_sync}
    assert len(found) < LEAVES


def test_4_7_each_node_keeps_a_tree_for_each_key_range_that_it_hosts() -> None:
    world = world_of(5, n=3)
    for name, owner in world.owners.items():
        hosted = {(partition, 3) for partition in world.ring.primaries_of(name, 3)}
        assert set(owner.trees.names()) == hosted


def test_4_7_two_nodes_compare_the_ranges_that_they_host_in_common() -> None:
    world = world_of(5, n=3)
    world.link()
    world.pass_until_in_sync()
    for source, to, message in world.heard:
        if isinstance(message, CompareNodes):
            for partition, n, _, _ in message.nodes:
                assert {source, to} <= set(world.ring.preference_list(partition, n))


def test_4_7_a_write_changes_its_leaf_and_the_way_to_the_root_only() -> None:
    """The paper's disadvantage, trees recalculated when nodes join, concerns ranges that move: here
    partitions are fixed, and a put costs three hashes."""
    world = world_of()
    tree = world["n1"].trees.tree(world.tree_of(KEYS[0]))
    assert tree is not None
    before = [tree.hash(node) for node in range(1057)]
    world.put("n1", KEYS[0], 2)
    assert sum(tree.hash(node) != hash for node, hash in enumerate(before)) == 3
