"""How many slots each member ought to hold: the weighted share under the rule of spread.

Law:      a prefix of k replicas spreads over zones as evenly as they have hosts, then over hosts
          as evenly as they have nodes; within that, every member's share is in proportion to its
          weight, and nobody holds a partition twice.

Picture:  cluster ─┬─ zone a [lo, hi] ─┬─ host 1 [lo, hi] ─── n1   share = min(1, λ · weight)
                   │                   └─ host 2 [lo, hi] ─┬─ n2
                   └─ zone b [lo, hi] ─── …                └─ n3

lo and hi bound how many of the k replicas of one partition may stand in a group. One λ serves the
cluster (that is what fair means); a group at its bound gets a λ of its own (a cap takes from the
heavy and gives to the rest in proportion: water filling). Shares are per partition, 0 to 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor

from dynamo.ring.ring import Member
from dynamo.types import NodeId

_BISECTIONS = 200
_ROUNDING = 1e-6
"""Float noise to take for a whole number: far below one slot, far above 200 bisections' error."""


@dataclass(frozen=True, slots=True)
class Group:
    """A zone, a host or the whole cluster, for prefixes of one length.

    `lo` and `hi` bound how many replicas of one partition stand in it. A group without children
    is a single member: `member` is set, lo is 0 and hi is 1.
    """

    lo: int
    hi: int
    children: tuple["Group", ...] = ()
    member: Member | None = None
    nodes: frozenset[NodeId] = frozenset()
    """The members' names, for looking up only."""

    def amount(self, level: float) -> float:
        """The replicas per partition that the group takes at λ = `level`."""
        if self.member is not None:
            return min(1.0, level * self.member.weight)
        return min(max(sum(child.amount(level) for child in self.children), self.lo), self.hi)


def spread(members: Sequence[Member], k: int) -> Group:
    """The tree of bounds for prefixes of `k` among members of positive weight, k <= members.

    As long as hosts suffice (k <= all hosts), no host is taken twice; beyond, all are taken.
    """
    zones: dict[str, dict[str, list[Member]]] = {}
    for member in members:
        zones.setdefault(member.zone, {}).setdefault(member.host, []).append(member)
    reuse = k > sum(len(hosts) for hosts in zones.values())
    limits = [
        (len(hosts), sum(map(len, hosts.values()))) if reuse else (0, len(hosts))
        for hosts in zones.values()
    ]
    bounds = zip(_fill(k, limits), zones.values(), strict=True)
    children = tuple(_zone(lo, hi, list(hosts.values()), reuse) for (lo, hi), hosts in bounds)
    return _group(k, k, children)


@lru_cache(maxsize=64)
def fair_shares(cluster: Group) -> Mapping[NodeId, float]:
    """Every member's share of a partition, 0 to 1, adding up to the cluster's k.

    One plan asks several times for the same few clusters.
    """
    shares: dict[NodeId, float] = {}
    _divide(cluster, float(cluster.lo), shares)
    return shares


def slot_bounds(share: float, partitions: int) -> tuple[int, int]:
    """A share of each of Q partitions as whole slots: rounded down and rounded up."""
    slots = share * partitions
    return floor(slots + _ROUNDING), ceil(slots - _ROUNDING)


def _zone(lo: int, hi: int, hosts: list[list[Member]], reuse: bool) -> Group:
    """A zone's bounds, its hosts' and its members'."""
    limits = [(1, len(nodes)) if reuse else (0, 1) for nodes in hosts]
    least = [bound[0] for bound in _fill(lo, limits)]
    most = [bound[1] for bound in _fill(hi, limits)]
    children = (
        _group(low, high, tuple(_leaf(member) for member in nodes))
        for low, high, nodes in zip(least, most, hosts, strict=True)
    )
    return _group(lo, hi, tuple(children))


def _group(lo: int, hi: int, children: tuple[Group, ...]) -> Group:
    nodes = frozenset(node for child in children for node in child.nodes)
    return Group(lo, hi, children, None, nodes)


def _leaf(member: Member) -> Group:
    return Group(0, 1, (), member, frozenset((member.node,)))


def _fill(k: int, limits: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Bounds (lo, hi) per group that spread `k` evenly within each group's (least, most)."""

    def filled(level: int) -> list[int]:
        return [min(max(level, least), most) for least, most in limits]

    level = next(level for level in range(k + 1) if sum(filled(level)) >= k)
    if sum(filled(level)) == k:
        return [(count, count) for count in filled(level)]
    return list(zip(filled(level - 1), filled(level), strict=True))


def _divide(group: Group, amount: float, shares: dict[NodeId, float]) -> None:
    """Give `amount` to the members of `group`, in proportion to their weights within bounds."""
    if group.member is not None:
        shares[group.member.node] = amount
        return
    level = _solve(lambda at: sum(child.amount(at) for child in group.children), amount)
    for child in group.children:
        _divide(child, child.amount(level), shares)


def _solve(total: Callable[[float], float], amount: float) -> float:
    """The least level at which the rising function `total` reaches `amount`."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        if total(high) >= amount - _ROUNDING / 1e6:
            break
        high *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if total(middle) >= amount else (middle, high)
    return high
