"""Riak's kv679: a coordinator that forgets what it shipped must not claim to have seen it.

    n1 ships a write ─▶ n2, n3 keep it, W acknowledge ─▶ n1 crashes before its own sync
    n1 starts again, and coordinates the same key: its next dot must not cover the forgotten one

Issue basho/riak_kv#679 and its family: with a lost disk, with a deleted key, with a fallback.
"""

import pytest
from kernel_cluster import KernelCluster, done

from dynamo.messages import PutDone

KEY = b"cart of alice"


def ship_and_forget(cluster: KernelCluster, value: bytes | None, *, lose_disk: bool) -> None:
    """n1 coordinates a write that only n2 and n3 make durable, then crashes and starts again."""
    context = cluster.get("n1", KEY).context if value is None else None
    cluster.machines[cluster.config.node("n1").name].disk_stopped = True
    id = cluster.begin_put("n1", KEY, value, context, settle=True)
    assert isinstance(cluster.answers[id], PutDone), "n2 and n3 are W"
    if lose_disk:
        cluster.lose_disk("n1")
    else:
        cluster.crash("n1")
    cluster.hold("n2", "n1")
    cluster.hold("n3", "n1")
    cluster.start("n1")
    cluster.say("n2", "n1")  # its disk is not an old copy, so it may write again


@pytest.mark.parametrize("lose_disk", [False, True], ids=["crash", "lost disk"])
def test_a_forgotten_write_survives_its_coordinators_next(lose_disk: bool) -> None:
    cluster = KernelCluster()
    done(cluster.put("n2", KEY, b"old"))
    ship_and_forget(cluster, b"forgotten", lose_disk=lose_disk)
    cluster.begin_put("n1", KEY, b"next", settle=True)
    cluster.release()
    cluster.pass_ms(2000)
    assert cluster.values("n1", KEY, r=3) == [b"forgotten", b"next", b"old"]
    for reader in ("n1", "n2", "n3"):
        assert b"forgotten" in cluster.values(reader, KEY), "a read at the default R sees it"


@pytest.mark.parametrize("lose_disk", [False, True], ids=["crash", "lost disk"])
def test_a_forgotten_delete_stays_done_after_its_coordinators_next(lose_disk: bool) -> None:
    cluster = KernelCluster()
    done(cluster.put("n2", KEY, b"old"))
    ship_and_forget(cluster, None, lose_disk=lose_disk)
    cluster.begin_put("n1", KEY, b"next", settle=True)
    cluster.release()
    cluster.pass_ms(2000)
    assert cluster.values("n2", KEY, r=3) == [b"next"]


@pytest.mark.parametrize("lose_disk", [False, True], ids=["crash", "lost disk"])
def test_a_forgotten_write_to_a_deleted_key_survives(lose_disk: bool) -> None:
    """Nothing is left of the key but a history: the place where dots were issued twice."""
    cluster = KernelCluster()
    context = done(cluster.put("n1", KEY, b"old"))
    done(cluster.put("n1", KEY, None, context))
    ship_and_forget(cluster, b"forgotten", lose_disk=lose_disk)
    cluster.begin_put("n1", KEY, b"next", settle=True)
    cluster.release()
    cluster.pass_ms(2000)
    assert cluster.values("n3", KEY, r=3) == [b"forgotten", b"next"]


def test_crashes_of_all_coordinators_in_turn_lose_nothing() -> None:
    cluster = KernelCluster()
    expected = set()
    for round_ in range(6):
        name = f"n{round_ % 3 + 1}"
        cluster.machines[cluster.config.node(name).name].disk_stopped = True
        done(cluster.put(name, KEY, b"forgotten %d" % round_))
        cluster.crash(name)
        cluster.start(name)
        done(cluster.put(name, KEY, b"next %d" % round_))
        expected |= {b"forgotten %d" % round_, b"next %d" % round_}
    assert cluster.values("n1", KEY, r=3) == sorted(expected)
