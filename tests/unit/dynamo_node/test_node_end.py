"""How a node ends: what fails ends it with a word, and what has ended does nothing more."""

import asyncio
import socket
from collections.abc import Hashable
from dataclasses import replace

import pytest

from dynamo.config import ClusterConfig, builtin
from dynamo.errors import Code, StorageFailed
from dynamo.keys import item_key
from dynamo.messages import (
    ASK_REPAIR,
    GET,
    PUT,
    Failed,
    Get,
    Put,
    PutDone,
    Received,
    failure_of,
)
from dynamo.ring import partition_of, token_of
from dynamo.siblings.record import operation_id
from dynamo.storage.files import DiskFull
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import ItemKey, TableId
from dynamo_node.assembly import running_node

CART = TableId(1)


class Watched(MemoryEngine):
    """Notes reads of a closed store; fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = self.is_broken = False
        self.reads_after_the_end = 0

    def get(self, key: ItemKey) -> bytes | None:
        self.reads_after_the_end += self.is_closed
        if self.is_broken:
            raise StorageFailed("the disk is gone")
        return super().get(key)

    def close_clean(self) -> list[object]:
        self.is_closed = True
        return super().close_clean()


@pytest.fixture
def config() -> ClusterConfig:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    made = builtin(1)
    timing = replace(made.timing, drain_timeout_ms=1, repair_delay_ms=20)
    node = replace(made.nodes[0], port=port, durability="memory")
    return replace(made, nodes=(node,), timing=timing)


def key_of(config: ClusterConfig, key: bytes) -> ItemKey:
    return item_key(partition_of(token_of(CART, key), config.partitions), CART, key, b"")


async def test_a_node_that_has_stopped_touches_its_store_no_more(config: ClusterConfig) -> None:
    """Links that end ask for repairs, and these come due while the store closes."""
    engine, loop = Watched(), asyncio.get_running_loop()
    async with running_node(config, "n1", bootstrap=True, engine=engine) as node:
        node.feed(Received(1, ((ASK_REPAIR, key_of(config, b"alice")),)))
        due_ms = node.kernel.deadline()
        assert due_ms is not None
    overdue = asyncio.Event()
    loop.call_at((due_ms + 20) / 1000, overdue.set)
    await overdue.wait()
    assert engine.reads_after_the_end == 0


async def test_a_node_that_drains_takes_nothing_new(config: ClusterConfig) -> None:
    """Else it would wait for busy clients until its time is over, and then leave them without
    an answer. They are told to ask another, and that nothing was done."""
    async with running_node(config, "n1", bootstrap=True, engine=MemoryEngine()) as node:
        put = Put(PUT, 0, 0, 0, CART, b"alice", b"", None, b"1", operation_id(1, 1, 1), 0)
        get = Get(GET, 0, 0, 0, CART, b"alice", b"", 0)
        under_way = asyncio.create_task(node.call(put, 1000))
        await asyncio.sleep(0)
        draining = asyncio.create_task(node.drained())
        await asyncio.sleep(0)
        for answer in [await node.call(put, 1000), await node.call(get, 1000)]:
            assert isinstance(answer, Failed)
            assert failure_of(answer).code is Code.NOT_SERVING
            assert not failure_of(answer).unknown
        assert isinstance(await under_way, PutDone)
        await draining


async def test_a_store_that_fails_while_it_is_read_ends_the_node(config: ClusterConfig) -> None:
    """Else every link that asks for anything would be cut off, for ever, by a node that looks
    alive."""
    engine = Watched()
    async with running_node(config, "n1", bootstrap=True, engine=engine) as node:
        engine.is_broken = True
        node.feed(Received(1, (tuple(Get(GET, 1, 1000, 0, CART, b"alice", b"", 0)),)))
        assert isinstance(node.failed.exception(), StorageFailed)


class Unclosable(MemoryEngine):
    """What it holds cannot be written down at the end."""

    def close_clean(self) -> list[object]:
        raise StorageFailed("a page is full of nonsense")


async def test_a_stop_that_left_the_store_as_it_was_is_no_clean_one(config: ClusterConfig) -> None:
    """Its exit status tells."""
    with pytest.raises(StorageFailed, match="nonsense"):
        async with running_node(config, "n1", bootstrap=True, engine=Unclosable()):
            pass


class Full(MemoryEngine):
    """Has no room for the node's identity."""

    is_closed = False

    def put_meta(self, name: str, value: bytes, token: Hashable | None = None) -> None:
        raise DiskFull("no room")

    def close(self) -> None:
        self.is_closed = True


async def test_a_node_that_cannot_start_lets_go_of_its_store(config: ClusterConfig) -> None:
    """Else an application could not start it again: its directory would be in use."""
    engine = Full()
    with pytest.raises(DiskFull):
        async with running_node(config, "n1", bootstrap=True, engine=engine):
            pass
    assert engine.is_closed
