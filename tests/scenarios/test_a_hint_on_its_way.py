"""A hint and its owner's return: stories of a copy that is in two places, or in none yet."""

from kernel_cluster import KernelCluster, done

from dynamo.messages import PutDone
from dynamo.types import NodeId

KEY = b"cart of alice"


def walk(cluster: KernelCluster) -> list[NodeId]:
    """The owners of the key and after them its fallbacks."""
    return list(cluster.ring.owners[cluster.place(KEY)[0]])


def kept(cluster: KernelCluster, node: str) -> dict[str, int]:
    hints: dict[str, int] = cluster.kernel(node).status()["hints"]
    return hints


def held(cluster: KernelCluster, node: str) -> list[bytes]:
    return sorted(value.payload or b"" for value in cluster.record(node, KEY).values)


def test_a_write_that_was_merged_while_the_hint_was_on_its_way_is_not_dropped_with_it() -> None:
    """b is back for d, but not yet for a: what a writes goes to d, behind what d is sending."""
    cluster = KernelCluster(4)
    a, b, _, d = walk(cluster)
    cluster.crash(b)
    context = done(cluster.put(a, KEY, b"first"))
    cluster.hold(b, d)
    cluster.start(b)
    cluster.hold(a, b)
    cluster.crash(b)
    done(cluster.put(a, KEY, b"second", context))
    cluster.held.clear()
    cluster.hold(d, b)
    cluster.start(b)
    done(cluster.put(a, KEY, b"third"))
    cluster.release()
    cluster.pass_ms(3000)
    assert kept(cluster, d) == {}
    for owner in walk(cluster)[:3]:
        assert held(cluster, owner) == [b"second", b"third"]


def test_an_acknowledgement_that_is_lost_costs_a_second_delivery_and_nothing_else() -> None:
    cluster = KernelCluster(4)
    a, b, _, d = walk(cluster)
    cluster.crash(b)
    context = done(cluster.put(a, KEY, b"first"))
    cluster.hold(b, d)
    cluster.start(b)
    cluster.pass_ms(100)
    assert held(cluster, b) == [b"first"]
    assert kept(cluster, d) == {b: 1}, "nobody told d"
    cluster.crash(d)
    cluster.held.clear()
    done(cluster.put(a, KEY, b"second", context))
    cluster.start(d)
    cluster.pass_ms(2000)
    assert kept(cluster, d) == {}
    assert held(cluster, b) == [b"second"], "what was delivered late is known to be replaced"


def test_a_coordinator_that_forgets_leaves_no_dot_in_a_hint() -> None:
    """a falls before its own copy is durable: no fallback has heard of the write, so a gap that a
    closes later cannot hide one."""
    cluster = KernelCluster(5)
    a, b, c, d, e = walk(cluster)
    cluster.crash(b)
    cluster.crash(c)
    cluster.machines[a].disk_stopped = True
    lost = cluster.begin_put(a, KEY, b"lost", settle=True)
    cluster.crash(a)
    assert kept(cluster, d) == kept(cluster, e) == {}
    assert lost not in cluster.answers
    for node in (a, b, c):
        cluster.start(node)
    done(cluster.put(a, KEY, b"kept"))
    assert cluster.values(b, KEY, r=3) == [b"kept"]


def test_the_only_coordinator_loses_its_disk_and_the_stand_in_has_the_write() -> None:
    cluster = KernelCluster(5)
    a, b, c, *_ = walk(cluster)
    cluster.crash(b)
    cluster.crash(c)
    put = cluster.begin_put(a, KEY, b"precious", settle=True)
    assert isinstance(cluster.answers[put], PutDone)
    cluster.lose_disk(a)
    for node in (b, c, a):
        cluster.start(node)
    cluster.pass_ms(5000)
    assert cluster.values(b, KEY, r=2) == [b"precious"]
