"""P1: no acknowledgement leaves before an fdatasync that covers the write has returned on W nodes.

Three real nodes in this process, each over files that know which bytes are durable.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from cluster_process import until
from watched_disk import WatchedFiles

from dynamo.storage.engine import LogEngine
from dynamo.storage.lmdb_table import LmdbTable
from dynamo.storage.port import EngineOptions
from dynamo_client import Database, OutcomeUnknown, connect
from dynamo_node import LocalCluster
from dynamo_node.assembly import running_node
from dynamo_node.node import Node

pytestmark = pytest.mark.slow

SMALL = EngineOptions(segment_bytes=1 << 20, disk_reserve_bytes=0)
WRITERS, WRITES = 16, 25


class World:
    """The disks of three nodes, and a client."""

    def __init__(self, disks: list[WatchedFiles], db: Database) -> None:
        self.disks, self.db = disks, db

    def durable(self, what: bytes) -> int:
        """On how many disks these bytes would survive a power loss now."""
        return sum(disk.has_durably(what) for disk in self.disks)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    config = LocalCluster(path=tmp_path).config
    disks: list[WatchedFiles] = []
    nodes: list[Node] = []
    async with AsyncExitStack() as stack:
        for node in config.nodes:
            disks.append(WatchedFiles(node.data))
            engine = LogEngine(disks[-1], LmdbTable(f"{node.data}/table"), SMALL)
            running = running_node(config, node.name, bootstrap=True, engine=engine)
            nodes.append(await stack.enter_async_context(running))
        await until(lambda: _linked(nodes), "all nodes are linked")
        db = await stack.enter_async_context(connect(*(node.seed for node in config.nodes)))
        # What starting and linking wrote is durable then: no sync is under way that could be held.
        await db.table("cart").put("before", "<before>", w=3, timeout_ms=20_000)
        yield World(disks, db)
        for disk in disks:
            disk.hold(False)


def _linked(nodes: list[Node]) -> bool:
    return all(one.is_linked(other.me) for one in nodes for other in nodes if one != other)


async def test_under_load_every_acknowledged_write_is_durable_on_w_disks(world: World) -> None:
    """Each write is looked for in the very moment in which its acknowledgement arrives."""
    cart = world.db.table("cart")
    counted = {1: 0, 2: 0, 3: 0}

    async def write(writer: int) -> None:
        for number in range(WRITES):
            w = 1 + number % 3
            value = f"<{writer}:{number}>"
            await cart.put(f"{writer}-{number}", value, w=w)
            assert world.durable(value.encode()) >= w, f"{value} was acknowledged too early"
            counted[w] += 1

    async with asyncio.TaskGroup() as group:
        for writer in range(WRITERS):
            group.create_task(write(writer))
    syncs = [disk.syncs for disk in world.disks]
    print(f"{counted} acknowledgements by W; syncs {syncs}")
    assert max(syncs) < WRITERS * WRITES, "concurrent writes share syncs"


@pytest.mark.parametrize("w", [1, 2, 3])
async def test_w_syncs_must_return_first(world: World, w: int) -> None:
    """With all syncs held, a write is nowhere durable and not acknowledged; it is at the W-th."""
    cart, value = world.db.table("cart"), "<held>"
    for disk in world.disks:
        disk.hold(True)
    put = asyncio.create_task(cart.put("key", value, w=w, timeout_ms=10_000))
    await until(
        lambda: all(disk.has_begun(value.encode()) for disk in world.disks), "all have written it"
    )
    for released, disk in enumerate(world.disks[:w]):
        assert not put.done()
        assert world.durable(value.encode()) == released
        disk.hold(False)
        await until(lambda d=disk: d.has_durably(value.encode()), "the sync has returned")
    await put
    assert world.durable(value.encode()) == w


async def test_a_write_that_no_disk_syncs_is_unknown(world: World) -> None:
    """The deadline passes: neither acknowledged nor refused; applied once the disks go on."""
    cart = world.db.table("cart")
    for disk in world.disks:
        disk.hold(True)
    with pytest.raises(OutcomeUnknown) as caught:
        await cart.put("key", "<late>", timeout_ms=150)
    assert world.durable(b"<late>") == 0
    for disk in world.disks:
        disk.hold(False)
    assert await world.db.outcome(caught.value.operation_id, timeout_ms=5000) == "applied"
    assert (await cart.get("key")).value == "<late>"
