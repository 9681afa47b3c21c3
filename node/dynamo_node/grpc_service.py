"""The methods of `dynamo.v1.KV`: parse, ask the node through its door, render. No rule is here.

    request -> Put | Get | AskOutcome -> door -> PutDone | GetDone | OutcomeDone -> response
            '-> Failure -----------------------> Failed ---> status code with details

What this file decides is only what gRPC leaves open: which deadline a call has, and the id of a
write whose client gave none.
"""

import asyncio
from collections.abc import Callable
from typing import Never, TypeAlias, TypeVar

from grpc.aio import ServicerContext

from dynamo.config import TableConfig
from dynamo.errors import Code, Failure, InvalidRequest, KeyTooLarge
from dynamo.hlc import HybridClock
from dynamo.messages import (
    ASK_OUTCOME,
    GET,
    PUT,
    AskOutcome,
    Failed,
    Get,
    GetDone,
    OutcomeDone,
    Put,
    PutDone,
    failure_of,
)
from dynamo.siblings.operation_token import OperationToken, decode_operation, encode_operation
from dynamo.siblings.record import operation_id
from dynamo.types import OperationId
from dynamo_node.door import Answer, Door, Request
from dynamo_node.grpc_failures import status_of
from dynamo_protos import kv_pb2, kv_pb2_grpc

DEADLINE_MS_DEFAULT = 1000
DEADLINE_MS_MAX = 60_000
"""A call may hold its place no longer. Raising it: dead clients hold places longer."""
ANSWER_MARGIN_MS_MAX = 40
"""The node gets a tenth less time than the caller has, at most this, so that its typed answer
arrives before gRPC's bare DEADLINE_EXCEEDED."""
RETRY_AFTER_MS = 50
NODE_LATE_MS = 20
"""How long after its deadline a node may answer before the edge answers in its place."""

Write: TypeAlias = kv_pb2.PutRequest | kv_pb2.DeleteRequest
AnyRequest = TypeVar("AnyRequest")
AnyResponse = TypeVar("AnyResponse")
Context: TypeAlias = ServicerContext[AnyRequest, AnyResponse]

_OUTCOMES = {
    "applied": kv_pb2.OUTCOME_APPLIED,
    "not applied": kv_pb2.OUTCOME_NOT_APPLIED,
    "unknown": kv_pb2.OUTCOME_UNKNOWN,
}


