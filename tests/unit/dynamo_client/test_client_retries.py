"""Writes that meet lost, silent, busy and wrong nodes: one operation, and the truth about it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_cluster import (
    FakeCluster,
    FakeNode,
    Raw,
    fake_cluster,
    hang_up,
    linked,
    lost_answer,
    noticed,
    owners_of,
    refuse,
    reply,
    silent,
)

from dynamo.errors import Code, Failure
from dynamo.messages import ASK_CLUSTER, PUT, PUT_DONE, failed
from dynamo.wire import Link
from dynamo_client import (
    Database,
    InvalidRequest,
    OutcomeUnknown,
    Overloaded,
    QuorumNotReached,
    TooManySiblings,
    calls,
    connect,
)

CART = 1
BUSY = Failure(Code.OVERLOADED, "busy", retry_after_ms=1)
FULL = Failure(Code.OVERLOADED, "this node takes no writes: disk full", retry_after_ms=60_000)
NO_QUORUM = Failure(Code.QUORUM_NOT_REACHED, "", 2, 1, 1, (("nx", "unreachable"),))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not taken for a silent node."""
    monkeypatch.setattr(calls, "PATIENCE_MS_MIN", 5000.0)


@pytest.fixture
def impatient(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of silence."""
    monkeypatch.setattr(calls, "PATIENCE_MS_MIN", 10.0)


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster() as cluster:
        yield cluster


@pytest.fixture
async def db(cluster: FakeCluster) -> AsyncIterator[Database]:
    async with connect(cluster.seeds) as db:
        yield db


def bodies(cluster: FakeCluster) -> set[tuple[object, ...]]:
    """The puts that were sent, less request id, remaining time, epoch, and whether they say that an
    earlier attempt may have been applied."""
    return {message[4:-1] for message in cluster.requests(PUT)}


def marks(cluster: FakeCluster) -> list[object]:
    """What each attempt says of those before it, in their order."""
    return [message[-1] for message in cluster.requests(PUT)]


async def test_a_lost_answer_is_asked_for_again_under_the_same_operation(
    db: Database, cluster: FakeCluster
) -> None:
    first, second, _ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, lost_answer, times=1)
    await db.table("cart").put("alice", 1)
    assert len(first.requests(PUT)) == len(second.requests(PUT)) == 1
    assert len(bodies(cluster)) == 1
    assert marks(cluster) == [False, True]
    assert (await db.table("cart").get("alice")).values == [1]


@pytest.mark.usefixtures("impatient")
async def test_a_silent_coordinator_is_passed_over(db: Database, cluster: FakeCluster) -> None:
    first, second, _ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, silent)
    await linked(db)  # whoever is not cannot be the first to be asked
    await db.table("cart").put("alice", 1)
    assert len(second.requests(PUT)) >= 1
    assert all(message[-1] for message in second.requests(PUT)), "it is told of the first attempt"
    assert len(bodies(cluster)) == 1
    assert marks(cluster).count(False) <= 1


@pytest.mark.parametrize("code", [Code.OVERLOADED, Code.NOT_SERVING, Code.CORRUPT_DATA])
async def test_a_node_that_cannot_is_passed_over(
    db: Database, cluster: FakeCluster, code: Code
) -> None:
    first, second, _ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, refuse(Failure(code)))
    await db.table("cart").put("alice", 1)
    assert len(second.requests(PUT)) == 1
    assert len(bodies(cluster)) == 1
    assert marks(cluster) == [False, False], "the first has surely not applied it"


async def test_another_ring_is_learned_once_for_all(db: Database, cluster: FakeCluster) -> None:
    asked = len(cluster.requests(ASK_CLUSTER))
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(Failure(Code.WRONG_RING)), times=2)
    cart = db.table("cart")
    await asyncio.gather(*(cart.put(f"k{number}", number) for number in range(6)))
    assert asked < len(cluster.requests(ASK_CLUSTER)) <= asked + 3


async def test_busy_everywhere_is_tried_again_after_a_pause(
    db: Database, cluster: FakeCluster
) -> None:
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(BUSY), times=1)
    await db.table("cart").put("alice", 1)
    assert len(cluster.requests(PUT)) == 4
    assert len(bodies(cluster)) == 1


@pytest.mark.parametrize("retry_after_ms", [1, 60_000], ids=["budget", "time"])
async def test_busy_until_the_end_is_not_applied(
    db: Database, cluster: FakeCluster, retry_after_ms: int
) -> None:
    """The end is that of the retry budget, or a pause for which there is no time."""
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(BUSY._replace(retry_after_ms=retry_after_ms)))
    with pytest.raises(Overloaded) as error:
        await db.table("cart").put("alice", 1, timeout_ms=20_000)
    assert error.value.outcome == "not applied"
    assert error.value.failure.retry_after_ms == retry_after_ms


async def test_the_retry_budget_ends_retries_under_overload(
    db: Database, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "PATIENCE_MS_MIN", 5000.0)  # silence has a budget of its own
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(BUSY))
    cart = db.table("cart")
    puts = [cart.put(f"k{number}", 1, timeout_ms=5000) for number in range(100)]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert all(isinstance(answer, Overloaded) for answer in answers)
    assert len(cluster.requests(PUT)) <= 100 + 100 + 10


async def test_no_put_fails_while_one_node_is_full_and_the_budget_is_gone(
    db: Database, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by `dynamo-bench chaos --faults full`: a third of all puts came to the full node first,
    each cost a retry of a budget of a tenth, and once that was spent puts failed as overloaded."""
    monkeypatch.setattr(calls, "PATIENCE_MS_MIN", 1000.0)  # nobody is suspect on a busy machine
    cluster["n1"].rule(PUT, refuse(FULL))
    router = db._opened_router()
    while router.calls.retries.spend():
        """Nothing is left of it."""
    cart = db.table("cart")
    await asyncio.gather(*(cart.put(f"k{number}", 1) for number in range(150)))
    refused = len(cluster["n1"].requests(PUT))
    assert refused > 1
    await asyncio.gather(*(cart.put(f"l{number}", 1) for number in range(150)))
    assert len(cluster["n1"].requests(PUT)) == refused


async def test_no_quorum_is_told_at_once_with_its_counts(
    db: Database, cluster: FakeCluster
) -> None:
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(NO_QUORUM))
    with pytest.raises(QuorumNotReached) as error:
        await db.table("cart").put("alice", 1)
    assert error.value.outcome == "not applied"
    assert (error.value.failure.needed, error.value.failure.got) == (2, 1)
    assert len(cluster.requests(PUT)) == 1


