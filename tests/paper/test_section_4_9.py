"""Section 4.9 of "Dynamo: Amazon's Highly Available Key-value Store" (SOSP 2007): adding and
removing storage nodes. One test per claim, with the idea in our own words.

Where we differ: a change is decided by agreement and goes through a ring in which both the owners
before and those after it count (decision 013); in the paper a newcomer serves when it has its keys.
A newcomer copies a range from as many former owners as can have missed a write, each of them once.
"""

from collections import Counter

from brain_cluster import KEYS, N1, N2, N4, BrainCluster, written_cluster

from dynamo.messages import REPLICA_SCAN, Event, Received
from dynamo.ring.ring import Ring
from dynamo.types import NodeId, PartitionId

N, W = 3, 2
LONG_MS = 10_000


def owners(cluster: BrainCluster) -> list[set[NodeId]]:
    """Of each partition."""
    ring: Ring = cluster.brains[N1].topology.ring
    return [set(ring.preference_list(number, N)) for number in range(ring.partitions)]


def holders(cluster: BrainCluster, key: bytes) -> set[NodeId]:
    """Whose stores have the item."""
    item = cluster.key_of(key)[1]
    return {node for node, store in cluster.stores.items() if store.get(item) is not None}


def joined() -> tuple[BrainCluster, list[set[NodeId]]]:
    """Four members, and the owners of before."""
    cluster = written_cluster()
    before = owners(cluster)
    cluster.join(N2, N4)
    cluster.pass_ms(LONG_MS)
    assert set(cluster.epochs().values()) == {3}
    return cluster, before


def test_4_9_a_newcomer_is_given_ranges_that_others_hold_and_all_else_stays() -> None:
    cluster, before = joined()
    gained = 0
    for old, new in zip(before, owners(cluster), strict=True):
        assert new == old or new - old == {N4}
        gained += N4 in new
    assert gained == N * cluster.partitions // 4


def test_4_9_the_load_is_spread_evenly_again() -> None:
    cluster, _ = joined()
    shares = Counter(node for nodes in owners(cluster) for node in nodes)
    assert max(shares.values()) - min(shares.values()) <= 1


def test_4_9_who_has_no_longer_to_hold_an_item_hands_it_over_and_drops_it() -> None:
    cluster, _ = joined()
    now = owners(cluster)
    for key in KEYS:
        assert holders(cluster, key) == now[cluster.key_of(key)[0]]


def test_4_9_no_range_is_sent_to_a_newcomer_twice() -> None:
    cluster = written_cluster()
    asked: Counter[tuple[NodeId, PartitionId, bytes]] = Counter()
    feed = cluster.feed

    def noted(node: NodeId, event: Event) -> None:
        if isinstance(event, Received) and event.source == N4:
            for kind, _, *place in event.messages:
                if kind == REPLICA_SCAN:
                    asked[(node, *place)] += 1
        feed(node, event)

    cluster.feed = noted  # type: ignore[method-assign]
    cluster.join(N2, N4)
    cluster.pass_ms(LONG_MS)
    gained = sum(N4 in nodes for nodes in owners(cluster))
    assert set(asked.values()) == {1}
    assert len(asked) == gained * (N - W + 1)


def test_4_9_who_leaves_gives_its_ranges_back_to_the_others() -> None:
    cluster, before = joined()
    cluster.order(N2, "leave", N4)
    cluster.pass_ms(LONG_MS)
    cluster.stop(N4)
    assert owners(cluster) == before
    for key in KEYS:
        assert cluster.read(N2, key) == (b"old",)
        assert holders(cluster, key) - {N4} == before[cluster.key_of(key)[0]]
