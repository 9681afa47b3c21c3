"""P6: a deleted key stays so; its tombstone goes once nobody can hold or deliver an older value.

Whole kernels with real logs, joined by hand. Time passes by days; nobody reads or asks.
"""

from dataclasses import replace

import pytest
from kernel_cluster import CART, SESSION, KernelCluster, done, small

from dynamo.errors import Code
from dynamo.messages import REPLICA_PUT, Failed, PeerDown, PeerUp, ReplicaPut
from dynamo.repair import collection, governor
from dynamo.siblings.codec import encode_record
from dynamo.siblings.record import Record
from dynamo.types import NodeId, TableId

HOUR_MS = 3_600_000.0
DAY_MS = 24 * HOUR_MS
KEYS = [b"key-%d" % number for number in range(12)]
NODES = ("n1", "n2", "n3")


@pytest.fixture(autouse=True)
def long_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks for days: a look at the foreground every half a second would be all there is."""
    monkeypatch.setattr(governor, "SLICE_MS", HOUR_MS)


def new_cluster(nodes: int = 3) -> KernelCluster:
    config = small(nodes)
    rare = int(HOUR_MS)
    timing = replace(
        config.timing,
        exchange_interval_ms=600_000,
        probe_interval_ms=rare,
        ping_interval_ms=rare,
        idle_timeout_ms=2 * rare,
    )
    return KernelCluster(nodes, replace(config, timing=timing))


def raw(cluster: KernelCluster, at: str, key: bytes, table: TableId = CART) -> bytes | None:
    engine = cluster.machines[NodeId(at)].engine
    assert engine is not None
    return engine.get(cluster.place(key, table)[1])


def removed(cluster: KernelCluster, key: bytes, table: TableId = CART) -> bool:
    owners = cluster.ring.preference_list(cluster.place(key, table)[0], 3)
    return all(raw(cluster, owner, key, table) is None for owner in owners)


def deleted(cluster: KernelCluster, keys: list[bytes], table: TableId = CART) -> list[Record]:
    """Keys written and deleted, and how they were before that at n3."""
    contexts = [done(cluster.put("n1", key, b"old", table=table)) for key in keys]
    before = [cluster.record("n3", key, table) for key in keys]
    for key, context in zip(keys, contexts, strict=True):
        done(cluster.put("n2", key, None, context, table=table))
    return before


def deliver(cluster: KernelCluster, to: str, key: bytes, record: Record) -> None:
    """A message of long ago arrives."""
    message = ReplicaPut(REPLICA_PUT, 8, cluster.place(key)[1], encode_record(record), b"")
    cluster.hear(to, message, NodeId("n1" if to != "n1" else "n2"))
    cluster.settle()


@pytest.mark.parametrize("table", [CART, SESSION])
def test_a_tombstone_stays_for_its_age_and_goes_by_itself_at_all_owners(table: TableId) -> None:
    cluster = new_cluster()
    deleted(cluster, KEYS, table)
    cluster.pass_ms(DAY_MS - HOUR_MS)
    assert not any(removed(cluster, key, table) for key in KEYS)
    cluster.pass_ms(2 * HOUR_MS)
    assert all(removed(cluster, key, table) for key in KEYS)
    assert all(cluster.values("n1", key, table=table) == [] for key in KEYS)
    assert cluster.machines[NodeId("n1")].meters.tombstones_removed >= len(KEYS)
    assert cluster.kernel("n1").status()["tombstones_waiting"] == 0


@pytest.mark.slow
def test_a_replica_that_was_away_for_a_day_brings_nothing_back() -> None:
    cluster = new_cluster()
    contexts = [done(cluster.put("n1", key, b"old")) for key in KEYS]
    cluster.crash("n3")
    for key, context in zip(KEYS, contexts, strict=True):
        done(cluster.put("n2", key, None, context))
    cluster.pass_ms(DAY_MS + 2 * HOUR_MS)
    assert all(raw(cluster, "n1", key) is not None for key in KEYS), "n3 has not had them"
    assert cluster.kernel("n1").status()["tombstones_waiting"] == len(KEYS)
    cluster.start("n3")
    assert all(cluster.values("n3", key) == [] for key in KEYS)
    cluster.pass_ms(HOUR_MS)
    assert all(cluster.values(at, key, 1) == [] for key in KEYS for at in NODES)
    cluster.pass_ms(4 * HOUR_MS)
    assert all(removed(cluster, key) for key in KEYS)


def test_what_is_delivered_late_is_known_to_be_stale() -> None:
    """A push or a hint of long ago, to a node that holds nothing of the item any more."""
    cluster = new_cluster()
    before = deleted(cluster, KEYS[:3])
    cluster.pass_ms(DAY_MS + 2 * HOUR_MS)
    for key, record in zip(KEYS[:3], before, strict=True):
        for to in NODES:
            deliver(cluster, to, key, record)
    assert all(removed(cluster, key) for key in KEYS[:3])


def test_what_is_delivered_late_stays_stale_beside_a_new_value() -> None:
    """The new record's own history knows nothing of it."""
    cluster = new_cluster()
    (before,) = deleted(cluster, KEYS[:1])
    cluster.pass_ms(DAY_MS + 2 * HOUR_MS)
    done(cluster.put("n3", KEYS[0], b"new"))
    for to in NODES:
        deliver(cluster, to, KEYS[0], before)
    assert cluster.values("n2", KEYS[0]) == [b"new"]
    assert [len(cluster.record(at, KEYS[0]).values) for at in NODES] == [1, 1, 1]


