"""The ring: which members hold which partition, as one immutable value with an epoch.

Law:      two members with the same epoch have the same ring (promise P10): `digest()` is equal
          if and only if the content is. Every partition lists every member exactly once.

Picture:  owners[partition] = n3 n1 n4 │ n2 n5 │ n6
                              primaries  fallbacks  (members of weight 0 stand last)
                              ├ N = 1 ┘
                              ├── N = 2 ┘           every table's primaries are a prefix, and
                              ├───── N = 3 = n_max  every prefix is balanced by `placement`

Dynamo paper, section 4.3 (the preference list) and 6.2 (strategy 3). A table of any n <= n_max
is served by one ring. A member of weight 0 is being drained: it is never a primary.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dynamo.errors import InvalidRequest
from dynamo.ring.hashing import PARTITIONS_MAX, partitions_are_legal
from dynamo.types import NodeId, PartitionId

FORMAT_VERSION = 1
"""Stands first in the ring's value, so that a reader knows what it may not understand."""

MEMBERS_MAX = 1024
"""A ring with more members is refused: every request would carry too large a ring to replace."""

N_LIMIT = 32
"""The largest n_max: beyond it more replicas only make every write slower."""


class Member(NamedTuple):
    """A node that takes part in the ring."""

    node: NodeId
    host: str
    """Replicas avoid a shared host; by default the node's name."""
    zone: str
    """Replicas avoid a shared zone (a rack, a data centre) before they avoid a host."""
    weight: float
    """Raise it: the node holds more slots in proportion. Lower it: fewer; 0 holds nothing."""


class Move(NamedTuple):
    """A node becomes a primary of a partition and must be given its data."""

    partition: PartitionId
    node: NodeId


