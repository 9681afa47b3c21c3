"""Everything that a client has asked and that is not yet answered.

    begin ─▶ open ─▶ answered ─▶ future done
               │▲
     no slot,  ▼│ slot freed, link up
            waiting                      one wheel of timers for silence, hedges and deadlines

No task and no timer of the loop belongs to a single call: an answer finds its call by id, and one
sweep wakes those whose time has come. A call that ends early leaves its timer behind, which then
finds nobody.
"""

import asyncio
from typing import Any, Protocol

from dynamo.errors import Code, Failure, ProtocolViolation
from dynamo.timers import TimerWheel
from dynamo.wire import Message
from dynamo_client.budget import Budget
from dynamo_client.hedging import Hedging
from dynamo_client.peer import Peer

OPEN_MAX = 4096
"""Requests in flight of one client; more wait, first come first served, until their deadline."""

GRAIN_MS = 2.0
"""How precisely hedges and deadlines are kept. Lower: more wake-ups."""

RETRY_SHARE, RETRY_BURST = 0.1, 100.0
"""Requests that are sent again because a node was silent or busy, as a share of all requests. A
lost link costs no budget: what was on it has to go elsewhere."""


PATIENCE_MS_MIN, PATIENCE_MS_MAX = 250.0, 2000.0
"""How long a coordinator may be silent. Raising: a stopped one holds writes up longer; lowering:
slow disks are taken for stopped nodes."""
PATIENCE_MEANS = 4.0
PATIENCE_WEIGHT = 0.05


class Call(Protocol):
    """One request of the caller, however many messages it takes."""

    id: int
    future: "asyncio.Future[Any]"
    deadline_ms: float

    def advance(self, now_ms: float) -> None:
        """Ask whom there is to ask and see to a `wake`, or `park`, or finish with a failure."""

    def answered(self, peer: Peer, message: Message, now_ms: float) -> None:
        """A node's answer. Raises ProtocolViolation."""

    def lost(self, peer: Peer, reason: str, now_ms: float) -> None:
        """The link to a node is gone; does nothing if the call did not wait for it."""

    def due(self, now_ms: float) -> None:
        """A time that was asked for with `wake` has come."""

    def release(self) -> None:
        """The call is over: nobody is waited for any more."""


