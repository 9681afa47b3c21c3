"""Many operations, a bounded number at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def for_each(
    items: Iterable[T], do: Callable[[T], Awaitable[object]], *, in_flight: int
) -> None:
    """Do all items in order of their start. The first error stops the rest and is raised."""
    todo = iter(items)

    async def worker() -> None:
        for item in todo:
            await do(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
