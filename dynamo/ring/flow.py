"""The cheapest way to push all that fits from a source to a sink.

Law:      of all flows of greatest size, the one found has the least sum of cost times flow. No
          cycle of negative cost is ever left in the residual network (that is the optimality
          criterion, and the invariant between two rounds).

Picture:            ┌─ cheapest distance to every node (Dijkstra over reduced costs)
          round ────┤
                    └─ fill every path of exactly that distance (Dinic within those arcs)

The primal-dual method of Ford and Fulkerson: as many rounds as there are distinct path costs. The
planner's costs are a handful of tiers, so the rounds are few. The result depends only on the order
in which nodes and arcs were added: nothing here iterates over a set or hashes a string.
"""

from collections import deque
from heapq import heappop, heappush


class Network:
    """A directed network; nodes are small ints, an arc is an even int, its reverse arc ^ 1."""

    __slots__ = ("arcs_of", "capacity", "cost", "head", "potential")

    def __init__(self) -> None:
        self.arcs_of: list[list[int]] = []
        self.head: list[int] = []
        self.capacity: list[int] = []
        self.cost: list[int] = []
        self.potential: list[int] = []

    def add_node(self) -> int:
        """A new node's number."""
        self.arcs_of.append([])
        self.potential.append(0)
        return len(self.arcs_of) - 1

    def add_arc(self, tail: int, head: int, capacity: int, cost: int = 0) -> int:
        """A new arc's number. Earlier arcs of a tail are tried first among equals."""
        assert cost >= 0, "a negative cost would break the first round's distances"
        arc = len(self.head)
        self.arcs_of[tail].append(arc)
        self.arcs_of[head].append(arc + 1)
        self.head += (head, tail)
        self.capacity += (capacity, 0)
        self.cost += (cost, -cost)
        return arc

    def flow(self, arc: int) -> int:
        """How much an arc carries: what its reverse could take back."""
        return self.capacity[arc ^ 1]

    def fill(self, source: int, sink: int) -> int:
        """Push all that fits at the least cost; the size of the flow."""
        pushed = 0
        while self._measure(source, sink):
            while levels := self._levels(source, sink):
                pushed += self._push_all(source, sink, levels)
        return pushed

    def _measure(self, source: int, sink: int) -> bool:
        """Raise the potentials by the distances from `source`; whether `sink` is in reach."""
        distance = self._distances(source, sink)
        to_sink = distance[sink]
        if to_sink < 0:
            return False
        for node, length in enumerate(distance):
            # Nodes farther than the sink were not settled; the sink's distance keeps the
            # reduced costs of all their arcs at zero or above.
            self.potential[node] += length if 0 <= length < to_sink else to_sink
        return True

    def _distances(self, source: int, sink: int) -> list[int]:
        """Distances by reduced cost, final for all nodes nearer than `sink`; -1 is unseen."""
        arcs_of, head, capacity = self.arcs_of, self.head, self.capacity
        cost, potential = self.cost, self.potential
        distance = [-1] * len(arcs_of)
        distance[source] = 0
        # Many nodes share one distance, so the heap orders distances, not nodes.
        at_distance: dict[int, list[int]] = {0: [source]}
        heap = [0]
        while heap and not 0 <= distance[sink] <= heap[0]:
            near = heappop(heap)
            nodes = at_distance.pop(near)
            for node in nodes:
                if distance[node] != near:
                    continue
                base = near + potential[node]
                for arc in arcs_of[node]:
                    if capacity[arc]:
                        other = head[arc]
                        length = base + cost[arc] - potential[other]
                        known = distance[other]
                        if known < 0 or length < known:
                            distance[other] = length
                            if length == near:
                                nodes.append(other)
                            elif length in at_distance:
                                at_distance[length].append(other)
                            else:
                                at_distance[length] = [other]
                                heappush(heap, length)
        return distance

    def _levels(self, source: int, sink: int) -> list[int]:
        """Hops from `source` over open arcs of no reduced cost; empty if they miss `sink`."""
        arcs_of, head, capacity = self.arcs_of, self.head, self.capacity
        cost, potential = self.cost, self.potential
        level = [-1] * len(arcs_of)
        level[source] = 0
        queue = deque([source])
        while queue:
            node = queue.popleft()
            if node == sink:
                return level
            for arc in arcs_of[node]:
                other = head[arc]
                if (
                    level[other] < 0
                    and capacity[arc]
                    and cost[arc] + potential[node] == potential[other]
                ):
                    level[other] = level[node] + 1
                    queue.append(other)
        return []

    def _push_all(self, source: int, sink: int, level: list[int]) -> int:
        """Fill every shortest path that `level` shows (a blocking flow); how much went."""
        arcs_of, head = self.arcs_of, self.head
        next_arc = [0] * len(arcs_of)
        path: list[int] = []
        node, pushed = source, 0
        while True:
            if node == sink:
                pushed += self._push(path)
                path, node = [], source
            arcs = arcs_of[node]
            while next_arc[node] < len(arcs):
                arc = arcs[next_arc[node]]
                if level[head[arc]] == level[node] + 1 and self._open(arc, node):
                    path.append(arc)
                    node = head[arc]
                    break
                next_arc[node] += 1
            else:
                if not path:
                    return pushed
                node = head[path.pop() ^ 1]
                next_arc[node] += 1

    def _open(self, arc: int, tail: int) -> bool:
        """Whether an arc has room and lies on a cheapest path."""
        potential = self.potential
        return (
            self.capacity[arc] > 0 and self.cost[arc] + potential[tail] == potential[self.head[arc]]
        )

    def _push(self, path: list[int]) -> int:
        """Send along `path` what its narrowest arc takes."""
        capacity = self.capacity
        amount = min(capacity[arc] for arc in path)
        for arc in path:
            capacity[arc] -= amount
            capacity[arc ^ 1] += amount
        return amount
