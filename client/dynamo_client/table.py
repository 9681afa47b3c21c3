"""A table: items by key, for the application."""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from typing import Any

from dynamo.errors import Unavailable
from dynamo.types import TableId
from dynamo_client.codecs import Codec, decoded, encoded
from dynamo_client.errors import OutcomeUnknown
from dynamo_client.item import Item, said
from dynamo_client.operations import Operations, Place

Key = str | bytes
"""Text stands for its UTF-8."""

Merge = Callable[[list[Any]], Any | Awaitable[Any]]
"""All siblings (an empty list: not found) -> the one new value."""

PAUSE_MS_MIN, PAUSE_MS_MAX = 5.0, 200.0
"""Between two tries of an update, doubling, with jitter."""


class Table:
    """One table over one connection. Every `timeout_ms` left out is the connection's."""

    def __init__(
        self,
        operations: Operations,
        id: TableId,
        name: str,
        codec: Codec,
        timeout_ms: float,
        strict: bool = False,
    ) -> None:
        """`strict`: only owners count, also where the table is sloppy."""
        self.name, self._strict = name, strict
        self.codec = codec
        self._operations, self._id, self._timeout_ms = operations, id, timeout_ms

    async def get(
        self,
        key: Key,
        *,
        sort_key: Key = b"",
        r: int | None = None,
        timeout_ms: float | None = None,
    ) -> Item:
        """All live values of an item, from R replicas (None: the table's R).

        Raises Unavailable (fewer than R answered), InvalidRequest, CannotDecode.
        """
        operations, codec = self._operations, self.codec
        place = operations.place(self._id, key, sort_key, strict=self._strict)
        payloads, context = await operations.get(place, r, self._deadline_ms(timeout_ms))
        return Item([decoded(codec, payload) for payload in payloads], context)

    async def put(
        self,
        key: Key,
        value: Any,
        context: bytes | None = None,
        *,
        sort_key: Key = b"",
        w: int | None = None,
        timeout_ms: float | None = None,
    ) -> bytes:
        """Write a value; it replaces what `context` covers and stands beside all else.

        Returns the context of this write: given to the next put it replaces this value, but no
        sibling that the writer never saw. Raises Unavailable with the outcome `not applied`,
        OutcomeUnknown, InvalidRequest.
        """
        place = self._operations.place(self._id, key, sort_key, strict=self._strict)
        payload = encoded(self.codec, value)
        deadline_ms = self._deadline_ms(timeout_ms)
        return await self._operations.put(place, payload, context, w, deadline_ms)

    async def delete(
        self,
        key: Key,
        context: bytes | None = None,
        *,
        sort_key: Key = b"",
        w: int | None = None,
        timeout_ms: float | None = None,
    ) -> bytes:
        """Remove what `context` covers; without one, all that a read finds now.

        Returns the context after it. Deleting what is not there writes nothing. Raises as `put`.
        """
        place = self._operations.place(self._id, key, sort_key, strict=self._strict)
        deadline_ms = self._deadline_ms(timeout_ms)
        if context is None:
            payloads, found = await self._operations.get(place, None, deadline_ms)
            context = said(found)
            if not payloads:
                return context
        return await self._operations.put(place, None, context, w, deadline_ms)

    async def update(
        self,
        key: Key,
        fn: Merge,
        *,
        sort_key: Key = b"",
        r: int | None = None,
        w: int | None = None,
        timeout_ms: float | None = None,
    ) -> Item:
        """Read, let `fn` make one value of all siblings, write it in their place; the item as
        written.

        `fn(values)` gets the list of all siblings, empty if there is none, and returns the new
        value; it may be async. It runs again, on what is read then, only if the write before
        was certainly not applied; while a write's fate is open, that same write is repeated, and
        at the deadline OutcomeUnknown is raised. There is no compare-and-set: an update that
        went in beside another leaves siblings, which the next update merges.
        """
        place = self._operations.place(self._id, key, sort_key, strict=self._strict)
        deadline_ms = self._deadline_ms(timeout_ms)
        pause_ms = PAUSE_MS_MIN
        while True:
            try:
                return await self._update_once(place, fn, r, w, deadline_ms)
            except OutcomeUnknown:
                raise
            except Unavailable as error:
                pause_ms = max(pause_ms, float(error.failure.retry_after_ms))
                if self._operations.left_ms(deadline_ms) <= pause_ms:
                    raise
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause_ms / 1000)
            pause_ms = min(2 * pause_ms, PAUSE_MS_MAX)

    async def _update_once(
        self, place: Place, fn: Merge, r: int | None, w: int | None, deadline_ms: float
    ) -> Item:
        payloads, found = await self._operations.get(place, r, deadline_ms)
        value = fn([decoded(self.codec, payload) for payload in payloads])
        if inspect.isawaitable(value):
            value = await value
        payload = encoded(self.codec, value)
        context = await self._operations.put(place, payload, said(found), w, deadline_ms)
        return Item([value], context)

    def _deadline_ms(self, timeout_ms: float | None) -> float:
        return self._operations.deadline_ms(self._timeout_ms if timeout_ms is None else timeout_ms)

    def __repr__(self) -> str:
        return f"Table({self.name!r}, codec={self.codec.name})"
