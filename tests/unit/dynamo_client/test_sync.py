"""The client without await, from one thread and from several."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_thread import ClusterThread, cluster_thread
from fake_cluster import refuse, silent

import dynamo_client
from dynamo.errors import Code, Failure
from dynamo.messages import PUT
from dynamo_client import Closed, NoNodeAnswered, OutcomeUnknown, UnknownTable, sync
from dynamo_client.sync import RAW, Database, connect


@pytest.fixture
def cluster() -> Iterator[ClusterThread]:
    with cluster_thread() as cluster:
        yield cluster


@pytest.fixture
def db(cluster: ClusterThread) -> Iterator[Database]:
    with connect(cluster.seeds) as db:
        yield db


def test_put_get_delete(db: Database) -> None:
    cart = db.table("cart")
    context = cart.put("alice", 1)
    cart.put("alice", 2, context)
    assert cart.get("alice").value == 2
    cart.delete("alice")
    assert not cart.get("alice").found
    db.table("cart", codec=RAW).put("alice", b"\xff")
    assert db.ring().epoch == 1
    assert len(db.status()["nodes"]) == 3


def test_several_threads_share_it(db: Database) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 10):
            db.table("cart").put(str(number), number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 40, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [db.table("cart").get(str(number)).value for number in range(40)] == [*range(40)]


def test_update_runs_its_function_in_the_callers_thread(
    db: Database, cluster: ClusterThread
) -> None:
    cart, seen = db.table("cart"), []

    def count(values: list[int]) -> int:
        seen.append(threading.current_thread())
        cart.get("another")  # the loop is free meanwhile
        return sum(values) + 1

    busy = refuse(Failure(Code.QUORUM_NOT_REACHED, "", 2, 0, 1))
    cluster.do(lambda it: [node.rule(PUT, busy, times=1) for node in it.nodes.values()])
    assert cart.update("alice", count).value == 1
    assert cart.update("alice", count).value == 2
    assert len(seen) > 2
    assert set(seen) == {threading.current_thread()}


def test_an_error_in_an_update_is_the_callers(db: Database) -> None:
    def fail(values: list[Any]) -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        db.table("cart").update("alice", fail)
    assert not db.table("cart").get("alice").found


def test_an_unknown_outcome_is_asked_for(db: Database, cluster: ClusterThread) -> None:
    cluster.do(lambda it: [node.rule(PUT, silent) for node in it.nodes.values()])
    with pytest.raises(OutcomeUnknown) as error:
        db.table("cart").put("alice", 1, timeout_ms=50)
    assert db.outcome(error.value.operation_id) == "not applied"


def test_opening_fails_with_the_reason() -> None:
    with pytest.raises(NoNodeAnswered), connect("no-such-host.invalid"):
        pass


def test_use_outside_its_life_says_so(cluster: ClusterThread) -> None:
    db = connect(cluster.seeds)
    with pytest.raises(Closed, match="not open"):
        db.table("cart")
    with db:
        cart = db.table("cart")
        with pytest.raises(UnknownTable):
            db.table("nope")
    for use in (lambda: cart.get("alice"), lambda: db.table("cart"), db.status, db.__enter__):
        with pytest.raises(Closed):
            use()


def test_use_in_the_loops_thread_says_so(db: Database) -> None:
    async def inside() -> None:
        db.table("cart").get("alice")

    with pytest.raises(Closed, match="own loop"):
        db.wait(inside)


def test_use_after_a_fork_says_so(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    cart, pid = db.table("cart"), os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    with pytest.raises(Closed, match="fork"):
        cart.get("alice")


def test_whoever_is_late_for_the_end_is_told(cluster: ClusterThread) -> None:
    """The database is closed by another thread while this one is about to ask."""
    db = connect(cluster.seeds)
    db.__enter__()
    cart = db.table("cart")

    def late() -> Any:
        closer = threading.Thread(target=db.__exit__, args=(None, None, None))
        closer.start()
        closer.join(10)
        assert not closer.is_alive()
        return cart._table.get("alice")

    with pytest.raises(Closed):
        db.wait(late)


def test_it_has_the_same_names_as_the_client_with_await() -> None:
    assert set(sync.__all__) == set(dynamo_client.__all__)
    for name in sync.__all__:
        if name not in ("connect", "Database", "Session", "Table"):
            assert getattr(sync, name) is getattr(dynamo_client, name)
