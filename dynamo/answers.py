"""Answers of replicas, for whichever machine waits for them: an id's lowest bits name it.

ReplicaStored, ReplicaMerged ─▶ acknowledged ─┐  tag   ┌─ puts · outcomes · a background part
ReplicaRecord, ReplicaSame ───▶ answered ─────┼───────▶┼─ gets · outcomes · repairs · a part
ReplicaRefused ───────────────▶ refused ──────┘        └─ any of them
"""

from typing import Any

from dynamo.background import Background
from dynamo.coordination.decisions import (
    GETS,
    OUTCOMES,
    PUTS,
    REPAIRS,
    TAG_MASK,
    Decision,
)
from dynamo.coordination.gets import Gets
from dynamo.coordination.outcomes import Outcomes
from dynamo.coordination.puts import Puts
from dynamo.coordination.repairs import Repairs
from dynamo.membership.council import Council
from dynamo.messages import (
    ReplicaMerged,
    ReplicaRecord,
    ReplicaRefused,
    ReplicaSame,
    ReplicaStored,
)
from dynamo.ports import BEHIND
from dynamo.types import Instant, NodeId


class Answers:
    """Whom an answer is for."""

    def __init__(
        self,
        puts: Puts,
        gets: Gets,
        outcomes: Outcomes,
        repairs: Repairs,
        background: Background,
        council: Council | None,
    ) -> None:
        self._puts, self._gets, self._outcomes = puts, gets, outcomes
        self._repairs, self._background, self._council = repairs, background, council

    def handlers(self) -> dict[type[Any], Any]:
        """Who takes which message: (source, message, now) -> decisions."""
        return {
            ReplicaStored: self._stored,
            ReplicaMerged: self._merged,
            ReplicaSame: self._same,
            ReplicaRecord: self._record,
            ReplicaRefused: self._refused,
        }

    def _same(self, source: NodeId, message: ReplicaSame, now: Instant) -> list[Decision]:
        if (part := self._background.answering(message.id & TAG_MASK)) is not None:
            return part.same(source, message.id, now.monotonic_ms)
        return self._gets.answer(source, message.id, None, True, now.monotonic_ms)

    def _record(self, source: NodeId, message: ReplicaRecord, now: Instant) -> list[Decision]:
        return self._answered(source, message.id, message.record, now)

    def _stored(self, source: NodeId, message: ReplicaStored, now: Instant) -> list[Decision]:
        decisions: list[Decision] = []
        for id in message.ids:
            decisions += self._acknowledged(source, id, None, message.whole, now)
        return decisions

    def _merged(self, source: NodeId, message: ReplicaMerged, now: Instant) -> list[Decision]:
        return self._acknowledged(source, message.id, message.record, True, now)

    def _acknowledged(
        self, node: NodeId, id: int, record: bytes | None, whole: bool, now: Instant
    ) -> list[Decision]:
        """A durable copy, counted by whoever waits for it."""
        tag = id & TAG_MASK
        if tag == PUTS:
            return self._puts.acknowledge(node, id, now.monotonic_ms, record is None, whole)
        if tag == OUTCOMES:
            return self._outcomes.acknowledge(node, id, record, now.monotonic_ms)
        if (part := self._background.answering(tag)) is not None:
            return part.acknowledged(node, id, record, whole, now.monotonic_ms)
        return []

    def _answered(
        self, node: NodeId, id: int, record: bytes | None, now: Instant
    ) -> list[Decision]:
        """A replica's record, for whoever asked."""
        tag = id & TAG_MASK
        if tag == GETS:
            return self._gets.answer(node, id, record, False, now.monotonic_ms)
        if tag == OUTCOMES:
            return self._outcomes.answer(node, id, record, now.monotonic_ms)
        if (part := self._background.answering(tag)) is not None:
            return part.answered(node, id, record, now.monotonic_ms)
        return self._repairs.answer(node, id, record) if tag == REPAIRS else []

    def _refused(self, source: NodeId, message: ReplicaRefused, now: Instant) -> list[Decision]:
        """A replica does not count."""
        id, tag = message.id, message.id & TAG_MASK
        if message.cause == BEHIND and self._council is not None and self._council.adopted:
            return []  # by the newer ring, which came with the refusal, all will be asked again
        if tag == PUTS:
            return self._puts.refuse(source, id, message.cause, now.monotonic_ms)
        if tag == GETS:
            return self._gets.refuse(source, id, message.cause, now.monotonic_ms)
        if tag == OUTCOMES:
            return self._outcomes.refuse(source, id, message.cause, now.monotonic_ms)
        if (part := self._background.answering(tag)) is not None:
            return part.refused(source, id, message.cause, now.monotonic_ms)
        return self._repairs.refuse(source, id) if tag == REPAIRS else []
