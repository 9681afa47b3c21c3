"""One request, one coordinator after another: what each answer means, without IO.

    answer                        not tried elsewhere      tried everywhere
    ----------------------------  -----------------------  --------------------------------
    wrong ring                    ELSEWHERE, new ring      LATER
    overloaded, not serving       ELSEWHERE (budget, or    LATER (budget)
                                  of a write: somebody
                                  who did not just refuse)
    corrupt data                  ELSEWHERE (budget)       END
    link lost                     ELSEWHERE                ELSEWHERE: whoever comes back
    silence                       ELSEWHERE (budget)       WAIT
    quorum not reached            ELSEWHERE if the other one is linked here but was not
                                  reachable there, else END at once
    anything else                 END

A write is sent again as it was, under one operation id, so that two attempts are one write; that an
earlier one may have been applied is all that is said besides.
Its fate is *open* from the moment when an attempt may have reached a node and was not answered
with a sure `not applied`. END becomes WAIT while another attempt is still unanswered.
"""

from enum import IntEnum

from dynamo.errors import Code, Failure
from dynamo.types import NodeId


class Step(IntEnum):
    """What to do now."""

    ELSEWHERE = 1
    LATER = 2
    WAIT = 3
    END = 4


_ROUNDS = (Code.WRONG_RING, Code.OVERLOADED, Code.NOT_SERVING)
_ELSEWHERE = (*_ROUNDS, Code.CORRUPT_DATA)


class Attempts:
    """The attempts of one request."""

    __slots__ = ("_open", "causes", "failure", "is_write", "pending", "tried")

    def __init__(self, is_write: bool) -> None:
        self.is_write = is_write
        self.pending: list[NodeId] = []
        """Asked and not yet answered."""
        self.tried: list[NodeId] = []
        """Asked in this round."""
        self.causes: list[tuple[str, str]] = []
        """Nodes that were lost or were silent."""
        self.failure: Failure | None = None
        """The newest answer that was no success."""
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether a write may have been applied."""
        return self.is_write and (self._open or bool(self.pending))

    def sent(self, node: NodeId) -> None:
        """The request went to this node."""
        if node in self.pending:  # its first answer and its second cannot be told apart
            self._open = True
        else:
            self.pending.append(node)
        self.tried.append(node)

    def refused(self, node: NodeId, failure: Failure, others: list[NodeId]) -> Step:
        """The node answered with a failure; `others` are linked and were not tried."""
        if node in self.pending:
            self.pending.remove(node)
        self.failure = failure
        self._open |= failure.unknown
        code = failure.code
        if code == Code.QUORUM_NOT_REACHED:
            unreachable = {name for name, _ in failure.causes}
            return self._elsewhere_or_end(any(other in unreachable for other in others))
        if code in _ROUNDS and not others:
            return Step.LATER
        return self._elsewhere_or_end(code in _ELSEWHERE and bool(others))

    def lost(self, node: NodeId, reason: str) -> Step:
        """The link to the node is gone; what it was asked will not be answered."""
        if node not in self.pending:
            return Step.WAIT
        self.pending.remove(node)
        if node in self.tried:  # else it was asked in an earlier round
            self.tried.remove(node)
        self.causes.append((node, reason))
        self._open = True
        return Step.ELSEWHERE

    def verdict(self, failure: Failure | None) -> Failure:
        """The failure to tell, true about a write's fate. None: the newest answer."""
        failure = failure or self.failure
        if failure is None:
            failure = Failure(Code.NOT_SERVING, "no coordinator answered")
        told = {node for node, _ in failure.causes}
        causes = (*failure.causes, *(cause for cause in self.causes if cause[0] not in told))
        return failure._replace(causes=causes, unknown=self.is_write and self.is_open)

    def _elsewhere_or_end(self, elsewhere: bool) -> Step:
        if elsewhere:
            return Step.ELSEWHERE
        return Step.WAIT if self.pending else Step.END


def late_after(late: Failure, before: Failure | None) -> Failure:
    """The time ran out, with the reason why it was still being tried."""
    if before is None:
        return late
    told = {node for node, _ in late.causes}
    causes = late.causes + tuple(cause for cause in before.causes if cause[0] not in told)
    reason = f"; before that: {before.message}" if before.message else ""
    return late._replace(message=late.message + reason, causes=causes)
