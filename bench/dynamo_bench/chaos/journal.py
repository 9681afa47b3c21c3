"""What one client process did and was told, written down for the judge.

Times are of the system's monotonic clock, which all processes of a machine share. A step's `began`
is read before the request leaves and its `ended` after the answer is there, and no two times of a
process are equal, so that its order is kept.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import msgpack

Kind = Literal["read", "write", "outcome"]
Status = Literal["ok", "not applied", "unknown"]

STEPS_PER_PROCESS = 1 << 32
"""Numbers of steps: unique among all processes."""


Place = tuple[str, bytes]
"""A table and a key."""


class Step(NamedTuple):
    """One read, one write, or one question about a write."""

    number: int
    kind: Kind
    table: str
    key: bytes
    began: float
    ended: float
    status: Status
    payloads: tuple[bytes, ...]
    """What a read found; of a write its one payload, none for a delete."""
    after: int
    """Of a write: the step that gave its context, 0 for none. Of an outcome: the write."""
    operation: str
    """The id of a write whose fate is unknown."""

    @property
    def place(self) -> Place:
        """Of which item."""
        return self.table, self.key


class Operation(NamedTuple):
    """What the application called, for the figures."""

    kind: str
    intended: float
    ended: float
    error: str
    """The error's kind; empty: it succeeded."""
    why: str = ""
    """The error's sentence."""
    table: str = ""
    key: bytes = b""


class Book(NamedTuple):
    """A journal as it is read back."""

    steps: list[Step]
    operations: list[Operation]


class Journal:
    """The pen of one process."""

    def __init__(self, process: int, clock: Callable[[], float]) -> None:
        self._clock, self._last = clock, 0.0
        self._number = process * STEPS_PER_PROCESS
        self.steps: list[Step] = []
        self.operations: list[Operation] = []

    def now(self) -> float:
        """The time, later than any before."""
        self._last = max(self._clock(), math.nextafter(self._last, math.inf))
        return self._last

    def next(self) -> int:
        """A number for a step."""
        self._number += 1
        return self._number

    def save(self, file: Path) -> None:
        """Write all down."""
        with file.open("wb") as stream:
            stream.write(msgpack.packb([self.steps, self.operations]))


def load(files: Iterable[Path]) -> Book:
    """The journals of several processes as one."""
    book = Book([], [])
    for file in files:
        steps, operations = msgpack.unpackb(file.read_bytes(), use_list=False)
        book.steps.extend(Step(*step) for step in steps)
        book.operations.extend(Operation(*operation) for operation in operations)
    return book