def test_a_new_write_that_travels_with_a_stale_value_arrives_without_it() -> None:
    cluster = new_cluster()
    (before,) = deleted(cluster, KEYS[:1])
    cluster.pass_ms(DAY_MS + 2 * HOUR_MS)
    done(cluster.put("n1", KEYS[0], b"new"))
    new = cluster.record("n1", KEYS[0])
    both = Record(
        new.history.union(before.history),
        0,
        {},
        tuple(sorted((*new.values, *before.values))),
    )
    cluster.lose_disk("n2")
    cluster.start("n2")
    cluster.pass_ms(HOUR_MS)
    deliver(cluster, "n3", KEYS[0], both)
    cluster.pass_ms(HOUR_MS)
    assert [cluster.values(at, KEYS[0], 1) for at in NODES] == [[b"new"]] * 3


def test_retries_and_questions_about_what_is_gone_are_answered_unknown() -> None:
    cluster = new_cluster()
    operation = cluster.operation()
    context = done(cluster.put("n1", KEYS[0], b"old", None, operation))
    done(cluster.put("n1", KEYS[0], None, context))
    cluster.pass_ms(DAY_MS + 2 * HOUR_MS)
    assert removed(cluster, KEYS[0])
    for at in NODES:
        assert cluster.outcome(at, KEYS[0], operation) == "unknown"
        answer = cluster.put(at, KEYS[0], b"old", None, operation)
        assert isinstance(answer, Failed)
        assert answer.code == Code.WRITE_TOO_OLD
    done(cluster.put("n1", KEYS[0], b"new"))
    assert cluster.outcome("n2", KEYS[0], operation) == "unknown"
    assert cluster.values("n3", KEYS[0]) == [b"new"]


def test_a_node_that_lost_its_disk_takes_part_again() -> None:
    """And what it copied of a tombstone that the others removed meanwhile goes as well."""
    cluster = new_cluster()
    deleted(cluster, KEYS)
    cluster.lose_disk("n2")
    cluster.pass_ms(DAY_MS)
    cluster.start("n2")
    cluster.pass_ms(4 * HOUR_MS)
    assert cluster.kernel("n2").status()["partitions_missing"] == 0
    assert all(removed(cluster, key) for key in KEYS)


def test_a_tombstone_that_one_owner_alone_holds_goes_when_the_others_have_removed_it() -> None:
    """Where a replica copied it just before."""
    cluster = new_cluster()
    deleted(cluster, KEYS[:1])
    tombstone = cluster.record("n1", KEYS[0])
    cluster.pass_ms(DAY_MS + 2 * HOUR_MS)
    assert removed(cluster, KEYS[0])
    cluster.lose_disk("n2")
    cluster.start("n2")
    deliver(cluster, "n2", KEYS[0], tombstone)
    assert raw(cluster, "n2", KEYS[0]) is not None
    cluster.pass_ms(2 * HOUR_MS)
    assert removed(cluster, KEYS[0])


