"""A table: items by key, for the application."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from dynamo.errors import DeadlineExceeded, Failure, Unavailable
from dynamo.types import TableId
from dynamo_client.attempts import late_after
from dynamo_client.codecs import RAW, Codec
from dynamo_client.errors import OutcomeUnknown
from dynamo_client.item import Item
from dynamo_client.links import JITTER
from dynamo_client.operations import REMOVED, Handle, Within

Key = str | bytes
"""Text stands for its UTF-8."""

Merge = Callable[[list[Any]], Any | Awaitable[Any]]
"""All siblings (an empty list: not found) -> the one new value."""

PAUSE_MS_MIN, PAUSE_MS_MAX = 5.0, 200.0
"""Between two tries of an update, doubling, with jitter."""


class ItemOperations(Protocol):
    """What a table is made of: a client's own operations, or those of a session."""

    def left_ms(self, deadline_ms: float) -> float:
        """How much of a deadline is left."""

    def deadline_ms(self, timeout_ms: object) -> float:
        """The deadline of an operation that begins now."""

    def get(
        self, of: Handle, whose: object, whose_sort: object, r: object, within: Within
    ) -> Coroutine[Any, Any, Item]:
        """What R replicas have of an item."""

    def put(
        self,
        of: Handle,
        whose: object,
        whose_sort: object,
        value: object,
        context: object,
        w: object,
        within: Within,
    ) -> Coroutine[Any, Any, bytes]:
        """The context after the write."""


class Table:
    """One table over one connection. Every `timeout_ms` left out is the connection's."""

    def __init__(
        self,
        operations: ItemOperations,
        id: TableId,
        name: str,
        codec: Codec,
        timeout_ms: float,
        strict: bool = False,
    ) -> None:
        """`strict`: only owners count, also where the table is sloppy."""
        self.name, self.codec = name, codec
        self._operations, self._handle = operations, Handle(id, codec, strict)
        self._usual = Within(timeout_ms)

    def get(
        self,
        key: Key,
        *,
        sort_key: Key = b"",
        r: int | None = None,
        timeout_ms: float | None = None,
    ) -> Coroutine[Any, Any, Item]:
        """All live values of an item, from R replicas (None: the table's R); to be awaited.

        Raises Unavailable (fewer than R answered), InvalidRequest, CannotDecode.
        """
        return self._operations.get(self._handle, key, sort_key, r, self._within(timeout_ms))

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
        # A coroutine of Python's own, compiled or not: it warns if the await is forgotten.
        within = self._within(timeout_ms)
        return await self._operations.put(self._handle, key, sort_key, value, context, w, within)

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
        operations, within = self._operations, self._until(timeout_ms)
        handle = self._handle._replace(codec=RAW)
        if context is None:
            found = await operations.get(handle, key, sort_key, None, within)
            context = found.context
            if not found.found:
                return context
        return await operations.put(handle, key, sort_key, REMOVED, context, w, within)

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
        within, pause_ms = self._until(timeout_ms), PAUSE_MS_MIN
        before: Failure | None = None
        while True:
            try:
                return await self._update_once(key, sort_key, fn, r, w, within)
            except OutcomeUnknown:
                raise
            except DeadlineExceeded as error:
                raise DeadlineExceeded(late_after(error.failure, before)) from None
            except Unavailable as error:
                before = error.failure
                pause_ms = max(pause_ms, float(error.failure.retry_after_ms))
                if self._operations.left_ms(within.deadline_ms) <= pause_ms:
                    raise
            await asyncio.sleep(JITTER.uniform(0.5, 1.0) * pause_ms / 1000)
            pause_ms = min(2 * pause_ms, PAUSE_MS_MAX)

    async def _update_once(
        self, key: Key, sort_key: Key, fn: Merge, r: int | None, w: int | None, within: Within
    ) -> Item:
        operations, handle = self._operations, self._handle
        found = await operations.get(handle, key, sort_key, r, within)
        value = fn(found.values)
        if inspect.isawaitable(value):
            value = await value
        context = await operations.put(handle, key, sort_key, value, found.context, w, within)
        return Item([value], context)

    def _within(self, timeout_ms: float | None) -> Within:
        return self._usual if timeout_ms is None else Within(timeout_ms)

    def _until(self, timeout_ms: float | None) -> Within:
        """The same as a deadline, for what is done in several steps."""
        within = self._within(timeout_ms)
        return Within(0.0, self._operations.deadline_ms(within.timeout_ms))

    def __repr__(self) -> str:
        return f"Table({self.name!r}, codec={self.codec.name})"
