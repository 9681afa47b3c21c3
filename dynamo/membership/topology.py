"""What one epoch decides: one ring, or two while a change is under way; and who votes on the next.

    epoch 4   ring {n1 n2 n3}                            voters n1 n2 n3
    epoch 5   ring {n1 n2 n3}, target {n1 n2 n3 n4}      voters n1 n2 n3      joint: both count
    epoch 6   ring {n1 n2 n3 n4}                         voters n1 n2 n3 n4   final
    epoch 7   ring {n1 n2 n3 n4}                         voters n1 n2'n3 n4   n2 lost its disk

Invariant: `ring` and `target` bear the epoch's number. While joint the old members vote, so that a
change whose newcomer dies can be cancelled without it.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import msgpack

from dynamo.errors import InvalidRequest
from dynamo.membership.paxos import Voter
from dynamo.ring.ring import Ring
from dynamo.types import NodeId

FORMAT_VERSION = 4
FOUNDED = "founded"
_LATER: dict[object, list[type]] = {
    1: [],
    2: [bool],
    3: [bool, list],
    FORMAT_VERSION: [bool, list, list],
}
"""What each format has behind the addresses; the formats of former versions are still read."""
FORCED_STEP = 1000
"""Epochs that a forced one skips, so that none that a majority may yet decide has its number."""


class Topology(NamedTuple):
    """Who holds what at one epoch."""

    ring: Ring
    """In force; while a change is under way, of the old owners."""
    target: Ring | None
    """Of the new owners, while a change is under way."""
    voters: tuple[Voter, ...]
    """Whose majority decides the next epoch."""
    change: str
    """What this epoch came about by, in a few words."""
    addresses: tuple[tuple[NodeId, str, int], ...] = ()
    """Where members listen that cluster.yml need not know: name, address, port."""
    moved: bool = False
    """Whether owners were ever others: then those may still hold what they once owned."""
    given_up: tuple[NodeId, ...] = ()
    """Members whose disks were lost more at a time than W allows, as an operator has said: who
    rebuilds takes from them what they have, and waits no longer for what they once had."""
    entered: tuple[tuple[NodeId, int], ...] = ()
    """Since which epoch the members that are no founders are members without a break."""

    @property
    def epoch(self) -> int:
        """The number that no other topology has."""
        return self.ring.epoch

    @property
    def is_joint(self) -> bool:
        """Whether a change is under way."""
        return self.target is not None

    @property
    def members(self) -> tuple[NodeId, ...]:
        """All that take part, the coming and the going included."""
        old = [member.node for member in self.ring.members]
        new = [member.node for member in self.target.members] if self.target else []
        return (*old, *(node for node in new if node not in old))

    def since(self, node: NodeId) -> int:
        """The epoch with which its present membership began; 0 for a founder."""
        return dict(self.entered).get(node, 0)

    def owners(self, partition: int, n: int) -> tuple[tuple[NodeId, ...], tuple[NodeId, ...]]:
        """The first n owners of a partition, old and new; equal where nothing changes."""
        old = self.ring.owners[partition][: min(n, self.ring.holders)]
        if self.target is None:
            return old, old
        return old, self.target.owners[partition][: min(n, self.target.holders)]

    def encoded(self) -> bytes:
        """The value that is voted on and kept; equal topologies have equal bytes."""
        target = None if self.target is None else self.target.as_value()
        fields = (self.ring.as_value(), target, self.voters, self.change, self.addresses)
        later = (self.moved, self.given_up, self.entered)
        packed: bytes = msgpack.packb((FORMAT_VERSION, *fields, *later))
        return packed

    @staticmethod
    @lru_cache(maxsize=4)  # every member tells of the same few
    def decoded(data: bytes) -> "Topology":
        """The inverse. Raises InvalidRequest with the reason for what anybody may have sent."""
        try:
            version, ring, target, voters, change, addresses, *later = msgpack.unpackb(data)
            if [*map(type, later)] != _LATER.get(version) or not isinstance(change, str):
                raise InvalidRequest(f"topology format {version!r} is unknown")
            made = Topology(
                Ring.from_value(ring),
                None if target is None else Ring.from_value(target),
                tuple(_voter(*voter) for voter in voters),
                change,
                tuple((NodeId(node), str(host), int(port)) for node, host, port in addresses),
                later[0] if later else change != FOUNDED,
                tuple(NodeId(str(node)) for nodes in later[1:2] for node in nodes),
                tuple((NodeId(str(node)), int(at)) for each in later[2:] for node, at in each),
            )
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise InvalidRequest(f"no topology: {error}") from error
        made.validate()
        return made

    def validate(self) -> None:
        """Raise InvalidRequest unless both rings fit together and somebody votes."""
        if not self.voters or len(set(self.voters)) != len(self.voters):
            raise InvalidRequest("a topology needs voters, each once")
        if self.target is None:
            return
        for name in ("epoch", "partitions", "n_max"):
            if getattr(self.ring, name) != getattr(self.target, name):
                raise InvalidRequest(f"the two rings of a joint epoch differ in {name}")


def founding(ring: Ring) -> Topology:
    """The first epoch, which cluster.yml alone makes: its members' first lives vote."""
    voters = tuple(Voter(member.node, "") for member in ring.members)
    return Topology(ring, None, voters, FOUNDED)