class Calls:
    """The calls of one client, their timers and their budgets."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Call] = {}
        self._waiting: dict[int, Call] = {}
        self._draining = False
        self._last_id = 0
        self._wheel: TimerWheel[int] = TimerWheel(GRAIN_MS)
        self._armed_ms = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self.retries = Budget(RETRY_SHARE, RETRY_BURST)
        self.hedging = Hedging()
        self._mean_ms = 0.0
        self.failure: Failure | None = None
        """Why nothing can be asked any more."""

    def now_ms(self) -> float:
        """The loop's monotonic clock."""
        return self._loop.time() * 1000

    def future(self) -> "asyncio.Future[Any]":
        """An answer to come."""
        return self._loop.create_future()

    async def run(self, call: Call, now_ms: float, *, ahead: bool = False) -> Any:
        """The call's answer; a `Failure` is a value. Cancelling leaves nothing behind.

        `ahead`: it does not stand in line, because those who do may wait for what it learns.
        """
        self.begin(call, now_ms, ahead=ahead)
        try:
            return await call.future
        except asyncio.CancelledError:
            self.drop(call)
            raise

    def begin(self, call: Call, now_ms: float, *, ahead: bool = False) -> None:
        """What `run` begins with, for who awaits the call's future itself: one coroutine less."""
        if self.failure is not None:
            call.future = self._soon(self.failure)
            return
        self._last_id = call.id = self._last_id + 1
        self._open[call.id] = call
        self.retries.earn()
        if not ahead and (self._waiting or len(self._open) > OPEN_MAX):
            self.park(call)
        else:
            call.advance(now_ms)
            if call.future.done():
                call.future = self._soon(call.future.result())

    def drop(self, call: Call) -> None:
        """Nobody waits for the call any more."""
        if self._open.pop(call.id, None) is not None:
            self._waiting.pop(call.id, None)
            call.release()
            if self._waiting:
                self.changed()

    def wake(self, call: Call, at_ms: float) -> None:
        """Call its `due` then, if it is still open."""
        self._wheel.add(at_ms, call.id)
        if at_ms < self._armed_ms:
            self._arm(at_ms)

    def park(self, call: Call) -> None:
        """Let the call `advance` again when a slot is free or a link changed."""
        self._waiting[call.id] = call
        self.wake(call, call.deadline_ms)

    def finish(self, call: Call, answer: Any) -> None:
        """The call is over; an answer later than that finds nobody."""
        self.drop(call)
        if not call.future.done():
            call.future.set_result(answer)

    def coordinated(self, took_ms: float) -> None:
        """A coordinator answered well after so long."""
        self._mean_ms += PATIENCE_WEIGHT * (took_ms - self._mean_ms)

    @property
    def patience_ms(self) -> float:
        """After how much silence another coordinator is asked."""
        return min(max(PATIENCE_MEANS * self._mean_ms, PATIENCE_MS_MIN), PATIENCE_MS_MAX)

    @property
    def in_flight(self) -> int:
        """Calls that are not yet answered, waiting ones included."""
        return len(self._open)

    def stop(self, failure: Failure) -> None:
        """Fail all calls, and all that come."""
        self.failure = failure
        if self._timer is not None:
            self._timer.cancel()
        for call in list(self._open.values()):
            self.finish(call, failure._replace(unknown=True))

    # what links tell

    def received(self, peer: Peer, messages: list[Message]) -> None:
        """One frame's messages."""
        peer.waiting_since_ms = 0.0
        now_ms, calls = self._loop.time() * 1000, self._open
        try:
            for message in messages:
                call = calls.get(message[1])
                if call is not None:
                    call.answered(peer, message, now_ms)
        except (ProtocolViolation, IndexError, TypeError) as wrong:
            if peer.link is not None:
                peer.link.abort(f"protocol violation: {wrong}")

    def lost(self, peer: Peer, reason: str) -> None:
        """A link is gone."""
        now_ms = self.now_ms()
        for call in list(self._open.values()):
            call.lost(peer, reason, now_ms)
        self.changed()

    def changed(self) -> None:
        """Links came up or went away: who waits may try again."""
        if self._waiting and not self._draining:
            self._draining = True
            self._loop.call_soon(self._drain)

    # private

    def _soon(self, answer: Any) -> "asyncio.Future[Any]":
        """An answer in the next turn of the loop: who fails at once and tries again at once must
        let the links come up."""
        later = self.future()

        def settle() -> None:
            if not later.done():
                later.set_result(answer)

        self._loop.call_soon(settle)
        return later

    def _drain(self) -> None:
        """Let everybody who waits try once, in order; who still cannot waits on."""
        self._draining = False
        now_ms = self.now_ms()
        for _ in range(len(self._waiting)):
            if not self._waiting or len(self._open) - len(self._waiting) >= OPEN_MAX:
                return
            first = next(iter(self._waiting))
            self._waiting.pop(first).advance(now_ms)

    def _arm(self, at_ms: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_ms = at_ms
        self._timer = self._loop.call_at((at_ms + GRAIN_MS) / 1000, self._sweep)

    def _sweep(self) -> None:
        """Wake everybody whose time has come."""
        now_ms = self.now_ms()
        self._timer, self._armed_ms = None, float("inf")
        for id in self._wheel.due(now_ms):
            call = self._open.get(id)
            if call is not None:
                call.due(now_ms)
        next_ms = self._wheel.deadline()
        if next_ms is not None and next_ms < self._armed_ms:
            self._arm(next_ms)


CLOSED = Failure(Code.NOT_SERVING, "the client was closed")
"""What becomes of calls that are open when the client closes."""
