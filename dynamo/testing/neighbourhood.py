"""A few lookouts joined by links that lose and pauses that befall them, in simulated time.

    lookout n1 ══ messages ══▶ lookout n2      FIFO each way; a lost segment is sent again after
               ══ ✗ cut ══▶                    200 ms, 400 ms, …, and holds up all behind it, as in
    pause · resume · unlink · link · leave     TCP; what is sent on a cut way is never heard of

No records, no disks, no clients: only who believes what of whom, and since when. `story` has every
change of mind.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from dynamo.limits import PRESETS, Timing
from dynamo.membership.lookout import Lookout
from dynamo.membership.watch import Signs
from dynamo.messages import Send
from dynamo.meters import Meters
from dynamo.types import Instant, NodeId

RESEND_MS = 200.0
"""The least timer of a TCP that misses an acknowledgement; it doubles."""


class Neighbour:
    """One node."""

    def __init__(self, name: NodeId, members: list[NodeId], timing: Timing, start: int) -> None:
        self.name = name
        self.signs = Signs(set(), set(), set())
        self.meters = Meters()
        self.up: set[NodeId] = set()
        seed = int.from_bytes(name.encode(), "big") << 20 | start << 12
        self.lookout = Lookout(name, members, 1, start, seed, self.signs, timing, self.meters)
        self.handlers = self.lookout.handlers()
        self.paused = False
        self.backlog: list[Callable[[], None]] = []
        self.told: dict[NodeId, str] = {}
        """What the story last told of its opinions."""


class Neighbourhood:
    """All nodes, linked to each other."""

    def __init__(
        self,
        nodes: int,
        timing: Timing = PRESETS["lan"],
        *,
        seed: int = 0,
        loss: float = 0.0,
        latency_ms: float = 0.3,
    ) -> None:
        self.names = [NodeId(f"n{number + 1}") for number in range(nodes)]
        self.timing, self.loss, self.latency_ms = timing, loss, latency_ms
        self.now_ms = 0.0
        self.story: list[str] = []
        self.cut: set[tuple[NodeId, NodeId]] = set()
        """(from, to): what is sent that way is never heard of, and the links stay."""
        self._rng = Random(seed)
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._arrived: dict[tuple[NodeId, NodeId], float] = {}
        self.nodes = {name: Neighbour(name, self.names, timing, 1) for name in self.names}
        for node in self.nodes.values():
            node.up.update(name for name in self.names if name != node.name)
            self.at(self._rng.random() * timing.probe_interval_ms, node, self._wake)

    def run(self, ms: float) -> None:
        """Let time pass."""
        until = self.now_ms + ms
        while self._events and self._events[0][0] <= until:
            self.now_ms, _, call = heappop(self._events)
            call()
        self.now_ms = until

    def views(self, name: str) -> dict[NodeId, str]:
        """What one node thinks of each other one."""
        views = self.nodes[NodeId(name)].lookout.views()
        return {node: view.state for node, view in views.items()}

    def suspects(self, name: str) -> set[NodeId]:
        """Whom one node asks last."""
        signs = self.nodes[NodeId(name)].signs
        return signs.silent | signs.held

    def pause(self, name: str) -> None:
        """SIGSTOP: everything waits."""
        self._say(f"{name} is stopped")
        self.nodes[NodeId(name)].paused = True

    def resume(self, name: str) -> None:
        """SIGCONT: everything that waited comes at once."""
        self._say(f"{name} goes on")
        node = self.nodes[NodeId(name)]
        node.paused = False
        backlog, node.backlog = node.backlog, []
        for call in backlog:
            call()

    def unlink(self, one: str, other: str) -> None:
        """Both ends learn that their link is lost."""
        for mine, theirs in ((one, other), (other, one)):
            node = self.nodes[NodeId(mine)]
            node.up.discard(NodeId(theirs))
            node.lookout.lost(NodeId(theirs), "lost", self.now_ms)

    def link(self, one: str, other: str) -> None:
        """They have found each other again."""
        for mine, theirs in ((one, other), (other, one)):
            node = self.nodes[NodeId(mine)]
            node.up.add(NodeId(theirs))
            self._advance(node)

    def leave(self, name: str) -> None:
        """A clean stop: its last words, then its links are gone."""
        self._say(f"{name} leaves")
        node = self.nodes[NodeId(name)]
        node.lookout.leave()
        self._advance(node)
        self.run(2 * self.latency_ms)
        for other in self.names:
            if other != name:
                self.unlink(name, other)
        node.paused = True

    def start(self, name: str, start: int) -> None:
        """Start a node again, and link it to all."""
        self._say(f"{name} starts")
        node = self.nodes[NodeId(name)] = Neighbour(NodeId(name), self.names, self.timing, start)
        self._wake(node)
        for other in self.names:
            if other != name:
                self.link(name, other)

    def at(self, delay_ms: float, node: Neighbour, call: Callable[[Neighbour], None]) -> None:
        """Later, unless the node has ended by then; when it goes on, if it is stopped."""

        def do() -> None:
            if node.paused:
                node.backlog.append(do)
            elif self.nodes[node.name] is node:
                call(node)

        heappush(self._events, (self.now_ms + delay_ms, next(self._numbers), do))

    def _wake(self, node: Neighbour) -> None:
        self._advance(node)
        due_ms = node.lookout.deadline()
        assert due_ms is not None, "a node with peers looks after them"
        self.at(max(due_ms - self.now_ms, 1.0), node, self._wake)

    def _advance(self, node: Neighbour) -> None:
        effects = node.lookout.advance(node.up, self.now_ms)
        node.lookout.validate()
        self._perform(node, effects)

    def _perform(self, node: Neighbour, effects: list[Send]) -> None:
        for effect in effects:
            to = NodeId(str(effect.to))
            if to in node.up and (node.name, to) not in self.cut:
                self._send(node.name, to, effect.message)
        self._tell(node)

    def _send(self, source: NodeId, to: NodeId, message: Any) -> None:
        delay_ms, resend_ms = self.latency_ms * (0.5 + self._rng.random()), RESEND_MS
        while self._rng.random() < self.loss:
            delay_ms, resend_ms = delay_ms + resend_ms, resend_ms * 2
        due_ms = max(self.now_ms + delay_ms, self._arrived.get((source, to), 0.0))
        self._arrived[source, to] = due_ms
        receiver = self.nodes[to]
        self.at(due_ms - self.now_ms, receiver, lambda node: self._arrive(source, node, message))

    def _arrive(self, source: NodeId, node: Neighbour, message: Any) -> None:
        if source not in node.up:
            return
        node.signs.words.add(source)
        node.signs.silent.discard(source)
        handler = node.handlers[type(message)]
        self._perform(node, handler(source, message, Instant(self.now_ms, 0)))
        node.lookout.validate()

    def _tell(self, node: Neighbour) -> None:
        for other, view in node.lookout.views().items():
            told = view.state
            if view.state == "alive" and not view.reached:
                told = "alive, by hearsay"
            elif view.state == "suspect" and view.reached:
                told = "not trusted, for it comes and goes"
            if node.told.get(other, "alive") != told:
                node.told[other] = told
                self._say(f"{node.name}: {other} is {told}")

    def _say(self, line: str) -> None:
        self.story.append(f"{self.now_ms:7.0f} {line}")
