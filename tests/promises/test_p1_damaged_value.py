"""P1: one damaged value on one disk is the loss of a disk for one item, and W-1 of those are borne.

A damaged record counts for nothing until what N-W+1 other owners hold has taken its place: any
fewer may lack what it had acknowledged, and a read that counts it would miss that.
"""

import pytest
from kernel_cluster import KernelCluster, done

from dynamo.errors import CorruptData
from dynamo.repair import collection
from dynamo.types import NodeId

KEY = b"alice"


def forgetful() -> KernelCluster:
    """n1 and n2 acknowledged `acknowledged`; n3 has only `old`; n1's copy is damaged."""
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"old"))
    cluster.hold("n1", "n3")
    cluster.hold("n2", "n3")
    done(cluster.put("n1", KEY, b"acknowledged"))
    cluster.stop("n1")  # a checkpoint, then nothing of it is in memory or log
    table = cluster.machines[cluster.config.node("n1").name].table
    key = cluster.place(KEY)[1]
    table.values[key] = table.values[key][:-1] + b"?"
    cluster.start("n1")
    return cluster


def test_a_damaged_record_is_not_replaced_by_what_one_other_owner_holds() -> None:
    """n3's record would do for a read together with n3's own, and both lack `acknowledged`."""
    cluster = forgetful()
    cluster.hold("n3", "n2")
    cluster.begin_put("n3", KEY, b"third", settle=True)
    cluster.pass_ms(2000)  # n1 hears n2 only
    with pytest.raises(CorruptData):
        cluster.record("n1", KEY)
    cluster.release()
    cluster.pass_ms(2000)
    expected = [b"acknowledged", b"old", b"third"]
    assert sorted(v.payload or b"" for v in cluster.record("n1", KEY).values) == expected
    assert cluster.values("n2", KEY, r=3) == expected


@pytest.mark.parametrize("clean", [True, False])
def test_it_stays_so_over_restarts(clean: bool) -> None:
    cluster = forgetful()
    cluster.hold("n3", "n2")
    cluster.begin_put("n3", KEY, b"third", settle=True)
    (cluster.stop if clean else cluster.crash)("n1")
    cluster.start("n1")
    cluster.begin_put("n3", KEY, b"fourth", settle=True)
    with pytest.raises(CorruptData):
        cluster.record("n1", KEY)
    cluster.release()
    cluster.pass_ms(2000)
    assert cluster.values("n2", KEY, r=3) == [b"acknowledged", b"fourth", b"old", b"third"]


def test_a_write_through_the_damaged_copy_is_refused_there_and_done_elsewhere() -> None:
    cluster = forgetful()
    assert type(cluster.put("n1", KEY, b"new")).__name__ == "Failed"
    cluster.release()
    done(cluster.put("n2", KEY, b"new"))
    assert b"acknowledged" in cluster.values("n2", KEY)


def checkpointed(keys: list[bytes]) -> KernelCluster:
    """The keys are in n2's table, and all of its trees are grown."""
    cluster = KernelCluster()
    for key in keys:
        done(cluster.put("n1", key, b"value"))
    engine = cluster.machines[NodeId("n2")].engine
    assert engine is not None
    checkpoint = engine.begin_checkpoint()
    assert checkpoint is not None
    for step in checkpoint.slices():
        step()
    engine.checkpointed(checkpoint)
    cluster.pass_ms(3000)
    return cluster


def damage(cluster: KernelCluster, keys: list[bytes]) -> None:
    values = cluster.machines[NodeId("n2")].table.values
    for key in keys:
        place = cluster.place(key)[1]
        values[place] = values[place][:-1] + b"?"


KEYS = [b"key-%d" % number for number in range(40)]


def test_what_nobody_reads_is_found_damaged_and_repaired() -> None:
    """By the sweep of a running node: its values are read against their checksums in slices."""
    cluster = checkpointed(KEYS)
    damage(cluster, KEYS[:5])
    cluster.pass_ms(1.5 * cluster.config.timing.exchange_interval_ms)
    engine = cluster.machines[NodeId("n2")].engine
    assert engine is not None
    assert not engine.damaged_keys
    for key in KEYS:
        assert cluster.record("n2", key) == cluster.record("n1", key)
    cluster.kernel("n2").validate_store()


def test_so_many_damaged_values_are_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "DAMAGED_AT_ONCE_MAX", 3)
    cluster = checkpointed(KEYS)
    damage(cluster, KEYS[:5])
    engine = cluster.machines[NodeId("n2")].engine
    assert engine is not None
    known = []
    for _ in range(300):
        cluster.pass_ms(100)
        if not known or known[-1] != len(engine.damaged_keys):
            known.append(len(engine.damaged_keys))
    assert known == [0, 2, 0], "five are found, three repaired at once, two after the next slice"
