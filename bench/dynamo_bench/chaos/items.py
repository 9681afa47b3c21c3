"""Items that nobody touches: written before everything else, and every one read at the end.

So the store holds more than what is under load, and whoever loses a partition, or copies half of
it, is found out. One may be asked for by an owner only (`strict`), whatever its table says.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dynamo_bench.chaos.journal import Place
from dynamo_bench.chaos.player import Table
from dynamo_bench.in_flight import for_each
from dynamo_client import DynamoError

IN_FLIGHT = 32
TRIES_MAX = 20
"""Of a write: it fails for good when the cluster takes none for so long."""
EXAMPLES_MAX = 10


class Found(NamedTuple):
    """What became of them."""

    written: int
    right: int
    """Read, with the value that was written and no other."""
    examples: Sequence[str]
    """A sentence each of some that were not."""


class Items:
    """One process's share of them."""

    def __init__(self, tables: Mapping[str, Table], numbers: range, value_bytes: int) -> None:
        self._tables, self._numbers, self._value_bytes = tables, numbers, value_bytes

    async def write(self) -> int:
        """All of them; how many. Raises DynamoError."""
        await for_each(self._places(), self._written, in_flight=IN_FLIGHT)
        return len(self._numbers)

    async def read(self) -> Found:
        """All of them."""
        examples: list[str] = []

        async def one(place: Place) -> None:
            if wrong := await self._wrong(place):
                examples.append(wrong)

        await for_each(self._places(), one, in_flight=IN_FLIGHT)
        count = len(self._numbers)
        return Found(count, count - len(examples), examples[:EXAMPLES_MAX])

    async def _written(self, place: Place) -> None:
        """A write of unknown fate is made again: then the value may stand there twice."""
        table, key = place
        for tries_left in reversed(range(TRIES_MAX)):
            try:
                await self._tables[table].put(key, self._value(key))
                return
            except DynamoError:
                if not tries_left:
                    raise

    async def _wrong(self, place: Place) -> str:
        """What is wrong with an item; empty: nothing."""
        table, key = place
        name = f"{table}/{key.decode()}"
        try:
            item = await self._tables[table].get(key)
        except DynamoError as error:
            return f"{name} cannot be read: {error}"
        if not item.values:
            return f"{name} is not there"
        others = [value for value in item.values if value != self._value(key)]
        return f"{name} shows {others[0][:40]!r}" if others else ""

    def _places(self) -> Iterator[Place]:
        """The tables take turns."""
        names = list(self._tables)
        for number in self._numbers:
            yield names[number % len(names)], f"i{number}".encode()

    def _value(self, key: bytes) -> bytes:
        return b"%s." % key + b"." * (self._value_bytes - len(key) - 1)


def together(found: Sequence[Found]) -> Found:
    """Of all processes."""
    return Found(
        sum(each.written for each in found),
        sum(each.right for each in found),
        [example for each in found for example in each.examples][:EXAMPLES_MAX],
    )
