"""One quorum read as verbs, without saying who asks: a node (server-driven) or a client.

    ask -> answer / answer_digest / refuse ... -> settle -> reached? -> merged -> who is behind?

Read repair is a value decided after the reply: `Merged.behind` names the replicas whose record does
not know all that the merged one knows (the paper's section 5; the shape follows riak_kv_get_core).
"""

from typing import NamedTuple

from dynamo.siblings.codec import DIGEST_BYTES, decode_record
from dynamo.siblings.record import (
    NOTHING,
    ConflictRule,
    Record,
    Window,
    merge,
    supersedes,
)
from dynamo.types import NodeId


class Merged(NamedTuple):
    """What a read found: the join of all answers."""

    record: Record
    behind: tuple[NodeId, ...]
    """Replicas that lack something of it."""


class Read:
    """Counts answers towards R. An answer is a record's bytes, or None for `nothing here`; or the
    digest of one, which counts once another replica has sent the record that it is of."""

    __slots__ = ("answers", "asked", "causes", "digests", "needed", "pending")

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.asked: list[NodeId] = []
        self.pending: list[NodeId] = []
        self.answers: list[tuple[NodeId, bytes | None]] = []
        self.digests: list[tuple[NodeId, bytes | None]] = []
        self.causes: list[tuple[str, str]] = []

    def ask(self, node: NodeId) -> None:
        """The node was sent the question."""
        self.asked.append(node)
        self.pending.append(node)

    def answer(self, node: NodeId, record: bytes | None) -> bool:
        """Count an answer; True exactly when it completes the quorum."""
        if node not in self.pending:
            return False
        self.pending.remove(node)
        self.answers.append((node, record))
        return len(self.answers) + len(self.digests) == self.needed

    def answer_digest(self, node: NodeId, digest: bytes | None) -> bool:
        """Count a digest; True exactly when it completes the quorum, unless `settle` takes some
        of it away. Fewer than R may be asked for their digest alone, so one answer is a record."""
        if node not in self.pending:
            return False
        self.pending.remove(node)
        self.digests.append((node, digest))
        return len(self.answers) + len(self.digests) == self.needed

    def settle(self) -> list[NodeId]:
        """Of a completed quorum: take each digest for the record that it is of. Who holds another
        record is returned and waited for again: it is to be asked for that."""
        digests = self.digests
        if not digests:
            return []
        assert self.answers, "nobody was asked for a record"
        first = self.answers[0][1]
        known = None if first is None else first[:DIGEST_BYTES]
        self.digests = []
        self.answers += [(node, first) for node, digest in digests if digest == known]
        others = [node for node, digest in digests if digest != known]
        self.pending += others
        return others

    def refuse(self, node: NodeId, cause: str) -> bool:
        """Count a replica out; False if it was not waited for (any more)."""
        if node not in self.pending:
            return False
        self.pending.remove(node)
        self.causes.append((node, cause))
        return True

    @property
    def reached(self) -> bool:
        """Whether R replicas' records are known."""
        return len(self.answers) >= self.needed

    @property
    def short_by(self) -> int:
        """How many more replicas must be asked before success is possible again."""
        return self.needed - len(self.answers) - len(self.digests) - len(self.pending)

    def merged(self, rule: ConflictRule, window: Window) -> Merged:
        """The join of all answers so far. Raises CorruptData if one cannot be decoded."""
        first = self.answers[0][1]
        for _, data in self.answers:
            if data != first:
                return self._joined(rule, window)
        return Merged(NOTHING if first is None else decode_record(first), ())

    def _joined(self, rule: ConflictRule, window: Window) -> Merged:
        """The slow way: the answers differ in their bytes."""
        records = [
            (node, NOTHING if data is None else decode_record(data)) for node, data in self.answers
        ]
        joined = NOTHING
        for _, record in records:
            joined = merge(joined, record, rule, window)
        behind = tuple(node for node, record in records if not supersedes(record, joined))
        return Merged(joined, behind)
