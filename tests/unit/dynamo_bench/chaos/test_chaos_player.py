"""What a client does is written down as it was told, also when it was told nothing."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from dynamo.errors import Code, Failure, QuorumNotReached
from dynamo_bench.chaos.journal import Journal, Operation, load
from dynamo_bench.chaos.judging import Judge
from dynamo_bench.chaos.player import STILL_SHARE, Player
from dynamo_client import DynamoError, OutcomeUnknown

TABLE = "ledger"
DENIED = QuorumNotReached(Failure(Code.QUORUM_NOT_REACHED, needed=2, got=1, asked=3))
LOST = OutcomeUnknown(Failure(Code.DEADLINE_EXCEEDED), "the write")


class FakeItem(NamedTuple):
    values: list[bytes]
    context: bytes


class FakeTable:
    """One key's siblings, each under a number; a context is the numbers that it covers.

    `plan`: what the next writes meet, an error or None; a lost one is applied all the same.
    """

    def __init__(self, *plan: DynamoError | None) -> None:
        self.values: dict[int, bytes] = {}
        self._numbers, self._plan = count(1), iter(plan)

    async def get(self, key: bytes) -> FakeItem:
        return FakeItem(list(self.values.values()), ",".join(map(str, self.values)).encode())

    async def put(self, key: bytes, value: bytes, context: bytes | None = None) -> bytes:
        return self._written(value, context)

    async def delete(self, key: bytes, context: bytes | None = None) -> bytes:
        return self._written(None, context)

    async def update(self, key: bytes, fn: Callable[[list[bytes]], bytes]) -> FakeItem:
        while True:
            item = await self.get(key)
            try:
                return FakeItem([], self._written(fn(item.values), item.context))
            except QuorumNotReached:
                continue

    def _written(self, value: bytes | None, context: bytes | None) -> bytes:
        error, number = next(self._plan, None), next(self._numbers)
        if error is None or error is LOST:
            covered = {int(text) for text in (context or b"").split(b",") if text}
            self.values = {n: old for n, old in self.values.items() if n not in covered}
            if value is not None:
                self.values[number] = value
        if error is not None:
            raise error
        return str(number).encode()


def ticks() -> Iterator[float]:
    return count(1.0, 0.001)


def player(table: FakeTable) -> Player:
    clock = ticks()
    journal = Journal(1, lambda: next(clock))
    return Player("c1", {TABLE: table}, journal, Random(1), 10, 32)


def holds(who: Player) -> bool:
    return Judge([], []).judge(who.journal.steps, [], {}).holds


async def test_a_put_replaces_what_the_put_before_wrote() -> None:
    table = FakeTable()
    who = player(table)
    for _ in range(3):
        assert await who.do("put", TABLE, b"k", 0.0)
    assert list(table.values.values()) == [b"c1-3.".ljust(32, b".")]
    one, two, three = who.journal.steps
    assert (one.after, two.after, three.after) == (0, one.number, two.number)


async def test_a_whole_mix_makes_a_true_history() -> None:
    who = player(FakeTable())
    for kind in ("put", "blind", "get", "update", "get", "blind", "delete", "get", "put", "get"):
        assert await who.do(kind, TABLE, b"k", 0.0)
    assert holds(who)
    reads = [step for step in who.journal.steps if step.kind == "read"]
    assert [len(step.payloads) for step in reads] == [2, 2, 1, 2, 0, 1]


async def test_an_update_that_runs_again_was_certainly_not_applied_before() -> None:
    who = player(FakeTable(None, DENIED, None))
    assert await who.do("put", TABLE, b"k", 0.0)
    assert await who.do("update", TABLE, b"k", 0.0)
    writes = [step for step in who.journal.steps if step.kind == "write"]
    assert [step.status for step in writes] == ["ok", "not applied", "ok"]
    assert len({step.payloads for step in writes}) == 3
    assert holds(who)


@pytest.mark.parametrize("kind", ["put", "update", "delete"])
async def test_a_lost_write_is_unknown_until_the_cluster_is_asked(kind: str) -> None:
    who = player(FakeTable(None, LOST))
    await who.do("put", TABLE, b"k", 0.0)
    assert not await who.do(kind, TABLE, b"k", 5.0)
    assert who.journal.operations[-1][:2] == (kind, 5.0)
    assert who.journal.operations[-1].error == LOST.kind
    answers = iter(["unknown", "applied"])

    async def ask(operation: str) -> str:
        assert operation == "the write"
        return next(answers)

    assert await who.settle(ask) == 1
    assert await who.settle(ask) == 0
    assert await who.settle(ask) == 0
    await who.do("get", TABLE, b"k", 0.0)
    assert holds(who)


async def test_a_write_that_was_refused_is_not_applied() -> None:
    who = player(FakeTable(DENIED))
    assert not await who.do("put", TABLE, b"k", 0.0)
    assert [step.status for step in who.journal.steps] == ["not applied"]
    await who.do("get", TABLE, b"k", 0.0)
    assert holds(who)


async def test_still_keys_are_only_read() -> None:
    who = player(FakeTable())
    for _ in range(300):
        await who.operate(0.0)
    written = {step.key for step in who.journal.steps if step.kind == "write"}
    assert written == {f"k{n}".encode() for n in range(10) if n % STILL_SHARE}
    assert {step.key for step in who.journal.steps} == set(who.keys)


async def test_a_journal_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    who = player(FakeTable(None, LOST))
    for kind in ("put", "update", "get"):
        await who.do(kind, TABLE, b"k", 1.5)
    who.journal.save(tmp_path / "journal")
    book = load([tmp_path / "journal"])
    assert book.steps == who.journal.steps
    assert book.operations == who.journal.operations
    assert isinstance(book.operations[0], Operation)


def test_no_two_times_of_a_process_are_equal() -> None:
    journal = Journal(1, lambda: 7.0)
    times = [journal.now() for _ in range(100)]
    assert sorted(set(times)) == times
