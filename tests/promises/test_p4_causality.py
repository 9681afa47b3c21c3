"""P4: siblings are exactly the maximal set of concurrent writes; retries add none.

Whole kernels with real logs, joined by hand, so that crashes, clocks and late messages happen when
the test says so. `test_p4_clients.py` says the same of real nodes and the real client.
"""

from itertools import permutations

import pytest
from kernel_cluster import BIRTH_MS, SESSION, KernelCluster, done, gaps_in

from dynamo.messages import Failed, PutDone
from dynamo_client.clock import ClusterClock

KEY = b"alice"
NAMES = ("n1", "n2", "n3")


def at(number: int) -> str:
    return NAMES[number % 3]


@pytest.mark.slow
def test_a_thousand_updates_leave_one_value_and_a_context_that_does_not_grow() -> None:
    cluster = KernelCluster()
    context, sizes = None, []
    for number in range(1000):
        context = done(cluster.put(at(number), KEY, b"%d" % number, context))
        sizes.append(len(context))
    assert cluster.values("n1", KEY, r=3) == [b"999"]
    assert set(sizes[3:]) == {sizes[3]}, "all three coordinators are in it after three writes"


@pytest.mark.slow
def test_a_hundred_clean_restarts_do_not_grow_a_context() -> None:
    cluster = KernelCluster()
    context, sizes = None, []
    for number in range(100):
        name = at(number)
        context = done(cluster.put(name, KEY, b"%d" % number, context))
        sizes.append(len(context))
        cluster.stop(name)
        cluster.start(name)
    assert cluster.values("n1", KEY, r=3) == [b"99"]
    assert set(sizes[3:]) == {sizes[3]}
    assert not gaps_in(context or b"")


@pytest.mark.slow
def test_a_hundred_crashes_of_coordinators_leave_a_context_no_larger_than_a_few() -> None:
    """Each time the coordinator has shipped a write that it forgets."""
    cluster = KernelCluster()
    sizes: list[int] = []
    for number in range(100):
        name, other = at(number), at(number + 1)
        forgotten = cluster.begin_put(name, KEY, b"forgotten", cluster.get(other, KEY).context)
        cluster.machines[cluster.config.node(name).name].disk_stopped = True
        cluster.settle()
        assert isinstance(cluster.answers[forgotten], PutDone), "two others hold it"
        cluster.crash(name)
        cluster.start(name)
        assert cluster.values(other, KEY) == [b"forgotten"]
        context = done(cluster.put(name, KEY, b"after", cluster.get(other, KEY).context))
        assert cluster.values(name, KEY, r=3) == [b"after"]
        sizes.append(len(context))
    assert max(sizes[20:]) <= max(sizes[:20])
    assert max(sizes) < 3 * sizes[0]


@pytest.mark.slow
def test_gaps_that_grew_while_an_owner_was_away_close_when_it_is_back() -> None:
    cluster = KernelCluster()
    cluster.stop("n3")
    context = None
    for number in range(20):
        context = done(cluster.put("n1", KEY, b"%d" % number, context))
        cluster.crash("n1")
        cluster.start("n1")
    assert context is not None
    assert gaps_in(context) >= 18, "nobody may close them without n3"
    cluster.start("n3")
    for number in range(3):
        context = done(cluster.put("n1", KEY, b"back %d" % number, context))
    assert gaps_in(context) <= 1
    assert cluster.values("n2", KEY, r=3) == [b"back 2"]


def test_a_rebuilding_owner_closes_no_gap() -> None:
    """It holds the record because it was sent, not because it has all that it ever had."""
    cluster = KernelCluster()
    cluster.lose_disk("n3")
    cluster.hold("n3", "n2")  # so it copies nothing from there and stays what it is
    cluster.start("n3")
    assert cluster.kernel("n3").missing_partitions()
    context = None
    for number in range(5):
        context = done(cluster.put("n1", KEY, b"%d" % number, context))
        cluster.crash("n1")
        cluster.start("n1")
    assert context is not None
    assert gaps_in(context) >= 3


def test_clients_that_read_nothing_make_exactly_as_many_siblings() -> None:
    cluster = KernelCluster()
    for number in range(50):
        done(cluster.put(at(number), KEY, b"%02d" % number))
    found = cluster.get("n2", KEY)
    assert sorted(found.payloads) == [b"%02d" % number for number in range(50)]
    done(cluster.put("n3", KEY, b"merged", found.context))
    assert cluster.values("n1", KEY, r=3) == [b"merged"]


