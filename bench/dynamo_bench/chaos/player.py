"""One client's part: reads and writes on a few hundred keys, each written down as it is told.

    get      a read
    put      with the newest context kept of its key, blind without one
    blind    a put without context: a sibling
    update   read, merge all siblings into one new value, write
    delete   a read, then a delete of what it found

Every value is unique, so that whoever finds one knows who wrote it. Of each table some keys are
*still*: written once at the start, only read afterwards; whoever denies one has lost it.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from dynamo_bench.chaos.journal import Journal, Operation, Status, Step
from dynamo_bench.in_flight import for_each
from dynamo_client import DynamoError, OutcomeUnknown

WEIGHTS = {"get": 45, "put": 20, "update": 20, "delete": 10, "blind": 5}
ONLY_WRITES = ("put", "blind")
"""Kinds that read nothing."""
ASKING_MAX = 32
"""Questions about writes at a time."""
STILL_SHARE = 5
"""One key of so many is still."""

Context = tuple[bytes, int]
"""What the store gave, and the step that it came with."""


class Item(Protocol):
    """What a read found."""

    @property
    def values(self) -> Sequence[bytes]:
        """All siblings."""

    @property
    def context(self) -> bytes:
        """What replaces them."""


class Table(Protocol):
    """What is asked of the client library's table."""

    async def get(self, key: bytes) -> Item:
        """Read."""

    async def put(self, key: bytes, value: bytes, context: bytes | None = None) -> bytes:
        """Write."""

    async def delete(self, key: bytes, context: bytes | None = None) -> bytes:
        """Remove."""

    async def update(self, key: bytes, fn: Callable[[list[bytes]], bytes]) -> Item:
        """Read, merge, write."""


Ask = Callable[[str], Any]
"""What became of a write: `Database.outcome`."""


class Player:
    """The operations of one process."""

    def __init__(
        self,
        name: str,
        tables: Mapping[str, Table],
        journal: Journal,
        rng: Random,
        keys: int,
        value_bytes: int,
    ) -> None:
        self._name, self._tables, self._journal, self._rng = name, tables, journal, rng
        self.keys = [f"k{number}".encode() for number in range(keys)]
        self._moving = [key for number, key in enumerate(self.keys) if number % STILL_SHARE]
        self._value_bytes, self._values = value_bytes, 0
        self._kept: dict[tuple[str, bytes], Context] = {}
        self._open: dict[int, Step] = {}
        self._names, self._kinds = list(tables), list(WEIGHTS)

    async def operate(self, intended: float) -> None:
        """One operation, drawn from the mix."""
        rng = self._rng
        (kind,) = rng.choices(self._kinds, list(WEIGHTS.values()))
        table = rng.choice(self._names)
        key = rng.choice(self.keys if kind == "get" else self._moving)
        await self.do(kind, table, key, intended)

    async def do(self, kind: str, table: str, key: bytes, intended: float) -> bool:
        """One operation, written down; whether it succeeded."""
        error = why = ""
        try:
            await self._act(kind, table, key)
        except DynamoError as failure:
            error, why = failure.kind, str(failure)
        ended = self._journal.now()
        self._journal.operations.append(Operation(kind, intended, ended, error, why, table, key))
        return not error

    async def read(self, table: str, key: bytes) -> tuple[Item, int]:
        """A read and its step. Raises DynamoError."""
        began = self._journal.now()
        item = await self._tables[table].get(key)
        return item, self._note_read(table, key, began, item.values)

    async def settle(self, ask: Ask) -> int:
        """Ask what became of every write whose fate is open; how many stay unknown."""

        async def one(step: Step) -> None:
            if await self._asked(ask, step):
                self._open.pop(step.number, None)

        await for_each(list(self._open.values()), one, in_flight=ASKING_MAX)
        return len(self._open)

    def ended(self, step: Step) -> None:
        """Note how a write ended."""
        self._journal.steps.append(step)
        if step.status == "unknown":
            self._open[step.number] = step

    async def _act(self, kind: str, table: str, key: bytes) -> None:
        if kind == "get":
            await self.read(table, key)
        elif kind == "update":
            await self._update(table, key)
        elif kind == "delete":
            item, step = await self.read(table, key)
            if item.values:
                await self._write(table, key, None, (item.context, step))
        else:
            context = self._kept.get((table, key)) if kind == "put" else None
            await self._write(table, key, self._value(), context)

    async def _write(
        self, table: str, key: bytes, value: bytes | None, context: Context | None
    ) -> None:
        token, after = context or (None, 0)
        write = _Write(self, table, key, value, after)
        try:
            if value is None:
                given = await self._tables[table].delete(key, token)
            else:
                given = await self._tables[table].put(key, value, token)
        except DynamoError as failure:
            write.failed(failure)
            raise
        self._kept[table, key] = given, write.acknowledged()

    async def _update(self, table: str, key: bytes) -> None:
        began, write = self._journal.now(), None

        def merge(values: list[bytes]) -> bytes:
            """Called again only if the write before was certainly not applied."""
            nonlocal began, write
            if write is not None:
                write.denied()
            step = self._note_read(table, key, began, values)
            value = self._value()
            write = _Write(self, table, key, value, step)
            began = self._journal.now()
            return value

        try:
            item = await self._tables[table].update(key, merge)
        except DynamoError as failure:
            if write is not None:
                write.failed(failure)
            raise
        assert write is not None, "an update that succeeded has written"
        self._kept[table, key] = item.context, write.acknowledged()

    async def _asked(self, ask: Ask, step: Step) -> bool:
        """Whether the cluster told what became of a write."""
        began = self._journal.now()
        try:
            answer = await ask(step.operation)
        except DynamoError:
            return False
        status: Status = "ok" if answer == "applied" else answer
        outcome = step._replace(
            number=self._journal.next(),
            kind="outcome",
            began=began,
            ended=self._journal.now(),
            status=status,
            after=step.number,
        )
        self._journal.steps.append(outcome)
        return status != "unknown"

    def _note_read(self, table: str, key: bytes, began: float, values: Sequence[bytes]) -> int:
        step = Step(
            *(self._journal.next(), "read", table, key, began, self._journal.now()),
            *("ok", tuple(values), 0, ""),
        )
        self._journal.steps.append(step)
        return step.number

    def _value(self) -> bytes:
        self._values += 1
        return f"{self._name}-{self._values}.".encode().ljust(self._value_bytes, b".")

    @property
    def journal(self) -> Journal:
        """Where it writes."""
        return self._journal


class _Write:
    """A write under way."""

    def __init__(
        self, player: Player, table: str, key: bytes, value: bytes | None, after: int
    ) -> None:
        self._player, self._journal = player, player.journal
        payloads = () if value is None else (value,)
        began, number = self._journal.now(), self._journal.next()
        self._step = Step(number, "write", table, key, began, 0.0, "ok", payloads, after, "")

    def acknowledged(self) -> int:
        """It is applied; its step."""
        return self._end("ok")

    def denied(self) -> int:
        """It is not applied, and never will be."""
        return self._end("not applied")

    def failed(self, failure: DynamoError) -> None:
        """What the error says."""
        if isinstance(failure, OutcomeUnknown):
            self._end("unknown", failure.operation_id)
        else:
            self.denied()

    def _end(self, status: Status, operation: str = "") -> int:
        step = self._step._replace(ended=self._journal.now(), status=status, operation=operation)
        self._player.ended(step)
        return step.number
