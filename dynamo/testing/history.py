"""What clients did and were told: per key, every write and read with its times.

Causality is followed by the clients' own knowledge, not by the store's vectors. Each write of a key
has a number; a set of writes is an integer with that many bits. A context is worth the set of
writes that its holder has seen, directly or through what they replaced:

    read that returned V       V, all that the writes in V replaced, and every write acknowledged
                               before the read began (what it did not return, it saw replaced)
    put by a holder of S       S and the put itself

So `write.replaces` is the set that a write's context was worth, and it is transitively closed.
"""

from typing import Literal, NamedTuple

from dynamo.siblings.record import ConflictRule, operation_stamp
from dynamo.types import OperationId

Status = Literal["open", "acknowledged", "not applied", "unknown"]


class Context(NamedTuple):
    """What a client holds after a read or a put: the store's token and its worth."""

    token: bytes | None
    seen: int
    stamp: int
    """The highest stamp that came with it."""


BLIND = Context(None, 0, 0)


class Write:
    """One put or delete, through all its attempts."""

    __slots__ = (
        "attempts",
        "heard",
        "invoked_ms",
        "key",
        "number",
        "operation",
        "payload",
        "place",
        "replaces",
        "returned_ms",
        "status",
        "uncertain",
    )

    def __init__(
        self,
        key: "KeyHistory",
        number: int,
        operation: OperationId,
        payload: bytes | None,
        context: Context,
        now: float,
    ) -> None:
        self.key, self.number, self.operation, self.payload = key, number, operation, payload
        self.replaces = context.seen
        self.invoked_ms = now
        self.returned_ms: float | None = None
        self.status: Status = "open"
        self.attempts = 0
        self.heard = False
        """Whether its author got a context for it."""
        self.uncertain = 0
        """Attempts that a replica may hold."""
        self.place = max(operation_stamp(operation), context.stamp + 1), operation
        """In the order of `lww`: above its client's stamps and all that it replaces."""

    @property
    def bit(self) -> int:
        """The set that holds this write alone."""
        return 1 << self.number

    def __repr__(self) -> str:
        what = "delete" if self.payload is None else self.payload[:24].decode(errors="replace")
        return f"<{self.key.name} #{self.number} {what} {self.status} {self.invoked_ms:.1f}>"


class Read(NamedTuple):
    """A read under way: what was known when it began."""

    began_ms: float
    acknowledged: int
    """Puts that it must return, or something that replaced them."""
    forbidden: int
    """Writes that it must not return: an acknowledged write had replaced them."""
    denied: int
    """Writes that were told to be not applied."""


class KeyHistory:
    """All writes of one item."""

    def __init__(self, table: int, rule: ConflictRule, key: bytes, *, sloppy: bool = False) -> None:
        """`sloppy`: a read promises nothing before the end, once a hint of the item was kept."""
        self.table, self.rule, self.key, self.sloppy = table, rule, key, sloppy
        self.name = f"{table}/{key.decode()}"
        self.writes: list[Write] = []
        self.by_payload: dict[bytes, Write] = {}
        self.acknowledged = self.forbidden = self.denied = 0
        self.deleted = 0
        """What deletes replaced, if they were applied."""
        self.latest = (0, b"")
        """The place of the latest acknowledged write."""

    def invoke(
        self, operation: OperationId, payload: bytes | None, context: Context, now: float
    ) -> Write:
        """A client begins a write."""
        write = Write(self, len(self.writes), operation, payload, context, now)
        self.writes.append(write)
        if payload is None:
            self.deleted |= write.replaces
        else:
            self.by_payload[payload] = write
        return write

    def acknowledge(self, write: Write, now: float) -> None:
        """The write was told to be applied."""
        write.status, write.returned_ms = "acknowledged", now
        self.latest = max(self.latest, write.place)
        self.forbidden |= write.replaces
        if write.payload is not None:
            self.acknowledged |= write.bit

    def deny(self, write: Write, now: float) -> None:
        """The write was told to be not applied, and never to be."""
        write.status, write.returned_ms = "not applied", now
        self.denied |= write.bit

    def doubt(self, write: Write, now: float) -> None:
        """Nobody could tell what became of the write."""
        write.status, write.returned_ms = "unknown", now

    def begin_read(self, now: float) -> Read:
        """What a read that begins now must and must not return."""
        return Read(now, self.acknowledged, self.forbidden, self.denied)

    def replaced_by(self, writes: int) -> int:
        """Everything that any of these writes replaced."""
        replaced = 0
        for number in numbers(writes):
            replaced |= self.writes[number].replaces
        return replaced

    def durably_replaced(self) -> int:
        """What writes replaced whose authors got a context: W disks held these themselves."""
        replaced = 0
        for write in self.writes:
            if write.heard:
                replaced |= write.replaces
        return replaced

    def context_of_read(self, token: bytes, found: int, read: Read, stamp: int) -> Context:
        """The worth of a read's context."""
        seen = found | self.replaced_by(found) | read.acknowledged
        return Context(token, seen, stamp)

    def describe(self, writes: int) -> str:
        """The writes of a set, for people."""
        return ", ".join(repr(self.writes[number]) for number in numbers(writes))


def numbers(writes: int) -> list[int]:
    """The members of a set, ascending."""
    found = []
    while writes:
        low = writes & -writes
        found.append(low.bit_length() - 1)
        writes ^= low
    return found
