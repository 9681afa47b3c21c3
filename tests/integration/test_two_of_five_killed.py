"""Two of five nodes killed while clients write: puts go on, and afterwards nothing is missing."""

import asyncio
from pathlib import Path
from time import monotonic

import pytest
from cluster_process import ClusterProcess, pause, until
from frames_client import CART, FramesClient
from remembering import Remembering, serves_all
from scraping import metrics

from dynamo.keys import item_key
from dynamo.messages import REPLICA_GET, ReplicaGet, ReplicaRecord
from dynamo.ring import partition_of, token_of
from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import NOTHING, supersedes
from dynamo_client import Database, connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

HANDOFF_S = 30.0
WRITES = 400
STARTED_S = 1.5
"""Who started just now stands in for no owner: an earlier start may have denied the write."""


async def _hints(db: Database) -> int:
    """How many are kept in the whole cluster."""
    nodes = (await db.status(timeout_ms=5000))["nodes"].values()
    return sum(sum(node.get("hints", {}).values()) for node in nodes)


async def _until_no_hints(db: Database) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + HANDOFF_S
    while left := await _hints(db):
        assert loop.time() < deadline, f"{left} hints are still kept after {HANDOFF_S:g} s"
        await pause()


async def _replicas_differ(cluster: ClusterProcess, db: Database, keys: list[str]) -> list[str]:
    """The keys on which not all owners hold the same."""
    ring, differ = db.ring(), []
    clients = {name: FramesClient(cluster.port + i) for i, name in enumerate(cluster.names)}
    for client in clients.values():
        await client.__aenter__()
    for key in keys:
        partition = partition_of(token_of(CART, key.encode()), ring.partitions)
        ask = ReplicaGet(REPLICA_GET, 0, item_key(partition, CART, key.encode(), b""), None)
        answers = [await clients[name].ask(ask) for name in ring.preference_list(partition, 3)]
        assert all(isinstance(answer, ReplicaRecord) for answer in answers), key
        first, *others = [
            decode_record(answer.record) if answer.record else NOTHING for answer in answers
        ]
        alike = all(supersedes(first, one) and supersedes(one, first) for one in others)
        differ += [] if alike and first is not NOTHING else [key]
    for client in clients.values():
        await client.__aexit__(None, None, None)
    return differ


async def test_two_of_five_killed(tmp_path: Path) -> None:
    written = [f"only-now-{number}" for number in range(200)]
    async with ClusterProcess(tmp_path / "data", 5, "--no-restart") as cluster:
        await serves_all(cluster.seeds, 5)
        async with Remembering(cluster.seeds, timeout_ms=3000) as clients:
            await clients.progress(WRITES)
            cluster.kill("n2", "n4")
            before = clients.failures.copy()
            await clients.progress(WRITES)
            async with connect(cluster.seeds) as db:
                for key in written:
                    await db.table("cart").put(key, key)
            await clients.progress(WRITES)
            failed = clients.failures - before
            await cluster.run_by_hand("n2", "n4")
            await clients.progress(WRITES)
            await clients.stop()
        await serves_all(cluster.seeds, 5)
        async with connect(cluster.seeds) as db:
            await _until_no_hints(db)
            differ = await _replicas_differ(cluster, db, [*clients.keys(), *written])
            compared = await clients.verify(db)
            for key in written:
                assert (await db.table("cart").get(key)).values == [key]
        delivered = [
            (await metrics(cluster.port + i))["dynamo_hints_delivered_total"] for i in range(5)
        ]
        print(f"{compared} keys compared, {sum(delivered):g} hints delivered, failed: {failed}")
        assert sum(delivered) > len(written)
        assert not differ, "handoff brought the returned owners everything"
        assert failed.total() <= 20, "only what was on its way to the killed nodes may fail"


async def test_three_of_five_killed(tmp_path: Path) -> None:
    """Of some items no owner is left: puts go on at W = 2 all the same, and are read."""
    written = [f"only-now-{number}" for number in range(200)]
    async with (
        ClusterProcess(tmp_path / "data", 5, "--no-restart") as cluster,
        connect(cluster.seeds) as db,
    ):
        await serves_all(cluster.seeds, 5)
        old = monotonic() + STARTED_S
        await until(lambda: monotonic() > old, "no start is younger than clocks may differ")
        cluster.kill("n1", "n2", "n3")
        left = [cluster.port + 3, cluster.port + 4]
        for key in written:
            await db.table("cart").put(key, key)
        for key in written:
            assert (await db.table("cart").get(key)).values == [key]
        away = [(await metrics(port))["dynamo_coordinated_away_total"] for port in left]
        lost = [key for key in written if not _has_owner(db, key, "n4", "n5")]
        assert sum(away) >= len(lost) > 5
        await cluster.run_by_hand("n1", "n2", "n3")
        await serves_all(cluster.seeds, 5)
        await _until_no_hints(db)
        alike_by = (
            monotonic() + HANDOFF_S
        )  # two stood in for three: one owner is told by comparison
        while differ := await _replicas_differ(cluster, db, written):
            assert monotonic() < alike_by, differ
            await pause()
        for key in written:
            assert (await db.table("cart").get(key, r=3)).values == [key]
        print(f"{sum(away):g} puts without an owner")


def _has_owner(db: Database, key: str, *nodes: str) -> bool:
    partition = partition_of(token_of(CART, key.encode()), db.ring().partitions)
    return bool(set(nodes) & set(db.ring().preference_list(partition, 3)))
