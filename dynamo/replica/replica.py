"""A replica: merges what it is sent into what it holds, never overwrites.

    incoming knows all that mine knows   ->  stored byte for byte, `stored`
    otherwise                            ->  the join is stored,   `merged` with the join

An acknowledgement leaves only when the log group that holds the record is durable; all of one
group go back to a coordinator in one message. Merging never refuses: limits bind clients, not
replicas.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Protocol

from dynamo.config import TableConfig
from dynamo.errors import CorruptData
from dynamo.history import History
from dynamo.keys import partition_bounds, partition_of_key, table_of_key
from dynamo.messages import (
    DIGEST_ONLY,
    REPLICA_MERGED,
    REPLICA_PAGE,
    REPLICA_REFUSED,
    REPLICA_SAME,
    REPLICA_STORED,
    Ack,
    Disconnect,
    Effect,
    ReplicaGet,
    ReplicaMerged,
    ReplicaPage,
    ReplicaPut,
    ReplicaRefused,
    ReplicaSame,
    ReplicaScan,
    ReplicaStored,
    Send,
    Source,
)
from dynamo.messages_made import ack, replica_digest, replica_record, send
from dynamo.meters import Meters
from dynamo.ports import CORRUPT, DISK_FULL, RecordStore
from dynamo.siblings.codec import DIGEST_BYTES, decode_record, encode_record, verified
from dynamo.siblings.record import VOID, Record, Window, merge, supersedes
from dynamo.types import ItemKey, PartitionId, TableId

PAGE_ITEMS_MAX = 256
PAGE_BYTES_MAX = 1 << 20


class Stale(Protocol):
    """What a node knows to have been removed (dynamo.repair.settled)."""

    @property
    def known(self) -> AbstractSet[bytes]:
        """The partitions, two bytes each, of which it knows anything; the same set for ever."""

    def without_stale(self, key: ItemKey, record: Record, mine: Record | None) -> Record | None:
        """What of an incoming record is not stale, beside the one held here; None for nothing."""


class Replica:
    """Puts, gets and scans that peers (and reading clients) ask of this node's copies."""

    def __init__(
        self,
        store: RecordStore,
        tables: dict[TableId, TableConfig],
        window: Window,
        ready: AbstractSet[PartitionId],
        meters: Meters,
        forgetting: Callable[[PartitionId, History], History],
        stale: Stale,
    ) -> None:
        """`ready`: the partitions that count for reads, at any moment. `forgetting`: a history in
        which this node admits what dots of its own it may have forgotten. `stale` knows what of
        an incoming record was removed here."""
        self._store, self._tables, self._window = store, tables, window
        self._ready, self._meters, self._forgetting = ready, meters, forgetting
        self._stale, self._removed_from = stale, stale.known
        self.damaged: list[ItemKey] = []
        """Items whose record was found damaged here, for the kernel to take and have repaired."""

    def put(
        self,
        source: Source,
        message: ReplicaPut,
        now_ms: float = 0.0,
        *,
        complete: bool = False,
        late: bool = False,
    ) -> list[Effect]:
        """Merge a coordinator's record; it is acknowledged by `persisted`. A full store refuses,
        so that memory has a bound here too; but not a delete while the disk's reserve lasts.
        `complete`: the record may take the place of one that is damaged here (`joined`); `late`: it
        comes from a former owner; what this one has promised never to apply is left out."""
        _, id, key, record, base = message
        if not verified(record):
            return [Disconnect(source, "a record's digest does not fit its bytes")]
        if table_of_key(key) not in self._tables:
            return self._refused(source, id, "unknown table")
        try:
            cause = self._store.refusal()
            if cause is not None and (cause != DISK_FULL or not _is_delete(record)):
                return self._refused(source, id, cause)
            if late:
                record = self._without_fenced(key, record)
            data, alike = self.joined(key, record, base, complete=complete)
        except _DamagedHere:
            return self._refused(source, id, CORRUPT)
        except CorruptData as error:
            return [Disconnect(source, str(error))]
        whole = partition_of_key(key) in self._ready
        if data is None:
            return [Send(source, ReplicaStored(REPLICA_STORED, (id,), whole))]
        self._store.put(key, data, ack(source, id, None if alike else data, whole, now_ms))
        return []

    def _without_fenced(self, key: ItemKey, record: bytes) -> bytes:
        """A record without the writes that this owner has promised never to apply: whoever asked
        what became of them was told so, and a former owner's copy must not prove that wrong."""
        mine = self.held(key)
        states = {} if mine is None else decode_record(mine).operations
        fenced = {operation for operation, state in states.items() if state == VOID}
        if not fenced:
            return record
        told = decode_record(record)
        values = tuple(value for value in told.values if value.operation not in fenced)
        kept = {each: state for each, state in told.operations.items() if each not in fenced}
        retried = tuple(each for each in told.retried if each not in fenced)
        return encode_record(told._replace(operations=kept, values=values, retried=retried))

    def _refused(self, source: Source, id: int, cause: str) -> list[Effect]:
        self._meters.replica_put_failed.count_instant()
        return [Send(source, ReplicaRefused(REPLICA_REFUSED, id, cause))]

    def joined(
        self, key: ItemKey, record: bytes, base: bytes = b"", *, complete: bool = False
    ) -> tuple[bytes | None, bool]:
        """What this replica holds after merging `record`, and whether that is `record` itself;
        None for what is known here and removed since.

        A record built on exactly what is held here knows all of it: nothing need be decoded.

        What is damaged here had perhaps been acknowledged, so only a record that is `complete`, the
        join of N-W+1 other owners, takes its place: another one would count in reads and know less
        than it should. While the partition is rebuilt it counts in none, and any record will do.

        Raises CorruptData if the incoming bytes are no record.
        """
        try:
            mine = self._store.get(key)
        except CorruptData:
            self._meters.corrupt_records += 1
            return self._instead_of_damaged(key, record, complete), False
        may_be_stale = key[:2] in self._removed_from
        if mine is None and not may_be_stale:
            return record, True
        if mine is not None and (mine[:DIGEST_BYTES] == base or mine == record):
            return record, True
        incoming = decode_record(record)
        try:
            old = None if mine is None else decode_record(mine)
        except CorruptData:
            return self._instead_of_damaged(key, record, complete), False
        if may_be_stale:
            fresh = self._stale.without_stale(key, incoming, old)
            if fresh is None:
                return None, True
            if fresh is not incoming:
                return self._join(key, mine, old, encode_record(fresh), fresh)[0], False
        return self._join(key, mine, old, record, incoming)

    def _join(
        self,
        key: ItemKey,
        mine: bytes | None,
        old: Record | None,
        record: bytes,
        incoming: Record,
    ) -> tuple[bytes, bool]:
        """The join, as bytes and decoded, and whether that is the incoming one itself."""
        if mine is None or old is None or supersedes(incoming, old):
            return record, True
        table = self._tables.get(table_of_key(key))
        rule = "siblings" if table is None else table.conflict_rule
        joined = merge(old, incoming, rule, self._window)
        return (mine if joined is old else encode_record(joined)), False

    def _instead_of_damaged(self, key: ItemKey, record: bytes, complete: bool) -> bytes:
        """The incoming record where this node's own is damaged: it says that dots of this node
        which it does not cover were forgotten here, for other owners may hold them."""
        if not complete and partition_of_key(key) in self._ready:
            self.damaged.append(key)
            raise _DamagedHere
        known = decode_record(record)
        history = self._forgetting(partition_of_key(key), known.history)
        return encode_record(known._replace(history=history))

    def held(self, key: ItemKey) -> bytes | None:
        """This replica's record; one that is damaged counts as missing, to be repaired."""
        try:
            return self._store.get(key)
        except CorruptData:
            self._meters.corrupt_records += 1
            return None

    def absorb(self, key: ItemKey, record: bytes) -> bool:
        """Merge a record that rebuilding or an exchange brought; whether it said anything new.
        Raises CorruptData."""
        if not verified(record):
            raise CorruptData("a record's digest does not fit its bytes")
        try:
            data, _ = self.joined(key, record)
        except _DamagedHere:
            return False
        if data is None or data == self.held(key):
            return False
        self._store.put(key, data, None)
        return True

    def make_whole(self, key: ItemKey, record: bytes) -> None:
        """Close the gaps of a record that all owners hold alike, if it is still the newest."""
        if self.held(key) == record:
            old = decode_record(record)
            whole: History = old.history.whole()
            self._store.put(key, encode_record(old._replace(history=whole)), None)

    def get(self, source: Source, message: ReplicaGet) -> Send:
        """This replica's record, or word that it is the one already known."""
        _, id, key, known = message
        if partition_of_key(key) not in self._ready:
            self._meters.replica_get_failed.count_instant()
            return Send(source, ReplicaRefused(REPLICA_REFUSED, id, "rebuilding or not an owner"))
        try:
            if known is not None:
                digest = self._store.head(key, DIGEST_BYTES)
                if known in (DIGEST_ONLY, digest):
                    self._meters.replica_get_ok.count_instant()
                    if known == DIGEST_ONLY:
                        return send(source, replica_digest(id, digest))
                    return send(source, ReplicaSame(REPLICA_SAME, id))
            record = self._store.get(key)
        except CorruptData:
            self._meters.corrupt_records += 1
            self._meters.replica_get_failed.count_instant()
            self.damaged.append(key)
            return Send(source, ReplicaRefused(REPLICA_REFUSED, id, CORRUPT))
        self._meters.replica_get_ok.count_instant()
        return send(source, replica_record(id, record))

    def scan(self, source: Source, message: ReplicaScan) -> Effect:
        """One page of a partition, for a node that rebuilds it."""
        first, until = partition_bounds(message.partition)
        found = self._store.scan(message.after or first, until, PAGE_ITEMS_MAX)
        size = 0
        items: list[tuple[ItemKey, bytes]] = []
        for key, record in found:
            size += len(key) + len(record)
            if items and size > PAGE_BYTES_MAX:
                break
            items.append((key, record))
        last = len(items) == len(found) < PAGE_ITEMS_MAX
        whole = message.partition in self._ready
        page = ReplicaPage(REPLICA_PAGE, message.id, tuple(items), last, whole)
        return Send(source, page)

    def persisted(self, acks: list[Ack], now_ms: float = 0.0) -> list[Effect]:
        """Acknowledge a durable group: one message per coordinator for all that is alike."""
        observe = self._meters.replica_put_ok.observe
        effects: list[Effect] = []
        alike: dict[tuple[Source, bool], list[int]] = {}
        for source, id, merged, whole, asked_ms in acks:
            observe(now_ms - asked_ms)
            if merged is None:
                alike.setdefault((source, whole), []).append(id)
            else:
                effects.append(Send(source, ReplicaMerged(REPLICA_MERGED, id, merged)))
        for (source, whole), ids in alike.items():
            effects.append(Send(source, ReplicaStored(REPLICA_STORED, tuple(ids), whole)))
        return effects


class _DamagedHere(Exception):
    """This replica's own record is damaged, and what came may not take its place."""


def _is_delete(record: bytes) -> bool:
    """Whether no live value is in it. Raises CorruptData."""
    return all(value.payload is None for value in decode_record(record).values)
