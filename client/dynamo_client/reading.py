"""Client-driven reads: the client asks the replicas itself (the paper's section 6.4).

    R best owners in parallel ─▶ R answers: equal bytes? decode once : merge, name the difference
       │  the best says its record, the others its digest: one that differs is asked again, for all
       └─ silent for longer than 95 % are ─▶ a hedge to the next one, for at most 5 % of reads
       └─ refused, lost or suspect ────────▶ the next one, whatever the budget

Clients never write records: when answers differ, an owner is asked to repair.
"""

import asyncio
from operator import attrgetter
from typing import Any

from dynamo.coordination.reading import Read
from dynamo.errors import Code, Failure, ProtocolViolation
from dynamo.messages import (
    DIGEST_ONLY,
    REPLICA_DIGEST,
    REPLICA_GET,
    REPLICA_RECORD,
    ReplicaRefused,
    parse,
)
from dynamo.types import ItemKey, PartitionId
from dynamo.wire import Message
from dynamo_client.peer import IN_FLIGHT_MAX, SUSPECT_AFTER_MS, Peer
from dynamo_client.router import Router, unreachable

_score = attrgetter("score")


class ReplicaRead:
    """One such read; its answer is the completed `Read`, or a `Failure`."""

    __slots__ = (
        "_asked",
        "_briefly",
        "_calls",
        "_epoch",
        "_hedge_ms",
        "_hedged",
        "_n",
        "_partition",
        "_read",
        "_router",
        "deadline_ms",
        "future",
        "id",
        "key",
    )

    def __init__(
        self,
        router: Router,
        key: ItemKey,
        partition: PartitionId,
        n: int,
        r: int,
        deadline_ms: float,
    ) -> None:
        self.id = 0
        self._router, self._calls = router, router.calls
        self.future: asyncio.Future[Any] = self._calls.future()
        self.key, self._partition, self._n, self.deadline_ms = key, partition, n, deadline_ms
        self._read = Read(r + router.extra(partition, n))
        self._epoch = router.view.ring.epoch
        self._asked: dict[Peer, float] = {}
        self._briefly: list[Peer] = []
        """Those that were asked for their digest alone."""
        self._hedge_ms = float("inf")
        self._hedged = False

    def advance(self, now_ms: float) -> None:
        """Ask as many owners as the quorum lacks, the best first."""
        if self._epoch != self._router.view.ring.epoch:
            self._fail(Code.WRONG_RING, "the ring has changed", ())
            return
        read = self._read
        best = self._best(now_ms)
        missing = max(0, read.short_by)
        if missing > len(best):
            self._short()
            return
        known = None
        first_too = not read.asked
        for peer in best[:missing]:
            self._ask(peer, now_ms, known)
            if known is not None:
                self._briefly.append(peer)
            if first_too:
                known = DIGEST_ONLY
        if missing < len(best):
            self._hedge_ms = now_ms + self._calls.hedging.delay_ms
        self._calls.wake(self, min(self._hedge_ms, self.deadline_ms))

    def answered(self, peer: Peer, message: Message, now_ms: float) -> None:
        """A replica's record, its digest, or why it does not count."""
        kind = message[0]
        if (kind != REPLICA_RECORD and kind != REPLICA_DIGEST) or len(message) != 3:
            self._refused(peer, parse(message), now_ms)
            return
        said = message[2]
        if said is not None and type(said) is not bytes:
            raise ProtocolViolation("a record is not bytes")
        if peer not in self._asked:
            return
        if kind == REPLICA_DIGEST and peer not in self._briefly:
            raise ProtocolViolation("a digest in place of a record")
        sent_ms = self._asked.pop(peer)
        took_ms = now_ms - sent_ms
        peer.answered(took_ms)
        read = self._read
        if kind == REPLICA_RECORD:
            complete = read.answer(peer.node, said)
        else:
            self._briefly.remove(peer)
            complete = read.answer_digest(peer.node, said)
        if complete:
            self._calls.hedging.answered(took_ms)
            self._settle(now_ms)

    def lost(self, peer: Peer, reason: str, now_ms: float) -> None:
        """A replica is gone: the next one takes its place."""
        if self._asked.pop(peer, None) is not None:
            peer.released()
            self._read.refuse(peer.node, reason)
            self.advance(now_ms)

    def due(self, now_ms: float) -> None:
        """A replica is slow, or the deadline is here."""
        if now_ms >= self.deadline_ms:
            self._expire()
            return
        if now_ms >= self._hedge_ms:
            self._hedge(now_ms)
        self._calls.wake(self, min(self._hedge_ms, self.deadline_ms))

    def release(self) -> None:
        """Those still asked are slower than the quorum; their answers are not awaited."""
        if self._asked:
            now_ms = self._calls.now_ms()
            for peer, sent_ms in self._asked.items():
                peer.released(now_ms - sent_ms)
            self._asked.clear()

    def _best(self, now_ms: float) -> list[Peer]:
        """Owners that can be asked, by score, suspects last."""
        asked = self._read.asked
        best = [
            peer
            for peer in self._router.owners(self._partition, self._n)
            if peer.link is not None and peer.in_flight < IN_FLIGHT_MAX and peer.node not in asked
        ]
        best.sort(key=_score)
        for peer in best:
            if peer.waiting_since_ms and now_ms - peer.waiting_since_ms > SUSPECT_AFTER_MS:
                best.sort(key=lambda peer: (peer.is_suspect(now_ms), peer.score))
                break
        return best

    def _ask(self, peer: Peer, now_ms: float, known: bytes | None = None) -> None:
        self._read.ask(peer.node)
        self._send(peer, now_ms, known)

    def _send(self, peer: Peer, now_ms: float, known: bytes | None) -> None:
        assert peer.link is not None, "only linked nodes are asked"
        self._asked[peer] = now_ms
        peer.asked(now_ms)
        peer.link.send((REPLICA_GET, self.id, self.key, known))

    def _settle(self, now_ms: float) -> None:
        """All have answered. Whose digest is not of the record that the first one sent is asked for
        its own: by the same ring, or there is no quorum of either."""
        read = self._read
        others = read.settle()
        if read.reached:
            self._calls.finish(self, read)
            return
        if self._epoch != self._router.view.ring.epoch:
            self._fail(Code.WRONG_RING, "the ring has changed", ())
            return
        peers = self._router.links.peers
        for node in others:
            peer = peers.get(node)
            if peer is None or peer.link is None:
                read.refuse(node, "link lost")
            else:
                self._send(peer, now_ms, None)
        if read.short_by > 0:
            self.advance(now_ms)

    def _refused(self, peer: Peer, answer: object, now_ms: float) -> None:
        if not isinstance(answer, ReplicaRefused):
            raise ProtocolViolation(f"{type(answer).__name__} was not asked for")
        if self._asked.pop(peer, None) is not None:
            peer.released()
            self._read.refuse(peer.node, answer.cause)
            self._router.suspect_ring()
            self.advance(now_ms)

    def _hedge(self, now_ms: float) -> None:
        """One replica more: in place of a suspect one, or within the budget, once. Another suspect
        is asked only in place of one: from it no answer is sooner. None by another ring than the
        first: answers by two rings make no quorum of either."""
        if self._epoch != self._router.view.ring.epoch:
            self._hedge_ms = float("inf")
            return
        hedging, best = self._calls.hedging, self._best(now_ms)
        suspect = any(peer.is_suspect(now_ms) for peer in self._asked)
        better = bool(best) and not self._hedged and not best[0].is_suspect(now_ms)
        if best and (suspect or (better and hedging.budget.spend())):
            self._hedged = True
            hedging.hedges += 1
            self._ask(best[0], now_ms)
        self._hedge_ms = now_ms + 4 * hedging.delay_ms

    def _short(self) -> None:
        """Too few owners can be asked: wait for those that may come, or fail."""
        read = self._read
        owners = self._router.owners(self._partition, self._n)
        others = [peer for peer in owners if peer.node not in read.asked]
        full = any(peer.link is not None and peer.in_flight >= IN_FLIGHT_MAX for peer in others)
        if full or any(peer.is_undecided for peer in others):
            self._calls.park(self)
            return
        self._fail(Code.QUORUM_NOT_REACHED, "", unreachable(others))

    def _expire(self) -> None:
        late = tuple((node, "no answer in time") for node in self._read.pending)
        others = [
            peer
            for peer in self._router.owners(self._partition, self._n)
            if peer.node not in self._read.asked
        ]
        self._fail(Code.DEADLINE_EXCEEDED, "the time ran out", late + unreachable(others))

    def _fail(self, code: Code, message: str, causes: tuple[tuple[str, str], ...]) -> None:
        read = self._read
        causes = (*read.causes, *causes)
        got, asked = len(read.answers) + len(read.digests), len(read.asked)
        self._calls.finish(self, Failure(code, message, read.needed, got, asked, causes))
