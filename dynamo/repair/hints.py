"""Hints: records kept for owners that are away (the paper's section 4.6).

    coordinator ── HintPut(record, owner) ──▶ fallback: FF×6 · owner · item key → record

A hint is an ordinary record under a key that no item has, so it goes through the one log, is
durable before it is acknowledged, and is there again after a crash.

Laws. One hint per (owner, item): what comes later is merged into it, never put beside it or over
it. A hint goes only when its owner has durably what it holds: `delivered` compares the bytes, so
that what was merged meanwhile stays.

At the bound in bytes, and on a node that leaves the cluster, new hints are refused and the
coordinator asks the next fallback; what is kept stays until it is handed over
(`dynamo.repair.handoff`).
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import NamedTuple

from dynamo.config import TableConfig
from dynamo.errors import CorruptData
from dynamo.keys import partition_bounds, partition_of_key, table_of_key
from dynamo.messages import (
    DIGEST_ONLY,
    REPLICA_DIGEST,
    REPLICA_RECORD,
    REPLICA_REFUSED,
    REPLICA_SAME,
    Ack,
    Disconnect,
    Effect,
    HintPut,
    ReplicaDigest,
    ReplicaGet,
    ReplicaRecord,
    ReplicaRefused,
    ReplicaSame,
    Send,
    Source,
)
from dynamo.meters import Meters
from dynamo.ports import CORRUPT, DISK_FULL, NO_HINT, RecordStore
from dynamo.repair.boot import FORGOT
from dynamo.ring.joint import Rings, leaving
from dynamo.siblings.codec import DIGEST_BYTES, decode_record, encode_record, verified
from dynamo.siblings.record import Window, merge
from dynamo.types import ItemKey, NodeId, PartitionId, TableId

HINTS_FULL = "hints full"
"""A fallback's refusal: what it keeps for others has reached its bound."""
LEAVING = "leaves the cluster"
"""Another: what it keeps already must be handed over before it goes."""
READDRESSING = "looks through its hints"
"""Why a node does not say what it keeps: owners have changed, and it has not seen all of it yet."""
PREFIX = b"\xff" * 6
"""Where an item key has its partition and table; no table has that number."""
PAGE_ITEMS = 32
"""Hints read at once to be handed over, or counted at the start."""


class Hint(NamedTuple):
    """What is kept for one owner of one item."""

    owner: NodeId
    key: ItemKey
    record: bytes


class Everything(NamedTuple):
    """What a node has of one item, as one record."""

    record: bytes | None
    unsure: str = ""
    """Why it cannot be told; then there is no record."""


class Kept(NamedTuple):
    """How much is kept for one owner."""

    hints: int
    bytes_held: int


NONE_KEPT = Kept(0, 0)


