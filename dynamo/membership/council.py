"""One member's part in ring changes: votes, proposals, reports, and who may still ask for what.

    client ── AskChange ──▶ plan ─▶ joint epoch ─▶ proposed (epochs)      answered: ChangeIs
    joint  ── EpochReport, now and then, to all ──▶ Change ─▶ ready ─▶ final epoch proposed
    any adopted epoch ──▶ `adopted`, for the brain, which gives the node a kernel of the new ring

Barrier:  the newest joint epoch that this node knows. A link over which nobody has said to hold
          it may ask nothing of this node's copies (`is_barred`), so that no quorum of the owners
          before is reached by those who have not heard of the owners after. Nor may who is no
          member any more.

Outlives the kernels of all epochs. What must be durable is kept before a word of it is said.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

from dynamo.background import Durable, Handler, Part
from dynamo.errors import InvalidRequest
from dynamo.membership.change import Change, Quorum, Report
from dynamo.membership.epochs import (
    NOBODY,
    STATE,
    Adopted,
    Decision,
    Epochs,
    Keep,
    Say,
    State,
    Told,
)
from dynamo.membership.orders import wanted
from dynamo.membership.paxos import Holds, Voter
from dynamo.membership.topology import Topology
from dynamo.membership.words import as_fields, word_from
from dynamo.messages import Broadcast, Disconnect, Send, Source
from dynamo.messages_members import (
    CHANGE_IS,
    EPOCH_REPORT,
    EPOCH_WORD,
    TOPOLOGY_IS,
    AskChange,
    AskTopology,
    ChangeIs,
    ClientEpoch,
    EpochReport,
    EpochWord,
    TopologyIs,
)
from dynamo.ports import RecordStore
from dynamo.types import Instant, NodeId, PartitionId

REPORT_MS = 100.0
"""How often members report while a change is under way. Raising it: a change ends later; lowering
it: more messages, of a few bytes per partition that is not copied yet."""
PROPOSAL_MS = 3000.0
"""How long a change that a client asks for is tried to be decided."""
FINISH_MS = 2000.0
"""The same for the final epoch; it is tried again."""

Addresses = dict[NodeId, tuple[str, int]]


class Council(Part):
    """Epochs as a part of a node."""

    def __init__(
        self,
        me: Voter,
        state: State,
        store: RecordStore,
        quorums: Sequence[Quorum],
        addresses: Addresses,
    ) -> None:
        """`addresses`: of the members that this node's own configuration names."""
        self._me, self._store, self._quorums = me, store, tuple(quorums)
        self._epochs = Epochs(me, state)
        self._configured = addresses
        self._held = state.topology.epoch
        self._heard: dict[Source, int] = {}
        self._up: set[NodeId] = set()
        self._asked: dict[int, tuple[Source, int]] = {}
        self._tickets = count(NOBODY + 1)
        self._change = self._begun()
        self._barrier = self._barrier_of(state.topology)
        self._report_ms = 0.0
        self.lacking: Callable[[], dict[PartitionId, str]] = dict
        """What this node must still copy and why; its kernel says so."""
        self.hints: Callable[[], int] = int
        """How many hints this node keeps; its kernel says so."""
        self.adopted: Keep | None = None
        """An epoch is in force that the node's kernel does not serve yet; to be kept first."""

    # what others look at

    @property
    def topology(self) -> Topology:
        """What is in force."""
        return self._epochs.topology

    def addresses(self) -> Addresses:
        """Where all members are that are known."""
        told = {node: (host, port) for node, host, port in self.topology.addresses}
        return {**told, **self._configured}

    def is_barred(self, source: Source) -> bool:
        """Whether who asks there may not have heard of the newest joint epoch."""
        return self._barrier > 1 and self._heard.get(source, 1) < self._barrier

    def holds(self, node: NodeId) -> bool:
        """Whether a node has said that it holds the present epoch durably."""
        return self._heard.get(node, 0) >= self.topology.epoch

    def forget(self, source: Source) -> None:
        """A client is gone."""
        self._heard.pop(source, None)

    def told_of_epoch(self) -> EpochWord:
        """The present epoch as a word, for one that asks by an older."""
        return _spoken(self._epochs.told())

    def keep(self, keep: Keep) -> list[Any]:
        """Make a state durable, and say then what it is kept for. An epoch that is durable already
        is told at once, so that it is the first word on a new link."""
        epoch = keep.state.topology.epoch
        if epoch <= self._held and all(isinstance(say.word, Holds) for say in keep.then):
            return [_said(say) for say in keep.then]
        then = partial(self._kept, epoch, keep.then)
        self._store.put_meta(STATE, keep.state.encoded(), Durable(then))
        return []

    # as a part

    def handlers(self) -> dict[type[Any], Handler]:
        """All messages about members."""
        return {
            EpochWord: self._word,
            EpochReport: self._reported,
            ClientEpoch: self._client_epoch,
            AskChange: self._ask_change,
            AskTopology: self._ask_topology,
        }

    def advance(self, up: set[NodeId], now_ms: float) -> list[Any]:
        """Tell new links the epoch, try proposals again, report."""
        fresh, self._up = sorted(up - self._up), set(up)
        made = [each for node in fresh for each in self._done(self._epochs.linked(node))]
        made += self._done(self._epochs.expire(now_ms))
        if self._change is not None and now_ms >= self._report_ms:
            made += self._report(now_ms)
        return made

    def lost(self, node: NodeId, reason: str, now_ms: float) -> list[Any]:
        """What was said on the link holds no more."""
        self._up.discard(node)
        self._heard.pop(node, None)
        return []

    def deadline(self) -> float | None:
        """When to try or to report."""
        due_ms = self._epochs.deadline()
        if self._change is None:
            return due_ms
        return self._report_ms if due_ms is None else min(due_ms, self._report_ms)

    def validate(self) -> None:
        """Assert the invariants."""
        self._epochs.validate()

    def status(self, now_ms: float) -> dict[str, Any]:
        """The change under way, if any."""
        topology, change = self.topology, self._change
        if change is None:
            return {"change": None}
        told = {"epoch": topology.epoch, "what": topology.change, **change.figures()}
        return {"change": told}

    # words between members

    def _word(self, source: NodeId, message: EpochWord, now: Instant) -> list[Any]:
        try:
            word = word_from(message.step, message.fields)
            made = self._epochs.handle(source, word, now.monotonic_ms)
        except InvalidRequest as error:
            return [Disconnect(source, str(error))]
        if isinstance(word, Holds) and source in self.topology.members:
            self._heard[source] = max(word.epoch, self._heard.get(source, 0))
        return self._done(made)

    def _done(self, decisions: list[Decision]) -> list[Any]:
        """What the epochs decided, as effects; an adopted epoch waits for the brain."""
        adopts = any(isinstance(decision, Adopted) for decision in decisions)
        made: list[Any] = []
        for decision in decisions:
            if isinstance(decision, Say):
                made.append(_said(decision))
            elif isinstance(decision, Keep):
                if adopts:
                    self.adopted = decision
                else:
                    made += self.keep(decision)
            elif isinstance(decision, Told):
                made += self._told(decision)
            else:
                self._change, self._report_ms = self._begun(), 0.0
                self._held = min(self._held, self.topology.epoch - 1)
                self._barrier = self._barrier_of(self.topology)
                self._forget_strangers()
        return made

    def _forget_strangers(self) -> None:
        """Who is no member any more may ask for nothing: nobody asks it what it holds."""
        members = self.topology.members
        for source in [source for source in self._heard if isinstance(source, str)]:
            if source not in members:
                del self._heard[source]

    def _kept(self, epoch: int, then: tuple[Say, ...], now_ms: float) -> list[Any]:
        self._held = max(self._held, epoch)
        return [_said(say) for say in then]

    # the change under way

    @staticmethod
    def _barrier_of(topology: Topology) -> int:
        """The newest joint epoch: this one, or at the latest the one before; 0 without any."""
        if not topology.moved:
            return 0
        return topology.epoch if topology.is_joint else topology.epoch - 1

    def _begun(self) -> Change | None:
        return Change(self.topology, self._quorums) if self.topology.is_joint else None

    def _report(self, now_ms: float) -> list[Any]:
        """Tell the others how far this node is; end the change if all are ready."""
        assert self._change is not None, "there is something to report"
        self._report_ms = now_ms + REPORT_MS
        life, lacking, hints = self._me.incarnation, self.lacking(), self.hints()
        self._change.heard(self._me.node, Report(self._held, life, lacking, hints))
        others = tuple(sorted(self._up & {*self.topology.members} - {self._me.node}))
        report = EpochReport(EPOCH_REPORT, self._held, life, _grouped(lacking), hints)
        return [Broadcast(others, report), *self._finished(now_ms)]

    def _reported(self, source: NodeId, message: EpochReport, now: Instant) -> list[Any]:
        if self._change is not None:
            lacking = {
                partition: reason
                for reason, packed in message.lacking
                for partition in _unpacked(packed)
            }
            report = Report(message.epoch, message.incarnation, lacking, message.hints)
            self._change.heard(source, report)
        return []

    def _finished(self, now_ms: float) -> list[Any]:
        """The final epoch, proposed by the first voter that is there."""
        here = self._up | {self._me.node}
        first = next((voter.node for voter in self.topology.voters if voter.node in here), "")
        if first != self._me.node or self._change is None or not self._change.is_ready(here):
            return []
        wanted = self._change.finished()
        return self._done(self._epochs.propose(NOBODY, wanted, now_ms + FINISH_MS, now_ms))

    # words of clients

    def _client_epoch(self, source: Source, message: ClientEpoch, now: Instant) -> list[Any]:
        self._heard[source] = message.epoch
        return []

    def _ask_topology(self, source: Source, message: AskTopology, now: Instant) -> list[Any]:
        return [Send(source, TopologyIs(TOPOLOGY_IS, message.id, self.topology.encoded()))]

    def _ask_change(self, source: Source, message: AskChange, now: Instant) -> list[Any]:
        """Propose what is wanted, or force it; the answer comes when its fate is known."""
        now_ms = now.monotonic_ms
        try:
            topology = wanted(*(message, self.topology, self._change, self.addresses(), self._me))
        except InvalidRequest as error:
            refused = ChangeIs(CHANGE_IS, message.id, "refused", self.topology.epoch, str(error))
            return [Send(source, refused)]
        ticket = next(self._tickets)
        self._asked[ticket] = (source, message.id)
        if message.action == "force":
            return self._done(self._epochs.force(ticket, topology))
        return self._done(self._epochs.propose(ticket, topology, now_ms + PROPOSAL_MS, now_ms))

    def _told(self, told: Told) -> list[Any]:
        asked = self._asked.pop(told.ticket, None)
        if asked is None:
            return []
        source, id = asked
        epoch, change = told.topology.epoch, told.topology.change
        text = {
            "won": f"epoch {epoch} is decided: {change}",
            "lost": f"epoch {epoch} is another one: {change}",
            "open": "not decided in time; it still may be: look at the ring before trying again",
            "busy": "this node is proposing another epoch; try again",
        }[told.verdict]
        return [Send(source, ChangeIs(CHANGE_IS, id, told.verdict, epoch, text))]


def _said(say: Say) -> Send:
    return Send(say.to, _spoken(say.word))


def _spoken(word: Any) -> EpochWord:
    return EpochWord(EPOCH_WORD, *as_fields(word))


def _grouped(lacking: dict[PartitionId, str]) -> tuple[tuple[str, bytes], ...]:
    packed: dict[str, bytearray] = {}
    for partition, reason in lacking.items():
        packed.setdefault(reason, bytearray()).extend(partition.to_bytes(2, "big"))
    return tuple((reason, bytes(partitions)) for reason, partitions in packed.items())


def _unpacked(packed: bytes) -> list[PartitionId]:
    return [
        PartitionId(int.from_bytes(packed[at : at + 2], "big")) for at in range(0, len(packed), 2)
    ]
