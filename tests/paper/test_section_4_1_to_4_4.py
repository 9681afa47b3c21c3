"""Sections 4.1 to 4.4 of "Dynamo: Amazon's Highly Available Key-value Store" (SOSP 2007).

One test per claim that this landing implements, with the idea in our own words.
"""

from collections import Counter

import mmh3
import pytest
from kernel_cluster import CART, KernelCluster, done

from dynamo.history import NO_GAPS, History
from dynamo.ring.hashing import TOKEN_BITS, partition_of, token_of
from dynamo.ring.placement import plan, shares_of, slots_of
from dynamo.ring.ring import Member, Ring
from dynamo.siblings.codec import opened_context
from dynamo.siblings.record import (
    NOTHING,
    UNSEEN,
    Record,
    Seen,
    Value,
    Window,
    merge,
    operation_id,
    seen_by_reader,
    supersedes,
    written,
)
from dynamo.types import Actor, NodeId, PartitionId, Stamp, Token

WINDOW = Window(64, 10_000)
KEY = b"alice"


def members(count: int, **weights: float) -> list[Member]:
    names = [f"n{number + 1}" for number in range(count)]
    return [Member(NodeId(name), name, "", weights.get(name, 1.0)) for name in names]


# 4.1 System interface


def test_4_1_get_returns_one_value_or_all_conflicting_ones_with_a_context() -> None:
    cluster = KernelCluster()
    assert cluster.get("n1", KEY).payloads == ()
    done(cluster.put("n1", KEY, b"one"))
    assert cluster.get("n1", KEY).payloads == (b"one",)
    done(cluster.put("n2", KEY, b"two"))
    found = cluster.get("n3", KEY)
    assert sorted(found.payloads) == [b"one", b"two"]
    assert found.context


def test_4_1_put_takes_the_context_of_what_it_updates() -> None:
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"one"))
    done(cluster.put("n2", KEY, b"two", cluster.get("n3", KEY).context))
    assert cluster.values("n1", KEY) == [b"two"]


def test_4_1_the_context_is_opaque_and_checked() -> None:
    """The caller hands it back unread; the store can tell whether it made it."""
    cluster = KernelCluster()
    context = done(cluster.put("n1", KEY, b"one"))
    assert isinstance(context, bytes)
    altered = bytes([context[0], context[1] ^ 1]) + context[2:]
    assert type(cluster.put("n1", KEY, b"two", altered)).__name__ == "Failed"


def test_4_1_keys_and_values_are_opaque_bytes_and_the_key_is_hashed_by_128_bit_function() -> None:
    """The paper takes MD5; ours is MurmurHash3, of which the first half is the position."""
    key = bytes(range(256))
    assert token_of(CART, key) == mmh3.hash64(key, CART, x64arch=True, signed=False)[0]
    cluster = KernelCluster()
    done(cluster.put("n1", key, b"\x00\xff"))
    assert cluster.values("n2", key) == [b"\x00\xff"]


# 4.2 Partitioning


