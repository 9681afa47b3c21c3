"""A question to one node, which no other can answer in its place."""

import asyncio
from typing import Any

from dynamo.errors import Code, Failure, ProtocolViolation
from dynamo.messages import Failed, failure_of, parse
from dynamo.wire import Message
from dynamo_client.calls import Calls
from dynamo_client.peer import Peer


class Single:
    """(kind, id, …) to one node; its answer is of kind `wanted`, or a failure."""

    __slots__ = (
        *("_asked", "_body", "_calls", "_kind", "_peer", "_wanted"),
        *("deadline_ms", "future", "id"),
    )

    def __init__(
        self,
        calls: Calls,
        peer: Peer,
        kind: int,
        wanted: int,
        deadline_ms: float,
        body: tuple[Any, ...] = (),
    ) -> None:
        """`body`: the message's fields after its id."""
        self.id = 0
        self.future: asyncio.Future[Any] = calls.future()
        self._calls, self._peer, self.deadline_ms = calls, peer, deadline_ms
        self._kind, self._wanted, self._body = kind, wanted, body
        self._asked = False

    def advance(self, now_ms: float) -> None:
        """Send it."""
        if self._peer.link is None:
            self._fail(Code.NOT_SERVING, f"{self._peer.node} is not linked")
            return
        self._asked = True
        self._peer.asked(now_ms)
        self._peer.link.send((self._kind, self.id, *self._body))
        self._calls.wake(self, self.deadline_ms)

    def answered(self, peer: Peer, message: Message, now_ms: float) -> None:
        """The answer, checked."""
        parsed = parse(message)
        if isinstance(parsed, Failed):
            self._calls.finish(self, failure_of(parsed))
        elif message[0] == self._wanted:
            self._calls.finish(self, parsed)
        else:
            raise ProtocolViolation(f"an answer of kind {message[0]} was not asked for")

    def lost(self, peer: Peer, reason: str, now_ms: float) -> None:
        """The node is gone."""
        if peer is self._peer:
            self._fail(Code.NOT_SERVING, f"{peer.node} was lost: {reason}")

    def due(self, now_ms: float) -> None:
        """The node was silent."""
        self._fail(Code.DEADLINE_EXCEEDED, f"{self._peer.node} did not answer in time")

    def release(self) -> None:
        """Not waited for any more."""
        if self._asked:
            self._peer.released()

    def _fail(self, code: Code, message: str) -> None:
        self._calls.finish(self, Failure(code, message))
