"""A request that a coordinator answers: put, delete, server-driven get, outcome.

It goes to an owner of the key (the client knows the ring, so there is no extra hop) and, if that
one is lost, silent, busy or of another ring, to the next, until the deadline. What each answer
means is decided in `attempts`; here it is done. A write takes the first linked owner of the
preference list that did not just refuse one, so that one node orders the writes of a key; a read
takes the least busy one.
"""

import asyncio
from typing import Any

from dynamo.errors import Code, Failure
from dynamo.messages import FAILED, Failed, failure_of, parse
from dynamo.types import NodeId, PartitionId
from dynamo.wire import Message
from dynamo_client.attempts import Attempts, Step, late_after
from dynamo_client.peer import IN_FLIGHT_MAX, Peer
from dynamo_client.router import Router, first_linked, unreachable

PAUSE_MS = 20.0
"""Between two rounds over all owners, unless a node named its own."""

MARGIN_MS = 15.0
"""A node is given so much less than the caller has left, so that its own verdict, which has the
counts, arrives before the deadline here."""

REFUSALS = (Code.OVERLOADED, Code.NOT_SERVING)
"""Answers to a write that hold for the next one too."""
PASSED_ON = (*REFUSALS, Code.QUORUM_NOT_REACHED)
"""Answers of a member that is no owner: another one may have room, or reach more."""


