"""Which members hold each partition: the sets of every prefix length, as cheapest flows.

Law, for every prefix length k, in this order of importance:
  spread    the bounds of `shares.spread` hold in every partition;
  balance   a member stands in its fair share of prefixes, rounded down or up;
  movement  of all such choices, one with the fewest slots that the previous ring had not.

Picture:            ┌─ p0 ──┬─ zone a ─┬─ n1 ─┐   source → partition: k replicas
          source ───┼─ p1   └─ zone b ─┼─ n2 ─┼─── sink        → zone → host: bounds of spread
                    └─ p2 …            └─ n3 ─┘   → member: 1; costs if it is a move
                                                  → sink: free to the share rounded down,
                                                    dear to the share rounded up, dearest above
          One flow chooses the sets of n among all; the next those of n-1 among them; down to 1.

Peeling from the longest prefix down, and not building up from the first place, cannot run into a
dead end: a set of k always has subsets of k-1, while chosen sets of k-1 may have no balanced k
above them. A bound is an arc that costs a tier more beyond it, so a flow that cannot meet a bound
still comes as near as it can, and the caller counts what was met.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dynamo.ring.flow import Network
from dynamo.ring.ring import Member, Ring
from dynamo.ring.shares import Group, fair_shares, slot_bounds, spread
from dynamo.types import NodeId, PartitionId

NodeLists = list[list[NodeId]]
"""Per partition some nodes; an earlier one is preferred where all else is equal."""


def choose_prefixes(
    holders: Sequence[Member], orders: NodeLists, n: int, previous: Ring | None
) -> list[NodeLists]:
    """The sets of prefix k at index k - 1, each contained in the next, for 1 <= k <= n.

    `orders` has all holders for each partition and breaks ties: mixed orders mix the sets.
    """
    aims = [_Aim.of(holders, len(orders), k) for k in range(1, n + 1)]
    found: list[NodeLists] = []
    candidates = orders
    for k in range(n, 0, -1):
        candidates = _Choice(aims[:k], candidates, previous).made()
        found.append(candidates)
    return found[::-1]


class _Aim(NamedTuple):
    """What prefixes of one length should look like."""

    cluster: Group
    bounds: dict[NodeId, tuple[int, int]]
    """Every holder's fair share of slots, rounded down and up."""

    @staticmethod
    def of(holders: Sequence[Member], partitions: int, k: int) -> "_Aim":
        cluster = spread(holders, k)
        shares = fair_shares(cluster).items()
        return _Aim(cluster, {node: slot_bounds(share, partitions) for node, share in shares})


class _Costs(NamedTuple):
    """The tiers of cost: one unit of a tier outweighs all that lower tiers can add up to."""

    move: int
    balance: int
    spread: int

    @staticmethod
    def of(slots: int, k: int) -> "_Costs":
        # Keeping a slot costs less than k for its place and k for each of k - 1 shorter prefixes;
        # a slot is in one arc of balance, which costs three units at most.
        move = slots * k * k + 1
        balance = (slots + 1) * move
        return _Costs(move, balance, (3 * slots + 1) * balance)


class _Choice:
    """The flow that chooses k of each partition's candidates."""

    def __init__(self, aims: Sequence[_Aim], candidates: NodeLists, previous: Ring | None) -> None:
        self._aims, self._k, self._previous = aims, len(aims), previous
        self._candidates = candidates
        self._costs = _Costs.of(len(candidates) * self._k, self._k)
        self._net = Network()
        self._source, self._sink = self._net.add_node(), self._net.add_node()
        self._doors = {node: self._add_member(node) for node in aims[-1].bounds}
        self._slots: list[dict[NodeId, int]] = []
        for partition in range(len(candidates)):
            self._add_partition(partition)

    def made(self) -> NodeLists:
        """The chosen sets, in the candidates' order."""
        size = self._net.fill(self._source, self._sink)
        assert size == self._k * len(self._candidates), "a prefix could not be filled"
        return [
            [node for node in nodes if self._net.flow(slots[node])]
            for nodes, slots in zip(self._candidates, self._slots, strict=True)
        ]

    def _add_member(self, node: NodeId) -> list[int]:
        """The member's doors: the last for new slots, door p for slots it held at place p.

        Whoever held more first places (or first two, ...) than its share will be gives up such
        places first: then a newcomer takes them as they are, and no third node has to move.
        """
        doors = [self._net.add_node() for _ in range(self._k)]
        partitions = len(self._candidates)
        for place, aim in enumerate(self._aims[:-1]):
            high = aim.bounds[node][1]
            self._net.add_arc(doors[place], doors[place + 1], high)
            self._net.add_arc(doors[place], doors[place + 1], partitions - high, self._k)
        low, high = self._aims[-1].bounds[node]
        self._net.add_arc(doors[-1], self._sink, low)
        self._net.add_arc(doors[-1], self._sink, high - low, self._costs.balance)
        self._net.add_arc(doors[-1], self._sink, partitions - high, 3 * self._costs.balance)
        return doors

    def _add_partition(self, partition: int) -> None:
        top = self._net.add_node()
        self._net.add_arc(self._source, top, self._k)
        places = self._places_before(partition)
        self._slots.append({})
        # The only zone of a cluster bounds nothing, and a node in between costs time.
        cluster = self._aims[-1].cluster
        only = cluster.children[0] if len(cluster.children) == 1 else cluster
        self._add_group(top, only, self._candidates[partition], places)

    def _add_group(
        self, tail: int, group: Group, candidates: list[NodeId], places: dict[NodeId, int]
    ) -> None:
        """Arcs from `tail` to the candidates that stand in `group`, the preferred ones first.

        If a child must give some, what any child gives beyond its `lo` costs a unit of spread.
        """
        beyond = self._costs.spread if any(child.lo for child in group.children) else 0
        bounded: dict[NodeId, tuple[Group, list[NodeId]]] = {}
        for child in group.children:
            inside = [node for node in candidates if node in child.nodes]
            if child.lo > 0 or len(inside) > child.hi:
                bounded.update((node, (child, inside)) for node in inside)
        for node in candidates:
            if node not in group.nodes:
                continue
            if node not in bounded:
                self._add_slot(tail, node, places, beyond)
            elif bounded[node][1][0] == node:
                child, inside = bounded[node]
                head = self._net.add_node()
                self._net.add_arc(tail, head, child.lo)
                self._net.add_arc(tail, head, child.hi - child.lo, beyond)
                self._add_group(head, child, inside, places)

    def _add_slot(self, tail: int, node: NodeId, places: dict[NodeId, int], extra: int) -> None:
        """The arc that puts `node` into the prefix, through the door that fits its past."""
        doors = self._doors[node]
        place = places.get(node)
        if place is None:
            arc = self._net.add_arc(tail, doors[-1], 1, extra + self._costs.move)
        else:
            # A late place is given up before an early one, because whoever takes over may then
            # stand in any place before it without a second move.
            arc = self._net.add_arc(tail, doors[place], 1, extra + place)
        self._slots[-1][node] = arc

    def _places_before(self, partition: int) -> dict[NodeId, int]:
        """The place, from 0, of each node that held the prefix in the previous ring."""
        if self._previous is None:
            return {}
        k = min(self._k, self._previous.n_max)
        owners = self._previous.preference_list(PartitionId(partition), k)
        return {node: place for place, node in enumerate(owners)}