def test_a_crashed_node_vouches_for_itself_only_after_it_was_equal_with_all() -> None:
    """One of the others may hold a write of it that it has forgotten, which is not stale."""
    cluster = new_cluster()
    partition, _ = cluster.place(KEYS[0])
    numbered = (b"other-%d" % number for number in range(1000))
    other = next(key for key in numbered if cluster.place(key)[0] == partition)
    deleted(cluster, KEYS[:1])
    cluster.machines[NodeId("n1")].disk_stopped = True
    cluster.hold("n1", "n3")
    done(cluster.put("n1", other, b"kept by n2 alone", w=1))
    cluster.crash("n1")
    cluster.held.clear()
    cluster.start("n1")
    cut(cluster, "n2")
    cluster.pass_ms(2 * DAY_MS)
    for peer in ("n1", "n3"):
        cluster.feed(NodeId("n2"), PeerUp(NodeId(peer)))
        cluster.feed(NodeId(peer), PeerUp(NodeId("n2")))
    cluster.pass_ms(2 * HOUR_MS)
    assert [cluster.values(at, other, 1) for at in NODES] == [[b"kept by n2 alone"]] * 3
    assert removed(cluster, KEYS[0])


def cut(cluster: KernelCluster, node: str) -> None:
    for peer in NODES:
        if peer != node:
            cluster.feed(NodeId(node), PeerDown(NodeId(peer), "cut"))
            cluster.feed(NodeId(peer), PeerDown(NodeId(node), "cut"))
    cluster.wires = [wire for wire in cluster.wires if node not in wire[:2]]


def test_what_all_have_had_survives_a_restart() -> None:
    cluster = new_cluster()
    (before,) = deleted(cluster, KEYS[:1])
    cluster.pass_ms(DAY_MS + 2 * HOUR_MS)
    for at in NODES:
        cluster.crash(at)
        cluster.start(at)
        deliver(cluster, at, KEYS[0], before)
    assert removed(cluster, KEYS[0])


def test_so_many_tombstones_wait_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "CANDIDATES_MAX", 4)
    cluster = new_cluster()
    deleted(cluster, KEYS)
    seen = set()
    for _ in range(12):
        cluster.pass_ms(DAY_MS / 6)
        seen.add(cluster.kernel("n1").status()["tombstones_waiting"])
    assert max(seen) <= 4
    assert all(removed(cluster, key) for key in KEYS)


def test_a_lost_record_voids_what_was_vouched_for() -> None:
    """Else the copy that another owner sends would be dropped as known here."""
    cluster = new_cluster()
    partition, _ = cluster.place(KEYS[0])
    numbered = (b"other-%d" % number for number in range(1000))
    other = next(key for key in numbered if cluster.place(key)[0] == partition)
    context = done(cluster.put("n1", other, b"value"))
    deleted(cluster, KEYS[:1])
    cluster.pass_ms(DAY_MS + 2 * HOUR_MS)
    assert removed(cluster, KEYS[0])
    machine = cluster.machines[NodeId("n2")]
    assert machine.engine is not None
    checkpoint = machine.engine.begin_checkpoint()
    assert checkpoint is not None
    for step in checkpoint.slices():
        step()
    machine.engine.checkpointed(checkpoint)
    key = cluster.place(other)[1]
    data = bytearray(machine.table.values[key])
    data[-1] ^= 1
    machine.table.values[key] = bytes(data)
    cluster.crash("n2")
    cluster.start("n2")
    cluster.pass_ms(HOUR_MS)
    assert [cluster.values(at, other, 1) for at in NODES] == [[b"value"]] * 3
    done(cluster.put("n3", other, b"next", context))
    assert [cluster.values(at, other, 1) for at in NODES] == [[b"next"]] * 3