class Coordinated:
    """One such request; its answer is a parsed message, or a `Failure` that is true about fate."""

    __slots__ = (
        "_asked",
        "_attempts",
        "_body",
        "_calls",
        "_epoch",
        "_kind",
        "_n",
        "_needed",
        "_owners",
        "_partition",
        "_resume_ms",
        "_ring_asked",
        "_router",
        "_silent_ms",
        "deadline_ms",
        "future",
        "id",
    )

    def __init__(
        self,
        router: Router,
        kind: int,
        body: tuple[Any, ...],
        partition: PartitionId,
        n: int,
        deadline_ms: float,
        needed: int,
        is_write: bool = False,
    ) -> None:
        """`body`: the message's fields after its epoch, the same in every attempt; of a write all
        but the last, which says whether an earlier attempt may have been applied.

        `needed`: the quorum, for the failure that is told if nobody can be asked.
        """
        self.id = 0
        self._router, self._calls = router, router.calls
        self.future: asyncio.Future[Any] = self._calls.future()
        self._kind, self._body = kind, body
        self._partition, self._n, self.deadline_ms = partition, n, deadline_ms
        self._needed = needed
        self._attempts = Attempts(is_write)
        self._asked: dict[Peer, float] = {}
        self._owners = router.owners(partition, n)
        self._epoch = router.view.ring.epoch
        self._silent_ms = self._resume_ms = float("inf")
        self._ring_asked = False

    def advance(self, now_ms: float) -> None:
        """Ask the best coordinator there is."""
        if self._epoch != self._router.view.ring.epoch:
            self._owners = self._router.owners(self._partition, self._n)
            self._epoch = self._router.view.ring.epoch
        peer = self._choice(now_ms)
        if peer is None:
            self._nobody(now_ms)
        else:
            self._send(peer, now_ms)

    def answered(self, peer: Peer, message: Message, now_ms: float) -> None:
        """A coordinator's answer."""
        parsed = parse(message)
        sent_ms = self._asked.pop(peer, None)
        if sent_ms is None:
            sent_ms = now_ms  # asked in two rounds and answering twice: it held one slot
        elif self._attempts.is_write:
            peer.released()
        else:
            peer.answered(now_ms - sent_ms)
        if message[0] != FAILED:
            if self._attempts.is_write:
                peer.took_write()
            self._calls.coordinated(now_ms - sent_ms)
            self._calls.finish(self, parsed)
            return
        assert isinstance(parsed, Failed), "of that kind"
        failure = failure_of(parsed)
        if self._attempts.is_write and failure.code in REFUSALS:
            peer.refused_write(now_ms, failure.retry_after_ms)
        step = self._attempts.refused(peer.node, failure, self._others())
        if failure.code == Code.WRONG_RING:
            self._await_ring(now_ms)
        elif self._goes_on(peer, step, failure, now_ms):
            self.advance(now_ms)
        elif step is Step.LATER:
            self._later(failure.retry_after_ms or PAUSE_MS, now_ms)
        elif step is not Step.WAIT and not self._attempts.pending:
            self._calls.finish(self, self._attempts.verdict(failure))

    def lost(self, peer: Peer, reason: str, now_ms: float) -> None:
        """A coordinator is gone: its part goes elsewhere, whatever the budget."""
        if peer in self._asked:
            del self._asked[peer]
            peer.released()
            if self._attempts.lost(peer.node, reason) is Step.ELSEWHERE:
                self.advance(now_ms)

    def due(self, now_ms: float) -> None:
        """A silence has become too long, a pause is over, or the deadline is here."""
        if now_ms >= self.deadline_ms:
            self._expire()
            return
        self._calls.wake(self, self.deadline_ms)
        if now_ms >= self._resume_ms:
            self._resume_ms = float("inf")
            self._attempts.tried.clear()
            self.advance(now_ms)
        elif now_ms >= self._silent_ms:
            if self._others() and self._calls.retries.spend():
                self.advance(now_ms)
            else:
                self._be_patient(now_ms)

    def release(self) -> None:
        """Nobody is waited for any more."""
        for peer in self._asked:
            peer.released()
        self._asked.clear()

    def _choice(self, now_ms: float) -> Peer | None:
        tried = self._attempts.tried
        if self._attempts.is_write:
            return first_linked(self._owners, tried, now_ms, to_write=True)
        return first_linked(sorted(self._owners, key=_score), tried, now_ms, to_write=False)

    def _send(self, peer: Peer, now_ms: float) -> None:
        assert peer.link is not None, "only linked nodes are chosen"
        body = (*self._body, self._attempts.is_open) if self._attempts.is_write else self._body
        self._attempts.sent(peer.node)
        if peer not in self._asked:
            peer.asked(now_ms)
        self._asked[peer] = now_ms
        if self._attempts.is_write:
            peer.asked_to_write(now_ms)
        left_ms = max(1, int(self.deadline_ms - now_ms - MARGIN_MS))
        peer.link.send((self._kind, self.id, left_ms, self._epoch, *body))
        self._be_patient(now_ms)

    def _be_patient(self, now_ms: float) -> None:
        self._silent_ms = now_ms + self._calls.patience_ms
        self._calls.wake(self, min(self._silent_ms, self.deadline_ms))

    def _untried(self) -> list[Peer]:
        """Owners that could be asked and were not in this round."""
        tried = self._attempts.tried
        return [p for p in self._owners if p.link is not None and p.node not in tried]

    def _others(self) -> list[NodeId]:
        return [peer.node for peer in self._untried()]

    def _goes_on(self, peer: Peer, step: Step, failure: Failure, now_ms: float) -> bool:
        """Whether another node is asked at once. Who passes on for owners refuses for itself."""
        if peer not in self._owners and not failure.unknown:
            return failure.code in PASSED_ON
        return step is Step.ELSEWHERE and self._may_retry(failure, now_ms)

    def _may_retry(self, failure: Failure, now_ms: float) -> bool:
        """A full node is passed over even if the budget is spent; an overload of all is not fed."""
        if failure.code == Code.QUORUM_NOT_REACHED or self._calls.retries.spend():
            return True
        refused = self._attempts.is_write and failure.code in REFUSALS
        return refused and not all(peer.refuses(now_ms) for peer in self._untried())

    def _await_ring(self, now_ms: float) -> None:
        """Another ring holds: learn it, then ask again; after a pause if that was done before, for
        the node may be the one that is behind. It ends with the deadline."""
        self._attempts.tried.clear()
        self._router.refresh()
        if not self._ring_asked:
            self._ring_asked = True
            self._calls.park(self)
        else:
            self._resume_ms = now_ms + PAUSE_MS
            self._calls.wake(self, self._resume_ms)

    def _later(self, pause_ms: float, now_ms: float) -> None:
        """Everybody was asked: another round after a pause, if the budget and the time allow."""
        if now_ms + pause_ms >= self.deadline_ms or not self._calls.retries.spend():
            if not self._attempts.pending:
                self._calls.finish(self, self._attempts.verdict(None))
            return
        self._resume_ms = now_ms + pause_ms
        self._calls.wake(self, self._resume_ms)

    def _nobody(self, now_ms: float) -> None:
        """There is nobody to ask at this moment."""
        attempts, owners = self._attempts, self._owners
        untried = [peer for peer in owners if peer.node not in attempts.tried]
        if any(peer.link is not None and peer.in_flight >= IN_FLIGHT_MAX for peer in untried):
            self._calls.park(self)
        elif attempts.pending:
            return
        elif any(peer.is_undecided for peer in owners):
            self._calls.park(self)
        elif any(peer.link is not None for peer in owners):
            self._later(PAUSE_MS, now_ms)
        else:
            self._pass_on(now_ms)

    def _pass_on(self, now_ms: float) -> None:
        """No owner is linked; another member may reach one, or stand in for it."""
        attempts = self._attempts
        peer = self._router.anyone(attempts.tried)
        if peer is not None:
            self._send(peer, now_ms)
            return
        if attempts.is_open:
            self._calls.park(self)  # whoever comes back before the deadline may settle it
            return
        if attempts.failure is not None and attempts.failure.code in REFUSALS:
            self._later(attempts.failure.retry_after_ms or PAUSE_MS, now_ms)
            return
        causes = unreachable(self._owners)
        code = Code.QUORUM_NOT_REACHED
        nobody = Failure(code, "no node can be asked", self._needed, causes=causes)
        self._calls.finish(self, self._attempts.verdict(self._attempts.failure or nobody))

    def _expire(self) -> None:
        if self._attempts.failure is not None and not self._attempts.pending:
            self._calls.finish(self, self._attempts.verdict(None))
            return
        silent = tuple((str(node), "no answer in time") for node in self._attempts.pending)
        causes = silent or unreachable(self._owners)
        late = Failure(Code.DEADLINE_EXCEEDED, "the time ran out", causes=causes)
        late = late_after(late, self._attempts.failure)
        self._calls.finish(self, self._attempts.verdict(late))


def _score(peer: Peer) -> float:
    return peer.score
