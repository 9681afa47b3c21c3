"""Replaying real invoices as carts, and proving that not one line was lost or doubled.

    invoice 536365     line 1 ── update ── line 2 ── update ── line 3 …    (in order)
    invoice 536366     line 1 ── update ── line 2 …                        (at the same time)

Each line is an `update` that appends it, with its number, to the cart read before. When a node
dies in the middle, an update may fail with its fate unknown; then the cluster is asked for the
outcome, and only a line that was not applied is sent again. At the end every cart is read and
compared with the file.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from dynamo_bench.in_flight import for_each
from dynamo_bench.measure import Figures, Progress, figures
from dynamo_bench.ports import Database, Table
from dynamo_bench.retail import Invoice
from dynamo_client import OutcomeUnknown, Unavailable

Line = tuple[int | str, ...]
"""A cart's entry: the line's number within its invoice, then the fields of its row."""

T = TypeVar("T")

PATIENCE_S = 120.0
"""How long one line is tried again while the cluster cannot serve it."""

PAUSE_S = 0.05


class AlreadyThere(Exception):
    """A cart exists before its first line: the table holds an earlier replay."""


class GaveUp(Exception):
    """The cluster could not serve, or could not tell an outcome, for too long."""


class Comparison(NamedTuple):
    """The carts beside the file."""

    carts: int
    lines: int
    missing: int
    """Lines of the file that no cart holds."""
    twice: int
    """Lines that their cart holds more often than once, counted per extra copy."""
    foreign: int
    """Lines in a cart that are not of its invoice."""
    siblings: int
    """Carts with more than one value; they are compared merged."""

    @property
    def exact(self) -> bool:
        """Whether every cart holds its invoice: nothing lost, nothing doubled."""
        return not (self.missing or self.twice or self.foreign)


class Replayer:
    """One replay of some invoices into one table."""

    def __init__(
        self,
        database: Database,
        table: Table,
        *,
        in_flight: int = 64,
        patience_s: float = PATIENCE_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._database = database
        self._table = table
        self._in_flight = in_flight
        self._patience_s = patience_s
        self._pause_s = pause_s
        self._latencies = array("d")
        self._errors: Counter[str] = Counter()

    async def write(self, invoices: Sequence[Invoice], progress: Progress | None = None) -> Figures:
        """Write all lines; raises AlreadyThere, GaveUp."""
        total = sum(len(invoice.rows) for invoice in invoices)
        began = time.perf_counter()

        async def write_one(invoice: Invoice) -> None:
            await self._write_invoice(invoice)
            if progress:
                progress(len(self._latencies) / total)

        await for_each(invoices, write_one, in_flight=self._in_flight)
        return figures(self._latencies, time.perf_counter() - began, self._errors)

    async def compare(
        self, invoices: Sequence[Invoice], progress: Progress | None = None
    ) -> Comparison:
        """Read all carts back and hold them against the file, line by line."""
        findings = [Comparison(0, 0, 0, 0, 0, 0)]

        async def compare_one(invoice: Invoice) -> None:
            item = await self._patiently(lambda: self._table.get(invoice.number))
            findings.append(compare_cart(invoice, item.values))
            if progress:
                progress(len(findings) / len(invoices))

        await for_each(invoices, compare_one, in_flight=self._in_flight)
        return Comparison(*map(sum, zip(*findings, strict=True)))

    async def _write_invoice(self, invoice: Invoice) -> None:
        item = await self._patiently(lambda: self._table.get(invoice.number))
        if item.found:
            raise AlreadyThere(f"the table holds a cart {invoice.number} already")
        for line in cart_lines(invoice):
            started = time.perf_counter()
            await self._add(invoice.number, line)
            self._latencies.append(time.perf_counter() - started)

    async def _add(self, key: str, line: Line) -> None:
        """Append one line exactly once."""

        def append(values: Sequence[list[Line]]) -> list[Line]:
            return [*merged(values), line]

        async def once() -> None:
            try:
                await self._table.update(key, append)
            except OutcomeUnknown as error:
                if not await self._was_applied(error):
                    raise
                self._errors[error.kind] += 1

        await self._patiently(once)

    async def _was_applied(self, error: OutcomeUnknown) -> bool:
        """What became of a write; asks until the cluster knows."""

        async def ask() -> str:
            outcome = await self._database.outcome(error.operation_id)
            if outcome == "unknown":
                raise error
            return outcome

        return await self._patiently(ask) == "applied"

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it succeeds. Raises GaveUp when the world was in the way for too long."""
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return await attempt()
            except Unavailable as error:
                self._errors[error.kind] += 1
                if time.monotonic() > until:
                    raise GaveUp(f"no success within {self._patience_s} s: {error}") from error
            await asyncio.sleep(self._pause_s)


def cart_lines(invoice: Invoice) -> Iterator[Line]:
    """What the invoice's cart holds, in order."""
    for number, row in enumerate(invoice.rows, 1):
        yield (number, *row)


def merged(values: Iterable[Iterable[Sequence[Any]]]) -> list[Line]:
    """One cart of all siblings: each line as often as in the sibling that has it most often.

    So what siblings inherited is not doubled, and a line doubled by mistake stays visible.
    """
    carts = [[tuple(line) for line in cart] for cart in values]
    if len(carts) < 2:
        return carts[0] if carts else []
    union: Counter[Line] = Counter()
    for cart in carts:
        union |= Counter(cart)
    return sorted(union.elements(), key=lambda line: int(line[0]))


def compare_cart(invoice: Invoice, values: Sequence[Iterable[Sequence[Any]]]) -> Comparison:
    """One cart's part of the comparison."""
    wanted = Counter(cart_lines(invoice))
    found = Counter(merged(values))
    return Comparison(
        carts=1,
        lines=wanted.total(),
        missing=(wanted - found).total(),
        twice=sum(count - 1 for line, count in found.items() if line in wanted),
        foreign=sum(count for line, count in found.items() if line not in wanted),
        siblings=int(len(values) > 1),
    )
