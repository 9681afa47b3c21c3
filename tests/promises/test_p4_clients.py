"""P4 as applications meet it: real nodes, the real client."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from dynamo_client import Database, TooManySiblings, connect
from dynamo_node import LocalCluster

PATIENT = {"timeout_ms": 20_000, "connect_timeout_ms": 20_000}
"""Fifty clients and three nodes share one process, perhaps a busy machine: no time is asked."""


async def clients(stack: AsyncExitStack, cluster: LocalCluster, count: int) -> list[Database]:
    """So many connections, each a writer of its own."""
    return list(
        await asyncio.gather(
            *(stack.enter_async_context(connect(cluster.seeds, **PATIENT)) for _ in range(count))
        )
    )


@pytest.mark.slow
async def test_a_thousand_updates_leave_one_value_and_a_context_that_does_not_grow() -> None:
    async with LocalCluster() as cluster, connect(cluster.seeds, **PATIENT) as db:
        cart = db.table("cart")
        context, sizes = None, []
        for number in range(1000):
            context = await cart.put("alice", number, context)
            sizes.append(len(context))
        item = await cart.get("alice", r=3)
        assert item.value == 999
        assert len(item.context) <= max(sizes)
        assert max(sizes[10:]) <= max(sizes[:10]), "one coordinator per owner at most is in it"


@pytest.mark.slow
async def test_fifty_clients_that_write_without_reading_make_fifty_siblings() -> None:
    async with LocalCluster() as cluster, AsyncExitStack() as stack:
        databases = await clients(stack, cluster, 50)
        await asyncio.gather(
            *(db.table("cart").put("alice", number) for number, db in enumerate(databases))
        )
        item = await databases[0].table("cart").get("alice", r=3)
        assert sorted(item.values) == list(range(50))
        await databases[1].table("cart").put("alice", "merged", item.context)
        assert (await databases[2].table("cart").get("alice", r=3)).value == "merged"


@pytest.mark.slow
async def test_writers_that_read_and_write_at_once_never_leave_more_siblings_than_writers() -> None:
    async with LocalCluster() as cluster, AsyncExitStack() as stack:
        databases = await clients(stack, cluster, 8)

        async def read_and_write(db: Database, name: int) -> int:
            most = 0
            for number in range(20):
                item = await db.table("cart").get("alice")
                most = max(most, len(item.values))
                await db.table("cart").put("alice", [name, number], item.context)
            return most

        most = await asyncio.gather(
            *(read_and_write(db, name) for name, db in enumerate(databases))
        )
        assert max(most) <= len(databases)


@pytest.mark.slow
async def test_concurrent_updates_lose_no_line() -> None:
    """Each appends its own lines; siblings are merged by whoever comes next."""
    async with LocalCluster() as cluster, AsyncExitStack() as stack:
        databases = await clients(stack, cluster, 5)

        def append(line: str) -> Any:
            return lambda values: sorted({line}.union(*values))

        async def shop(db: Database, name: int) -> None:
            for number in range(20):
                await db.table("cart").update("alice", append(f"{name}-{number}"))

        await asyncio.gather(*(shop(db, name) for name, db in enumerate(databases)))
        item = await databases[0].table("cart").update("alice", append("last"))
        expected = {f"{name}-{number}" for name in range(5) for number in range(20)}
        assert set(item.value) == expected | {"last"}


async def test_the_bound_on_siblings_is_an_error_that_says_what_to_do() -> None:
    async with LocalCluster(1) as cluster, connect(cluster.seeds, **PATIENT) as db:
        cart = db.table("cart")
        await asyncio.gather(*(cart.put("alice", number) for number in range(100)))
        with pytest.raises(TooManySiblings, match="read it, merge them"):
            await cart.put("alice", 100)
        item = await cart.get("alice")
        assert len(item.values) == 100
        await cart.put("alice", "merged", item.context)
        assert (await cart.get("alice")).value == "merged"


@pytest.mark.slow
@pytest.mark.parametrize("reads", ["client", "server"])
async def test_own_writes_replace_own_writes_and_nobody_elses(reads: Any) -> None:
    async with (
        LocalCluster() as cluster,
        connect(cluster.seeds, reads=reads) as db,
        connect(cluster.seeds) as other,
    ):
        await other.table("cart").put("alice", "theirs")
        context = await db.table("cart").put("alice", "mine")
        context = await db.table("cart").put("alice", "mine 2", context)
        assert sorted((await db.table("cart").get("alice")).values) == ["mine 2", "theirs"]
        await db.table("cart").delete("alice", context)
        assert (await db.table("cart").get("alice", r=3)).value == "theirs"


@pytest.mark.slow
async def test_the_last_of_many_blind_writes_wins() -> None:
    async with LocalCluster() as cluster, connect(cluster.seeds, **PATIENT) as db:
        session = db.table("session")
        for number in range(50):
            await session.put("alice", number)
        assert (await session.get("alice", r=3)).value == 49
