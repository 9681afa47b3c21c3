"""How every part of the core behaves: events in, effects out, time as an argument.

A machine never awaits, logs, reads a clock, draws randomness it was not given, or raises for what
a network may do. A timer that fires is an event. The node's shell performs the effects on asyncio,
the simulator on a seeded heap: what runs in production is what is tested.
"""

from typing import Protocol, TypeVar

from dynamo.types import Instant

Event = TypeVar("Event", contravariant=True)
Effect = TypeVar("Effect")


class Machine(Protocol[Event, Effect]):
    """A deterministic part of a node."""

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """Take in what happened; answer what is to be done about it, in order."""

    def deadline(self) -> float | None:
        """The monotonic millisecond at which the machine wants a `Tick`, if any."""

    def validate(self) -> None:
        """Assert the invariants; costs what it costs, for tests and the simulator."""
