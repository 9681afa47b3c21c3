"""A node that lost its disk: it counts in no read until it has copied everything back."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from cluster_process import CLIENT_COMMAND, ClusterProcess, Program, until
from remembering import serves_all

from dynamo_client import Database, Unavailable, connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KEYS, FEW = 1500, 30
VALUE = "v" * 200


def _w(number: int) -> int:
    """Even keys are written to all, so that R=1 must find them; odd ones with the usual W."""
    return 2 if number % 2 else 3


class Readers:
    """Gets of every key again and again, each of which must be found, inside the context."""

    def __init__(self, seeds: str) -> None:
        self._seeds = seeds
        self.reads = 0
        self._stopped = False

    async def __aenter__(self) -> "Readers":
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        for reads, r in (("client", None), ("client", 1), ("server", None), ("server", 1)):
            self._group.create_task(self._read(reads, r))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stopped = True
        await self._group.__aexit__(*error)

    async def _read(self, reads: Any, r: int | None) -> None:
        number = 0
        async with connect(self._seeds, reads=reads, timeout_ms=5000) as db:
            while not self._stopped:
                number = (number + (7 if r is None else 14)) % KEYS
                await _is_there(db, number, r)
                self.reads += 1


async def _is_there(db: Database, number: int, r: int | None = None) -> None:
    item = await db.table("cart").get(f"key-{number}", r=r, timeout_ms=5000)
    assert item.values == [[number, VALUE]], f"key-{number}, R={r}: found {len(item.values)}"


async def _fill(db: Database) -> None:
    async def fill(first: int) -> None:
        for number in range(first, KEYS, 32):
            value = [number, VALUE]
            await db.table("cart").put(f"key-{number}", value, w=_w(number), timeout_ms=10_000)

    async with asyncio.TaskGroup() as group:
        for first in range(32):
            group.create_task(fill(first))


async def _node(db: Database, name: str) -> dict[str, Any]:
    status: dict[str, Any] = (await db.status(timeout_ms=5000))["nodes"][name]
    return status


async def test_a_lost_disk_under_reads(tmp_path: Path) -> None:
    """No get misses a key meanwhile; afterwards the node alone answers every one."""
    async with ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster:
        await serves_all(cluster.seeds, 3)
        async with connect(cluster.seeds) as db:
            await _fill(db)
            before = (await _node(db, "n2"))["actor"]
        async with Readers(cluster.seeds) as readers:
            await until(lambda: readers.reads > 100, "reads are under way")
            (pid,) = cluster.kill("n2")
            await until(lambda: not Path(f"/proc/{pid}").exists(), "n2 is gone")
            shutil.rmtree(cluster.data / "n2")
            await cluster.run_by_hand("n2")
            await serves_all(cluster.seeds, 3)  # which a rebuilding node does not
            reads = readers.reads
            await until(lambda: readers.reads > reads + 100, "reads go on")
            print(f"{readers.reads} reads, none missed a key")
        (opened,) = [
            event
            for event in cluster.events("n2")[-20:]
            if event["event"] == "store opened" and event["partitions_missing"]
        ]
        assert (opened["fresh"], opened["partitions_missing"]) == (True, 256)
        async with connect(cluster.seeds) as db:
            assert (await _node(db, "n2"))["actor"] != before, "it is a new incarnation"
            cluster.kill("n1", "n3")
            for number in range(KEYS):
                await _is_there(db, number, r=1)


async def test_a_rebuilding_node_counts_in_no_read(tmp_path: Path) -> None:
    """Alone it finds nothing; beside one co-owner it stays out of R; after both it counts."""
    async with ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster:
        await serves_all(cluster.seeds, 3)
        async with connect(cluster.seeds) as db:
            for number in range(0, FEW, 2):
                await db.table("cart").put(f"key-{number}", [number, VALUE], w=3)
        pids = cluster.kill("n1", "n2", "n3")
        await until(lambda: not any(Path(f"/proc/{p}").exists() for p in pids), "all are gone")
        shutil.rmtree(cluster.data / "n2")
        await cluster.run_by_hand("n2")
        await _check_few(cluster.seeds, found_by_one=False)
        await cluster.run_by_hand("n1")
        await _check_few(cluster.seeds, found_by_one=True)
        await cluster.run_by_hand("n3")
        await serves_all(cluster.seeds, 3)
        async with connect(cluster.seeds) as db:
            for number in range(0, FEW, 2):
                await _is_there(db, number, r=3)


async def _check_few(seeds: str, found_by_one: bool) -> None:
    """While n2 is rebuilding: R=1 finds every key or is refused, R=2 is refused."""
    for reads in ("client", "server"):
        async with connect(seeds, reads=reads, timeout_ms=3000) as db:
            told = await _node(db, "n2")
            assert told["state"] == "rebuilding", told
            for number in range(0, FEW, 2):
                if found_by_one:
                    await _is_there(db, number, r=1)
                for r in (2,) if found_by_one else (1, 2):
                    with pytest.raises(Unavailable) as caught:
                        await db.table("cart").get(f"key-{number}", r=r)
                    assert caught.value.failure.needed == r


async def test_more_lost_disks_than_w_allows_are_given_up_by_an_operator(tmp_path: Path) -> None:
    """Nobody is left to vouch for what two of three held. Until an operator says so they answer no
    read; then they count with what the third has."""
    async with ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster:
        await serves_all(cluster.seeds, 3)
        async with connect(cluster.seeds) as db:
            for number in range(0, FEW, 2):
                await db.table("cart").put(f"key-{number}", [number, VALUE], w=3)
        pids = cluster.kill("n2", "n3")
        await until(lambda: not any(Path(f"/proc/{p}").exists() for p in pids), "both are gone")
        for name in ("n2", "n3"):
            shutil.rmtree(cluster.data / name)
        await cluster.run_by_hand("n2", "n3")
        await _check_few(cluster.seeds, found_by_one=True)
        words = ("--seeds", cluster.seeds, "member", "force", "n2", "n3")
        warned = Program(*CLIENT_COMMAND, *words)
        assert await warned.ended() == 1
        assert "n3 loses its vote; what only its disk held is given up" in warned.told()
        assert await Program(*CLIENT_COMMAND, *words, "--yes").ended() == 0
        await serves_all(cluster.seeds, 3)
        async with connect(cluster.seeds) as db:
            for number in range(0, FEW, 2):
                await _is_there(db, number, r=3)
