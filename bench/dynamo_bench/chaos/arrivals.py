"""When operations begin: by the clock, whatever becomes of those before.

A closed loop waits for an answer before it asks again, so while a cluster stands still it asks
nothing, and the worst seconds leave hardly a trace (*coordinated omission*). Here every operation
has an intended start, drawn beforehand, and its latency counts from then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import Random

IN_FLIGHT_MAX = 3000
"""Operations of one process under way; at the bound the next waits, and its latency runs."""

Operate = Callable[[float], Awaitable[None]]
"""One operation, told its intended start."""


def arrivals(rng: Random, rate: float, seconds: float) -> Iterator[float]:
    """Intended starts from 0 to `seconds`: a Poisson process of so many a second."""
    at_s = rng.expovariate(rate)
    while at_s < seconds:
        yield at_s
        at_s += rng.expovariate(rate)


async def open_loop(
    operate: Operate,
    intended: Iterator[float],
    begin_s: float,
    clock: Callable[[], float],
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Begin each operation at its time after `begin_s`; return when all have ended."""
    room = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def one(start_s: float) -> None:
        try:
            await operate(start_s)
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        for offset_s in intended:
            start_s = begin_s + offset_s
            early_s = start_s - clock()
            if early_s > 0:
                await pause(early_s)
            await room.acquire()
            group.create_task(one(start_s))
