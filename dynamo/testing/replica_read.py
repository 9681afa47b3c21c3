"""A read that a simulated client coordinates itself: R owners, one more if they are slow or refuse.

The first is asked for its record, the others at first for its digest. The quorum is counted by the
same `Read` that nodes and the real client use.
"""

from collections.abc import Callable
from typing import Any

from dynamo.coordination.reading import Read
from dynamo.messages import (
    DIGEST_ONLY,
    REPLICA_DIGEST,
    REPLICA_GET,
    REPLICA_RECORD,
    ReplicaGet,
)
from dynamo.testing.calls import LOST, UNREACHABLE, Calls
from dynamo.testing.world import World
from dynamo.types import ItemKey, NodeId

HEDGE_MS = 30.0


class ReplicaRead:
    """One such read; `done` gets the completed quorum, or None if there can be none."""

    def __init__(
        self,
        world: World,
        calls: Calls,
        key: ItemKey,
        owners: list[NodeId],
        r: int,
        patience_ms: float,
        is_current: Callable[[], bool],
        done: Callable[[Read | None], None],
    ) -> None:
        """`owners` are asked from the last to the first, while the ring `is_current`: answers by
        two rings make no quorum of either."""
        self._world, self._calls, self._key = world, calls, key
        self._candidates, self._patience_ms, self._done = owners, patience_ms, done
        self._quorum, self._is_current = Read(r), is_current
        self._over = False

    def begin(self) -> None:
        """Ask the first R, and be ready to ask one more."""
        self._ask_more()
        self._world.at(HEDGE_MS, self._hedge)

    def _ask_more(self) -> None:
        missing, first_too = self._quorum.short_by, not self._quorum.asked
        if missing > len(self._candidates) or not self._is_current():
            self._finish(None)
        for _ in range(0 if self._over else missing):
            self._ask_next(DIGEST_ONLY if first_too and self._quorum.asked else None)

    def _hedge(self) -> None:
        if not self._over and self._candidates and self._is_current():
            self._ask_next(None)

    def _ask_next(self, known: bytes | None) -> None:
        node = self._candidates.pop()
        self._quorum.ask(node)
        self._ask(node, known)

    def _ask(self, node: NodeId, known: bytes | None) -> None:
        ask = ReplicaGet(REPLICA_GET, self._calls.next_id(), self._key, known)
        self._calls.call(node, ask, lambda answer: self._answered(node, answer), self._patience_ms)

    def _answered(self, node: NodeId, answer: Any) -> None:
        if self._over:
            return
        quorum = self._quorum
        if answer in (LOST, UNREACHABLE) or answer.kind not in (REPLICA_RECORD, REPLICA_DIGEST):
            quorum.refuse(node, "no answer")
            self._ask_more()
            return
        if answer.kind == REPLICA_RECORD:
            complete = quorum.answer(node, answer.record)
        else:
            complete = quorum.answer_digest(node, answer.digest)
        if complete:
            self._settle()

    def _settle(self) -> None:
        """All have answered: whose digest is another one is asked for its record."""
        others = self._quorum.settle()
        if self._quorum.reached:
            self._finish(self._quorum)
        elif not self._is_current():
            self._finish(None)
        else:
            for node in others:
                self._ask(node, None)

    def _finish(self, quorum: Read | None) -> None:
        self._over = True
        self._done(quorum)