def test_two_clients_that_never_read_keep_one_sibling_each() -> None:
    """Riak's sibling explosion: each replaces its own, a hundred times, at all coordinators."""
    cluster = KernelCluster()
    mine: dict[str, bytes | None] = {"a": None, "b": None, "c": None}
    for number in range(100):
        for offset, writer in enumerate(mine):
            value = f"{writer}{number}".encode()
            mine[writer] = done(cluster.put(at(number + offset), KEY, value, mine[writer]))
        assert len(cluster.get(at(number), KEY).payloads) <= len(mine)
    assert cluster.values("n1", KEY, r=3) == [b"a99", b"b99", b"c99"]


def test_interleaved_read_modify_writes_stay_bounded_by_their_writers() -> None:
    """Both read the same, both write; the later write must not bring the earlier's past back."""
    cluster = KernelCluster()
    for number in range(40):
        seen = cluster.get(at(number), KEY).context
        for writer in range(4):
            done(cluster.put(at(number + writer), KEY, b"%d-%d" % (number, writer), seen))
        expected = [b"%d-%d" % (number, writer) for writer in range(4)]
        assert cluster.values(at(number), KEY, r=3) == expected


def test_a_second_put_with_the_context_of_the_first_replaces_it() -> None:
    for first, second in permutations(NAMES, 2):
        cluster = KernelCluster()
        context = done(cluster.put(first, KEY, b"one"))
        done(cluster.put(second, KEY, b"two", context))
        assert cluster.values(first, KEY, r=3) == [b"two"]


def test_a_puts_context_does_not_cover_a_sibling_that_its_writer_never_saw() -> None:
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"theirs"))
    context = done(cluster.put("n1", KEY, b"mine"))
    context = done(cluster.put("n2", KEY, b"mine 2", context))
    assert cluster.values("n3", KEY, r=3) == [b"mine 2", b"theirs"]
    done(cluster.put("n3", KEY, None, context))
    assert cluster.values("n1", KEY, r=3) == [b"theirs"]


# Retries: one operation, several attempts


@pytest.mark.parametrize("successor", [b"newer", None], ids=["overwritten", "deleted"])
@pytest.mark.parametrize("retry_at", NAMES)
def test_a_retry_after_its_value_is_gone_brings_nothing_back(
    successor: bytes | None, retry_at: str
) -> None:
    cluster = KernelCluster()
    operation = cluster.operation()
    done(cluster.put("n1", KEY, b"once", None, operation))
    done(cluster.put("n2", KEY, successor, cluster.get("n3", KEY).context))
    done(cluster.put(retry_at, KEY, b"once", None, operation))
    assert cluster.values("n1", KEY, r=3) == ([successor] if successor else [])


@pytest.mark.parametrize("successor", [b"newer", None], ids=["overwritten", "deleted"])
def test_a_retry_at_a_node_that_knows_nothing_brings_nothing_back(
    successor: bytes | None,
) -> None:
    """n3 has heard neither of the first attempt nor of what replaced it."""
    cluster = KernelCluster()
    cluster.hold("n1", "n3")
    cluster.hold("n2", "n3")
    operation = cluster.operation()
    done(cluster.put("n1", KEY, b"once", None, operation))
    seen = cluster.get("n2", KEY).context
    done(cluster.put("n2", KEY, successor, seen))
    cluster.begin_put("n3", KEY, b"once", None, operation, settle=True)
    cluster.release()
    cluster.pass_ms(300)
    expected = [successor] if successor else []
    for name in NAMES:
        assert [value.payload for value in cluster.record(name, KEY).values] == expected


def test_a_first_attempt_that_arrives_after_its_retry_was_overwritten_is_dropped() -> None:
    cluster = KernelCluster()
    operation = cluster.operation()
    cluster.hold("n1", "n2")
    cluster.hold("n1", "n3")
    cluster.begin_put("n1", KEY, b"once", None, operation, settle=True)
    done(cluster.put("n2", KEY, b"once", None, operation))
    done(cluster.put("n3", KEY, b"newer", cluster.get("n3", KEY, r=1).context))
    cluster.release()
    cluster.pass_ms(300)
    for name in NAMES:
        assert [value.payload for value in cluster.record(name, KEY).values] == [b"newer"]


