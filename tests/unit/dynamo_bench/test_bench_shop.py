"""What `dynamo-bench shop` does to carts, seen by a shop that only counts."""

import asyncio
from collections import Counter
from typing import Any

import grpc
import grpc.aio

from dynamo_bench.shop import ADDITIONS, ADDITIONS_HOT, CartLoad, CartWorkload


class Carts:
    """Notes the carts and request ids of all calls."""

    def __init__(self, error: grpc.aio.AioRpcError | None = None) -> None:
        self.added: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.request_ids: list[str] = []
        self.error = error

    async def AddItem(self, request: Any, *, timeout: float) -> None:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.added[request.cart_id] += 1
        self.request_ids.append(request.request_id)

    async def GetCart(self, request: Any, *, timeout: float) -> None:
        await asyncio.sleep(0)
        self.read[request.cart_id] += 1


async def run(carts: Carts, workload: CartWorkload) -> Any:
    return await CartLoad(carts).measure(workload, concurrency=3, seconds=0.05)


async def test_each_worker_fills_one_small_cart_after_the_other() -> None:
    carts = Carts()
    figures = await run(carts, "add")
    assert figures.operations == carts.added.total() == len(set(carts.request_ids))
    assert max(carts.added.values()) == ADDITIONS
    assert len([cart for cart in carts.added if cart.endswith("-0")]) == 3


async def test_all_workers_fill_one_hot_cart_after_the_other() -> None:
    carts = Carts()
    await run(carts, "hot")
    *full, last = carts.added.values()
    assert set(full) <= {ADDITIONS_HOT}
    assert last <= ADDITIONS_HOT


async def test_reads_are_of_full_carts() -> None:
    carts = Carts()
    figures = await run(carts, "get")
    assert figures.operations == carts.read.total()
    assert {carts.added[cart] for cart in carts.read} == {ADDITIONS}
    assert len(carts.read) == 3


async def test_two_loads_share_no_cart() -> None:
    first, second = Carts(), Carts()
    await run(first, "add")
    await run(second, "add")
    assert not set(first.added) & set(second.added)


async def test_a_failure_counts_under_its_code() -> None:
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing)
    figures = await run(Carts(error), "add")
    assert figures.operations == 0
    assert list(figures.errors) == ["UNAVAILABLE"]