async def test_a_coordinator_cut_off_from_nodes_that_we_reach_is_passed_over(
    db: Database, cluster: FakeCluster
) -> None:
    first, second, third = owners_of(cluster, CART, b"alice")
    causes = ((second.name, "unreachable"), (third.name, "unreachable"))
    first.rule(PUT, refuse(NO_QUORUM._replace(causes=causes)))
    await db.table("cart").put("alice", 1)
    assert len(cluster.requests(PUT)) == 2


async def test_an_unknown_fate_names_the_operation_and_can_be_asked_for(
    db: Database, cluster: FakeCluster
) -> None:
    first, *others = owners_of(cluster, CART, b"alice")
    first.rule(PUT, lost_answer)
    for other in others:
        other.rule(PUT, refuse(NO_QUORUM))
    with pytest.raises(OutcomeUnknown) as error:
        await db.table("cart").put("alice", 1)
    assert error.value.outcome == "unknown"
    assert error.value.failure.needed == 2
    assert await db.outcome(error.value.operation_id) == "applied"


@pytest.mark.usefixtures("impatient")
async def test_a_write_that_never_arrived_is_fenced_off(db: Database, cluster: FakeCluster) -> None:
    for node in cluster.nodes.values():
        node.rule(PUT, silent)
    with pytest.raises(OutcomeUnknown) as error:
        await db.table("cart").put("alice", 1, timeout_ms=50)
    assert error.value.failure.code is Code.DEADLINE_EXCEEDED
    assert len(bodies(cluster)) == 1
    assert await db.outcome(error.value.operation_id) == "not applied"
    assert not (await db.table("cart").get("alice")).found