class OperationIds:
    """Makes the ids of writes whose clients gave none; knows the largest stamp seen here."""

    def __init__(self, session: int, skew_ms_max: int, wall_ms: Callable[[], int]) -> None:
        self._session, self._wall_ms = session, wall_ms
        self._clock = HybridClock(skew_ms_max)
        self._sequence = 0

    def next(self) -> OperationId:
        """An id that nobody else makes."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return operation_id(self._clock.next(self._wall_ms()), self._session, self._sequence)

    def learn(self, stamp: int) -> None:
        """Stay above a stamp that the node has answered with."""
        self._clock.observe(stamp, self._wall_ms())


class KvService(kv_pb2_grpc.KVServicer):
    """The servicer; it counts its open calls, so that they can be waited for."""

    def __init__(self, door: Door, ids: OperationIds, calls_max: int) -> None:
        self._door, self._ids, self._calls_max = door, ids, calls_max
        self._open_calls = 0
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def drained(self) -> None:
        """Refuse calls from now on, and return once none is open."""
        self._stopping = True
        await self._idle.wait()

    async def Get(
        self, request: kv_pb2.GetRequest, context: Context[kv_pb2.GetRequest, kv_pb2.GetResponse]
    ) -> kv_pb2.GetResponse:
        """Siblings and context."""
        deadline_ms = self._entered(context)
        answer: Answer | Failure
        if (table := self._door.table_by_name(request.table)) is None:
            answer = _unknown_table(request.table)
        elif request.HasField("r") and not request.r:
            answer = _no_quorum("r", table)
        else:
            key, sort_key = request.key, request.sort_key
            message = Get(
                GET, 0, deadline_ms, 0, table.id, key, sort_key, request.r, request.strict
            )
            answer = await self._asked(message, deadline_ms)
        if not isinstance(answer, GetDone):
            await _abort(context, answer, None)
        self._ids.learn(answer.stamp)
        found = bool(answer.payloads)
        return kv_pb2.GetResponse(found=found, values=answer.payloads, context=answer.context)

    async def Put(
        self, request: kv_pb2.PutRequest, context: Context[kv_pb2.PutRequest, kv_pb2.PutResponse]
    ) -> kv_pb2.PutResponse:
        """One value in place of those that the context covers."""
        token, answer = await self._written(request, request.value, self._entered(context))
        if not isinstance(answer, PutDone):
            await _abort(context, answer, token)
        return kv_pb2.PutResponse(context=answer.context, operation_id=token)

    async def Delete(
        self,
        request: kv_pb2.DeleteRequest,
        context: Context[kv_pb2.DeleteRequest, kv_pb2.DeleteResponse],
    ) -> kv_pb2.DeleteResponse:
        """Nothing in place of the values that the context covers."""
        token, answer = await self._written(request, None, self._entered(context))
        if not isinstance(answer, PutDone):
            await _abort(context, answer, token)
        return kv_pb2.DeleteResponse(context=answer.context, operation_id=token)

    async def GetOutcome(
        self,
        request: kv_pb2.GetOutcomeRequest,
        context: Context[kv_pb2.GetOutcomeRequest, kv_pb2.GetOutcomeResponse],
    ) -> kv_pb2.GetOutcomeResponse:
        """What became of a write."""
        deadline_ms = self._entered(context)
        answer: Answer | Failure
        try:
            table, key, sort_key, operation = decode_operation(request.operation_id)
        except InvalidRequest as error:
            answer = Failure(Code.INVALID_REQUEST, str(error))
        else:
            message = AskOutcome(ASK_OUTCOME, 0, deadline_ms, 0, table, key, sort_key, operation)
            answer = await self._asked(message, deadline_ms)
        if not isinstance(answer, OutcomeDone):
            await _abort(context, answer, None)
        return kv_pb2.GetOutcomeResponse(outcome=_OUTCOMES[answer.state])

    async def _written(
        self, request: Write, payload: bytes | None, deadline_ms: int
    ) -> tuple[str, Answer | Failure]:
        """(operation id, what the node says)."""
        table = self._door.table_by_name(request.table)
        if table is None:
            return request.operation_id, _unknown_table(request.table)
        if request.HasField("w") and not request.w:
            return request.operation_id, _no_quorum("w", table)
        item = (table.id, request.key, request.sort_key)
        try:
            token = request.operation_id or encode_operation(*item, self._ids.next())
            named = decode_operation(token)
        except KeyTooLarge as error:
            return request.operation_id, Failure(Code.KEY_TOO_LARGE, str(error))
        except InvalidRequest as error:
            return request.operation_id, Failure(Code.INVALID_REQUEST, str(error))
        if named[:3] != item:
            return token, Failure(Code.INVALID_REQUEST, "the operation id names another item")
        answer = await self._asked(_put(named, request, payload, deadline_ms), deadline_ms)
        if isinstance(answer, PutDone):
            self._ids.learn(answer.stamp)
        return token, answer

    async def _asked(self, message: Request, deadline_ms: int) -> Answer | Failure:
        """The node's answer; expired work is dropped before it is done."""
        if self._stopping:
            return Failure(Code.NOT_SERVING, "the node is stopping; ask another")
        if self._open_calls > self._calls_max:
            full = f"{self._calls_max} calls in flight at this edge"
            return Failure(Code.OVERLOADED, full, retry_after_ms=RETRY_AFTER_MS)
        if deadline_ms <= 0:
            return Failure(Code.DEADLINE_EXCEEDED, "the deadline had passed on arrival")
        try:
            async with asyncio.timeout((deadline_ms + NODE_LATE_MS) / 1000):
                return await self._door.call(message, deadline_ms)
        except TimeoutError:
            unknown = isinstance(message, Put)
            return Failure(Code.DEADLINE_EXCEEDED, "the node gave no answer", unknown=unknown)

    def _entered(self, context: Context[AnyRequest, AnyResponse]) -> int:
        """Count the call in until its last byte is sent; the milliseconds that the node has."""
        if not self._stopping:  # refusals are not waited for: they would never end
            self._open_calls += 1
            self._idle.clear()
            context.add_done_callback(self._left)  # type: ignore[arg-type]  # stubs want a class
        remaining: float | None = context.time_remaining()
        if remaining is None:
            return DEADLINE_MS_DEFAULT
        remaining_ms = min(int(remaining * 1000), DEADLINE_MS_MAX)
        return remaining_ms - min(remaining_ms // 10, ANSWER_MARGIN_MS_MAX)

    def _left(self, _: object) -> None:
        self._open_calls -= 1
        if not self._open_calls:
            self._idle.set()


def _put(named: OperationToken, request: Write, payload: bytes | None, deadline_ms: int) -> Put:
    table, key, sort_key, operation = named
    seen, w, strict = request.context or None, request.w, request.strict
    known = bool(request.operation_id)  # who names an operation may be trying it again
    written = (table, key, sort_key, seen, payload, operation, w, strict, known)
    return Put(PUT, 0, deadline_ms, 0, *written)


async def _abort(
    context: Context[AnyRequest, AnyResponse], answer: Answer | Failure, operation: str | None
) -> Never:
    """End the call with a status. `operation` is the id of a write, None for others."""
    failure = failure_of(answer) if isinstance(answer, Failed) else answer
    assert isinstance(failure, Failure), f"the node answered with {type(answer).__name__}"
    outcome: kv_pb2.Outcome.ValueType = kv_pb2.OUTCOME_UNSPECIFIED
    if operation is not None:
        outcome = kv_pb2.OUTCOME_UNKNOWN if failure.unknown else kv_pb2.OUTCOME_NOT_APPLIED
    await context.abort_with_status(status_of(failure, outcome, operation or ""))


def _unknown_table(name: str) -> Failure:
    return Failure(Code.UNKNOWN_TABLE, f"no table is called {name[:64]!r}")


def _no_quorum(letter: str, table: TableConfig) -> Failure:
    """The kernel takes 0 for the table's own; whoever writes 0 here did not mean that."""
    return Failure(Code.INVALID_QUORUM, f"{letter}=0 is not within 1 to N={table.n}")
