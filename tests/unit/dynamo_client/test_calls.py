"""How many calls there are at once, and that none outlives its caller."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_cluster import FakeCluster, fake_cluster, owners_of, silent

from dynamo.messages import PUT
from dynamo_client import (
    Database,
    DeadlineExceeded,
    OutcomeUnknown,
    Unavailable,
    calls,
    connect,
    coordinated,
    peer,
    reading,
    router,
)

CART = 1


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster() as cluster:
        yield cluster


@pytest.fixture
async def db(cluster: FakeCluster) -> AsyncIterator[Database]:
    async with connect(cluster.seeds) as db:
        yield db


async def test_cancelling_a_write_leaves_nothing_behind(db: Database, cluster: FakeCluster) -> None:
    first, *_ = owners_of(cluster, CART, b"alice")
    first.rule(PUT, silent)
    writing = asyncio.create_task(db.table("cart").put("alice", 1))
    while not first.requests(PUT):
        await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert in_flight(db) == 0


async def test_more_calls_than_slots_wait_their_turn(
    db: Database, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "OPEN_MAX", 4)
    cart = db.table("cart")
    await asyncio.gather(*(cart.put(f"k{number}", number) for number in range(50)))
    found = await asyncio.gather(*(cart.get(f"k{number}") for number in range(50)))
    assert [item.value for item in found] == list(range(50))
    assert in_flight(db) == 0


async def test_who_waits_for_a_slot_fails_at_its_deadline(
    db: Database, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "OPEN_MAX", 1)
    for node in cluster.nodes.values():
        node.rule(PUT, silent)
    cart = db.table("cart")
    sent = asyncio.create_task(cart.put("alice", 1, timeout_ms=60))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded) as error:
        await cart.put("bob", 1, timeout_ms=20)
    assert error.value.outcome == "not applied"
    with pytest.raises(OutcomeUnknown):
        await sent


async def test_closing_ends_what_is_in_flight(cluster: FakeCluster) -> None:
    for node in cluster.nodes.values():
        node.rule(PUT, silent)
    async with connect(cluster.seeds) as db:
        writing = asyncio.create_task(db.table("cart").put("alice", 1))
        while not cluster.requests(PUT):
            await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="closed") as error:
        await writing
    assert error.value.outcome == "unknown"


async def test_who_gives_up_waiting_leaves_the_queue(
    db: Database, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "OPEN_MAX", 1)
    for node in cluster.nodes.values():
        node.rule(PUT, silent)
    cart = db.table("cart")
    puts = [asyncio.create_task(cart.put(f"k{number}", 1)) for number in range(20)]
    while not cluster.requests(PUT):
        await asyncio.sleep(0)
    for put in puts:
        put.cancel()
    await asyncio.gather(*puts, return_exceptions=True)
    assert in_flight(db) == 0
    assert len(cluster.requests(PUT)) == 1


async def test_a_full_link_is_passed_over_and_then_waited_for(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (peer, coordinated, reading, router):
        monkeypatch.setattr(module, "IN_FLIGHT_MAX", 2)
    async with connect(cluster.seeds) as db:
        cart = db.table("cart")
        await asyncio.gather(*(cart.put(f"k{number}", number) for number in range(50)))
        found = await asyncio.gather(*(cart.get(f"k{number}") for number in range(50)))
        assert [item.value for item in found] == list(range(50))
        assert in_flight(db) == 0


def in_flight(db: Database) -> int:
    """Calls that the client still remembers."""
    assert db._router is not None
    assert all(peer.in_flight == 0 for peer in db._router.links.peers.values())
    return db._router.calls.in_flight
