"""Clients that write without pause and remember what the cluster owes them.

chains   one writer per key, each put in place of its own last acknowledged one
         afterwards: the last acknowledged value is there, or an unknown one that replaced it;
         beside it stand unknown ones at most
carts    many writers per key, each update adds its own token to the union of all siblings
         afterwards: every acknowledged token is there, none that was certainly not applied
"""

import asyncio
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from cluster_process import pause, until

from dynamo_client import Database, NoNodeAnswered, OutcomeUnknown, Table, Unavailable, connect

CHAIN_KEYS = 4
READ_TRIES = 100
CART_TOKENS = 60
"""After so many a new cart is begun, so that values stay small."""


class Remembering:
    """Writers over two connections, at work inside the context."""

    def __init__(self, seeds: str, writers: int = 8, timeout_ms: float = 1000) -> None:
        self._seeds, self._writers, self._timeout_ms = seeds, writers, timeout_ms
        self.acknowledged = 0
        self.failures: Counter[str] = Counter()
        self._last: dict[str, int] = {}
        self._unknown: defaultdict[str, set[Any]] = defaultdict(set)
        self._refused: defaultdict[str, set[Any]] = defaultdict(set)
        self._tokens: defaultdict[str, set[int]] = defaultdict(set)
        self._token = 0
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Remembering":
        seeds, timeout_ms = self._seeds, self._timeout_ms
        databases = [
            await self._stack.enter_async_context(connect(seeds, timeout_ms=timeout_ms))
            for _ in range(2)
        ]
        for number in range(self._writers):
            cart = databases[number % 2].table("cart")
            work = self._carts(cart) if number % 4 == 3 else self._chain(cart, number)
            self._tasks.append(asyncio.create_task(work))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def progress(self, writes: int) -> None:
        """Wait until so many more writes were acknowledged."""
        wanted = self.acknowledged + writes
        await until(lambda: self.acknowledged >= wanted or self._broken(), f"{writes} writes more")
        if broken := self._broken():
            await broken[0]

    async def stop(self) -> None:
        """End each writer between two writes; raises what it met beyond the foreseen."""
        tasks, self._tasks = self._tasks, []
        self._stack.callback(tasks.clear)
        self._stopped = True
        await asyncio.gather(*tasks)

    _stopped = False

    def _broken(self) -> list[asyncio.Task[None]]:
        return [task for task in self._tasks if task.done()]

    def keys(self) -> list[str]:
        """All that had an acknowledged write."""
        return [*self._last, *self._tokens]

    async def verify(self, db: Database, r: int | None = None) -> int:
        """Read everything back; how many keys were compared."""
        cart = db.table("cart")
        for key, last in self._last.items():
            values = set((await _read(cart, key, r)).values)
            over = {value for value in self._unknown[key] if value > last}
            assert values & {last, *over}, f"{key}: {last} was acknowledged, there is {values}"
            others = values - {last} - self._unknown[key]
            assert not others, f"{key}: {others} were overwritten or refused and are back"
        for key, tokens in self._tokens.items():
            found = set[int]().union(*(await _read(cart, key, r)).values)
            assert tokens <= found, f"{key}: {sorted(tokens - found)} are lost"
            unasked = found - tokens - self._unknown[key]
            assert not unasked, f"{key}: {unasked} were not applied, but are there"
        return len(self._last) + len(self._tokens)

    async def _chain(self, cart: Table, number: int) -> None:
        contexts: dict[str, bytes] = {}
        value = 0
        while not self._stopped:
            value += 1
            key = f"chain-{number}-{value % CHAIN_KEYS}"
            try:
                contexts[key] = await cart.put(key, value, contexts.get(key))
            except Unavailable as error:
                await self._failed(key, value, error)
            else:
                self._last[key] = value
                self.acknowledged += 1

    async def _carts(self, cart: Table) -> None:
        while not self._stopped:
            self._token += 1
            key, token = f"cart-{self._token // CART_TOKENS}", self._token
            try:
                await cart.update(key, lambda all, t=token: sorted({t}.union(*all)))
            except Unavailable as error:
                await self._failed(key, token, error)
            else:
                self._tokens[key].add(token)
                self.acknowledged += 1

    async def _failed(self, key: str, value: int, error: Unavailable) -> None:
        self.failures[error.kind] += 1
        if isinstance(error, OutcomeUnknown):
            self._unknown[key].add(value)
        else:
            self._refused[key].add(value)
        await pause()


async def _read(cart: Table, key: str, r: int | None) -> Any:
    """What is there; links that are only now coming back are waited for."""
    for _ in range(READ_TRIES):
        try:
            return await cart.get(key, r=r, timeout_ms=10_000)
        except Unavailable as error:
            failure = error
            await pause()
    raise failure


async def serves_all(seeds: str, nodes: int) -> None:
    """Wait until a new client finds all nodes serving and linked with each other."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 20
    while not await _all_serve(seeds, nodes):
        assert loop.time() < deadline, "not all nodes serve and are linked"
        await pause()


async def _all_serve(seeds: str, nodes: int) -> bool:
    try:
        async with connect(seeds) as db:
            told = (await db.status())["nodes"].values()
    except NoNodeAnswered:
        return False
    serving = [node for node in told if node["state"] == "serving"]
    return len(serving) == nodes and all(
        state == "up" for node in serving for state in node["peers"].values()
    )
