"""P3: after a partition heals or a node returns all replicas converge, in bounded time.

Whole kernels with real logs, joined by hand. Nobody reads: what brings the owners together is what
runs in the background, and the bound is the interval of comparisons and a little.
"""

import pytest
from kernel_cluster import CATALOG, SESSION, KernelCluster, done

from dynamo.messages import PeerDown, PeerUp
from dynamo.types import NodeId

KEYS = [b"key-%d" % number for number in range(40)]


def bound_ms(cluster: KernelCluster) -> float:
    """One interval, for what one comparison meets and the next confirms."""
    return cluster.config.timing.exchange_interval_ms


def cut(cluster: KernelCluster, one: str, other: str) -> None:
    for a, b in ((one, other), (other, one)):
        cluster.feed(NodeId(a), PeerDown(NodeId(b), "cut"))
    cluster.wires = [wire for wire in cluster.wires if {wire[0], wire[1]} != {one, other}]


def heal(cluster: KernelCluster, one: str, other: str) -> None:
    for a, b in ((one, other), (other, one)):
        cluster.feed(NodeId(a), PeerUp(NodeId(b)))


def values(cluster: KernelCluster, at: str, key: bytes) -> list[bytes | None]:
    return sorted(value.payload for value in cluster.record(at, key).values)


def converge(cluster: KernelCluster, keys: list[bytes] = KEYS) -> None:
    """Time passes, and all owners of each key hold one record."""
    cluster.sent.clear()
    cluster.pass_ms(bound_ms(cluster))
    assert not cluster.sent["ReplicaGet"], "no read had part in it"
    for key in keys:
        owners = cluster.ring.preference_list(cluster.place(key)[0], 3)
        first, *others = (cluster.record(owner, key) for owner in owners)
        assert all(first.values == other.values for other in others), key
        assert all(first.history == other.history for other in others), key


def test_a_node_that_was_away_gets_what_was_written_meanwhile() -> None:
    cluster = KernelCluster()
    contexts = [done(cluster.put("n1", key, b"old")) for key in KEYS[:20]]
    cluster.crash("n3")
    for key, context in zip(KEYS[:20], contexts, strict=True):
        done(cluster.put("n1", key, b"new", context))
    for key in KEYS[20:]:
        done(cluster.put("n2", key, b"new"))
    cluster.start("n3")
    converge(cluster)
    assert all(values(cluster, "n3", key) == [b"new"] for key in KEYS)


@pytest.mark.slow
def test_both_sides_of_a_healed_partition_get_what_the_other_took() -> None:
    """One of three writes by itself (W = 1), and the two others too: siblings everywhere."""
    cluster = KernelCluster()
    cut(cluster, "n1", "n2")
    cut(cluster, "n1", "n3")
    for key in KEYS:
        done(cluster.put("n1", key, b"here", w=1))
        done(cluster.put("n2", key, b"there"))
    heal(cluster, "n1", "n2")
    heal(cluster, "n1", "n3")
    converge(cluster)
    assert all(values(cluster, "n3", key) == [b"here", b"there"] for key in KEYS)


@pytest.mark.slow
@pytest.mark.parametrize("table", [SESSION, CATALOG])
def test_the_latest_write_wins_everywhere(table: int) -> None:
    cluster = KernelCluster()
    cut(cluster, "n1", "n2")
    cut(cluster, "n1", "n3")
    for key in KEYS[:5]:
        done(cluster.put("n1", key, b"here", w=1, table=table))  # type: ignore[arg-type]
        done(cluster.put("n2", key, b"later", table=table))  # type: ignore[arg-type]
    heal(cluster, "n1", "n2")
    heal(cluster, "n1", "n3")
    cluster.pass_ms(bound_ms(cluster))
    for at in cluster.machines:
        for key in KEYS[:5]:
            record = cluster.record(at, key, table)  # type: ignore[arg-type]
            assert [value.payload for value in record.values] == [b"later"]


def test_a_delete_reaches_who_was_away_and_nothing_comes_back() -> None:
    cluster = KernelCluster()
    contexts = [done(cluster.put("n1", key, b"old")) for key in KEYS[:10]]
    cluster.crash("n3")
    for key, context in zip(KEYS[:10], contexts, strict=True):
        done(cluster.put("n2", key, None, context))
    cluster.start("n3")
    converge(cluster, KEYS[:10])
    assert all(values(cluster, at, key) == [] for at in cluster.machines for key in KEYS[:10])


@pytest.mark.slow
def test_a_write_that_only_a_minority_has_reaches_all() -> None:
    """Its coordinator reached nobody and forgot about it: unknown, and kept on its disk."""
    cluster = KernelCluster()
    for other in ("n2", "n3"):
        cluster.hold("n1", other)
    cluster.begin_put("n1", KEYS[0], b"lone", settle=True)
    cluster.held.clear()
    cluster.wires.clear()
    cluster.crash("n1")
    cluster.start("n1")
    assert values(cluster, "n1", KEYS[0]) == [b"lone"]
    assert values(cluster, "n2", KEYS[0]) == []
    converge(cluster, KEYS[:1])
    assert values(cluster, "n3", KEYS[0]) == [b"lone"]


@pytest.mark.slow
def test_owners_among_many_nodes_converge_pair_by_pair() -> None:
    cluster = KernelCluster(5)
    cluster.crash("n4")
    for key in KEYS:
        owners = cluster.ring.preference_list(cluster.place(key)[0], 3)
        done(cluster.put(next(name for name in owners if name != "n4"), key, b"new"))
    cluster.start("n4")
    converge(cluster)


@pytest.mark.slow
def test_a_node_that_lost_its_disk_is_rebuilt_and_then_compared_like_any_other() -> None:
    cluster = KernelCluster()
    for key in KEYS:
        done(cluster.put("n1", key, b"v"))
    cluster.lose_disk("n3")
    cluster.start("n3")
    converge(cluster)
    told = cluster.kernel("n3").status()
    assert told["partitions_missing"] == 0
    assert all(peer["in_sync"] == peer["trees"] for peer in told["in_sync"].values())


@pytest.mark.slow
def test_writes_that_go_on_meanwhile_are_neither_lost_nor_held_up() -> None:
    cluster = KernelCluster()
    cluster.crash("n3")
    contexts = {key: done(cluster.put("n1", key, b"0")) for key in KEYS}
    cluster.start("n3")
    for number in range(1, 40):
        for key in KEYS[number % 4 :: 4]:
            contexts[key] = done(cluster.put("n2", key, b"%d" % number, contexts[key]))
        cluster.pass_ms(100)
    converge(cluster)
    assert all(len(values(cluster, "n3", key)) == 1 for key in KEYS)
