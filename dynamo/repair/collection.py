"""Removal of tombstones: by proof that every owner has had them, never by a clock alone.

    sweep: every record of this node, some rows at a time ─▶ tombstones old enough · damaged values
    left?   everybody else has nothing left of the partition (dynamo.repair.bystanders)
    claims: "my tree has this root, I have taken in so much" ─▶ each co-owner
            equal roots: both have taken in what either has ─▶ K rises, and is made durable
    settled (dynamo.repair.settled) covers a tombstone ─▶ removed, logged, at each owner by itself

A member that is away says nothing, so nothing is removed meanwhile; how many wait is a metric. The
age spares what clients may still ask about (`outcome`, retries); it proves nothing.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, NamedTuple

from dynamo.background import Handler, Part
from dynamo.errors import CorruptData
from dynamo.hlc import stamp_ms
from dynamo.keys import partition_bounds
from dynamo.limits import Timing
from dynamo.merkle.tree import ROOT
from dynamo.messages import Effect, Send
from dynamo.messages_exchange import (
    ASK_TAKEN,
    CLAIMS_AT_ONCE_MAX,
    TAKEN_IS,
    AskLeft,
    AskTaken,
    Claim,
    LeftIs,
    TakenIs,
)
from dynamo.meters import Meters
from dynamo.ports import MEMORY_FULL
from dynamo.repair.bystanders import Bystanders, node_of
from dynamo.repair.knowledge import Knowledge
from dynamo.repair.settled import FOREVER, NONE_TAKEN, Taken, covers
from dynamo.repair.trees import ROWS_MAX, TreeName
from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import Record, operation_stamp
from dynamo.types import Actor, Instant, ItemKey, NodeId, PartitionId

SWEEP_PAUSE_MS = 500.0
"""Rest after each slice of the sweep, which takes about 2 ms: a million records in half an hour.
Raising it: tombstones are found later; lowering it: more is taken from the foreground."""
CANDIDATES_MAX = 4096
"""Tombstones that wait for their proof in memory, about 200 bytes each; others are found by a later
sweep."""
DAMAGED_AT_ONCE_MAX = 64
"""Damaged records that one slice of the sweep asks to be repaired; the next asks for others."""

_ENDS_OF_TOMBSTONES = (0x90, 0xC0)
"""How the bytes of a record end that holds no value, or a last one that is none."""


class Damaged(NamedTuple):
    """For the kernel: this item's record cannot be read here; have the other owners send theirs."""

    key: ItemKey


