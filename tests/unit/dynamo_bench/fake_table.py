"""A table in memory that keeps siblings, and fails when it is told to."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dynamo.errors import Code, Failure, Unavailable
from dynamo_client import OutcomeUnknown

Fault = str
"""`not applied`; `lost` (unknown, not applied); `late` (unknown, applied all the same)."""


class FakeItem(NamedTuple):
    values: list[Any]
    context: frozenset[int]

    @property
    def found(self) -> bool:
        return bool(self.values)


class FakeTable:
    """Values by key, each under the number of its write; a context is the numbers it replaces."""

    def __init__(self, faults: Sequence[Fault | None] = ()) -> None:
        self.items: dict[str | bytes, dict[int, Any]] = {}
        self.outcomes: dict[int, str] = {}
        self.writers: dict[str | bytes, int] = {}
        self.reads: list[tuple[str | bytes, int | None]] = []
        self._faults = iter(faults)
        self._writes = 0

    async def get(self, key: str | bytes, *, r: int | None = None) -> FakeItem:
        self.reads.append((key, r))
        values = self.items.get(key, {})
        return FakeItem(list(values.values()), frozenset(values))

    async def put(
        self, key: str | bytes, value: Any, *, context: frozenset[int] | None = None
    ) -> frozenset[int]:
        fault = next(self._faults, None)
        self._writes += 1
        self.outcomes[self._writes] = (
            "not applied" if fault in ("lost", "not applied") else "applied"
        )
        if self.outcomes[self._writes] == "applied":
            kept = self.items.get(key, {})
            context = context or frozenset()
            kept = {number: old for number, old in kept.items() if number not in context}
            self.items[key] = {**kept, self._writes: value}
        if fault == "not applied":
            raise Unavailable(Failure(Code.QUORUM_NOT_REACHED, needed=2, got=1, asked=3))
        if fault is not None:
            raise OutcomeUnknown(Failure(Code.DEADLINE_EXCEEDED), str(self._writes))
        return frozenset({self._writes})

    async def update(self, key: str | bytes, fn: Callable[[list[Any]], Any]) -> frozenset[int]:
        item = await self.get(key)
        return await self.put(key, fn(item.values), context=item.context)


class FakeDatabase:
    """Tells outcomes, at first a few times that it does not know yet."""

    def __init__(self, table: FakeTable, unknown_first: int = 0) -> None:
        self._table = table
        self._unknown_left = unknown_first

    def table(self, name: str) -> FakeTable:
        return self._table

    async def outcome(self, operation_id: str) -> str:
        if self._unknown_left:
            self._unknown_left -= 1
            return "unknown"
        return self._table.outcomes[int(operation_id)]
