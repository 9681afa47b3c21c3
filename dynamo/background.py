"""Background parts: the work of a node that no client waits for, behind one face.

    PeerUp ──▶ advance(up)      own message ──▶ handlers()[type](source, message, now)
    PeerDown ▶ lost(node)       answer with own tag ──▶ acknowledged · refused · answered
    Tick ────▶ advance(up), when deadline() has come

Rebuilding, handoff, exchanges, membership and transfers are such parts. Each is a machine of its
own that knows nothing of the others; what it decides goes through the kernel's `_perform` like
every decision. The kernel asks `handlers` once, at its start; an operation pays for one flag.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dynamo.types import Instant, NodeId

LOOK_MS = 20.0
"""What an operation makes due sooner (a hint for a node that is up) is noticed so late at most.
Raising it: less is spent on asking all parts for their deadlines while operations run; lowering it:
such work begins sooner."""

SomePart = TypeVar("SomePart", bound="Part")
Handler = Callable[[Any, Any, Instant], list[Any]]
"""(source, message, now) -> decisions."""


class Durable:
    """A store's token that asks to be told: `then(now_ms)`, whose decisions are performed, once
    what was written under it is durable."""

    __slots__ = ("then",)

    def __init__(self, then: Callable[[float], list[Any]]) -> None:
        self.then = then

    def __repr__(self) -> str:
        return "Durable"  # without an address, so that a run's trace is the same each time


class Part:
    """One kind of background work; what a part does not need it leaves as it is here."""

    tag: int | None = None
    """The tag of its request ids (`decisions`), if replicas answer it in ordinary messages."""

    kind: str = ""
    """Its name to the governor (dynamo.repair.governor), if it can go slower."""
    share_min: float = 0.0
    """What the governor leaves to it at least."""

    def pace(self, share: float) -> None:
        """Take this share (above 0, at most 1) of what is taken at full pace."""

    def handlers(self) -> dict[type[Any], Handler]:
        """The messages that only this part takes; they come from members only."""
        return {}

    def advance(self, up: set[NodeId], now_ms: float) -> list[Any]:
        """Go on: a peer came up, or the deadline is here. Drop what was not answered in time."""
        return []

    def lost(self, node: NodeId, reason: str, now_ms: float) -> list[Any]:
        """The link to a peer is gone; what was asked there will not be answered."""
        return []

    def acknowledged(
        self, node: NodeId, id: int, record: bytes | None, whole: bool, now_ms: float
    ) -> list[Any]:
        """A ReplicaPut of this part is durable there; `record`: what it was merged to, if else."""
        return []

    def refused(self, node: NodeId, id: int, cause: str, now_ms: float) -> list[Any]:
        """A replica does not take or give."""
        return []

    def answered(self, node: NodeId, id: int, record: bytes | None, now_ms: float) -> list[Any]:
        """A replica's record, for a ReplicaGet of this part."""
        return []

    def same(self, node: NodeId, id: int, now_ms: float) -> list[Any]:
        """A replica's record has the digest that a ReplicaGet of this part named."""
        return []

    def deadline(self) -> float | None:
        """When `advance` is wanted, in monotonic milliseconds."""
        return None

    def validate(self) -> None:
        """Assert the invariants."""

    def status(self, now_ms: float) -> dict[str, Any]:
        """What an operator wants to see, by names that are unique in a node's status."""
        return {}


class Background:
    """All background parts of one node, in a fixed order."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self._by_tag = {part.tag: part for part in self._parts if part.tag is not None}
        self._due_ms: float | None = None
        self._look_ms = 0.0
        self._touched = True
        """A part was told something: its deadline is not the one that was seen last."""
        self.stirred = True
        """The kernel did something else, of which a part may have heard."""

    def handlers(self) -> dict[type[Any], Handler]:
        """Every part's messages; no two parts take the same."""
        handlers: dict[type[Any], Handler] = {}
        for part in self._parts:
            own = part.handlers()
            assert not handlers.keys() & own.keys(), "two parts take one message"
            handlers |= own
        return {kind: self._touching(handler) for kind, handler in handlers.items()}

    def _touching(self, handler: Handler) -> Handler:
        def handle(source: Any, message: Any, now: Instant) -> list[Any]:
            self._touched = True
            return handler(source, message, now)

        return handle

    def answering(self, tag: int) -> Part | None:
        """The part whose requests have this tag, to be told an answer."""
        part = self._by_tag.get(tag)
        return None if part is None else self.telling(part)

    def telling(self, part: SomePart) -> SomePart:
        """The part, to be told something that may change its deadline."""
        self._touched = True
        return part

    def advance(self, up: set[NodeId], now_ms: float) -> list[Any]:
        """A peer came up: everybody looks again."""
        self._touched = True
        return [made for part in self._parts for made in part.advance(up, now_ms)]

    def expire(self, up: set[NodeId], now_ms: float) -> list[Any]:
        """A Tick: those whose time has come go on."""
        made: list[Any] = []
        due_ms = self.deadline()
        if due_ms is None or now_ms < due_ms:
            return made
        for part in self._parts:
            due_ms = part.deadline()
            if due_ms is not None and due_ms <= now_ms:
                made += part.advance(up, now_ms)
        self._look_ms, self._touched, self.stirred = now_ms + LOOK_MS, True, False
        return made

    def lost(self, node: NodeId, reason: str, now_ms: float) -> list[Any]:
        """A peer's link is gone."""
        self._touched = True
        return [made for part in self._parts for made in part.lost(node, reason, now_ms)]

    def deadline(self) -> float | None:
        """When a Tick is wanted."""
        if self._touched:
            self._touched = False
            wanted = [part.deadline() for part in self._parts]
            self._due_ms = min([due for due in wanted if due is not None], default=None)
        if self.stirred and (self._due_ms is None or self._look_ms < self._due_ms):
            return self._look_ms
        return self._due_ms

    def validate(self) -> None:
        """Assert the invariants of all parts."""
        for part in self._parts:
            part.validate()

    def status(self, now_ms: float) -> dict[str, Any]:
        """All parts' words and numbers."""
        merged: dict[str, Any] = {}
        for part in self._parts:
            own = part.status(now_ms)
            assert not merged.keys() & own.keys(), "two parts use one name"
            merged |= own
        return merged
