"""P1: one damaged value on one disk is the loss of a disk for one item, and W-1 of those are borne.

The coordinator's own record is damaged and replaced by an older one from another owner. From then
on it must not claim to have seen what it has forgotten: its dots for that item are on other disks.
"""

import pytest
from kernel_cluster import KernelCluster, done

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


def test_a_damaged_record_counts_as_lost_not_as_known() -> None:
    cluster = forgetful()
    cluster.hold("n3", "n2")
    cluster.begin_put("n3", KEY, b"third", settle=True)  # n1 takes n3's record for its own
    assert {value.payload for value in cluster.record("n1", KEY).values} == {b"old", b"third"}
    cluster.begin_put("n1", KEY, b"fourth", settle=True)
    cluster.release()
    cluster.pass_ms(300)
    expected = [b"acknowledged", b"fourth", b"old", b"third"]
    assert cluster.values("n2", KEY, r=3) == expected
    assert cluster.values("n3", KEY, r=3) == expected


@pytest.mark.parametrize("clean", [True, False])
def test_it_stays_so_over_restarts(clean: bool) -> None:
    cluster = forgetful()
    cluster.hold("n3", "n2")
    cluster.begin_put("n3", KEY, b"third", settle=True)
    (cluster.stop if clean else cluster.crash)("n1")
    cluster.start("n1")
    cluster.begin_put("n1", KEY, b"fourth", settle=True)
    cluster.release()
    cluster.pass_ms(300)
    assert cluster.values("n2", KEY, r=3) == [b"acknowledged", b"fourth", b"old", b"third"]


def test_a_write_through_the_damaged_copy_is_refused_there_and_done_elsewhere() -> None:
    cluster = forgetful()
    assert type(cluster.put("n1", KEY, b"new")).__name__ == "Failed"
    done(cluster.put("n2", KEY, b"new"))
    assert b"acknowledged" in cluster.values("n2", KEY)
