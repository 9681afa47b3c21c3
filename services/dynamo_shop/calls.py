"""What every call of the shop goes through: its deadline, its place among the others, its errors.

call -> counted in -> act(milliseconds that the store has) -> answer
                 '-> ShopError, DynamoError ---------------> status
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from grpc.aio import ServicerContext

from dynamo_client import DynamoError
from dynamo_shop.errors import Busy, ShopError, Stopping, TooLate
from dynamo_shop.failures import status_of

TIMEOUT_MS_DEFAULT = 1000
TIMEOUT_MS_MAX = 60_000
"""A call may hold its place no longer. Raising it: dead clients hold places longer."""
MARGIN_MS_MAX = 40
"""The store gets a tenth less time than the caller has, at most this, so that an answer with its
reason arrives before gRPC's bare DEADLINE_EXCEEDED."""
ROUNDED_UP = 0.01
"""gRPC tells a server the time that is left to two or three digits, rounded up by at most this."""
CALLS_MAX = 512
"""Calls at once. Raising it: more memory; lowering it: bursts are shed sooner."""

WallClock: TypeAlias = Callable[[], int]
"""Milliseconds since 1970."""

AnyRequest = TypeVar("AnyRequest")
AnyResponse = TypeVar("AnyResponse")
Context: TypeAlias = ServicerContext[AnyRequest, AnyResponse]
Answer = TypeVar("Answer")


class Calls:
    """All calls underway in one process; they can be waited for."""

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        self._calls_max = calls_max
        self._open = 0
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def drained(self) -> None:
        """Refuse calls from now on, and return once none is open."""
        self._stopping = True
        await self._idle.wait()

    async def answer(
        self,
        context: Context[AnyRequest, AnyResponse],
        act: Callable[[float], Awaitable[Answer]],
        *,
        writes: bool,
    ) -> Answer:
        """`act` with the time it has, or the end of the call with a status."""
        try:
            timeout_ms = self._entered(context)
            return await act(timeout_ms)
        except (ShopError, DynamoError) as error:
            await context.abort_with_status(status_of(error, writes))

    def _entered(self, context: Context[AnyRequest, AnyResponse]) -> float:
        """Count the call in until its last byte is sent; raises Stopping, Busy, TooLate."""
        if self._stopping:
            raise Stopping("the service is stopping; ask another")
        if self._open >= self._calls_max:
            raise Busy(f"{self._calls_max} calls are underway; try again later")
        self._open += 1
        self._idle.clear()
        context.add_done_callback(self._left)  # type: ignore[arg-type]  # stubs want a class
        timeout_ms = timeout_of(context.time_remaining())
        if timeout_ms <= 0:
            raise TooLate("the deadline had passed on arrival")
        return timeout_ms

    def _left(self, _: object) -> None:
        self._open -= 1
        if not self._open:
            self._idle.set()


def timeout_of(remaining_s: float | None) -> float:
    """The milliseconds that the store gets of what a caller still has; None: no deadline."""
    if remaining_s is None:
        return TIMEOUT_MS_DEFAULT
    remaining_ms = min(remaining_s * 1000 * (1 - ROUNDED_UP), float(TIMEOUT_MS_MAX))
    return remaining_ms - min(remaining_ms / 10, MARGIN_MS_MAX)
