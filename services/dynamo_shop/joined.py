"""Items whose siblings are joined, changed by many calls at once: one write of each at a time.

call: change --.
call: change --+--> waiting --turn--> update(siblings -> joined -> all changes) -> all answered
call: change --'

What comes while an item is written travels together in the next write. Without turns fifty calls
on one cart at once leave fifty siblings, each a whole cart, and every call joins them all.

Nothing is kept here: what waits belongs to calls that are underway. A change must have its effect
once however often it is made, for a turn that fails is the failure of the one call whose turn it
was; the changes of the others are made again in the next, while those calls have time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from dynamo_client import OutcomeUnknown, Table, Unavailable
from dynamo_shop.errors import ShopError, TooLate, Unsettled

CHANGES_PER_TURN_MAX = 64
"""Raising it: fewer writes of a hot item, but longer turns (each change of the fullest cart takes
about 0.3 ms) in which this process does nothing else."""

State = TypeVar("State")


class Joined(Generic[State]):
    """One table; `join` makes one state of the values of all siblings, `as_value` a value of it."""

    def __init__(
        self, table: Table, join: Callable[[list[Any]], State], as_value: Callable[[State], Any]
    ) -> None:
        self._table, self._join, self._as_value = table, join, as_value
        self._queues: dict[str | bytes, _Queue[State]] = {}

    async def read(self, key: str | bytes, timeout_ms: float) -> State:
        """What all siblings say together. Raises ShopError, DynamoError."""
        return self._join((await self._table.get(key, timeout_ms=timeout_ms)).values)

    async def changed(
        self, key: str | bytes, change: Callable[[State], State], timeout_ms: float
    ) -> State:
        """The item as this change left it. Raises ShopError, DynamoError.

        It is written also where a read shows the change already: perhaps one replica alone has it.
        """
        deadline_s = _now_s() + timeout_ms / 1000
        wish = _Wish(change)
        queue = self._queues.setdefault(key, _Queue())
        queue.entered(wish)
        try:
            async with queue.turn(deadline_s) as in_time:
                if wish.verdict is None:
                    if not in_time:
                        raise queue.late(wish)
                    await self._write(key, queue.taken(wish), queue, deadline_s)
        finally:
            queue.left(wish)
            if not queue.calls:
                del self._queues[key]
        return wish.answer()

    async def _write(
        self,
        key: str | bytes,
        wishes: "list[_Wish[State]]",
        queue: "_Queue[State]",
        deadline_s: float,
    ) -> None:
        """All changes in one write, in the time of the first. Raises the failure of the first."""
        verdicts: list[State | ShopError] = []

        def value(values: list[Any]) -> Any:
            state, verdicts[:] = self._join(values), []
            for wish in wishes:
                wish.is_underway = True
                try:
                    state = wish.change(state)
                except ShopError as error:
                    verdicts.append(error)
                else:
                    verdicts.append(state)
            if all(isinstance(verdict, ShopError) for verdict in verdicts):
                raise _AllRefused
            return self._as_value(state)

        left_ms = max(1.0, (deadline_s - _now_s()) * 1000)
        try:
            await self._table.update(key, value, timeout_ms=left_ms)
        except _AllRefused:
            pass
        except BaseException as error:
            queue.put_back(wishes[1:], error)
            raise wishes[0].told(error) from None
        for wish, verdict in zip(wishes, verdicts, strict=True):
            wish.verdict = verdict


class _Wish(Generic[State]):
    """The change of one call, and what is known of its fate."""

    def __init__(self, change: Callable[[State], State]) -> None:
        self.change = change
        self.is_over = False
        """Whether nobody waits for it any more."""
        self.is_underway = False
        """Whether a turn has read the item and may be writing it."""
        self.verdict: State | ShopError | None = None
        self._failure: Exception | None = None

    def failed(self, error: BaseException) -> None:
        """A turn failed, or goes on without the call; a fate once open stays so."""
        if not isinstance(error, Exception) and self.is_underway:
            error = Unsettled("the write was left underway; whether it was applied is unknown")
        self.is_underway = False
        if isinstance(error, Unavailable | Unsettled) and not self._is_open:
            self._failure = error

    def told(self, error: BaseException) -> BaseException:
        """What its call is told in place of this."""
        if self._failure is None or not isinstance(error, Exception):
            return error
        return self._failure if self._is_open or isinstance(error, TooLate) else error

    def answer(self) -> State:
        """What a turn made of it. Raises ShopError, OutcomeUnknown."""
        assert self.verdict is not None, "a turn has gone well"
        if isinstance(self.verdict, ShopError):
            raise self.told(self.verdict)
        return self.verdict

    @property
    def _is_open(self) -> bool:
        """Whether a turn that failed may have applied it."""
        return isinstance(self._failure, OutcomeUnknown | Unsettled)


class _Queue(Generic[State]):
    """The calls that change one item."""

    def __init__(self) -> None:
        self.calls = 0
        self._waiting: list[_Wish[State]] = []
        self._turn = asyncio.Lock()

    def entered(self, wish: _Wish[State]) -> None:
        """A call wants its turn."""
        self.calls += 1
        self._waiting.append(wish)

    def left(self, wish: _Wish[State]) -> None:
        """The call is over."""
        self.calls -= 1
        wish.is_over = True
        if wish in self._waiting:
            self._waiting.remove(wish)

    @asynccontextmanager
    async def turn(self, deadline_s: float) -> AsyncIterator[bool]:
        """Alone with the item; false, and not alone, if the time runs out before."""
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._turn.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._turn.release()

    def late(self, wish: _Wish[State]) -> BaseException:
        """What a call is told whose turn has not come in its time."""
        wish.failed(asyncio.CancelledError())
        return wish.told(TooLate("changes that came before took all the time"))

    def taken(self, first: _Wish[State]) -> list[_Wish[State]]:
        """What one turn takes: a wish and those that wait with it."""
        self._waiting.remove(first)
        others = self._waiting[: CHANGES_PER_TURN_MAX - 1]
        del self._waiting[: CHANGES_PER_TURN_MAX - 1]
        return [first, *others]

    def put_back(self, wishes: list[_Wish[State]], error: BaseException) -> None:
        """Their turn failed; they go before all others."""
        for wish in wishes:
            wish.failed(error)
        self._waiting[:0] = [wish for wish in wishes if not wish.is_over]


class _AllRefused(Exception):
    """There is nothing to write."""


def _now_s() -> float:
    return asyncio.get_running_loop().time()