def test_4_2_the_hash_range_is_a_ring_of_which_each_position_belongs_to_one_range() -> None:
    edges = [Token(number * (1 << TOKEN_BITS) // 16) for number in range(16)]
    for number, edge in enumerate(edges):
        assert partition_of(edge, 16) == number
        assert partition_of(Token((edge - 1) % (1 << TOKEN_BITS)), 16) == (number - 1) % 16


def test_4_2_keys_spread_evenly() -> None:
    counts = Counter(partition_of(token_of(CART, b"%d" % n), 64) for n in range(64_000))
    assert len(counts) == 64
    assert 800 < min(counts.values()) <= max(counts.values()) < 1200


def test_4_2_each_node_takes_many_places_on_the_ring() -> None:
    """Virtual nodes: a physical node is responsible for several of them."""
    ring = plan(members(5), 256, 3).ring
    assert all(150 < slots < 160 for slots in slots_of(ring, 3).values())


def test_4_2_a_node_that_departs_leaves_its_load_evenly_to_the_others() -> None:
    before = plan(members(6), 256, 3).ring
    after = plan(members(5), 256, 3, before).ring
    gained = Counter(move.node for move in after.gains(before, 3))
    assert set(gained) == {f"n{number}" for number in range(1, 6)}
    assert max(gained.values()) - min(gained.values()) <= 2


def test_4_2_a_node_that_joins_takes_about_as_much_from_each_of_the_others() -> None:
    before = plan(members(5), 256, 3).ring
    after = plan(members(6), 256, 3, before).ring
    was, now = slots_of(before, 3), slots_of(after, 3)
    given = [was[node] - now[node] for node in was]
    assert max(given) - min(given) <= 2
    assert sum(given) == now[NodeId("n6")] == 128


def test_4_2_the_number_of_places_follows_a_nodes_capacity() -> None:
    ring = plan(members(5, n1=2.0), 256, 3).ring
    slots, shares = slots_of(ring, 3), shares_of(ring, 3)
    assert slots[NodeId("n1")] == pytest.approx(2 * slots[NodeId("n2")], abs=2)
    assert all(abs(slots[node] - shares[node]) < 1 for node in slots)


# 4.3 Replication


@pytest.fixture(scope="module")
def ring() -> Ring:
    return plan(members(6), 64, 3).ring


def test_4_3_each_key_is_on_n_distinct_physical_nodes(ring: Ring) -> None:
    for number in range(ring.partitions):
        assert len(set(ring.preference_list(PartitionId(number), 3))) == 3


def test_4_3_the_preference_list_goes_on_beyond_n_for_failures(ring: Ring) -> None:
    for number in range(ring.partitions):
        owners = ring.preference_list(PartitionId(number), 3)
        assert len(owners) + len(ring.fallbacks(PartitionId(number), 3)) == 6


def test_4_3_every_node_can_tell_who_is_in_the_list(ring: Ring) -> None:
    """The list is a value that all nodes compute alike, whatever the order of the members."""
    assert plan(members(6)[::-1], 64, 3).ring.digest() == ring.digest()
    assert Ring.from_value(ring.as_value()) == ring


def test_4_3_the_coordinator_stores_locally_and_replicates_to_the_others() -> None:
    cluster = KernelCluster()
    done(cluster.put("n2", KEY, b"v"))
    for name in ("n1", "n2", "n3"):
        assert [value.payload for value in cluster.record(name, KEY).values] == [b"v"]
    assert cluster.sent["ReplicaPut"] == 2


# 4.4 Data versioning


def test_4_4_an_update_reaches_replicas_asynchronously_and_a_read_may_see_the_older() -> None:
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"old"))
    cluster.hold("n1", "n3")
    done(cluster.put("n1", KEY, b"new", cluster.get("n1", KEY).context))
    assert cluster.values("n3", KEY, r=1) == [b"old"]
    cluster.release()
    assert cluster.values("n3", KEY, r=1) == [b"new"]


def test_4_4_add_to_cart_is_never_forgotten_or_rejected() -> None:
    """A change made to an older version is kept beside the newer one and merged later."""
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"a"))
    older = cluster.get("n1", KEY).context
    done(cluster.put("n2", KEY, b"a,b", older))
    done(cluster.put("n3", KEY, b"a,c", older))
    found = cluster.get("n1", KEY)
    assert sorted(found.payloads) == [b"a,b", b"a,c"]
    done(cluster.put("n1", KEY, b"a,b,c", found.context))
    assert cluster.values("n2", KEY) == [b"a,b,c"]