def test_attempts_at_every_node_are_one_sibling() -> None:
    cluster = KernelCluster()
    operation = cluster.operation()
    for one, other in permutations(NAMES, 2):
        cluster.hold(one, other)
    for name in NAMES:
        cluster.begin_put(name, KEY, b"once", None, operation)
    cluster.settle()
    cluster.release()
    assert cluster.values("n1", KEY, r=3) == [b"once"]


def test_whoever_has_seen_one_attempt_has_seen_all() -> None:
    """A write whose context covers one dot of an operation replaces the value under any dot."""
    cluster = KernelCluster()
    operation = cluster.operation()
    for one, other in permutations(NAMES, 2):
        cluster.hold(one, other)
    cluster.begin_put("n1", KEY, b"once", None, operation, settle=True)
    cluster.begin_put("n2", KEY, b"once", None, operation, settle=True)
    seen = cluster.get("n1", KEY, r=1).context
    cluster.begin_put("n1", KEY, b"newer", seen, settle=True)
    cluster.release()
    cluster.pass_ms(300)
    assert cluster.values("n3", KEY, r=3) == [b"newer"]


def test_an_operation_that_was_declared_not_applied_never_is() -> None:
    cluster = KernelCluster()
    operation = cluster.operation()
    assert cluster.outcome("n2", KEY, operation) == "not applied"
    answer = cluster.put("n1", KEY, b"late", None, operation)
    assert isinstance(answer, Failed)
    assert cluster.values("n3", KEY, r=3) == []


# The last write wins


class LwwClient:
    """The real client's clock in front of the kernels."""

    def __init__(self, cluster: KernelCluster) -> None:
        self.cluster, self.clock = cluster, ClusterClock()

    def learn(self, name: str) -> None:
        """Ask that node for the time."""
        machine = self.cluster.machines[self.cluster.config.node(name).name]
        wall_ms = BIRTH_MS + int(self.cluster.now_ms) + machine.clock_ahead_ms
        self.clock.learn(wall_ms, self.cluster.now_ms, self.cluster.now_ms)

    def put(self, name: str, value: bytes, context: bytes | None = None) -> bytes:
        """Written with the next operation id."""
        self.cluster.now_ms += 1
        item = (SESSION, KEY, b"")
        operation = self.clock.operation(self.cluster.now_ms, 0, item)
        answer = self.cluster.put(name, KEY, value, context, operation, table=SESSION)
        assert isinstance(answer, PutDone), answer
        self.clock.wrote(item, answer.stamp, self.cluster.now_ms)
        return answer.context


@pytest.mark.parametrize("ahead_ms", [-400, 0, 400])
@pytest.mark.parametrize("with_context", [False, True])
def test_the_second_write_of_a_client_wins_whatever_clock_its_first_met(
    ahead_ms: int, with_context: bool
) -> None:
    cluster = KernelCluster()
    cluster.machines[cluster.config.node("n1").name].clock_ahead_ms = ahead_ms
    client = LwwClient(cluster)
    client.learn("n1")
    context = client.put("n1", b"first")
    client.learn("n2")
    client.put("n2", b"second", context if with_context else None)
    assert cluster.values("n3", KEY, r=3, table=SESSION) == [b"second"]


def test_a_write_wins_over_what_it_has_read_however_far_ahead_its_stamp() -> None:
    cluster = KernelCluster()
    cluster.machines[cluster.config.node("n1").name].clock_ahead_ms = 60_000
    fast, slow = LwwClient(cluster), LwwClient(cluster)
    fast.learn("n1")
    slow.learn("n2")
    fast.put("n1", b"from the future")
    slow.put("n2", b"read and replaced", cluster.get("n2", KEY, table=SESSION).context)
    assert cluster.values("n3", KEY, r=3, table=SESSION) == [b"read and replaced"]


def test_a_blind_second_write_wins_though_the_first_replaced_something_from_the_future() -> None:
    """The first took a stamp above what it replaced, further ahead than a client's clock goes."""
    cluster = KernelCluster()
    cluster.machines[cluster.config.node("n1").name].clock_ahead_ms = 400
    fast, slow = LwwClient(cluster), LwwClient(cluster)
    fast.learn("n1")
    slow.learn("n2")
    fast.put("n1", b"from the future")
    slow.put("n2", b"first", cluster.get("n2", KEY, table=SESSION).context)
    slow.put("n2", b"second")
    slow.put("n3", b"third")
    assert cluster.values("n3", KEY, r=3, table=SESSION) == [b"third"]