class Hints:
    """All that this node keeps for others."""

    def __init__(
        self,
        me: NodeId,
        rings: Rings,
        store: RecordStore,
        tables: Mapping[TableId, TableConfig],
        window: Window,
        bytes_max: int,
        meters: Meters,
        dropped: Callable[[PartitionId], None],
    ) -> None:
        """`store`: the node's own; hints are no part of any partition's hash tree. `dropped`: told
        of the partition of each hint that goes."""
        self._me, self._rings, self._store, self._tables = me, rings, store, tables
        self._members = frozenset(rings.members) - {me}
        self._leaves = me in leaving(rings.ring, rings.target)
        self._window, self._bytes_max, self._meters = window, bytes_max, meters
        self._dropped = dropped
        self._kept = _counted(store)
        self._unread = [] if rings.never_changed else sorted(self._kept)
        """Owners whose hints may be for items that are not theirs by this ring."""
        self._read_after = ItemKey(b"")

    def kept(self) -> dict[NodeId, Kept]:
        """How much is kept for whom; nobody is named for whom nothing is."""
        return self._kept

    def bytes_held(self) -> int:
        """All hints together, keys and records."""
        return sum(kept.bytes_held for kept in self._kept.values())

    def count(self) -> int:
        """How many are kept."""
        return sum(kept.hints for kept in self._kept.values())

    def keep(self, source: Source, message: HintPut, now_ms: float) -> list[Effect]:
        """Merge a record into what is kept for its owner; it is acknowledged once durable."""
        _, id, key, record, base, owner = message
        if not verified(record):
            return [Disconnect(source, "a record's digest does not fit its bytes")]
        if table_of_key(key) not in self._tables or owner not in self._members:
            return self._refused(source, id, "unknown table or owner")
        if self._leaves:
            return self._refused(source, id, LEAVING)
        try:
            cause = self._store.refusal()
            if cause is not None and (cause != DISK_FULL or not _is_delete(record)):
                return self._refused(source, id, cause)
            is_kept = self.take(Hint(owner, key, record), base, Ack(source, id, None, True, now_ms))
        except CorruptData as error:
            return [Disconnect(source, str(error))]
        return [] if is_kept else self._refused(source, id, HINTS_FULL)

    def take(self, hint: Hint, base: bytes, token: Hashable, *, bounded: bool = True) -> bool:
        """The same without a sender; False at the bound. Raises CorruptData if it is no record."""
        place = hint_key(hint.owner, hint.key)
        mine = self._whole(place)
        joined = hint.record if mine is None else self._joined(mine, hint, base)
        more = len(joined) - len(mine) if mine is not None else len(place) + len(joined)
        if bounded and more > 0 and self.bytes_held() + more > self._bytes_max:
            return False
        self._store.put(place, joined, token)
        self._count(hint.owner, 0 if mine is not None else 1, more)
        self._meters.hints_kept += 1
        return True

    def refuses(self, owner: NodeId, key: ItemKey, size: int) -> str:
        """Why no record of so many bytes can be kept for an owner that this node composes."""
        if self._leaves:
            return LEAVING
        if self._unread:
            return READDRESSING
        place = hint_key(owner, key)
        mine = self._whole(place)
        more = size - len(mine) if mine is not None else len(place) + size
        return HINTS_FULL if more > 0 and self.bytes_held() + more > self._bytes_max else ""

    def keep_own(
        self, owner: NodeId, key: ItemKey, record: bytes, base: bytes, token: Hashable
    ) -> None:
        """Keep what this node has composed itself, no owner being reached. A later start must not
        take what its dots were there for known: that is noted before it."""
        self._store.put_meta(FORGOT, b"1")
        self.take(Hint(owner, key, record), base, token, bounded=False)

    def get(self, source: Source, message: ReplicaGet) -> Send | None:
        """What is kept of an item, for a coordinator that misses its owners; None from an owner.
        Nothing kept is no answer: it says nothing of what the owners hold."""
        owners = self._owners(message.key)
        if owners is None or self._me in owners:
            return None
        try:
            return _answer(source, message, self.held(message.key, owners))
        except CorruptData:
            return Send(source, ReplicaRefused(REPLICA_REFUSED, message.id, CORRUPT))

    def get_all(self, source: Source, message: ReplicaGet, answer: Send) -> Send:
        """The same for who wants to close gaps, or to deny a write: what this node has left of a
        former ring counts as well, which no reader should be shown, and so does what an owner keeps
        for another. `answer`: what it says as a replica; an owner that does not count as one, or
        holds nothing else, says just that."""
        owners = self._owners(message.key)
        if owners is None:
            return answer
        everything = self.everything(message.key)
        if everything.unsure:
            return Send(source, ReplicaRefused(REPLICA_REFUSED, message.id, everything.unsure))
        refused = type(answer.message) is ReplicaRefused
        if self._me in owners and (refused or everything.record is None):
            return answer
        return _answer(source, message, everything.record)

    def everything(self, key: ItemKey) -> Everything:
        """All that this node has of an item: its own record, now or of a former ring, and what it
        keeps for owners."""
        owners = self._owners(key)
        assert owners is not None, "its table is known"
        if self._unread:
            return Everything(None, READDRESSING)
        try:
            return Everything(self.held(key, owners, with_own=True))
        except CorruptData:
            return Everything(None, CORRUPT)

    def held(
        self, key: ItemKey, owners: tuple[NodeId, ...], *, with_own: bool = False
    ) -> bytes | None:
        """What is kept of an item for all its owners together; `with_own`: joined with the record
        that this node has of it. Raises CorruptData if some of that is damaged."""
        places = [hint_key(owner, key) for owner in owners if owner in self._kept]
        found = [self._store.get(place) for place in (*places, *([key] if with_own else []))]
        records = [record for record in found if record is not None]
        if len(records) < 2:
            return records[0] if records else None
        joined = records[0]
        for record in records[1:]:
            joined = self._joined(joined, Hint(NodeId(""), key, record), b"")
        return joined

    def page(self, owner: NodeId, after: ItemKey) -> list[Hint]:
        """The next hints for an owner behind an item key (empty: from the start)."""
        first = hint_key(owner, after)
        until = hint_key(owner, ItemKey(PREFIX))
        found = self._store.scan(first, until, PAGE_ITEMS)
        return [Hint(owner, ItemKey(place[len(first) - len(after) :]), r) for place, r in found]

    def keeps_of(self, partition: PartitionId) -> bool:
        """Whether any hint for an item of the partition is kept."""
        first, until = partition_bounds(partition)
        return any(
            self._store.scan(hint_key(owner, first), hint_key(owner, until), 1)
            for owner in self._kept
        )

    def delivered(self, hint: Hint) -> bool:
        """The owner holds this durably: let go of it, unless more was merged into it since."""
        if self._whole(hint_key(hint.owner, hint.key)) != hint.record:
            return False
        self._remove(hint)
        self._meters.hints_delivered += 1
        return True

    def lose_damaged(self, owner: NodeId) -> None:
        """All that could be read for an owner is delivered: what is left is damaged, and lost as
        with a disk. Other copies of what was acknowledged are with other nodes."""
        first, damaged = hint_key(owner, ItemKey(b"")), self._store.damaged_keys
        self._lose([ItemKey(key) for key in damaged if key.startswith(first)])

    def misaddressed(self) -> bool:
        """Whether some of what is kept may be for nodes that do not own it by this ring."""
        return bool(self._unread)

    def readdress(self, absorb: Callable[[ItemKey, bytes], object]) -> None:
        """Look through the next page of hints: those for who owns the item no more, or will not
        when the change under way ends, are for the new owners as well. All of it goes into the log
        in this order, so that a crash repeats it or finds it done."""
        owner = self._unread[-1]
        page = self.page(owner, self._read_after)
        for hint in page:
            self._readdressed(hint, absorb)
        self._read_after = page[-1].key if page else ItemKey(b"")
        if not page:
            self._unread.pop()

    def _readdressed(self, hint: Hint, absorb: Callable[[ItemKey, bytes], object]) -> None:
        """One hint. Kept also for its owner while that one counts: the change may be cancelled."""
        table = self._tables.get(table_of_key(hint.key))
        if table is None:  # cluster.yml names it no more; it may again
            return
        rings, partition = self._rings, partition_of_key(hint.key)
        now = rings.owners(partition, table.n)
        final = (rings.target or rings.ring).preference_list(partition, table.n)
        if hint.owner in final:
            return
        for owner in final if hint.owner in now else now:
            if owner == self._me:
                absorb(hint.key, hint.record)
            else:
                self.take(hint._replace(owner=owner), b"", None, bounded=False)
        if hint.owner not in now:
            self._remove(hint)

    def _owners(self, key: ItemKey) -> tuple[NodeId, ...] | None:
        """Those of an item; None where no table or partition is its."""
        table, partition = self._tables.get(table_of_key(key)), partition_of_key(key)
        if table is None or partition >= self._rings.ring.partitions:
            return None
        return self._rings.owners(partition, table.n)

    def validate(self) -> None:
        """Assert that the counts are those of the store; reads all of it."""
        assert self._kept == _counted(self._store), "hints were miscounted"

    def _whole(self, place: ItemKey) -> bytes | None:
        """The hint there; a damaged one is lost, and makes room for another."""
        try:
            return self._store.get(place)
        except CorruptData:
            self._meters.corrupt_records += 1
            self._lose([place])
            return None

    def _lose(self, places: list[ItemKey]) -> None:
        """These are damaged. Whether they were counted depends on when that was noticed."""
        before = self.count()
        for place in places:
            self._store.delete(place, None)
            self._dropped(partition_of_key(parse_hint_key(place)[1]))
        self._kept = _counted(self._store)
        self._meters.hints_lost += before - self.count()

    def _joined(self, mine: bytes, hint: Hint, base: bytes) -> bytes:
        """What is known by both. A record built on exactly what is kept knows all of it."""
        if mine[:DIGEST_BYTES] == base or mine == hint.record:
            return hint.record
        old, incoming = decode_record(mine), decode_record(hint.record)
        rule = self._tables[table_of_key(hint.key)].conflict_rule
        joined = merge(old, incoming, rule, self._window)
        if joined is incoming:
            return hint.record
        return mine if joined is old else encode_record(joined)

    def _count(self, owner: NodeId, hints: int, size: int) -> None:
        kept = self._kept.pop(owner, NONE_KEPT)
        if kept.hints + hints:
            self._kept[owner] = Kept(kept.hints + hints, kept.bytes_held + size)

    def _remove(self, hint: Hint) -> None:
        place = hint_key(hint.owner, hint.key)
        self._store.delete(place, None)
        self._dropped(partition_of_key(hint.key))
        self._count(hint.owner, -1, -len(place) - len(hint.record))

    def _refused(self, source: Source, id: int, cause: str) -> list[Effect]:
        self._meters.hints_refused += 1
        return [Send(source, ReplicaRefused(REPLICA_REFUSED, id, cause))]


