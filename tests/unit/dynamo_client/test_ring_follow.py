"""A client follows the ring: it says its epoch on every link, and never mixes answers by two."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_cluster import FakeCluster, FakeNode, Raw, fake_cluster, owners_of, refuse, silent

from dynamo.errors import Code, Failure
from dynamo.messages import ASK_CLUSTER, PUT, REPLICA_GET, REPLICA_REFUSED, Received
from dynamo.messages_members import CLIENT_EPOCH
from dynamo.ports import BEHIND
from dynamo.ring import Ring, plan
from dynamo.ring.joint import Rings
from dynamo.wire import Link
from dynamo_client import Database, OutcomeUnknown, connect, router


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster(4) as cluster:
        yield cluster


@pytest.fixture
async def db(cluster: FakeCluster) -> AsyncIterator[Database]:
    async with connect(cluster.seeds) as db:
        yield db


def adopt(db: Database, ring: Ring, target: Ring | None = None) -> None:
    """The client learns another ring."""
    assert db._router is not None, "the database is open"
    view = db._router.view._replace(ring=ring, rings=Rings(ring, target))
    db._router._follow(view)


async def test_every_link_is_told_the_epoch_and_told_again_when_it_changes(
    db: Database, cluster: FakeCluster
) -> None:
    await db.table("cart").put("alice", 1)
    for node in cluster.nodes.values():
        assert node.requests(CLIENT_EPOCH) == [(CLIENT_EPOCH, 1)]
    adopt(db, cluster.ring.at(2))
    await db.table("cart").get("alice", r=3)
    told = [node.requests(CLIENT_EPOCH) for node in owners_of(cluster, 1, b"alice")]
    assert told == [[(CLIENT_EPOCH, 1), (CLIENT_EPOCH, 2)]] * 3


async def test_a_read_that_a_ring_change_meets_begins_anew(
    db: Database, cluster: FakeCluster
) -> None:
    """One answer by the old ring and one by the new are a quorum of neither."""
    await db.table("cart").put("alice", 1, w=3)
    for node in cluster.nodes.values():
        node.rule(REPLICA_GET, silent, times=1)
    reading = asyncio.create_task(db.table("cart").get("alice", r=3, timeout_ms=3000))
    while len(cluster.requests(REPLICA_GET)) < 3:
        await asyncio.sleep(0)
    adopt(db, cluster.ring.at(2))
    asked = cluster.requests(REPLICA_GET)[0]
    first = next(node for node in cluster.nodes.values() if asked in node.asked)
    link = next(iter(first._links.values()))
    link.send((REPLICA_REFUSED, asked[1], BEHIND))
    assert (await reading).value == 1
    ids = [message[1] for message in cluster.requests(REPLICA_GET)]
    assert len(set(ids)) == 2, "the second read is another call"
    assert ids.count(ids[-1]) == 3


async def test_while_a_partition_moves_its_owners_before_and_after_are_asked(
    db: Database, cluster: FakeCluster
) -> None:
    assert db._router is not None
    while db._router.calls.hedging.budget.spend():
        pass  # nobody is asked because another is slow
    weighted = [
        member._replace(weight=3.0 if member.node == "n4" else 1.0)
        for member in cluster.ring.members
    ]
    target = plan(weighted, cluster.ring.partitions, 3, cluster.ring).ring
    rings = Rings(cluster.ring.at(2), target.at(2))
    adopt(db, cluster.ring.at(2), target.at(2))
    assert db._operations is not None
    keys = (b"key-%d" % number for number in range(1000))
    places = (db._operations.place(db.table("cart")._handle.table, key, b"") for key in keys)
    place = next(place for place in places if rings.extra(place.partition, 3))
    await db.table("cart").get(place.key)
    asked = [node.name for node in cluster.nodes.values() if node.requests(REPLICA_GET)]
    assert len(asked) == 3, "R = 2 and one more"
    assert {*asked} <= {*rings.owners(place.partition, 3)}


async def test_a_node_that_is_behind_is_asked_again_until_the_deadline(
    db: Database, cluster: FakeCluster
) -> None:
    behind = Failure(Code.WRONG_RING, "the ring has epoch 1", unknown=True)
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(behind), times=5)
    await db.table("cart").put("alice", 1, timeout_ms=3000)
    puts = cluster.requests(PUT)
    assert len(puts) > 5
    assert len({message[4:-1] for message in puts}) == 1, "the same write each time"


async def test_who_waits_for_the_ring_is_not_in_the_way_of_the_question_for_it(
    db: Database, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real processes showed it: at every change of members clients that had nothing else under way
    stood still for a second or two, and asked nobody anything."""
    monkeypatch.setattr(router, "REFRESH_TIMEOUT_MS", 60_000.0)
    changed = Failure(Code.WRONG_RING, "the ring has epoch 2", unknown=True)

    def asked_for_the_ring(node: FakeNode, link: Link, message: Raw) -> None:
        for other in cluster.nodes.values():
            other.clear()
        node.feed(Received(node.number(link), (message,)))

    for node in cluster.nodes.values():
        node.rule(PUT, refuse(changed))
        node.rule(ASK_CLUSTER, asked_for_the_ring)
    await db.table("cart").put("alice", 1, timeout_ms=2000)


async def test_at_the_deadline_the_fate_of_a_write_is_unknown(
    db: Database, cluster: FakeCluster
) -> None:
    behind = Failure(Code.WRONG_RING, "the ring has epoch 1", unknown=True)
    for node in cluster.nodes.values():
        node.rule(PUT, refuse(behind))
    with pytest.raises(OutcomeUnknown):
        await db.table("cart").put("alice", 1, timeout_ms=100)
