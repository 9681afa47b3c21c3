"""A session on real nodes: whatever R is, it reads what it has written."""

import asyncio
from pathlib import Path

import pytest
from cluster_process import ClusterProcess
from remembering import serves_all

from dynamo_client import InvalidRequest
from dynamo_client import connect as connect_async
from dynamo_client.sync import connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WRITES = 200
MEANWHILE = 40


async def test_one_replica_is_enough_to_read_the_own_writes(tmp_path: Path) -> None:
    """Also while a replica comes back that has missed some of them."""
    async with (
        ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster,
        connect_async(cluster.seeds, timeout_ms=5000) as db,
    ):
        await serves_all(cluster.seeds, 3)
        session = db.session()
        table, context = session.table("cart"), b""
        for number in range(WRITES):
            context = await table.put("alice", number, context)
            assert (await table.get("alice", r=1)).values == [number]
        cluster.kill("n3")
        for number in range(MEANWHILE):
            await table.put(f"key-{number}", number)
        await cluster.run_by_hand("n3")
        await serves_all(cluster.seeds, 3)
        for number in range(MEANWHILE):
            assert (await table.get(f"key-{number}", r=1)).values == [number]
        other = db.session(session.token()).table("cart")
        assert (await other.get("alice", r=1)).values == [WRITES - 1]
        assert await table.delete("alice")
        assert not (await table.get("alice", r=1)).found


async def test_without_asyncio(tmp_path: Path) -> None:
    async with ClusterProcess(tmp_path / "data") as cluster:
        await asyncio.to_thread(_without_asyncio, cluster.seeds)


def _without_asyncio(seeds: str) -> None:
    with connect(seeds, timeout_ms=5000) as db:
        session = db.session()
        table = session.table("cart")
        table.put("bob", "apples")
        assert table.get("bob", r=1).values == ["apples"]
        assert db.session(session.token()).table("cart").get("bob", r=1).values == ["apples"]
        with pytest.raises(InvalidRequest):
            db.session(b"no token")