class Collection(Part):
    """The tombstones of one node that are on their way out, and the sweep that finds them."""

    kind = "sweep"

    def __init__(
        self,
        known: Knowledge,
        timing: Timing,
        ready: AbstractSet[PartitionId],
        wall_ms: Callable[[], int],
        meters: Meters,
        removes: bool,
        first_round: int,
        bystanders: Bystanders,
    ) -> None:
        """`removes`: whether what the store calls durable survives a loss of power, and no change
        of owners is under way; else nothing is vouched for. `first_round`: above those of the
        node's former rings and starts."""
        self._trees, self._in_sync, self._settled, self._writer = known
        self._timing, self._ready = timing, ready
        self._wall_ms, self._meters, self._removes = wall_ms, meters, removes
        self._bystanders = bystanders
        self._cleared: dict[TreeName, Taken] = {}
        """Of what nobody else has anything left, since before the present round."""
        self._equal: dict[TreeName, set[NodeId]] = {}
        """Which co-owners were found equal in it."""
        self._waiting: dict[TreeName, dict[ItemKey, Record]] = {}
        self._sweep: list[PartitionId] = []
        self._after = ItemKey(b"")
        self._sweep_ms: float | None = None
        self._ask_ms: float | None = None
        self._round, self._losses = first_round, 0
        self._pause_ms = SWEEP_PAUSE_MS

    def pace(self, share: float) -> None:
        """Take this share (above 0, at most 1) of what is taken at full pace."""
        assert 0 < share <= 1, "a pace is a share"
        self._pause_ms = SWEEP_PAUSE_MS / share

    # a background part

    def handlers(self) -> dict[type[Any], Handler]:
        """Claims, and what is left, and what others answer to them."""
        return {
            AskTaken: self._asked,
            TakenIs: self._told,
            AskLeft: lambda source, asked, _: self._bystanders.asked(source, asked),
            LeftIs: self._left,
        }

    def advance(self, up: set[NodeId], now_ms: float) -> list[Effect | Damaged]:
        """A slice of the sweep, and what was found damaged; claims about tombstones that wait."""
        interval_ms = float(self._timing.exchange_interval_ms)
        if self._sweep_ms is None:
            self._sweep_ms = self._ask_ms = now_ms + interval_ms
        if now_ms >= self._sweep_ms:
            self._sweep_ms = now_ms + (self._pause_ms if self._swept() else interval_ms)
            damaged = islice(self._trees.damaged_keys, DAMAGED_AT_ONCE_MAX)
            return [Damaged(ItemKey(key)) for key in damaged]
        if self._ask_ms is not None and now_ms >= self._ask_ms:
            self._ask_ms = now_ms + interval_ms
            return self._claims(up)
        return []

    def deadline(self) -> float | None:
        """The next slice, or the next claims."""
        if self._sweep_ms is None or self._ask_ms is None:
            return 0.0
        return min(self._sweep_ms, self._ask_ms)

    def validate(self) -> None:
        """Assert the bound."""
        assert self._count() <= CANDIDATES_MAX, "too many tombstones wait"

    def status(self, now_ms: float) -> dict[str, Any]:
        """How many are old enough and wait for an owner."""
        return {"tombstones_waiting": self._count()}

    # the sweep

    def _swept(self) -> bool:
        """Look at the next rows; whether there are more of this sweep."""
        if not self._sweep:
            self._sweep = sorted({partition for partition, _ in self._trees.names()}, reverse=True)
        left = ROWS_MAX
        while left > 0 and self._sweep:
            partition = self._sweep[-1]
            first, until = partition_bounds(partition)
            rows = self._trees.scan(max(self._after, first), until, left)
            for key, record in rows:
                if record[-1] in _ENDS_OF_TOMBSTONES:
                    self._consider(key, record)
            self._after = rows[-1][0] if len(rows) == left else until
            if len(rows) < left:
                self._sweep.pop()
            left -= len(rows) + 1
        if not self._sweep:
            self._after = ItemKey(b"")
        return bool(self._sweep)

    def _consider(self, key: ItemKey, data: bytes) -> None:
        """Keep a tombstone that is old enough, while there is room."""
        name = self._trees.name_of(key)
        record = _tombstone(data)
        if not self._removes or record is None or name is None or self._count() >= CANDIDATES_MAX:
            return
        if stamp_ms(_newest(record)) + self._timing.tombstone_age_ms <= self._wall_ms():
            self._waiting.setdefault(name, {})[key] = record

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))

    # claims

    def _claims(self, up: set[NodeId]) -> list[Effect | Damaged]:
        """What this node claims of the partitions in which tombstones wait, to each co-owner."""
        self._round, self._losses = self._round + 1, self._settled.losses
        self._cleared, self._equal = self._bystanders.cleared(), {}
        effects: list[Effect | Damaged] = []
        for peer in self._in_sync.co_owners():
            if peer in up:
                claims = [self._claim(name) for name in self._common(peer)]
                for first in range(0, len(claims), CLAIMS_AT_ONCE_MAX):
                    some = tuple(claims[first : first + CLAIMS_AT_ONCE_MAX])
                    effects.append(Send(peer, AskTaken(ASK_TAKEN, self._round, some)))
        wanted = {name: self._wanted(name) for name in self._waiting}
        effects += self._bystanders.ask(wanted, up, self._round)
        for name in self._waiting:
            self._remove(name)
        self._waiting = {name: waiting for name, waiting in self._waiting.items() if waiting}
        return effects

    def _common(self, peer: NodeId) -> list[TreeName]:
        return [name for name in self._in_sync.names(peer) if name in self._waiting]

    def _claim(self, name: TreeName) -> Claim:
        """Root, K and floor of a partition now, with 0 for the writers of tombstones that wait."""
        wanted = self._wanted(name)
        self._vouch(name, wanted)
        taken = {**wanted, **self._settled.taken(name)}
        durable = dict(self._settled.durable(name))
        return (*name, self._root(name), taken, durable, self._settled.floor_of(name))

    def _wanted(self, name: TreeName) -> dict[Actor, int]:
        """The writers of tombstones that wait."""
        waiting = self._waiting.get(name, {}).values()
        return {actor: 0 for record in waiting for actor in record.history.vector}

    def _vouch(self, name: TreeName, asked: Taken) -> None:
        """This node's own dots, and those of its former lives: all are in its records if it was
        equal with every co-owner since it started. And those of others that own nothing of it. But
        where anybody else may have kept some: since they have nothing left."""
        if name[0] not in self._ready or not self._in_sync.with_all(name):
            return
        me = self._writer
        mine = {actor: FOREVER for actor in asked if node_of(actor) == me.node}
        mine[me.actor] = me.issued(name[0])
        if self._bystanders.of(name):
            alike = self._equal.get(name, set())
            if name not in self._cleared or not alike.issuperset(self._in_sync.co_owners_of(name)):
                return
            mine |= self._cleared[name]
        self._settled.take(name, {**self._bystanders.gone(asked), **mine})

    def _left(self, source: NodeId, told: LeftIs, now: Instant) -> list[Effect]:
        """A member that owns nothing of them has nothing left, either."""
        if told.id == self._round:
            self._bystanders.told(source, told)
        return []

    def _asked(self, source: NodeId, asked: AskTaken, now: Instant) -> list[Effect]:
        """A co-owner claims: take over what it has taken in where both are equal."""
        answers: list[Claim] = []
        for partition, n, root, taken, durable, floor in asked.claims:
            name = PartitionId(partition), n
            if not self._removes or name not in self._in_sync.names(source):
                continue
            self._vouch(name, taken)
            equal = root != 0 and self._root(name) == root
            mine = dict(self._settled.taken(name)), dict(self._settled.durable(name))
            answers.append((*name, root if equal else 0, *mine, self._settled.floor_of(name)))
            self._settled.report(name, source, durable)
            self._settled.take(name, taken if equal else {}, floor)
        return [Send(source, TakenIs(TAKEN_IS, asked.id, tuple(answers)))]

    def _told(self, source: NodeId, told: TakenIs, now: Instant) -> list[Effect]:
        """A co-owner's answer: the same in the other direction."""
        for partition, n, root, taken, durable, floor in told.claims:
            name = PartitionId(partition), n
            if name in self._in_sync.names(source):
                self._settled.report(name, source, durable)
                equal = root != 0 and (told.id, self._settled.losses) == (self._round, self._losses)
                self._settled.take(name, taken if equal else {}, floor)
                if equal:
                    self._equal.setdefault(name, set()).add(source)
                    self._vouch(name, self._wanted(name))
        return []

    def _root(self, name: TreeName) -> int:
        """The root of a partition's tree, if it is grown and the partition counts."""
        tree = self._trees.tree(name)
        if tree is None or name[0] not in self._ready:
            return 0
        return tree.hash(ROOT)

    # removal

    def _remove(self, name: TreeName) -> None:
        """Those of the waiting that all owners have had, if they are still what they were."""
        if self._trees.refusal() == MEMORY_FULL:
            return
        settled = self._settled.settled(name, self._in_sync.co_owners_of(name))
        waiting = self._waiting[name]
        for key, record in list(waiting.items()):
            if covers(settled, record.history):
                del waiting[key]
                data = self._trees.held(key)
                if data is not None and _tombstone(data) == record:
                    self._settled.take(name, NONE_TAKEN, _newest(record))
                    self._trees.delete(key, None)
                    self._meters.tombstones_removed += 1


def _tombstone(data: bytes) -> Record | None:
    """The record if it holds no live value."""
    try:
        record = decode_record(data)
    except CorruptData:
        return None
    return None if any(value.payload is not None for value in record.values) else record


def _newest(record: Record) -> int:
    """The stamp of the newest operation that a tombstone tells of, or its own if that is newer."""
    told = [operation_stamp(operation) for operation in record.operations]
    told += [max(value.stamp, operation_stamp(value.operation)) for value in record.values]
    return max(told, default=record.floor)
