"""One node's part in deciding epochs: it votes, it proposes, it learns. Promise P10.

Law:      one Paxos decision per epoch, its voters those whom the epoch before names; so two nodes
          that hold one epoch hold the same topology, and of two changes proposed at once one is
          decided and the other proposer is told by which.

Picture:  epoch e ──┬─ propose ──▶ Prepare, Accept ──▶ voters of e ──▶ Decided(e + 1) ──▶ adopted
                    └─ behind ───▶ Holds(e) ──▶ anybody ──▶ Decided(later)

Whatever this node must not forget is one value (`State`); the machine hands it out as a `Keep`,
with the words that may be said only when it is durable. Retries wait longer for later voters and
longer each time, so that rivals do not outbid each other for ever; no chance is needed.

Whoever has voted for a value and hears of no decision proposes it in turn: the proposer may be
gone, and with it all who know that the epoch is decided. And a life whose node is a member but who
has no vote itself, for it began after a disk was lost, proposes the epoch that gives it one. It may
know no ring but that of its cluster.yml: nobody votes for a ring that does not follow the one in
force (`topology.follows`), and who has no vote takes over what others hold of its epoch.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, assert_never

import msgpack

from dynamo.errors import InvalidRequest
from dynamo.membership.paxos import (
    Accept,
    Accepted,
    Acceptor,
    Ballot,
    Decided,
    Holds,
    Outbid,
    Prepare,
    Promise,
    Proposer,
    Voter,
    Word,
)
from dynamo.membership.topology import Topology, follows, sworn_in
from dynamo.types import NodeId

STATE = "epochs"
"""The name under which a store keeps a node's `State`."""
ATTEMPT_MS = 200.0
"""How long an attempt may take before the next, for the first voter. Raising it: a lost word costs
more time; lowering it: rivals disturb each other more often."""
CARRY_MS = 2000.0
"""How long a voter waits to hear what became of its vote, and how long it tries to find out; the
same for who has no vote. Raising it: a change whose proposer crashed stays open longer; lowering
it: more rivals."""
NOBODY = 0
"""The ticket of a proposal that no client waits for."""
DOUBLINGS = 4
"""An attempt takes at most 2 ** DOUBLINGS times as long as the first."""

Verdict: TypeAlias = Literal["won", "lost", "open", "busy"]


class State(NamedTuple):
    """What survives a crash."""

    topology: Topology
    founder: bool
    """Whether this is the first life of a member that cluster.yml names."""
    acceptor: Acceptor
    """For the epoch after the topology's."""

    def lives(self, me: Voter) -> tuple[Voter, ...]:
        """As whom a node with this state may vote."""
        return (me, Voter(me.node, "")) if self.founder else (me,)

    def encoded(self) -> bytes:
        """For the store."""
        packed: bytes = msgpack.packb((self.topology.encoded(), self.founder, self.acceptor))
        return packed

    @staticmethod
    def decoded(data: bytes) -> "State":
        """The inverse, for bytes that the store vouches for."""
        topology, founder, (promised, accepted, value) = msgpack.unpackb(data)
        acceptor = Acceptor(Ballot(*promised), Ballot(*accepted), value)
        return State(Topology.decoded(topology), founder, acceptor)


class Say(NamedTuple):
    """Decision: tell a node; this node is told like any other."""

    to: NodeId
    word: Word


class Keep(NamedTuple):
    """Decision: make the state durable, and only then say these words."""

    state: State
    then: tuple[Say, ...]


class Adopted(NamedTuple):
    """Decision: this topology is in force here from now on."""

    topology: Topology


class Told(NamedTuple):
    """Decision: what became of a proposal, for whoever made it."""

    ticket: int
    verdict: Verdict
    """`won`; `lost` to `topology`; `open`: not decided in time, or overtaken by later epochs;
    `busy`: not proposed, because another proposal of this node is."""
    topology: Topology


Decision: TypeAlias = Say | Keep | Adopted | Told


class _Proposal(NamedTuple):
    """What this node wants the next epoch to be."""

    ticket: int
    value: bytes
    until_ms: float
    attempt: int
    retry_ms: float