def joint(
    before: Topology, target: Ring, change: str, addresses: tuple[tuple[NodeId, str, int], ...] = ()
) -> Topology:
    """The epoch in which old and new owners both count."""
    epoch = before.epoch + 1
    known = {entry[0]: entry for entry in (*before.addresses, *addresses)}
    rings = before.ring.at(epoch), target.at(epoch)
    listed = tuple(known[node] for node in sorted(known))
    made = Topology(*rings, before.voters, change, listed, True, before.given_up)
    new = {node: epoch for node in made.members if node not in before.members}
    entered = {node: at for node, at in before.entered if node in made.members} | new
    return made._replace(entered=tuple(sorted(entered.items())))


def final(before: Topology, lives: dict[NodeId, str]) -> Topology:
    """The epoch in which the new owners alone count. `lives`: the members' incarnations as their
    links show them; a member that is not linked keeps its vote if it had one."""
    assert before.target is not None, "only a joint epoch has a final one"
    return _settled(before, before.target, lives, before.change)


def cancelled(before: Topology, lives: dict[NodeId, str]) -> Topology:
    """The epoch in which the old owners alone count again."""
    assert before.target is not None, "only a joint epoch can be cancelled"
    return _settled(before, before.ring, lives, f"cancelled: {before.change}")


def retargeted(
    before: Topology, target: Ring, change: str, addresses: tuple[tuple[NodeId, str, int], ...] = ()
) -> Topology:
    """Another joint epoch from the same old owners, for a target of which somebody died."""
    assert before.target is not None, "only a joint epoch has a target to be replaced"
    return joint(before, target, change, addresses)


def follows(before: Topology, after: Topology) -> bool:
    """Whether an epoch may come after another: its ring is the same, but at the end of a change,
    where it may be the target. Who does not know the ring in force cannot put its own in its
    place, be its cluster.yml what it may."""
    rings = [before.ring] if after.is_joint else [before.ring, before.target]
    return any(ring is not None and after.ring == ring.at(after.epoch) for ring in rings)


def sworn_in(before: Topology, voter: Voter) -> Topology:
    """The same rings, with the vote of a member given to its present life. Without that every lost
    disk would take a vote along, until no majority is left to decide anything."""
    known = {each.node: each for each in before.voters}
    given_up = before.given_up
    if voter.node in known:  # it has lost another disk since, which nobody has given up
        given_up = tuple(node for node in given_up if node != voter.node)
    known[voter.node] = voter
    ring, target, epoch = before.ring, before.target, before.epoch + 1
    voters = tuple(known[each.node] for each in ring.members if each.node in known)
    change = f"{voter.node} has a new disk" if target is None else before.change
    target = None if target is None else target.at(epoch)
    return before._replace(
        ring=ring.at(epoch), target=target, voters=voters, change=change, given_up=given_up
    )


def forced(before: Topology, lost: frozenset[NodeId], asked: Voter) -> Topology:
    """An epoch that skips FORCED_STEP others and is adopted without a vote, in which the `lost`
    have none, and what only they held is given up. `asked`: the member that makes it; it votes if
    nobody else is left to."""
    voters = tuple(voter for voter in before.voters if voter.node not in lost) or (asked,)
    return before._replace(
        ring=before.ring.at(before.epoch + FORCED_STEP),
        voters=voters,
        change=f"forced: {before.change.removeprefix('forced: ')}",
        given_up=tuple(sorted({*before.given_up, *lost})),
    )


def _settled(before: Topology, ring: Ring, lives: dict[NodeId, str], change: str) -> Topology:
    known = {voter.node: voter for voter in before.voters}
    voters = [
        Voter(member.node, lives[member.node]) if member.node in lives else known[member.node]
        for member in ring.members
        if member.node in lives or member.node in known
    ]
    settled = ring.at(before.epoch + 1)
    names = {member.node for member in ring.members}
    addresses = tuple(entry for entry in before.addresses if entry[0] in names)
    given_up = tuple(node for node in before.given_up if node in names)
    entered = tuple(entry for entry in before.entered if entry[0] in names)
    return Topology(settled, None, tuple(voters), change, addresses, True, given_up, entered)


def _voter(node: Any, incarnation: Any) -> Voter:
    if not isinstance(node, str) or not isinstance(incarnation, str):
        raise InvalidRequest("a voter is a name and an incarnation")
    return Voter(NodeId(node), incarnation)
