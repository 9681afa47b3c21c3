"""One decision by a majority: single-decree Paxos, as values and messages. (Lamport 2001.)

Law:      once a majority of the voters has accepted a value under one ballot, no other value is
          ever accepted under a higher one; so all who learn the decision learn the same.

Picture:  proposer                       acceptors
             ├─ Prepare(ballot) ───────────▶ │ promise: nothing below this ballot any more
             │ ◀──── Promise(accepted) ──────┤ (durable before it is said)
             ├─ Accept(ballot, value) ─────▶ │ value: that of the highest accepted ballot among the
             │ ◀──────── Accepted ───────────┤ promises, or else the proposer's own
             ▼
          decided, by a majority of Accepted

Each epoch of the ring is one such decision (`dynamo.membership.epochs`). Voters are lives: a node
whose disk was lost has another incarnation, remembers no promise, and is no voter any more.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from dynamo.types import NodeId


class Voter(NamedTuple):
    """One life of a member, which has a vote."""

    node: NodeId
    incarnation: str
    """Empty for a founder of the cluster in its first life: cluster.yml knows no incarnations."""


class Ballot(NamedTuple):
    """An attempt's number; no two attempts have the same, for each counts up from its last."""

    counter: int
    node: NodeId
    incarnation: str


NO_BALLOT = Ballot(0, NodeId(""), "")
"""Below every other."""


class Prepare(NamedTuple):
    """Promise to accept nothing below this ballot, and say what you have accepted."""

    epoch: int
    ballot: Ballot


class Promise(NamedTuple):
    """I promise; this is what I accepted last (under NO_BALLOT: nothing)."""

    epoch: int
    ballot: Ballot
    accepted: Ballot
    value: bytes
    voters: tuple[Voter, ...]
    """As whom I may vote."""


class Accept(NamedTuple):
    """Accept this value unless you promised a higher ballot."""

    epoch: int
    ballot: Ballot
    value: bytes


class Accepted(NamedTuple):
    """I have accepted it, durably."""

    epoch: int
    ballot: Ballot
    voters: tuple[Voter, ...]


class Outbid(NamedTuple):
    """Neither promised nor accepted: this ballot is higher than yours."""

    epoch: int
    ballot: Ballot
    promised: Ballot


class Decided(NamedTuple):
    """What the epoch is."""

    epoch: int
    value: bytes


class Holds(NamedTuple):
    """I hold this epoch durably: tell me of a later one; what is older I take from you no more."""

    epoch: int


Word: TypeAlias = Prepare | Promise | Accept | Accepted | Outbid | Decided | Holds


class Acceptor(NamedTuple):
    """What a voter must never forget; a value, written durably before an answer that shows it."""

    promised: Ballot = NO_BALLOT
    accepted: Ballot = NO_BALLOT
    value: bytes = b""

    def prepare(
        self, word: Prepare, voters: tuple[Voter, ...]
    ) -> tuple["Acceptor", Promise | Outbid]:
        """The state after a proposer's first question, and the answer to give once it is kept."""
        if word.ballot < self.promised:
            return self, Outbid(word.epoch, word.ballot, self.promised)
        answer = Promise(word.epoch, word.ballot, self.accepted, self.value, voters)
        return self._replace(promised=word.ballot), answer

    def accept(
        self, word: Accept, voters: tuple[Voter, ...]
    ) -> tuple["Acceptor", Accepted | Outbid]:
        """The state after a proposer's second question, and the answer to give once it is kept."""
        if word.ballot < self.promised:
            return self, Outbid(word.epoch, word.ballot, self.promised)
        answer = Accepted(word.epoch, word.ballot, voters)
        return Acceptor(word.ballot, word.ballot, word.value), answer


class Proposer:
    """One attempt to have a value decided, under one ballot."""

    __slots__ = ("_accepted", "_promises", "_voters", "ballot", "epoch", "value")

    def __init__(self, epoch: int, ballot: Ballot, value: bytes, voters: Iterable[Voter]) -> None:
        self.epoch, self.ballot, self.value = epoch, ballot, value
        self._voters = tuple(voters)
        self._promises: dict[Voter, tuple[Ballot, bytes]] = {}
        self._accepted: set[Voter] = set()

    def prepare(self) -> Prepare:
        """The first question, for every voter."""
        return Prepare(self.epoch, self.ballot)

    def promised(self, word: Promise) -> Accept | None:
        """Count a promise; the second question exactly when they have become a majority."""
        if word.ballot != self.ballot or self._has_majority(self._promises):
            return None
        for voter in self._those_of(word.voters):
            self._promises[voter] = (word.accepted, word.value)
        if not self._has_majority(self._promises):
            return None
        highest, value = max(self._promises.values())
        if highest != NO_BALLOT:
            self.value = value
        return Accept(self.epoch, self.ballot, self.value)

    def accepted(self, word: Accepted) -> Decided | None:
        """Count an acceptance; the decision exactly when they have become a majority."""
        if word.ballot != self.ballot or self._has_majority(self._accepted):
            return None
        self._accepted.update(self._those_of(word.voters))
        if not self._has_majority(self._accepted):
            return None
        return Decided(self.epoch, self.value)

    def _those_of(self, voters: Iterable[Voter]) -> list[Voter]:
        return [voter for voter in voters if voter in self._voters]

    def _has_majority(self, voters: Iterable[Voter]) -> bool:
        return 2 * len(set(voters)) > len(self._voters)