@dataclass(frozen=True, slots=True)
class Ring:
    """Who holds what, at one epoch."""

    epoch: int
    partitions: int
    """Q, a power of two, fixed when the cluster is created."""
    members: tuple[Member, ...]
    owners: tuple[tuple[NodeId, ...], ...]
    """Per partition all members: the replica set of n_max first, then the fallback order."""
    n_max: int
    """The largest n that a table may have on this ring."""
    _primaries: tuple[tuple[tuple[NodeId, ...], ...], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        # Sliced once here, because every request looks its preference list up.
        holders = self.holders
        table = tuple(
            tuple(owners[: min(n, holders)] for owners in self.owners) if n else ()
            for n in range(self.n_max + 1)
        )
        object.__setattr__(self, "_primaries", table)

    @property
    def holders(self) -> int:
        """How many members may hold data: those of positive weight."""
        return sum(member.weight > 0 for member in self.members)

    def preference_list(self, partition: PartitionId, n: int) -> tuple[NodeId, ...]:
        """The primaries of a partition, 1 <= n <= n_max; shorter than n if holders are fewer."""
        return self._primaries[n][partition]

    def fallbacks(self, partition: PartitionId, n: int) -> tuple[NodeId, ...]:
        """Who stands in for a primary, in order: all other members."""
        return self.owners[partition][len(self._primaries[n][partition]) :]

    def primaries_of(self, node: NodeId, n: int) -> tuple[PartitionId, ...]:
        """The partitions of which `node` is one of the first n, ascending."""
        lists = enumerate(self._primaries[n])
        return tuple(PartitionId(partition) for partition, owners in lists if node in owners)

    def at(self, epoch: int) -> "Ring":
        """The same ring under another epoch."""
        return Ring(epoch, self.partitions, self.members, self.owners, self.n_max)

    def gains(self, before: "Ring", n: int) -> tuple[Move, ...]:
        """The slots of prefix n that this ring has and `before` had not: data to be copied."""
        return tuple(
            Move(PartitionId(partition), node)
            for partition, (was, now) in enumerate(
                zip(before._primaries[min(n, before.n_max)], self._primaries[n], strict=True)
            )
            for node in now
            if node not in was
        )

    def as_value(self) -> tuple[object, ...]:
        """The ring as nested tuples that msgpack can carry; owners are indexes into members.

        (format version, epoch, Q, n_max, ((node, host, zone, weight), …), ((index, …), …))
        """
        index_of = {member.node: index for index, member in enumerate(self.members)}
        members = tuple((*member[:3], float(member.weight)) for member in self.members)
        owners = tuple(tuple(index_of[node] for node in nodes) for nodes in self.owners)
        return (FORMAT_VERSION, self.epoch, self.partitions, self.n_max, members, owners)

    @staticmethod
    def from_value(value: object) -> "Ring":
        """The ring that `as_value` made, lists or tuples. Raises InvalidRequest with the reason."""
        match value:
            case [int(version), int(epoch), int(partitions), int(n_max), members, owners]:
                _require(version == FORMAT_VERSION, f"ring format {version} is unknown")
                _require(partitions_are_legal(partitions), _not_legal(partitions))
                listed = _members_from(members)
                named = _owners_from(owners, listed)
                # Before the value exists, because it slices n_max tables when it is made.
                _require(1 <= n_max <= N_LIMIT, f"n_max = {n_max} is out of range")
                ring = Ring(epoch, partitions, listed, named, n_max)
            case _:
                raise InvalidRequest("a ring is a list of six fields, four of them whole numbers")
        ring.validate()
        return ring

    def digest(self) -> bytes:
        """16 bytes that differ when the content does (BLAKE2b of the value as compact JSON)."""
        text = json.dumps(self.as_value(), separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def validate(self) -> None:
        """Raise InvalidRequest with a sentence unless the value is a legal ring."""
        _require(self.epoch >= 1, f"epoch {self.epoch} is below 1")
        _require(1 <= self.n_max <= N_LIMIT, f"n_max = {self.n_max} is out of range")
        _require(partitions_are_legal(self.partitions), _not_legal(self.partitions))
        check_members(self.members)
        listed = len(self.owners)
        _require(listed == self.partitions, f"{listed} owner lists for {self.partitions}")
        everyone = frozenset(member.node for member in self.members)
        drained = frozenset(member.node for member in self.members if member.weight == 0)
        for partition, owners in enumerate(self.owners):
            complete = len(owners) == len(everyone) and everyone.issuperset(owners)
            where = f"partition {partition}"
            _require(
                complete and len(frozenset(owners)) == len(owners),
                f"{where} does not list every member once",
            )
            holding = drained.isdisjoint(owners[: self.holders])
            _require(holding, f"{where} has a member of weight 0 before one that holds data")


def check_members(members: Sequence[Member]) -> None:
    """Raise InvalidRequest with a sentence unless the members can form a ring."""
    _require(0 < len(members) <= MEMBERS_MAX, f"{len(members)} members cannot form a ring")
    zone_of: dict[str, str] = {}
    for member in members:
        legal = math.isfinite(member.weight) and member.weight >= 0
        _require(
            legal, f"{member.node} has the weight {member.weight}, which is below 0 or no number"
        )
        _require(bool(member.node), "a member has no name")
        zone = zone_of.setdefault(member.host, member.zone)
        _require(
            zone == member.zone,
            f"host {member.host} stands in two zones, {zone} and {member.zone}",
        )
    names = len({member.node for member in members})
    _require(names == len(members), "two members have one name")
    _require(any(member.weight > 0 for member in members), "no member has a weight above 0")


def _members_from(value: object) -> tuple[Member, ...]:
    """Members out of a value that anybody may have sent."""
    _require(isinstance(value, list | tuple), "the ring's members are not a list")
    assert isinstance(value, list | tuple)
    members: list[Member] = []
    for entry in value:
        match entry:
            case [str(node), str(host), str(zone), float(weight)]:
                members.append(Member(NodeId(node), host, zone, weight))
            case _:
                raise InvalidRequest("a member is node, host, zone and weight")
    return tuple(members)


def _owners_from(value: object, members: tuple[Member, ...]) -> tuple[tuple[NodeId, ...], ...]:
    """Owner lists out of indexes that anybody may have sent."""
    _require(isinstance(value, list | tuple), "the ring's owners are not a list")
    assert isinstance(value, list | tuple)
    names = {index: member.node for index, member in enumerate(members)}
    owners: list[tuple[NodeId, ...]] = []
    for entry in value:
        _require(isinstance(entry, list | tuple), "an owner list is not a list")
        try:
            owners.append(tuple(names[index] for index in entry))
        except (KeyError, TypeError):
            raise InvalidRequest("an owner list names a member that there is not") from None
    return tuple(owners)


def _not_legal(partitions: int) -> str:
    return f"{partitions} partitions are not a power of two up to {PARTITIONS_MAX}"


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise InvalidRequest(sentence)
