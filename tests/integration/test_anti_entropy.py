"""Real processes: a node that was away becomes equal by itself, and `dynamo repair` says so."""

import asyncio
import json
from pathlib import Path

import pytest
from cluster_process import CLIENT_COMMAND, ClusterProcess, Program, run, until
from remembering import serves_all
from scraping import metrics

from dynamo_client import Database, connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KEYS = 5000
VALUE = "v" * 500
IN_SYNC_MS = 40_000


async def fill(db: Database, version: int) -> None:
    async def some(first: int) -> None:
        for number in range(first, KEYS, 32):
            value = [version, number, VALUE]
            await db.table("session").put(f"key-{number}", value, timeout_ms=10_000)

    async with asyncio.TaskGroup() as group:
        for first in range(32):
            group.create_task(some(first))


async def repair(cluster: ClusterProcess, wait_ms: int = IN_SYNC_MS) -> Program:
    """As an operator's script does it, until all agree or the time is over."""
    command = (*CLIENT_COMMAND, "--seeds", cluster.seeds, "--json", "repair")
    seconds = wait_ms / 1000 + 10
    return await run(*command, "--wait-ms", str(wait_ms), seconds=seconds)


async def exchanged(cluster: ClusterProcess) -> float:
    """The bytes of all records that comparisons moved, as those who began them count."""
    names = range(len(cluster.names))
    found = [await metrics(cluster.port + i) for i in names]
    return sum(figures["dynamo_exchange_bytes_total"] for figures in found)


async def test_a_node_that_was_away_becomes_equal_without_a_read(tmp_path: Path) -> None:
    """5,000 keys are written while it is down, and nobody reads any of them."""
    async with ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster:
        await serves_all(cluster.seeds, 3)
        async with connect(cluster.seeds) as db:
            await fill(db, 1)
        first = await repair(cluster)
        assert first.status == 0, first.told()
        (pid,) = cluster.kill("n3")
        await until(lambda: not Path(f"/proc/{pid}").exists(), "n3 is gone")
        async with connect(cluster.seeds) as db:
            await fill(db, 2)
        away = await repair(cluster, wait_ms=1000)
        assert away.status == 1, "n3 has no part in it"
        await cluster.run_by_hand("n3")
        done = await repair(cluster)
        assert done.status == 0, done.told()
        told = json.loads("\n".join(done.out))
        assert told["in_sync"]
        assert set(told["nodes"]) == {"n1", "n2", "n3"}
        differing = KEYS * len(VALUE)
        moved = await exchanged(cluster)
        print(f"{moved / differing:.2f} x the bytes of the values that n3 lacked")
        assert moved < 3 * differing + (1 << 20)
        cluster.kill("n1", "n2")
        async with connect(cluster.seeds) as db:
            for number in range(0, KEYS, 50):
                item = await db.table("session").get(f"key-{number}", r=1, timeout_ms=5000)
                assert item.value == [2, number, VALUE]