def hint_key(owner: NodeId, key: ItemKey) -> ItemKey:
    """Where the hint for an owner of an item is stored; those of one owner lie together."""
    name = owner.encode()
    return ItemKey(PREFIX + bytes([len(name)]) + name + key)


def parse_hint_key(place: ItemKey) -> tuple[NodeId, ItemKey]:
    """The inverse."""
    end = len(PREFIX) + 1 + place[len(PREFIX)]
    return NodeId(place[len(PREFIX) + 1 : end].decode()), ItemKey(place[end:])


def is_hint_key(key: bytes) -> bool:
    """Whether a hint is stored there, and not an item."""
    return key.startswith(PREFIX)


def _counted(store: RecordStore) -> dict[NodeId, Kept]:
    kept: dict[NodeId, Kept] = {}
    for place, record in _all_of(store):
        owner, _ = parse_hint_key(place)
        count, size = kept.get(owner, NONE_KEPT)
        kept[owner] = Kept(count + 1, size + len(place) + len(record))
    return kept


def _all_of(store: RecordStore) -> Iterator[tuple[ItemKey, bytes]]:
    after, until = ItemKey(PREFIX), ItemKey(PREFIX + b"\xff")
    while True:
        page = store.scan(after, until, PAGE_ITEMS)
        yield from page
        if len(page) < PAGE_ITEMS:
            return
        after = page[-1][0]


def _answer(source: Source, message: ReplicaGet, record: bytes | None) -> Send:
    """What a replica would answer that holds this; nothing is none."""
    _, id, _, known = message
    if record is None:
        return Send(source, ReplicaRefused(REPLICA_REFUSED, id, NO_HINT))
    if known == DIGEST_ONLY:
        return Send(source, ReplicaDigest(REPLICA_DIGEST, id, record[:DIGEST_BYTES]))
    if known == record[:DIGEST_BYTES]:
        return Send(source, ReplicaSame(REPLICA_SAME, id))
    return Send(source, ReplicaRecord(REPLICA_RECORD, id, record))


def _is_delete(record: bytes) -> bool:
    """Whether no live value is in it. Raises CorruptData."""
    return all(value.payload is None for value in decode_record(record).values)