async def test_a_callers_error_after_a_lost_attempt_leaves_the_fate_unknown(
    db: Database, cluster: FakeCluster
) -> None:
    first, second, _ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, hang_up, times=1)
    second.rule(PUT, refuse(Failure(Code.TOO_MANY_SIBLINGS)))
    with pytest.raises(OutcomeUnknown):
        await db.table("cart").put("alice", 1)
    second.clear()
    second.rule(PUT, refuse(Failure(Code.TOO_MANY_SIBLINGS)))
    first.rule(PUT, refuse(Failure(Code.TOO_MANY_SIBLINGS)))
    with pytest.raises(TooManySiblings):
        await db.table("cart").put("alice", 1)


async def test_a_stamp_below_the_floor_is_lifted_in_a_new_operation(
    db: Database, cluster: FakeCluster
) -> None:
    first, *_ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, refuse(Failure(Code.WRITE_TOO_OLD)), times=3)
    await db.table("cart").put("alice", 1)
    operations = [message[9] for message in first.requests(PUT)]
    assert len(set(operations)) == 4
    assert operations == sorted(operations)


async def test_too_old_after_a_lost_attempt_is_unknown(db: Database, cluster: FakeCluster) -> None:
    first, second, _ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, hang_up, times=1)
    second.rule(PUT, refuse(Failure(Code.WRITE_TOO_OLD)))
    with pytest.raises(OutcomeUnknown):
        await db.table("cart").put("alice", 1)
    assert len(bodies(cluster)) == 1


async def test_with_no_node_at_all_a_write_is_not_applied_at_once(cluster: FakeCluster) -> None:
    async with connect(cluster.seeds, timeout_ms=60_000) as db:
        await cluster.stop()
        await noticed(db, *cluster.nodes.values())
        with pytest.raises(QuorumNotReached, match="unreachable") as error:
            await db.table("cart").put("alice", 1)
        assert error.value.outcome == "not applied"
        assert {node for node, _ in error.value.failure.causes} == set(cluster.nodes)
        with pytest.raises(QuorumNotReached):
            await db.table("cart").get("alice")


async def test_one_dead_node_of_three_is_not_noticed(db: Database, cluster: FakeCluster) -> None:
    cart = db.table("cart")
    await asyncio.gather(*(cart.put(f"k{number}", number) for number in range(20)))
    await cluster["n2"].stop()
    for number in range(20):
        item = await cart.get(f"k{number}")
        await cart.put(f"k{number}", -number, item.context)
        assert (await cart.get(f"k{number}")).values == [-number]


async def test_two_dead_nodes_of_three_leave_r1_and_w1(db: Database, cluster: FakeCluster) -> None:
    cart = db.table("cart")
    await cluster["n2"].stop()
    await cluster["n3"].stop()
    await noticed(db, cluster["n2"], cluster["n3"])
    with pytest.raises(QuorumNotReached) as error:
        await cart.put("alice", 1)
    assert (error.value.failure.needed, error.value.outcome) == (2, "not applied")
    with pytest.raises(QuorumNotReached) as failed_read:
        await cart.get("alice")
    assert (failed_read.value.failure.needed, failed_read.value.failure.got) == (2, 1)
    await cart.put("alice", 1, w=1)
    assert (await cart.get("alice", r=1)).values == [1]


async def test_a_node_that_returns_is_used_again(db: Database, cluster: FakeCluster) -> None:
    first, *_ = owners_of(cluster, CART, b"alice")
    await first.stop()
    await db.table("cart").put("alice", 1)
    await first.start()
    while not first.requests(PUT):
        item = await db.table("cart").get("alice")
        await db.table("cart").put("alice", 2, item.context)
    assert (await db.table("cart").get("alice")).values == [2]


