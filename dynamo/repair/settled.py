"""What this node has taken in for good, and what all owners of a partition have.

    K(node, partition) = writer -> counter: every dot up to it has been in this node's records
    settled            = the least of all owners' K, each durable where it was made

A tombstone whose history is settled can be removed: each owner has had it, so each knows of every
dot that it covers. What comes late, a hint, a push, an old owner's copy, is then known by its dots:

    a value whose dot is in K and which this node does not hold was overwritten or removed: stale

Three laws keep K true. A node vouches for its own dots only once it has found itself equal with all
co-owners since its start, because a crash may have taken some that the others hold. Of others it
takes over what an owner claims in the moment in which both trees are equal. And where a record was
lost, by damage, the partition's K is void from then on.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgpack

from dynamo.background import Durable
from dynamo.errors import CorruptData
from dynamo.history import History
from dynamo.keys import partition_of_key, table_of_key
from dynamo.ports import RecordStore
from dynamo.repair.trees import TreeName
from dynamo.siblings.record import OVERWRITTEN, Record
from dynamo.types import Actor, ItemKey, NodeId, PartitionId, TableId

Taken: TypeAlias = Mapping[Actor, int]
"""Writer -> counter, a K."""

NONE_TAKEN: dict[Actor, int] = {}
FOREVER = 1 << 62
"""Above every counter: all dots of a writer that writes no more."""


class _Partition:
    """K of one partition and N at this node, and what the co-owners have said of theirs."""

    __slots__ = ("durable", "floor", "reports", "taken")

    def __init__(self) -> None:
        self.taken: Taken = NONE_TAKEN
        self.durable: Taken = NONE_TAKEN
        self.floor = 0
        self.reports: dict[NodeId, Taken] = {}


class Settled:
    """K by partition and N, kept in the store; bounded by the ring and the writers in it."""

    def __init__(
        self,
        store: RecordStore,
        actor: Actor,
        copies: Mapping[TableId, int],
        mine: Iterable[TreeName],
        names: Iterable[TreeName],
        void: frozenset[PartitionId] = frozenset(),
        former: "Settled | None" = None,
    ) -> None:
        """`void`: partitions that were lost with a disk. What is kept of those of `names` that
        are not `mine` is void as well: they may come back without their records. `former`: of the
        ring before, in the same start of the node; then the store may tell what is not yet
        durable."""
        self._store, self._actor, self._copies = store, actor, copies
        self._partitions = {name: _Partition() for name in mine}
        self.losses = 0
        """How often something was lost here."""
        self.known: set[bytes] = set()
        """The partitions (two bytes each) of which a K is durable."""
        for name in names:
            if name not in self._partitions or name[0] in void:
                self._void(name)
            else:
                self._load(name, former)

    def taken(self, name: TreeName) -> Taken:
        """K of this node, durable or not yet."""
        return self._partitions[name].taken

    def durable(self, name: TreeName) -> Taken:
        """K of this node, which survives its end."""
        return self._partitions[name].durable

    def floor(self, key: ItemKey) -> int:
        """The stamp of the newest operation that went with a removed tombstone of the item's
        partition: nobody can tell any more whether one up to it was applied to an absent item."""
        found = self._partitions.get(self._name(key))
        return 0 if found is None else found.floor

    def floor_of(self, name: TreeName) -> int:
        """The same by the partition's name."""
        return self._partitions[name].floor

    def take(self, name: TreeName, more: Taken, floor: int = 0) -> None:
        """This node's records contain all dots up to `more`."""
        found = self._partitions[name]
        taken = joined(found.taken, more)
        if taken != found.taken or floor > found.floor:
            found.taken, found.floor = taken, max(floor, found.floor)
            self._keep(name, found)

    def report(self, name: TreeName, owner: NodeId, durable: Taken) -> None:
        """A co-owner's K is durable there."""
        self._partitions[name].reports[owner] = durable

    def settled(self, name: TreeName, co_owners: Iterable[NodeId]) -> Taken:
        """What all owners have taken in for good."""
        found = self._partitions[name]
        least = dict(found.durable)
        for owner in co_owners:
            theirs = found.reports.get(owner, NONE_TAKEN)
            for actor in list(least):
                least[actor] = min(least[actor], theirs.get(actor, 0))
        return least

    def forget(self, partition: PartitionId) -> None:
        """A record of the partition is lost here: nothing is vouched for any more."""
        self.losses += 1
        for name, found in self._partitions.items():
            if name[0] == partition and found.taken:
                found.taken = found.durable = NONE_TAKEN
                self._keep(name, found)
        self.known.discard(partition.to_bytes(2, "big"))

    def without_stale(self, key: ItemKey, record: Record, mine: Record | None) -> Record | None:
        """What of an incoming record is not stale, beside the one held here; None for nothing."""
        found = self._partitions.get(self._name(key))
        if found is None or not found.durable:
            return record
        held = () if mine is None else mine.values
        values = tuple(
            value
            for value in record.values
            if value in held or value.counter > found.durable.get(value.actor, 0)
        )
        if mine is None and not values and covers(found.durable, record.history):
            return None
        if len(values) == len(record.values):
            return record
        gone = {value.operation: OVERWRITTEN for value in record.values if value not in values}
        kept = {value.operation for value in values}
        operations = {**record.operations, **{op: gone[op] for op in gone if op not in kept}}
        return record._replace(operations=operations, values=values)

    def _name(self, key: ItemKey) -> TreeName:
        return partition_of_key(key), self._copies.get(table_of_key(key), 0)

    def _keep(self, name: TreeName, found: _Partition) -> None:
        """Behind all records that it speaks of, in the same log."""
        taken = found.taken

        def durable(_: float) -> list[Any]:
            if found.taken is taken:
                found.durable = taken
                if taken:
                    self.known.add(name[0].to_bytes(2, "big"))
            return []

        value = msgpack.packb((self._actor, dict(taken), found.floor))
        self._store.put_meta(_meta(name), value, Durable(durable))

    def _void(self, name: TreeName) -> None:
        """Nothing is vouched for."""
        if self._kept(name):
            self._store.put_meta(_meta(name), b"", None)

    def _kept(self, name: TreeName) -> bytes:
        """What was kept earlier; what is damaged says nothing."""
        try:
            return self._store.get_meta(_meta(name)) or b""
        except CorruptData:
            return b""

    def _load(self, name: TreeName, former: "Settled | None") -> None:
        """What was kept earlier. What a former one has not seen durable is kept once more, for here
        nobody is told of it yet."""
        value = self._kept(name)
        if not value:
            return
        actor, taken, floor = msgpack.unpackb(value)
        if actor != self._actor:
            return
        found = self._partitions[name]
        found.taken = found.durable = taken
        found.floor = floor
        if former is not None:
            was = former._partitions.get(name)
            found.durable = NONE_TAKEN if was is None else was.durable
            if found.durable != taken:
                self._keep(name, found)
        if found.durable:
            self.known.add(name[0].to_bytes(2, "big"))


def covers(taken: Taken, history: History) -> bool:
    """Whether every dot of a history is in a K."""
    return all(taken.get(actor, 0) >= counter for actor, counter in history.vector.items())


def is_removed(taken: Taken, record: Record) -> bool:
    """Whether a tombstone that its owner, who has taken in so much, does not hold was removed."""
    live = any(value.payload is not None for value in record.values)
    return not live and bool(taken) and covers(taken, record.history)


def joined(one: Taken, other: Taken) -> Taken:
    """What is in either; `one` itself if the other adds nothing."""
    more = {actor: at for actor, at in other.items() if at > one.get(actor, 0)}
    return {**one, **more} if more else one


def _meta(name: TreeName) -> str:
    return f"settled {name[0]} {name[1]}"