class Figure3:
    """D1 to D5: written at Sx, Sx, then at Sy and Sz apart, reconciled at Sx."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.d1 = self.write("Sx", NOTHING, UNSEEN, "D1")
        self.d2 = self.write("Sx", self.d1, seen_by_reader(self.d1), "D2")
        self.d3 = self.write("Sy", self.d2, seen_by_reader(self.d2), "D3")
        self.d4 = self.write("Sz", self.d2, seen_by_reader(self.d2), "D4")
        self.both = merge(self.d3, self.d4, "siblings", WINDOW)
        self.d5 = self.write("Sx", self.d2, seen_by_reader(self.both), "D5")

    def write(self, at: str, record: Record, seen: Seen, name: str) -> Record:
        self.counters[at] += 1
        operation = operation_id(1000 << 16, 1, sum(self.counters.values()))
        dot = Actor(at), self.counters[at]
        value = Value(*dot, Stamp(1000 << 16), operation, name.encode())
        return written(record, seen, value, "siblings", WINDOW)


def clock(**counters: int) -> History:
    return History({Actor(at): counter for at, counter in counters.items()}, NO_GAPS)


def payloads(record: Record) -> set[bytes | None]:
    return {value.payload for value in record.values}


def test_4_4_figure_3_the_clocks_are_those_of_the_figure() -> None:
    figure = Figure3()
    assert figure.d1.history == clock(Sx=1)
    assert figure.d2.history == clock(Sx=2)
    assert figure.d3.history == clock(Sx=2, Sy=1)
    assert figure.d4.history == clock(Sx=2, Sz=1)
    assert figure.d5.history == clock(Sx=3, Sy=1, Sz=1)


def test_4_4_figure_3_d2_replaces_d1_and_a_node_with_d1_can_tell() -> None:
    figure = Figure3()
    assert supersedes(figure.d2, figure.d1)
    assert not supersedes(figure.d1, figure.d2)
    assert payloads(merge(figure.d1, figure.d2, "siblings", WINDOW)) == {b"D2"}


def test_4_4_figure_3_a_node_that_knows_d1_or_d2_drops_them_for_d4() -> None:
    figure = Figure3()
    for older in (figure.d1, figure.d2):
        assert payloads(merge(older, figure.d4, "siblings", WINDOW)) == {b"D4"}


def test_4_4_figure_3_d3_and_d4_have_no_order_so_both_are_kept_for_the_client() -> None:
    figure = Figure3()
    assert not supersedes(figure.d3, figure.d4)
    assert not supersedes(figure.d4, figure.d3)
    assert payloads(figure.both) == {b"D3", b"D4"}
    context = seen_by_reader(figure.both).history
    assert context == clock(Sx=2, Sy=1, Sz=1), "a summary of both clocks"


def test_4_4_figure_3_the_clients_reconciliation_replaces_both_everywhere() -> None:
    figure = Figure3()
    assert payloads(figure.d5) == {b"D5"}
    for older in (figure.d1, figure.d2, figure.d3, figure.d4, figure.both):
        assert payloads(merge(older, figure.d5, "siblings", WINDOW)) == {b"D5"}
        assert payloads(merge(figure.d5, older, "siblings", WINDOW)) == {b"D5"}


def test_4_4_a_clock_has_an_entry_for_each_coordinator_and_no_other() -> None:
    """The paper truncates clocks of ten entries; ours cannot grow beyond the owners' lives."""
    cluster = KernelCluster()
    context = None
    for number in range(60):
        context = done(cluster.put(f"n{number % 3 + 1}", KEY, b"v", context))
    history = opened_context(context).history
    assert len(history.vector) == 3
    assert not history.gaps


def test_4_4_a_version_that_subsumes_another_is_reconciled_by_the_store_itself() -> None:
    """Syntactic reconciliation: nobody but the store is asked."""
    cluster = KernelCluster()
    cluster.hold("n1", "n3")
    cluster.hold("n2", "n3")
    done(cluster.put("n1", KEY, b"old"))
    done(cluster.put("n2", KEY, b"new", cluster.get("n2", KEY).context))
    cluster.release()
    cluster.pass_ms(300)
    assert cluster.values("n3", KEY, r=3) == [b"new"]
