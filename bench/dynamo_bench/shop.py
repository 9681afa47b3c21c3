"""Loads on the carts of `dynamo-shop`, over gRPC as its users call it.

add, get   worker 0: c0 c0 … c0 | c2 …     worker 1: c1 c1 … c1 | c3 …     carts of their own
hot        worker 0: c0 … c0 | c1 …        worker 1: c0 … c0 | c1 …        one cart at a time

A cart takes so many additions and is then left, so that it stays as large as people's carts are,
and the hot one within its bound.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Literal

import grpc
import grpc.aio

from dynamo_bench.measure import Figures, Operate, Progress, closed_loop
from dynamo_protos import shop_pb2, shop_pb2_grpc

CartWorkload = Literal["add", "get", "hot"]

ADDITIONS, ADDITIONS_HOT = 10, 500
PRODUCTS = 20
TIMEOUT_S = 5.0


class CallFailed(Exception):
    """A call ended with a status; `kind` is its code."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(error.details())
        self.kind = error.code().name


@asynccontextmanager
async def cart_load_over(address: str) -> "AsyncIterator[CartLoad]":
    """A load over one connection."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield CartLoad(shop_pb2_grpc.CartServiceStub(channel))


class CartLoad:
    """Additions to carts and reads of carts that nobody has used before."""

    def __init__(self, carts: Any) -> None:
        self._carts = carts
        self._run = uuid.uuid4().hex

    async def measure(
        self,
        workload: CartWorkload,
        *,
        concurrency: int,
        seconds: float,
        progress: Progress | None = None,
    ) -> Figures:
        """Run one cell. Raises CallFailed if carts cannot be filled for reads."""
        names = [f"w{number}" for number in range(concurrency)]
        if workload == "add":
            workers = [self._adder(name, ADDITIONS) for name in names]
        elif workload == "get":
            workers = [await self._reader(name) for name in names]
        else:
            workers = [self._adder("hot", ADDITIONS_HOT)] * concurrency
        return await closed_loop(workers, seconds, progress)

    async def _reader(self, name: str) -> Operate:
        """Reads a cart that it fills first."""
        add = self._adder(name, ADDITIONS)
        for _ in range(ADDITIONS):
            await add()
        request = shop_pb2.GetCartRequest(cart_id=f"{self._run}-{name}-0")
        return lambda: _answer(self._carts.GetCart(request, timeout=TIMEOUT_S))

    def _adder(self, name: str, additions: int) -> Operate:
        """Adds to one cart after the other."""
        made = 0

        async def add() -> None:
            nonlocal made
            request = shop_pb2.AddItemRequest(
                cart_id=f"{self._run}-{name}-{made // additions}",
                product_id=f"product-{made % PRODUCTS}",
                quantity=1,
                request_id=str(uuid.uuid4()),
            )
            made += 1
            await _answer(self._carts.AddItem(request, timeout=TIMEOUT_S))

        return add


async def _answer(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise CallFailed(error) from error
