"""One write, several attempts: stories that the simulator found, told by hand.

A retry through another coordinator gives a write a second dot. All its dots are one event, whoever
knows which of them. (More of the kind: tests/promises/test_p4_causality.py.)
"""

from kernel_cluster import SESSION, KernelCluster, done

KEY = b"cart of alice"


def test_a_blind_puts_context_does_not_cover_another_dot_of_what_it_never_saw() -> None:
    """n1 holds a sibling under two dots, n3 under one: the context that n1 returns for a blind put
    must cover neither, or whoever writes with it at n3 removes the only copy there."""
    cluster = KernelCluster()
    cluster.hold("n1", "n2")
    cluster.hold("n1", "n3")
    operation = cluster.operation()
    cluster.begin_put("n1", KEY, b"sibling", None, operation, settle=True)
    done(cluster.put("n2", KEY, b"sibling", None, operation))
    cluster.held.discard(("n1", "n2"))
    blind = done(cluster.put("n1", KEY, b"blind"))
    cluster.begin_put("n3", KEY, b"its second", blind, settle=True)
    cluster.release()
    cluster.pass_ms(500)
    assert cluster.values("n3", KEY, r=3) == [b"its second", b"sibling"]


def test_whoever_saw_a_write_replaces_it_though_the_dot_that_he_saw_is_lost() -> None:
    """The first attempt is read at n3, and lost with n3's disk; the second stands elsewhere."""
    cluster = KernelCluster()
    cluster.hold("n3", "n1")
    cluster.hold("n3", "n2")
    operation = cluster.operation()
    cluster.begin_put("n3", KEY, b"read and replaced", None, operation, settle=True)
    seen = cluster.get("n3", KEY, r=1).context
    cluster.lose_disk("n3")
    done(cluster.put("n2", KEY, b"read and replaced", None, operation))
    done(cluster.put("n1", KEY, b"newer", seen))
    cluster.release()
    cluster.start("n3")
    cluster.pass_ms(2000)
    assert cluster.values("n2", KEY, r=3) == [b"newer"]


def test_two_attempts_and_a_rival_do_not_overwrite_each_other_under_lww() -> None:
    """The rival comes later than the write, but its retry later than the rival: with a stamp of its
    own the retry overwrote the rival, the rival the first attempt, and both were gone."""
    cluster = KernelCluster()
    cluster.hold("n1", "n2")
    cluster.hold("n1", "n3")
    operation = cluster.operation()
    cluster.begin_put("n1", KEY, b"early", None, operation, table=SESSION, settle=True)
    done(cluster.put("n3", KEY, b"rival", table=SESSION))
    done(cluster.put("n2", KEY, b"early", None, operation, table=SESSION))
    cluster.release()
    cluster.pass_ms(500)
    for reader in ("n1", "n2", "n3"):
        assert cluster.values(reader, KEY, table=SESSION) == [b"rival"]