class Epochs:
    """The present topology, the vote on the next, and at most one proposal for it."""

    def __init__(
        self, me: Voter, state: State, may_follow: Callable[[Topology, Topology], bool] = follows
    ) -> None:
        """`may_follow`: whether an epoch may come after another."""
        self._me, self._state, self._may_follow = me, state, may_follow
        self._proposal: _Proposal | None = None
        self._proposer: Proposer | None = None
        self._counter = state.acceptor.promised.counter
        self._carry_ms = 0.0
        """When to propose of its own accord."""
        self._is_voter = self._has_vote()

    @property
    def topology(self) -> Topology:
        """What is in force here."""
        return self._state.topology

    @property
    def has_voted(self) -> bool:
        """Whether this node has voted for a value that it does not know to be decided."""
        return bool(self._state.acceptor.value)

    @property
    def is_restless(self) -> bool:
        """Whether this node proposes of its own accord: what it has voted for, or itself."""
        return self.has_voted or not self._is_voter

    def propose(
        self, ticket: int, wanted: Topology, until_ms: float, now_ms: float
    ) -> list[Decision]:
        """Try to have `wanted` decided as the next epoch; `Told` says what became of it."""
        if self._proposal is not None:
            return [Told(ticket, "busy", self.topology)]
        if wanted.epoch != self.topology.epoch + 1:
            return [Told(ticket, "lost", self.topology)]
        self._proposal = _Proposal(ticket, wanted.encoded(), until_ms, 0, now_ms)
        return self._attempt(now_ms)

    def force(self, ticket: int, wanted: Topology) -> list[Decision]:
        """Adopt what nobody has decided, and spread it. Voids P10 until all members hold it."""
        made = self._decided(Decided(wanted.epoch, wanted.encoded()))
        return [*made, Told(ticket, "won" if made else "lost", self.topology)]

    def told(self) -> Decided:
        """What is in force here, for one who is behind."""
        return Decided(self.topology.epoch, self.topology.encoded())

    def linked(self, node: NodeId) -> list[Decision]:
        """A link to a node is open: what was said before may be lost, and who has no vote may get
        it now."""
        if not self._is_voter:
            self._carry_ms = 0.0
            if self._proposal is not None and self._proposal.ticket == NOBODY:
                self._proposal = self._proposal._replace(retry_ms=0.0)
        return self._tell_epoch(node)

    def handle(self, source: NodeId, word: Word, now_ms: float) -> list[Decision]:
        """A node says something. Raises InvalidRequest if it is no topology."""
        match word:
            case Prepare() | Accept():
                return self._asked(source, word, now_ms)
            case Promise():
                return self._promised(word)
            case Accepted():
                return self._accepted(word)
            case Outbid():
                self._counter = max(self._counter, word.promised.counter)
                return []
            case Decided():
                return self._decided(word)
            case Holds():
                return self._compared(source, word.epoch)
        assert_never(word)

    def expire(self, now_ms: float) -> list[Decision]:
        """The deadline has come: try again, give up, or find out what became of a vote."""
        proposal = self._proposal
        if proposal is None:
            return self._unasked(now_ms)
        if now_ms < min(proposal.retry_ms, proposal.until_ms):
            return []
        if now_ms >= proposal.until_ms:
            self._proposal = self._proposer = None
            self._carry_ms = now_ms + CARRY_MS
            return self._tell(proposal, "open")
        return self._attempt(now_ms)

    def deadline(self) -> float | None:
        """When `expire` has something to do."""
        proposal = self._proposal
        if proposal is None:
            return self._carry_ms if self.is_restless else None
        return min(proposal.retry_ms, proposal.until_ms)

    def validate(self) -> None:
        """Assert that what is proposed is for the next epoch."""
        assert (self._proposal is None) == (self._proposer is None), "a proposal without attempt"
        if self._proposer is not None:
            assert self._proposer.epoch == self.topology.epoch + 1, "a proposal is out of date"

    def _unasked(self, now_ms: float) -> list[Decision]:
        """Propose what this node has voted for: it is decided, or whatever else is. Or else its
        own vote."""
        if not self.is_restless or now_ms < self._carry_ms:
            return []
        value = self._state.acceptor.value or sworn_in(self.topology, self._me).encoded()
        self._proposal = _Proposal(NOBODY, value, now_ms + CARRY_MS, 0, now_ms)
        return self._attempt(now_ms)

    def _attempt(self, now_ms: float) -> list[Decision]:
        """Ask all voters under a new ballot, which is kept first: after a crash it is not used
        again for another value."""
        proposal, voters = self._proposal, self.topology.voters
        assert proposal is not None, "an attempt for nothing"
        self._counter = max(self._counter, self._state.acceptor.promised.counter) + 1
        ballot = Ballot(self._counter, *self._me)
        epoch = self.topology.epoch + 1
        self._proposer = Proposer(epoch, ballot, proposal.value, voters)
        patience_ms = ATTEMPT_MS * (1 + self._rank()) * 2 ** min(proposal.attempt, DOUBLINGS)
        self._proposal = proposal._replace(
            attempt=proposal.attempt + 1, retry_ms=now_ms + patience_ms
        )
        asked = self._proposer.prepare()
        acceptor, _ = self._state.acceptor.prepare(asked, self._state.lives(self._me))
        self._state = self._state._replace(acceptor=acceptor)
        return [Keep(self._state, tuple(Say(voter.node, asked) for voter in voters))]

    def _asked(self, source: NodeId, word: Prepare | Accept, now_ms: float) -> list[Decision]:
        """A proposer wants a promise or a vote."""
        epoch = self.topology.epoch
        if word.epoch <= epoch:
            return [Say(source, Decided(epoch, self.topology.encoded()))]
        if word.epoch > epoch + 1:
            return self._tell_epoch(source)
        if isinstance(word, Accept) and not self._would_follow(word):
            return [Say(source, self.told())]
        before = self._state.acceptor
        answer: Promise | Accepted | Outbid
        if isinstance(word, Prepare):
            acceptor, answer = before.prepare(word, self._state.lives(self._me))
        else:
            acceptor, answer = before.accept(word, self._state.lives(self._me))
            self._carry_ms = now_ms + CARRY_MS * (1 + self._rank())
        self._counter = max(self._counter, word.ballot.counter)
        self._state = self._state._replace(acceptor=acceptor)
        told: list[Decision] = []
        if self._is_voter and Voter(*word.ballot[1:]) not in self.topology.voters:
            told.append(Say(source, self.told()))  # a new life may not know the ring in force
        if isinstance(answer, Outbid):
            return [*told, Say(source, answer)]
        return [*told, Keep(self._state, (Say(source, answer),))]

    def _would_follow(self, word: Accept) -> bool:
        """Whether what is to be voted for may come after the epoch in force here."""
        return self._may_follow(self.topology, Topology.decoded(word.value))

    def _promised(self, word: Promise) -> list[Decision]:
        if self._proposer is None or word.epoch != self._proposer.epoch:
            return []
        asked = self._proposer.promised(word)
        return [] if asked is None else self._to_voters(asked)

    def _accepted(self, word: Accepted) -> list[Decision]:
        if self._proposer is None or word.epoch != self._proposer.epoch:
            return []
        decided = self._proposer.accepted(word)
        return [] if decided is None else self._decided(decided)

    def _decided(self, word: Decided) -> list[Decision]:
        """An epoch is decided: adopt it if it is new here, and tell the others once it is kept."""
        # Who has no vote may have its epoch from a cluster.yml that says something else by now.
        if word.epoch < (self.topology.epoch + 1 if self._is_voter else self.topology.epoch):
            return []
        decided = Topology.decoded(word.value)
        if decided == self.topology:
            return []
        if decided.epoch != word.epoch:
            raise InvalidRequest(f"a topology of epoch {decided.epoch} cannot be {word.epoch}")
        before = self.topology
        self._state = State(decided, self._state.founder, Acceptor())
        self._is_voter, self._carry_ms = self._has_vote(), 0.0
        told = self._verdict(word)
        self._proposal = self._proposer = None
        others = dict.fromkeys((*before.members, *decided.members))
        others.pop(self._me.node, None)
        spread = tuple(Say(node, Holds(word.epoch)) for node in others)
        return [Keep(self._state, spread), Adopted(decided), *told]

    def _verdict(self, word: Decided) -> list[Decision]:
        """What the decision means for this node's own proposal."""
        proposal, proposer = self._proposal, self._proposer
        if proposal is None or proposer is None:
            return []
        verdict: Verdict = "won" if word.value == proposal.value else "lost"
        if word.epoch > proposer.epoch:
            verdict = "open"
        return self._tell(proposal, verdict)

    def _tell(self, proposal: _Proposal, verdict: Verdict) -> list[Decision]:
        told = Told(proposal.ticket, verdict, self.topology)
        return [] if proposal.ticket == NOBODY else [told]

    def _compared(self, source: NodeId, epoch: int) -> list[Decision]:
        """Somebody holds an epoch: who is behind is told, by word or by asking."""
        mine = self.topology.epoch
        if epoch < mine:
            return [Say(source, Decided(mine, self.topology.encoded()))]
        return self._tell_epoch(source) if epoch > mine else []

    def _tell_epoch(self, node: NodeId) -> list[Decision]:
        """What this node holds; it is said when it is durable, for who hears it builds on that."""
        return [Keep(self._state, (Say(node, Holds(self.topology.epoch)),))]

    def _to_voters(self, word: Word) -> list[Decision]:
        return [Say(voter.node, word) for voter in self.topology.voters]

    def _has_vote(self) -> bool:
        """Whether this life votes on the next epoch, or has no part in that: no member of the ring
        in force."""
        members, voters = self.topology.ring.members, self.topology.voters
        is_member = any(member.node == self._me.node for member in members)
        return not is_member or any(life in voters for life in self._state.lives(self._me))

    def _rank(self) -> int:
        """This node's place among the voters; others come last."""
        names = [voter.node for voter in self.topology.voters]
        return names.index(self._me.node) if self._me.node in names else len(names)


def stored_state(data: bytes | None, first: Topology, founder: bool) -> State:
    """What a node starts with: what it kept, or else the first epoch.

    A life that began after a lost disk has forgotten promises: it is no `founder`, and no `data`
    of an earlier life may be given.
    """
    return State(first, founder, Acceptor()) if data is None else State.decoded(data)
