"""`update`: read, merge, write; the function never runs while a write's fate is open."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_cluster import FakeCluster, fake_cluster, lost_answer, owners_of, refuse, silent

from dynamo.errors import Code, Failure
from dynamo.messages import PUT, REPLICA_GET
from dynamo_client import Database, DeadlineExceeded, OutcomeUnknown, Overloaded, calls, connect

CART = 1


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is taken for silent because the machine is busy."""
    monkeypatch.setattr(calls, "PATIENCE_MS_MIN", 5000.0)


@pytest.fixture
def impatient(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed soon."""
    monkeypatch.setattr(calls, "PATIENCE_MS_MIN", 10.0)


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster() as cluster:
        yield cluster


@pytest.fixture
async def db(cluster: FakeCluster) -> AsyncIterator[Database]:
    async with connect(cluster.seeds) as db:
        yield db


class Append:
    """Appends to the union of all siblings, and remembers what it was given."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.given: list[list[Any]] = []

    def __call__(self, values: list[list[int]]) -> list[int]:
        self.given.append(values)
        return sorted({line for value in values for line in value} | {self.line})


async def test_it_starts_from_nothing_and_goes_on(db: Database) -> None:
    first, second = Append(1), Append(2)
    item = await db.table("cart").update("alice", first)
    assert (item.value, first.given) == ([1], [[]])
    item = await db.table("cart").update("alice", second)
    assert (item.value, second.given) == ([1, 2], [[[1]]])
    await db.table("cart").put("alice", [3], item.context)
    assert (await db.table("cart").get("alice")).values == [[3]]


async def test_it_gets_all_siblings_and_leaves_one_value(db: Database) -> None:
    cart = db.table("cart")
    await cart.put("alice", [1])
    await cart.put("alice", [2])
    await cart.update("alice", Append(3))
    assert (await cart.get("alice")).values == [[1, 2, 3]]


async def test_the_function_may_be_async(db: Database) -> None:
    async def answer(values: list[Any]) -> int:
        await asyncio.sleep(0)
        return len(values)

    assert (await db.table("cart").update("alice", answer)).value == 0


async def test_an_error_in_the_function_is_the_callers(db: Database, cluster: FakeCluster) -> None:
    def fail(values: list[Any]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.table("cart").update("alice", fail)
    assert cluster.requests(PUT) == []


async def test_concurrent_updates_lose_nothing(db: Database) -> None:
    cart = db.table("cart")
    await asyncio.gather(*(cart.update("alice", Append(number)) for number in range(30)))
    item = await cart.update("alice", Append(99))
    assert item.value == [*range(30), 99]


async def test_a_write_that_was_not_applied_is_made_anew(
    db: Database, cluster: FakeCluster
) -> None:
    no_quorum = Failure(Code.QUORUM_NOT_REACHED, "", 2, 0, 1)
    owners_of(cluster, CART, b"alice")[0].rule(PUT, refuse(no_quorum), times=2)
    append = Append(1)
    item = await db.table("cart").update("alice", append)
    assert item.value == [1]
    assert len(append.given) == 3


@pytest.mark.usefixtures("impatient")
async def test_a_write_of_open_fate_is_repeated_not_made_anew(
    db: Database, cluster: FakeCluster
) -> None:
    first, *_ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, lost_answer, times=1)
    append = Append(1)
    await db.table("cart").update("alice", append)
    assert len(append.given) == 1
    assert len({message[4:-1] for message in cluster.requests(PUT)}) == 1
    assert (await db.table("cart").get("alice")).values == [[1]]


async def test_at_the_deadline_an_open_fate_is_told(db: Database, cluster: FakeCluster) -> None:
    for node in cluster.nodes.values():
        node.rule(PUT, silent)
    append = Append(1)
    with pytest.raises(OutcomeUnknown) as error:
        await db.table("cart").update("alice", append, timeout_ms=500)
    assert len(append.given) == 1
    assert await db.outcome(error.value.operation_id) == "not applied"


async def test_at_the_deadline_a_busy_cluster_is_told(db: Database, cluster: FakeCluster) -> None:
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(Failure(Code.OVERLOADED, "busy")))
    with pytest.raises((Overloaded, DeadlineExceeded), match="busy"):
        await db.table("cart").update("alice", Append(1), timeout_ms=500)


@pytest.mark.slow
async def test_a_read_that_runs_out_of_time_tells_why_the_write_before_it_failed(
    db: Database, cluster: FakeCluster
) -> None:
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(Failure(Code.OVERLOADED, "busy")))

    def then_nobody_answers(values: list[Any]) -> int:
        for node in cluster.nodes.values():
            node.rule(REPLICA_GET, silent)
        return 1

    with pytest.raises(DeadlineExceeded, match=r"the time ran out; before that: .*busy"):
        await db.table("cart").update("alice", then_nobody_answers, timeout_ms=2000)
