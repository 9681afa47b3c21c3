"""What a wanted change of members comes to, shown before anything is decided. Section 4.8, 6.2.

Law:      the target is `placement.plan` on the ring in force: spread over zones and hosts, balanced
          within one slot, and of all such rings one that moves the fewest copies;
          a join followed by the leave of the same node is balanced again, and nothing else moves.

Picture:  ring of epoch e ─┬─ Join n4 ──▶ members ──▶ planner ──▶ target ─┬─▶ moves, per partition
                           └──────────────────────────────────────────────┘   (old and new owners)

A plan changes nothing. `dynamo.membership.change` carries one out, as two epochs.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias, assert_never

from dynamo.errors import InvalidRequest
from dynamo.ring.placement import plan as placed
from dynamo.ring.placement import slots_of
from dynamo.ring.ring import Member, Ring
from dynamo.types import NodeId, PartitionId


class Join(NamedTuple):
    """A new member takes its share."""

    member: Member


class Leave(NamedTuple):
    """A member gives up all it holds; it may be dead already."""

    node: NodeId


class Replace(NamedTuple):
    """A new member takes what a dead one held."""

    dead: NodeId
    member: Member


class Weight(NamedTuple):
    """A member's share changes; 0 drains it."""

    node: NodeId
    weight: float


Change: TypeAlias = Join | Leave | Replace | Weight


class Handover(NamedTuple):
    """One partition whose first n_max owners are not the same nodes, or not in the same order."""

    partition: PartitionId
    before: tuple[NodeId, ...]
    after: tuple[NodeId, ...]

    @property
    def gaining(self) -> tuple[NodeId, ...]:
        """Who must be given its data."""
        return tuple(node for node in self.after if node not in self.before)

    @property
    def losing(self) -> tuple[NodeId, ...]:
        """Who drops its data at the end."""
        return tuple(node for node in self.before if node not in self.after)


class ChangePlan(NamedTuple):
    """A change, and all it would do."""

    change: Change
    before: Ring
    target: Ring
    moves: tuple[Handover, ...]
    """Every partition whose preference list changes."""
    unsatisfied: tuple[str, ...]
    """What could not be had, one sentence each."""

    @property
    def copies(self) -> int:
        """How many copies of a partition move."""
        return sum(len(move.gaining) for move in self.moves)

    def show(self) -> list[str]:
        """The plan as lines for a person."""
        slots = len(self.before.owners) * min(self.before.n_max, self.before.holders)
        return [
            f"{sentence_of(self.change)}: {self.copies} of {slots} copies move, "
            f"in {sum(bool(move.gaining) for move in self.moves)} of {self.before.partitions} "
            "partitions",
            *self._shares(),
            *(f"not satisfied: {sentence}" for sentence in self.unsatisfied),
        ]

    def _shares(self) -> Iterator[str]:
        """Who holds how much, before and after, and what it takes and gives."""
        was, becomes = (slots_of(ring, ring.n_max) for ring in (self.before, self.target))
        takes = [node for move in self.moves for node in move.gaining]
        gives = [node for move in self.moves for node in move.losing]
        for node in sorted(was.keys() | becomes.keys()):
            counts = f"{was.get(node, 0):>6} -> {becomes.get(node, 0):<6}"
            yield f"  {node:<12}{counts}takes {takes.count(node)}, gives {gives.count(node)}"


def plan_of(change: Change, ring: Ring) -> ChangePlan:
    """What `change` comes to on the ring in force.

    Raises InvalidRequest with a sentence if it cannot be: an unknown or a second member of a name,
    no difference at all, or fewer members that hold data than the largest N.
    """
    members = _members_after(change, ring.members)
    made = placed(members, ring.partitions, ring.n_max, ring)
    holders = made.ring.holders
    if holders < ring.n_max <= ring.holders:
        raise InvalidRequest(
            f"{sentence_of(change)} leaves {holders} members that hold data, "
            f"fewer than the {ring.n_max} that a table's N needs; add one first"
        )
    return ChangePlan(change, ring, made.ring, moves_between(ring, made.ring), made.unsatisfied)


def moves_between(before: Ring, after: Ring) -> tuple[Handover, ...]:
    """Every partition whose preference list of n_max differs. The order counts too: a table of a
    smaller N has other owners when the first places change hands."""
    return tuple(
        Handover(PartitionId(partition), was, becomes)
        for partition in range(before.partitions)
        if (was := before.preference_list(PartitionId(partition), before.n_max))
        != (becomes := after.preference_list(PartitionId(partition), after.n_max))
    )


def sentence_of(change: Change) -> str:
    """The change in a few words, such as `join n4`."""
    match change:
        case Join(member):
            return f"join {_described(member)}"
        case Leave(node):
            return f"leave {node}"
        case Replace(dead, member):
            return f"replace {dead} by {_described(member)}"
        case Weight(node, weight):
            return f"weight of {node} = {weight:g}"
    assert_never(change)


def _described(member: Member) -> str:
    zone = f", zone {member.zone}" if member.zone else ""
    return f"{member.node} (host {member.host}{zone}, weight {member.weight:g})"


def _members_after(change: Change, members: Sequence[Member]) -> list[Member]:
    """The members that the change leaves. Raises InvalidRequest."""
    match change:
        case Join(member):
            return [*members, _newcomer(member, members)]
        case Leave(node):
            return _without(node, members)
        case Replace(dead, member):
            return [*_without(dead, members), _newcomer(member, members)]
        case Weight(node, weight):
            old = _found(node, members)
            if old.weight == weight:
                raise InvalidRequest(f"{node} has the weight {weight:g} already")
            return [*_without(node, members), old._replace(weight=weight)]
    assert_never(change)


def _newcomer(member: Member, members: Sequence[Member]) -> Member:
    if any(other.node == member.node for other in members):
        raise InvalidRequest(f"{member.node} is a member already; a newcomer needs its own name")
    return member


def _without(node: NodeId, members: Sequence[Member]) -> list[Member]:
    gone = _found(node, members)
    return [member for member in members if member != gone]


def _found(node: NodeId, members: Sequence[Member]) -> Member:
    for member in members:
        if member.node == node:
            return member
    known = ", ".join(member.node for member in members)
    raise InvalidRequest(f"no member is called {node}; there are {known}")
