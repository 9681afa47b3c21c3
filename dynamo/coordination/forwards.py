"""Requests for items of which this node holds no copy go to an owner, and the answer comes back.

Clients that know the ring never need it; a gRPC client may ask any node. Bounded in number and in
time: a lost owner or a late answer ends the request as `unknown` for a write.
"""

from typing import NamedTuple

from dynamo.config import TableConfig
from dynamo.coordination.decisions import TIMER_GRAIN_MS
from dynamo.coordination.scope import Scope
from dynamo.errors import Code, Failure
from dynamo.messages import (
    AskOutcome,
    Effect,
    Failed,
    Get,
    GetDone,
    OutcomeDone,
    Put,
    PutDone,
    Send,
    Source,
    failed,
)
from dynamo.timers import TimerWheel
from dynamo.types import NodeId

Answer = PutDone | GetDone | OutcomeDone | Failed

GRACE_MS = 100
"""An owner's own verdict is awaited a little beyond the request's deadline."""


class _Forward(NamedTuple):
    source: Source
    request_id: int
    owner: NodeId
    write: bool


class Forwards:
    """Requests that an owner works on for this node."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._last = scope.identity.first_request()
        self._open: dict[int, _Forward] = {}
        self._requests: set[tuple[Source, int]] = set()
        """Whose and which, of those that are open."""
        self._timers: TimerWheel[int] = TimerWheel(TIMER_GRAIN_MS)

    def none_reached(
        self,
        source: Source,
        request: Put | Get | AskOutcome,
        owners: tuple[NodeId, ...],
        table: TableConfig,
    ) -> bool:
        """Whether no owner is there to pass a client's request on to, and others may do it: a put
        or a get that is sloppy (`dynamo.coordination.away`). Nobody would hear of what a node keeps
        that is no member."""
        if self._scope.me not in self._scope.rings.members:
            return False
        if not isinstance(source, int) or not self._scope.peers.up.isdisjoint(owners):
            return False
        return not isinstance(request, AskOutcome) and table.sloppy and not request.strict

    def begin(
        self,
        source: Source,
        request: Put | Get | AskOutcome,
        owners: tuple[NodeId, ...],
        now_ms: float,
    ) -> list[Effect]:
        """Hand the request to the best linked owner."""
        scope = self._scope
        if (source, request.id) in self._requests:
            return []  # it came twice; the answer to one is the answer
        linked = scope.peers.by_preference(list(owners), now_ms)
        if not linked or not isinstance(source, int):
            causes = tuple((node, "unreachable") for node in owners)
            failure = Failure(Code.NOT_SERVING, "no owner of the key is reachable", causes=causes)
            return [Send(source, failed(request.id, failure))]
        most = scope.config.node(scope.me).limits.forwards_max
        if len(self._open) >= most:
            full = Failure(Code.OVERLOADED, f"{most} requests are being forwarded")
            scope.count_refusal(full)
            return [Send(source, failed(request.id, full))]
        self._last = id = self._last + 1
        self._open[id] = _Forward(source, request.id, linked[0], isinstance(request, Put))
        self._requests.add((source, request.id))
        timeout_ms = scope.timeout_ms(request.deadline_ms)
        self._timers.add(now_ms + timeout_ms + GRACE_MS, id)
        scope.meters.forwards += 1
        return [Send(linked[0], request._replace(id=id))]

    def answer(self, node: NodeId, answer: Answer) -> list[Effect]:
        """The owner's answer goes back under the client's own request id."""
        id = answer.id
        forward = self._open.get(id)
        if forward is None or forward.owner != node:
            return []
        self._close(id)
        return [Send(forward.source, answer._replace(id=forward.request_id))]

    def lost(self, node: NodeId) -> list[Effect]:
        """The link to an owner is gone."""
        gone = [id for id, forward in self._open.items() if forward.owner == node]
        return [made for id in gone for made in self._fail(id, Code.NOT_SERVING)]

    def give_up(self) -> list[Effect]:
        """Another ring is in force: who asked asks again, by that one."""
        return [made for id in list(self._open) for made in self._fail(id, Code.WRONG_RING)]

    def expire(self, now_ms: float) -> list[Effect]:
        """Give up where the time is over."""
        due = [id for id in self._timers.due(now_ms) if id in self._open]
        return [made for id in due for made in self._fail(id, Code.DEADLINE_EXCEEDED)]

    def deadline(self) -> float | None:
        """When `expire` has something to do."""
        return self._timers.deadline()

    def in_flight(self) -> int:
        """Requests that wait for an owner."""
        return len(self._open)

    def validate(self) -> None:
        """Assert that no more is passed on than may be."""
        most = self._scope.config.node(self._scope.me).limits.forwards_max
        assert len(self._open) <= most, "too many requests are being forwarded"

    def _close(self, id: int) -> _Forward:
        forward = self._open.pop(id)
        self._requests.discard((forward.source, forward.request_id))
        return forward

    def _fail(self, id: int, code: Code) -> list[Effect]:
        forward = self._close(id)
        causes = ((forward.owner, "link lost or no answer in time"),)
        failure = Failure(code, "the owner did not answer", causes=causes, unknown=forward.write)
        return [Send(forward.source, failed(forward.request_id, failure))]