async def test_a_wrong_operation_id_is_refused(db: Database) -> None:
    with pytest.raises(InvalidRequest, match="operation id"):
        await db.outcome("nonsense")


async def test_a_node_that_talks_nonsense_is_cut_off(db: Database, cluster: FakeCluster) -> None:
    first, second, _ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, reply(30, "no context"))
    await db.table("cart").put("alice", 1)
    assert len(second.requests(PUT)) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_node_that_answers_the_same_request_twice_gives_back_one_slot(
    db: Database, cluster: FakeCluster
) -> None:
    """Silent in the first round, asked again in the second: two answers, one slot taken."""
    first, second, third = owners_of(cluster, CART, b"alice")
    late: list[tuple[Link, int]] = []

    def twice_busy(node: FakeNode, link: Link, message: Raw) -> None:
        late.append((link, message[1]))
        if len(late) == 2:
            for link, id in late:
                link.send(failed(id, BUSY))

    first.rule(PUT, twice_busy, times=2)
    second.rule(PUT, refuse(BUSY), times=1)
    third.rule(PUT, refuse(BUSY), times=1)
    await db.table("cart").put("alice", 1)
    assert len(late) == 2
    assert [peer.in_flight for peer in db._opened_router().links.peers.values()] == [0, 0, 0]


async def test_at_the_deadline_the_last_answer_is_told_beside_the_silence(
    db: Database, cluster: FakeCluster
) -> None:
    """A refusal again and again, and at the end an attempt that nobody has answered yet."""
    answered: set[str] = set()

    def once(node: FakeNode, link: Link, message: Raw) -> None:
        if node.name not in answered:
            answered.add(node.name)
            link.send(failed(message[1], FULL._replace(retry_after_ms=1)))

    for node in cluster.nodes.values():
        node.rule(PUT, once)
    with pytest.raises(OutcomeUnknown, match="no answer in time") as caught:
        await db.table("cart").put("alice", 1, timeout_ms=400)
    assert "before that: this node takes no writes: disk full" in str(caught.value)


@pytest.mark.parametrize("refusing", [0, 1])
@pytest.mark.parametrize("failure", [Failure(Code.NOT_SERVING), BUSY, NO_QUORUM])
async def test_without_owners_one_member_after_the_other_is_asked(
    failure: Failure, refusing: int
) -> None:
    async with fake_cluster(5) as cluster, connect(cluster.seeds) as db:
        await linked(db)
        owners = owners_of(cluster, CART, b"alice")
        others = [node for node in cluster.nodes.values() if node not in owners]
        others[refusing].rule(PUT, refuse(failure))
        others[1 - refusing].rule(PUT, reply(PUT_DONE, b"", 1))
        for owner in owners:
            await owner.stop()
        await noticed(db, *owners)
        await db.table("cart").put("alice", 1)
        assert len(others[1 - refusing].requests(PUT)) == 1


@pytest.mark.parametrize("failure", [Failure(Code.NOT_SERVING), NO_QUORUM])
async def test_an_open_write_that_others_refuse_waits_for_its_owners(failure: Failure) -> None:
    async with fake_cluster(5) as cluster, connect(cluster.seeds) as db:
        await linked(db)
        first, *rest = owners_of(cluster, CART, b"alice")
        for owner in rest:
            await owner.stop()
        await noticed(db, *rest)
        others = [node for node in cluster.nodes.values() if node not in (first, *rest)]
        for other in others:
            other.rule(PUT, refuse(failure))
        first.rule(PUT, silent)
        writing = asyncio.ensure_future(db.table("cart").put("alice", 1, timeout_ms=20_000))
        while not first.requests(PUT):
            await asyncio.sleep(0)
        port = first.port
        await first.stop()
        while not all(other.requests(PUT) for other in others):
            await asyncio.sleep(0)
        first.clear()
        assert not writing.done()
        first.rule(PUT, reply(PUT_DONE, b"", 1))
        await first.start(port)
        await writing
        assert marks(cluster) == [False, True, True, True]
