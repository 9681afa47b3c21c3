"""Who should hold what: the pure, deterministic planner. Dynamo paper, sections 4.2, 4.3 and 6.2.

Law, for every prefix k of the preference lists, 1 <= k <= n:
  spread    it uses as many zones as there are, then as many hosts, as evenly as they allow;
  balance   a member stands in its fair share of prefixes (`shares`), rounded down or up;
  movement  of all such placements, it is one that differs from `previous` in the fewest slots.
Spread is certain. Balance and movement are certain for k = n. A shorter prefix is the best that
the next longer one contains, and never costs that one anything; where a member then misses its
share by more than one slot, `unsatisfied` says so.

Picture:  members, Q, n, previous ──▶ prefixes (cheapest flows) ──▶ n3 n1 n4 │ n2 n5 │ n6
                                      fallbacks (ranks, spread) ────────────────┘
          ──▶ Plan(ring of the next epoch, moved slots per prefix, what could not be had)

The same members, Q, n and previous ring give the same plan on every machine. A plan on the ring
that a plan made, with the same members, moves nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import mmh3

from dynamo.errors import InvalidRequest
from dynamo.ring.hashing import partitions_are_legal
from dynamo.ring.prefixes import choose_prefixes
from dynamo.ring.ring import N_LIMIT, Member, Ring, check_members
from dynamo.ring.shares import fair_shares, spread
from dynamo.types import NodeId, PartitionId

PARTITIONS_PER_MEMBER_MIN = 4
"""With fewer, within one slot of the share is far from balanced. A warning, not a refusal."""


class Plan(NamedTuple):
    """What a change of members comes to, shown before it is committed."""

    ring: Ring
    moved: tuple[int, ...]
    """moved[k - 1]: the slots of prefix k that get a new owner; all 0 for a first ring."""
    unsatisfied: tuple[str, ...]
    """What could not be had, one sentence each."""


def plan(members: Sequence[Member], partitions: int, n: int, previous: Ring | None = None) -> Plan:
    """Place `n` replicas of each partition; the order of `members` does not matter.

    Raises InvalidRequest with a sentence if no ring can have these members, Q or n.
    """
    check_members(members)
    _check_sizes(partitions, n, previous)
    ordered = tuple(sorted(members, key=lambda member: member.node))
    holders = [member for member in ordered if member.weight > 0]
    orders = [_order(partition, ordered) for partition in range(partitions)]
    holding = [[member.node for member in order if member.weight > 0] for order in orders]
    prefixes = choose_prefixes(holders, holding, min(n, len(holders)), previous)
    owners = tuple(
        _owner_list([lists[partition] for lists in prefixes], orders[partition])
        for partition in range(partitions)
    )
    ring = Ring(previous.epoch + 1 if previous else 1, partitions, ordered, owners, n)
    ring.validate()
    return Plan(ring, _moved(ring, previous), (*_missing(ring), *_unbalanced(ring)))


def slots_of(ring: Ring, k: int) -> dict[NodeId, int]:
    """How many prefixes of length k each member stands in."""
    counts = {member.node: 0 for member in ring.members}
    for partition in range(ring.partitions):
        for node in ring.preference_list(PartitionId(partition), k):
            counts[node] += 1
    return counts


def shares_of(ring: Ring, k: int) -> dict[NodeId, float]:
    """How many prefixes of length k each member ought to stand in."""
    holders = [member for member in ring.members if member.weight > 0]
    fair = fair_shares(spread(holders, min(k, len(holders))))
    return {m.node: fair.get(m.node, 0.0) * ring.partitions for m in ring.members}


def _order(partition: int, members: Sequence[Member]) -> list[Member]:
    """A fixed pseudo-random order of members for each partition (rendezvous hashing).

    It mixes who shares partitions with whom, so that a lost member's load falls on many, and two
    members keep their order when a third comes or goes. Heavy members tend to come early; those
    of weight 0 stand last.
    """

    def rank(member: Member) -> tuple[bool, float, NodeId]:
        drawn = mmh3.hash(member.node, partition, signed=False) + 1
        drained = member.weight == 0
        return drained, drawn if drained else drawn / member.weight, member.node

    return sorted(members, key=rank)


def _owner_list(prefixes: Sequence[Sequence[NodeId]], order: list[Member]) -> tuple[NodeId, ...]:
    """The places of the prefixes, then everybody else, zones and hosts taking turns."""
    owners: list[NodeId] = []
    for prefix in prefixes:
        owners += [node for node in prefix if node not in owners]
    member_of = {member.node: member for member in order}
    in_use = [member_of[node] for node in owners]
    rest = [member for member in order if member.node not in owners]
    rest = _taking_turns([m.host for m in in_use], [m.host for m in rest], rest)
    rest = _taking_turns([m.zone for m in in_use], [m.zone for m in rest], rest)
    return (*owners, *(member.node for member in rest))


def _taking_turns(in_use: list[str], labels: list[str], members: list[Member]) -> list[Member]:
    """`members` reordered so that labels rarely used so far come first; drained ones last."""
    uses: dict[str, int] = {}
    for label in in_use:
        uses[label] = uses.get(label, 0) + 1
    turns: list[tuple[bool, int, int]] = []
    for index, (label, member) in enumerate(zip(labels, members, strict=True)):
        turns.append((member.weight == 0, uses.get(label, 0), index))
        uses[label] = uses.get(label, 0) + 1
    return [members[index] for _, _, index in sorted(turns)]


def _moved(ring: Ring, previous: Ring | None) -> tuple[int, ...]:
    if previous is None:
        return (0,) * ring.n_max
    return tuple(len(ring.gains(previous, k)) for k in range(1, ring.n_max + 1))


def _missing(ring: Ring) -> list[str]:
    """Where the cluster is too small for what is asked, or too lopsided for its weights."""
    holders = [member for member in ring.members if member.weight > 0]
    n, found = ring.n_max, []
    for count, name in (
        (len({member.zone for member in holders}), "zone"),
        (len({member.host for member in holders}), "host"),
        (len(holders), "data-holding member"),
    ):
        if count < n and (count > 1 or name != "zone"):  # one zone only: nobody asked for more
            so_many = f"is only 1 {name}" if count == 1 else f"are only {count} {name}s"
            found.append(f"n = {n}, but there {so_many}")
    if ring.partitions < PARTITIONS_PER_MEMBER_MIN * len(holders):
        found.append(
            f"{len(holders)} members share {ring.partitions} partitions, fewer than "
            f"{PARTITIONS_PER_MEMBER_MIN} each: load will be uneven"
        )
    return found + _capped(ring, holders)


def _capped(ring: Ring, holders: Sequence[Member]) -> list[str]:
    """Where spread, or one replica per partition, keeps weights from being followed."""
    slots = min(ring.n_max, len(holders)) * ring.partitions
    total = sum(member.weight for member in holders)
    shares = shares_of(ring, ring.n_max)
    return [
        f"{member.node} should hold {slots * member.weight / total:.1f} slots by its weight, "
        f"but spread and one replica per partition make it {shares[member.node]:.1f}"
        for member in holders
        if abs(shares[member.node] - slots * member.weight / total) > 1
    ]


def _unbalanced(ring: Ring) -> list[str]:
    """Members that miss their share of a prefix by more than one slot."""
    found: list[str] = []
    for k in range(1, ring.n_max + 1):
        shares = shares_of(ring, k)
        found += [
            f"{node} stands in {count} prefixes of {k}, its share is {shares[node]:.1f}"
            for node, count in slots_of(ring, k).items()
            if abs(count - shares[node]) > 1 + 1e-6
        ]
    return found


def _check_sizes(partitions: int, n: int, previous: Ring | None) -> None:
    if not partitions_are_legal(partitions):
        raise InvalidRequest(f"{partitions} partitions are not a power of two in range")
    if not 1 <= n <= N_LIMIT:
        raise InvalidRequest(f"n = {n} is not from 1 to {N_LIMIT}")
    if previous is not None and previous.partitions != partitions:
        raise InvalidRequest(
            f"the ring has {previous.partitions} partitions, fixed when the cluster was created; "
            f"{partitions} were asked for"
        )
