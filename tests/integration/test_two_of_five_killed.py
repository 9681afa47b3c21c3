"""Two of five nodes killed while clients write: puts go on, and afterwards nothing is missing."""

import asyncio
from pathlib import Path

import pytest
from cluster_process import ClusterProcess, pause
from frames_client import CART, FramesClient
from remembering import Remembering, serves_all
from scraping import metrics

from dynamo.keys import item_key
from dynamo.messages import REPLICA_GET, ReplicaGet, ReplicaRecord
from dynamo.ring import partition_of, token_of
from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import supersedes
from dynamo_client import Database, connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

HANDOFF_S = 30.0
WRITES = 400


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
        assert all(isinstance(answer, ReplicaRecord) and answer.record for answer in answers), key
        first, *others = [decode_record(answer.record) for answer in answers]
        alike = all(supersedes(first, one) and supersedes(one, first) for one in others)
        differ += [] if alike else [key]
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
