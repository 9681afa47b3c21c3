"""A running cluster grows and shrinks under load: nothing lost, nothing stale, nothing refused."""

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from cluster_process import (
    CLIENT_COMMAND,
    SMALL_NODE,
    ClusterProcess,
    Program,
    free_port,
    pause,
    run,
    until,
)

from dynamo_client import Database, connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KEYS, WORKERS = 600, 12


class Load:
    """Puts and gets without end, each key by one worker; a get must show the last put."""

    def __init__(self, db: Database) -> None:
        self._table = db.table("cart")
        self.values: dict[str, int] = {}
        self._contexts: dict[str, bytes] = {}
        self.done = 0

    async def fill(self) -> None:
        """Every key once."""
        keys = [f"key-{number}" for number in range(KEYS)]
        for first in range(0, KEYS, 50):
            await asyncio.gather(*(self._put(key, 0) for key in keys[first : first + 50]))

    async def __aenter__(self) -> "Load":
        self._stopped = False
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        for number in range(WORKERS):
            self._group.create_task(self._work(number))
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._stopped = True
        await self._group.__aexit__(*error)

    async def check(self, **options: Any) -> None:
        """Every key shows what was put last."""
        for key, value in self.values.items():
            item = await self._table.get(key, timeout_ms=5000, **options)
            assert item.values == [value], f"{key} is {item.values}, not {value}"

    async def _work(self, number: int) -> None:
        draw = random.Random(number)
        mine = [key for index, key in enumerate(self.values) if index % WORKERS == number]
        while not self._stopped:
            key = draw.choice(mine)
            if draw.random() < 0.5:
                await self._put(key, self.values[key] + 1)
            else:
                item = await self._table.get(key, timeout_ms=5000)
                assert item.values == [self.values[key]], f"{key} is stale: {item.values}"
            self.done += 1

    async def _put(self, key: str, value: int) -> None:
        context = self._contexts.get(key)
        self._contexts[key] = await self._table.put(key, value, context, timeout_ms=5000)
        self.values[key] = value


class Newcomer:
    """`dynamo-node run --join`, on a port of its own."""

    def __init__(self, cluster: ClusterProcess, name: str) -> None:
        self._cluster, self.name = cluster, name
        self.place = f"127.0.0.1:{free_port(1)}"
        self.program = self._started()

    async def serves(self) -> None:
        await until(
            lambda: (
                self.program.status is not None
                or any('"serving"' in line for line in self.program.err)
            ),
            f"{self.name} serves",
        )
        assert self.program.status is None, self.program.told()

    async def kill(self) -> None:
        """kill -9, and start it again."""
        os.kill(self._cluster.pid(self.name), signal.SIGKILL)
        await self.program.ended()
        self.program = self._started()

    async def stop(self) -> int:
        os.kill(self._cluster.pid(self.name), signal.SIGTERM)
        return await self.program.ended()

    def _started(self) -> Program:
        return Program(
            *(*SMALL_NODE, "run", "--config", str(self._cluster.data / "cluster.yml")),
            *("--name", self.name, "--join", self._cluster.seeds.partition(",")[0]),
            *("--address", self.place, "--data", str(self._cluster.data / self.name)),
        )


async def member(cluster: ClusterProcess, *words: str) -> Program:
    """`dynamo member …`, which must do it."""
    program = await run(*CLIENT_COMMAND, "--seeds", cluster.seeds, "member", *words, seconds=60)
    assert program.status == 0, program.told()
    return program


async def linked_everywhere(db: Database, members: int) -> None:
    """Wait until all members serve and each is linked with all others."""
    nodes: list[dict[str, Any]] = []

    def are_there() -> bool:
        linked = [list(node.get("peers", {}).values()) for node in nodes]
        return len(nodes) == members and all(peers == ["up"] * (members - 1) for peers in linked)

    for _ in range(200):
        nodes[:] = (await db.status(timeout_ms=5000))["nodes"].values()
        if are_there():
            return
        await pause()
    raise AssertionError(f"not all are linked: {nodes}")


async def test_a_node_joins_is_killed_while_it_copies_and_leaves_again(tmp_path: Path) -> None:
    async with (
        ClusterProcess(tmp_path / "data") as cluster,
        connect(cluster.seeds, timeout_ms=5000) as db,
    ):
        load = Load(db)
        await load.fill()
        newcomer = Newcomer(cluster, "n4")
        try:
            await newcomer.serves()
            async with load:
                planned = await member(cluster, "plan", "join", "n4")
                assert "192 of 768 copies move" in planned.told()
                await member(cluster, "commit", "join", "n4", "--address", newcomer.place)
                await newcomer.kill()
                told = await run(*CLIENT_COMMAND, "--seeds", cluster.seeds, "transfers", "--wait")
                assert "no change is under way" in told.told()
                await until(lambda: db.ring().epoch == 3, "the client knows the final ring")
                assert [held.node for held in db.ring().members] == ["n1", "n2", "n3", "n4"]
                done = load.done
                await until(lambda: load.done > done + 200, "the load goes on")
            await newcomer.serves()
            await linked_everywhere(db, 4)
            await load.check(r=3)
            async with load:
                await member(cluster, "commit", "leave", "n1", "--wait")
                await until(lambda: db.ring().epoch == 5, "the client knows the ring without n1")
            assert [held.node for held in db.ring().members] == ["n2", "n3", "n4"]
            await load.check(r=3)
            status = await db.status()
            assert {node["state"] for node in status["nodes"].values()} == {"serving"}
            await _comes_back(cluster, db, load)
        finally:
            await newcomer.stop()


async def _comes_back(cluster: ClusterProcess, db: Database, load: Load) -> None:
    """n1, still running with all that it held, joins again: by itself it begins anew."""
    first = cluster.data / "n1"
    assert not (first / "damaged-1").exists()
    place, pid = f"127.0.0.1:{cluster.port}", cluster.pid("n1")
    async with load:
        await member(cluster, "commit", "join", "n1", "--address", place, "--wait")
        await until(lambda: db.ring().epoch == 7, "the client knows the ring with n1 again")
    assert (first / "damaged-1" / "table").exists(), "its old files are put aside"
    assert cluster.pid("n1") == pid, "the process is the same"
    await linked_everywhere(db, 4)
    await load.check(r=3)
