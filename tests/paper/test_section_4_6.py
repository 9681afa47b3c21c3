"""Section 4.6 of "Dynamo: Amazon's Highly Available Key-value Store": handling failures, hinted
handoff. One test per claim, with the idea in our own words."""

from dataclasses import replace

from kernel_cluster import KernelCluster, done, small

from dynamo.messages import Failed
from dynamo.types import NodeId

KEY = b"alice"


def cluster_of(nodes: int, n: int = 3, r: int = 2, w: int = 2) -> KernelCluster:
    """A cluster whose cart, a sloppy table, has this N, R and W."""
    config = small(nodes)
    cart = replace(config.tables[0], n=n, r=r, w=w)
    return KernelCluster(nodes, replace(config, tables=(cart, *config.tables[1:])))


def walk(cluster: KernelCluster) -> list[NodeId]:
    """All nodes in the order in which the key meets them on the ring."""
    return list(cluster.ring.owners[cluster.place(KEY)[0]])


def hints_at(cluster: KernelCluster, node: str) -> dict[str, int]:
    kept: dict[str, int] = cluster.kernel(node).status()["hints"]
    return kept


def test_the_first_n_healthy_nodes_need_not_be_the_first_n_of_the_ring() -> None:
    """The paper's example: a node is away, the next one on the walk gets the replica in its place,
    with a hint that names the intended owner."""
    cluster = cluster_of(4)
    a, b, c, d = walk(cluster)
    cluster.crash(b)
    done(cluster.put(a, KEY, b"value", w=3))
    assert hints_at(cluster, d) == {b: 1}
    assert hints_at(cluster, a) == hints_at(cluster, c) == {}


def test_hinted_replicas_are_kept_apart_from_the_nodes_own() -> None:
    cluster = cluster_of(4)
    a, b, _, d = walk(cluster)
    cluster.crash(b)
    done(cluster.put(a, KEY, b"value"))
    assert cluster.record(d, KEY).values == ()


def test_once_delivered_the_hint_goes_and_the_number_of_replicas_is_as_before() -> None:
    cluster = cluster_of(4)
    a, b, _, d = walk(cluster)
    cluster.crash(b)
    done(cluster.put(a, KEY, b"value"))
    cluster.start(b)
    cluster.pass_ms(2000)
    assert [value.payload for value in cluster.record(b, KEY).values] == [b"value"]
    assert hints_at(cluster, d) == {}
    holders = [node for node in walk(cluster) if cluster.record(node, KEY).values]
    assert len(holders) == 3


def test_reads_and_writes_do_not_fail_for_temporary_failures() -> None:
    """Two of three owners are away, and more nodes than N still take the write."""
    cluster = cluster_of(5)
    a, b, c, *_ = walk(cluster)
    cluster.crash(b)
    cluster.crash(c)
    for number in range(5):
        context = cluster.get(a, KEY).context if number else None
        done(cluster.put(a, KEY, b"%d" % number, context))
        assert cluster.values(a, KEY) == [b"%d" % number]


def test_with_w_of_one_a_write_is_refused_only_if_no_node_is_there() -> None:
    cluster = cluster_of(5, w=1)
    a, *others = walk(cluster)
    for node in others:
        cluster.crash(node)
    done(cluster.put(a, KEY, b"value"))


def test_a_higher_w_asks_for_that_many_durable_copies_wherever_they_are() -> None:
    cluster = cluster_of(5)
    a, b, c, d, e = walk(cluster)
    for node in (b, c, e):
        cluster.crash(node)
    done(cluster.put(a, KEY, b"value", w=2))
    refused = cluster.put(a, KEY, b"other", w=3)
    assert isinstance(refused, Failed)
    assert not refused.unknown, "there are not three nodes: nothing was written"
    assert hints_at(cluster, d) == {b: 1}
