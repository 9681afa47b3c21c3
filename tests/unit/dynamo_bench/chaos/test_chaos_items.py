"""Every item that nobody touched is read, and one that is missing or altered is told."""

from dynamo.errors import Code, Failure, QuorumNotReached
from dynamo_bench.chaos.items import Found, Items, together
from dynamo_bench.chaos.player import Item
from dynamo_client import DynamoError

FAILED = QuorumNotReached(Failure(Code.QUORUM_NOT_REACHED, needed=2, got=1, asked=3))


class FakeItem:
    def __init__(self, values: list[bytes]) -> None:
        self.values, self.context = values, b""


class FakeTable:
    """A table that may fail for a while."""

    def __init__(self, failures: int = 0) -> None:
        self.held: dict[bytes, list[bytes]] = {}
        self.unreadable: set[bytes] = set()
        self._failures = failures

    async def get(self, key: bytes) -> Item:
        if key in self.unreadable:
            raise FAILED
        return FakeItem(self.held.get(key, []))

    async def put(self, key: bytes, value: bytes, context: bytes | None = None) -> bytes:
        if self._failures:
            self._failures -= 1
            raise FAILED
        self.held.setdefault(key, []).append(value)
        return b""

    async def delete(self, key: bytes, context: bytes | None = None) -> bytes:
        raise AssertionError("nobody touches them")

    update = delete  # type: ignore[assignment]


def items(*tables: FakeTable, count: int = 10) -> Items:
    named = {f"t{number}": table for number, table in enumerate(tables)}
    return Items(named, range(count), 32)  # type: ignore[arg-type]


async def test_what_was_written_is_found_in_the_tables_by_turns() -> None:
    one, two = FakeTable(), FakeTable()
    mine = items(one, two)
    assert await mine.write() == 10
    assert (len(one.held), len(two.held)) == (5, 5)
    assert all(len(value) == 32 for (value,) in one.held.values())
    assert await mine.read() == Found(10, 10, [])


async def test_processes_share_them() -> None:
    table = FakeTable()
    for process in range(3):
        await Items({"t": table}, range(process, 10, 3), 32).write()  # type: ignore[dict-item]
    assert len(table.held) == 10


async def test_what_is_lost_altered_or_unreadable_is_told() -> None:
    table = FakeTable()
    mine = items(table)
    await mine.write()
    del table.held[b"i3"]
    table.held[b"i4"] = [b"another"]
    table.held[b"i5"].append(b"a sibling")
    table.unreadable.add(b"i6")
    found = await mine.read()
    assert (found.written, found.right) == (10, 6)
    assert found.examples[:3] == [
        "t0/i3 is not there",
        "t0/i4 shows b'another'",
        "t0/i5 shows b'a sibling'",
    ]
    assert "t0/i6 cannot be read" in found.examples[3]


async def test_a_write_that_fails_is_made_again_but_not_for_ever() -> None:
    assert (await _read(items(FakeTable(failures=3)))).right == 10
    try:
        await items(FakeTable(failures=1 << 20)).write()
    except DynamoError:
        return
    raise AssertionError("a cluster that takes nothing is no cluster to test")


async def test_a_value_that_was_written_twice_is_right() -> None:
    table = FakeTable()
    mine = items(table)
    await mine.write()
    table.held[b"i1"] *= 2
    assert (await mine.read()).right == 10


def test_the_processes_findings_are_one() -> None:
    found = together([Found(5, 5, []), Found(5, 3, ["t/i1 is not there", "t/i3 is not there"])])
    assert found == Found(10, 8, ["t/i1 is not there", "t/i3 is not there"])


async def _read(mine: Items) -> Found:
    await mine.write()
    return await mine.read()
