"""Client-driven reads that meet slow, refusing and lost replicas."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_cluster import (
    FakeCluster,
    FakeNode,
    Raw,
    fake_cluster,
    hang_up,
    noticed,
    reply,
    silent,
)

from dynamo.messages import (
    ASK_REPAIR,
    DIGEST_ONLY,
    GET,
    REPLICA_DIGEST,
    REPLICA_GET,
    REPLICA_REFUSED,
    Received,
)
from dynamo.types import ItemKey, NodeId
from dynamo.wire import Link
from dynamo_client import Database, DeadlineExceeded, QuorumNotReached, connect, hedging
from dynamo_client.hedging import Hedging
from dynamo_client.peer import FADE, Peer

NODE = NodeId("n1")


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster() as cluster:
        yield cluster


@pytest.fixture
async def db(cluster: FakeCluster) -> AsyncIterator[Database]:
    async with connect(cluster.seeds) as db:
        yield db


async def test_a_silent_replica_is_hedged(db: Database, cluster: FakeCluster) -> None:
    await db.table("cart").put("alice", 1, w=3)
    cluster["n1"].rule(REPLICA_GET, silent)
    for _ in range(4):
        assert (await db.table("cart").get("alice")).value == 1
    assert in_flight(db) == 0


async def test_hedges_stop_when_their_budget_is_spent(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hedging, "BURST", 0.0)
    async with connect(cluster.seeds) as db:
        for node in cluster.nodes.values():
            node.rule(REPLICA_GET, silent)
        with pytest.raises(DeadlineExceeded, match="no answer in time"):
            await db.table("cart").get("alice", timeout_ms=30)
    assert len(cluster.requests(REPLICA_GET)) == 2


async def test_no_hedge_is_spent_on_one_that_owes_a_word(
    db: Database, cluster: FakeCluster
) -> None:
    """Two owners are slow, the third has said nothing for a second: asking it helps nobody."""
    for node in cluster.nodes.values():
        node.rule(REPLICA_GET, silent)
    assert db._router is not None
    stopped = db._router.links.peers[NODE]
    stopped.waiting_since_ms = db._router.calls.now_ms() - 1000
    with pytest.raises(DeadlineExceeded, match="no answer in time"):
        await db.table("cart").get("alice", timeout_ms=60)
    assert cluster["n1"].requests(REPLICA_GET) == []


async def test_a_replica_that_refuses_is_replaced(db: Database, cluster: FakeCluster) -> None:
    await db.table("cart").put("alice", 1, w=3)
    for node in ("n1", "n2", "n3"):
        cluster[node].rule(REPLICA_GET, reply(REPLICA_REFUSED, "rebuilding"), times=1)
        assert (await db.table("cart").get("alice")).value == 1


async def test_a_replica_that_is_lost_is_replaced(db: Database, cluster: FakeCluster) -> None:
    await db.table("cart").put("alice", 1, w=3)
    cluster["n2"].rule(REPLICA_GET, hang_up)
    for _ in range(4):
        assert (await db.table("cart").get("alice")).value == 1


async def test_one_replica_says_its_record_and_the_others_their_digests(
    db: Database, cluster: FakeCluster
) -> None:
    await db.table("cart").put("alice", 1, w=3)
    assert (await db.table("cart").get("alice", r=3)).value == 1
    known = [message[3] for message in cluster.requests(REPLICA_GET)]
    assert (known.count(None), known.count(DIGEST_ONLY)) == (1, 2)


async def with_an_old_record(db: Database, cluster: FakeCluster) -> None:
    """n2 alone has missed the last put of alice."""
    cart = db.table("cart")
    context = await cart.put("alice", "old", w=3)
    ((key, old),) = cluster["n2"].engine.scan(ItemKey(b"\x00"), ItemKey(b"\xff" * 9), 2)
    await cart.put("alice", "new", context, w=3)
    cluster["n2"].engine.put(key, old, None)


async def test_a_replica_of_another_digest_is_asked_for_its_record(
    db: Database, cluster: FakeCluster
) -> None:
    await with_an_old_record(db, cluster)
    item = await db.table("cart").get("alice", r=3)
    assert item.value == "new"
    asked = len(cluster.requests(REPLICA_GET))
    assert asked in (4, 5), "n2 again; or the other two, if n2 was asked for its record"
    assert in_flight(db) == 0
    while not cluster.requests(ASK_REPAIR):
        await asyncio.sleep(0)


async def test_a_replica_that_is_lost_when_it_is_asked_again_is_replaced(
    db: Database, cluster: FakeCluster
) -> None:
    await with_an_old_record(db, cluster)

    def only_digests(node: FakeNode, link: Link, message: Raw) -> None:
        if message[3] is None:
            hang_up(node, link, message)
        else:
            node.feed(Received(node.number(link), (message,)))

    cluster["n2"].rule(REPLICA_GET, only_digests)
    for _ in range(4):
        assert (await db.table("cart").get("alice")).value == "new"
    assert in_flight(db) == 0


async def test_a_digest_in_place_of_a_record_ends_the_link_and_the_node_is_replaced(
    db: Database, cluster: FakeCluster
) -> None:
    await db.table("cart").put("alice", 1, w=3)
    cluster["n1"].rule(REPLICA_GET, reply(REPLICA_DIGEST, b"12345678"))
    for _ in range(4):
        assert (await db.table("cart").get("alice", timeout_ms=5000)).value == 1
    assert in_flight(db) == 0


async def test_when_all_refuse_a_coordinator_is_asked(db: Database, cluster: FakeCluster) -> None:
    await db.table("cart").put("alice", 1, w=3)
    for node in cluster.nodes.values():
        node.rule(REPLICA_GET, reply(REPLICA_REFUSED, "rebuilding"))
    assert (await db.table("cart").get("alice")).value == 1
    assert len(cluster.requests(GET)) == 1


async def test_too_few_replicas_fail_at_once_with_counts(
    db: Database, cluster: FakeCluster
) -> None:
    await cluster["n2"].stop()
    await cluster["n3"].stop()
    await noticed(db, cluster["n2"], cluster["n3"])
    with pytest.raises(QuorumNotReached) as error:
        await db.table("cart").get("alice", timeout_ms=60_000)
    assert (error.value.failure.needed, error.value.failure.got) == (2, 1)


async def test_a_node_that_says_nonsense_is_cut_off_and_replaced(
    db: Database, cluster: FakeCluster
) -> None:
    await db.table("cart").put("alice", 1, w=3)
    cluster["n1"].rule(REPLICA_GET, reply(43, "not bytes"))
    for _ in range(4):
        assert (await db.table("cart").get("alice")).value == 1


async def test_reads_of_all_replicas_agree(db: Database, cluster: FakeCluster) -> None:
    cart = db.table("cart")
    await asyncio.gather(*(cart.put("alice", number) for number in range(5)))
    item = await cart.get("alice", r=3)
    assert sorted(item.values) == list(range(5))


async def test_cancelling_a_read_leaves_nothing_behind(db: Database, cluster: FakeCluster) -> None:
    for node in cluster.nodes.values():
        node.rule(REPLICA_GET, silent)
    reading = asyncio.create_task(db.table("cart").get("alice"))
    while not cluster.requests(REPLICA_GET):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert in_flight(db) == 0


def test_the_hedge_delay_follows_the_answers() -> None:
    hedging = Hedging()
    for _ in range(2000):
        hedging.answered(30.0)
    assert 25 < hedging.delay_ms < 40
    for _ in range(20_000):
        hedging.answered(0.2)
    assert hedging.delay_ms == pytest.approx(2.0)


def test_a_busy_or_slow_node_is_asked_later_and_forgiven() -> None:
    one, other = Peer(NODE), Peer(NODE)
    one.asked(0.0)
    assert one.score > other.score
    one.answered(50.0)
    assert one.score > other.score
    slow = one.latency_ms
    one.fade()
    one.fade()
    assert one.latency_ms == pytest.approx(slow * FADE)


def test_a_node_that_owes_a_word_is_suspect() -> None:
    peer = Peer(NODE)
    peer.asked(1000.0)
    assert not peer.is_suspect(1100.0)
    assert peer.is_suspect(1151.0)


def in_flight(db: Database) -> int:
    """Calls that the client still remembers."""
    assert db._router is not None
    assert all(peer.in_flight == 0 for peer in db._router.links.peers.values())
    return db._router.calls.in_flight


async def test_who_tries_again_at_once_does_not_keep_the_links_from_coming_back(
    db: Database, cluster: FakeCluster
) -> None:
    await db.table("cart").put("alice", 1, w=3)
    for node in cluster.nodes.values():
        await node.stop()
    await noticed(db, *cluster.nodes.values())
    with pytest.raises(QuorumNotReached):
        await db.table("cart").get("alice")
    others = 0

    async def another() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(another())
    for _ in range(20):
        with pytest.raises(QuorumNotReached):
            await db.table("cart").get("alice")
        with pytest.raises(QuorumNotReached):
            await db.table("cart").put("alice", 2)
    beside.cancel()
    assert others >= 40
