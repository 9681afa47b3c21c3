"""Turns: what many calls change at once is written together, and each call learns its own fate.

The item is a set of letters; a change adds one, and refuses capitals. Every write waits until the
test lets it go on, or fail.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dynamo.errors import Code, Failure
from dynamo_client import Item, OutcomeUnknown, QuorumNotReached
from dynamo_shop.errors import NotThere, Refused, TooLate, Unsettled
from dynamo_shop.joined import CHANGES_PER_TURN_MAX, Joined

Letters = frozenset[str]
NO_QUORUM = QuorumNotReached(Failure(Code.QUORUM_NOT_REACHED, needed=2, got=1, asked=3))
UNKNOWN = OutcomeUnknown(Failure(Code.DEADLINE_EXCEEDED), "op")
PATIENT_MS, SHORT_MS = 30_000.0, 20.0


def with_letter(letter: str) -> Callable[[Letters], Letters]:
    def change(letters: Letters) -> Letters:
        if letter.isupper():
            raise Refused("letter", letter)
        return letters | {letter}

    return change


def joined_letters(values: list[Any]) -> Letters:
    if "nothing" in values:
        raise NotThere("nothing")
    return frozenset().union(*values)


class World:
    """A table of one item, and calls that change it."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.writes: list[asyncio.Future[Exception | None]] = []
        """Those begun; a result lets one go on, with an error or without."""
        self.applies_all_the_same = False
        self.readable = asyncio.Event()
        self.readable.set()
        table: Any = self
        self.letters = Joined(table, joined_letters, sorted)

    async def get(self, key: str, *, timeout_ms: float) -> Item:
        return Item(self.values, b"")

    async def update(self, key: str, fn: Callable[[list[Any]], Any], *, timeout_ms: float) -> Item:
        await self.readable.wait()
        value = fn(list(self.values))
        self.writes.append(asyncio.get_running_loop().create_future())
        error = await self.writes[-1]
        if error is None or self.applies_all_the_same:
            self.values = [value]
        if error is not None:
            raise error
        return Item([value], b"")

    def calls(self, letters: str, timeout_ms: float = PATIENT_MS) -> list[asyncio.Future[Letters]]:
        return [
            asyncio.ensure_future(self.letters.changed("key", with_letter(letter), timeout_ms))
            for letter in letters
        ]

    async def begun(self, writes: int) -> None:
        """Wait until so many writes have begun."""
        while len(self.writes) < writes:
            await asyncio.sleep(0)

    async def first_of(self, letter: str, *others: str) -> list[asyncio.Future[Letters]]:
        """Calls of which the first is being written and the others wait."""
        calls = self.calls(letter)
        await self.begun(1)
        calls += self.calls("".join(others))
        await asyncio.sleep(0)
        return calls

    async def go(self, write: int, error: Exception | None = None) -> None:
        """Wait for a write, counted from 1, and let it go on."""
        await self.begun(write)
        self.writes[write - 1].set_result(error)

    @property
    def stored(self) -> str:
        return "".join(sorted(joined_letters(self.values)))


async def answers(calls: list[asyncio.Future[Letters]]) -> list[Any]:
    """What each call was told: letters, or an exception."""
    told = await asyncio.gather(*calls, return_exceptions=True)
    return ["".join(sorted(each)) if isinstance(each, frozenset) else each for each in told]


async def test_what_comes_during_a_write_travels_together_in_the_next() -> None:
    world = World()
    calls = await world.first_of("a", *"bcd")
    await world.go(1)
    await world.go(2)
    assert await answers(calls) == ["a", "ab", "abc", "abcd"], "each as its change left it"
    assert (len(world.writes), world.stored) == (2, "abcd")


async def test_a_turn_takes_so_many_changes() -> None:
    world = World()
    calls = await world.first_of("a", "b" * (CHANGES_PER_TURN_MAX + 1))
    for write in (1, 2, 3):
        assert not all(call.done() for call in calls)
        await world.go(write)
    assert "a" in await answers(calls)
    assert len(world.writes) == 3


async def test_items_do_not_wait_for_each_other() -> None:
    world = World()
    here = asyncio.ensure_future(world.letters.changed("here", with_letter("a"), PATIENT_MS))
    there = asyncio.ensure_future(world.letters.changed("there", with_letter("b"), PATIENT_MS))
    await world.begun(2)
    await world.go(1)
    await world.go(2)
    await answers([here, there])


async def test_siblings_are_joined_by_reads_and_changes() -> None:
    world = World()
    world.values = [["a"], ["b"]]
    assert await world.letters.read("key", PATIENT_MS) == {"a", "b"}
    calls = world.calls("c")
    await world.go(1)
    assert await answers(calls) == ["abc"]
    assert world.values == [["a", "b", "c"]]


async def test_a_change_made_before_is_written_again() -> None:
    world = World()
    world.values = [["a"]]
    calls = world.calls("a")
    await world.go(1)
    assert await answers(calls) == ["a"]


async def test_a_refusal_is_told_to_its_call_alone() -> None:
    world = World()
    calls = await world.first_of("a", *"bXc")
    await world.go(1)
    await world.go(2)
    a, b, refused, c = await answers(calls)
    assert (a, b, c) == ("a", "ab", "abc")
    assert isinstance(refused, Refused)


async def test_nothing_is_written_where_all_is_refused() -> None:
    world = World()
    told = await answers(world.calls("XYZ"))
    assert [str(each) for each in told] == ["X", "Y", "Z"]
    assert not world.writes


async def test_an_item_that_cannot_be_joined_is_told_to_all() -> None:
    world = World()
    world.values = ["nothing"]
    told = await answers(world.calls("abc"))
    assert [type(each) for each in told] == [NotThere] * 3


@pytest.mark.parametrize(("applied", "seen"), [(True, "abc"), (False, "ac")])
async def test_a_failed_turn_is_the_failure_of_one_call(applied: bool, seen: str) -> None:
    world = World()
    world.applies_all_the_same = applied
    calls = await world.first_of("a", *"bc")
    await world.go(1)
    await world.go(2, UNKNOWN)
    await world.go(3)
    assert await answers(calls) == ["a", UNKNOWN, seen]


async def test_a_call_that_ends_does_not_take_others_with_it() -> None:
    world = World()
    calls = await world.first_of("a", *"bc")
    calls[0].cancel()
    await world.go(2)
    cancelled, *told = await answers(calls)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert told == ["b", "bc"]


async def test_a_call_that_ended_is_not_made_again() -> None:
    world = World()
    calls = await world.first_of("a", *"bcd")
    await world.go(1)
    await world.begun(2)
    calls[2].cancel()
    await world.go(2, NO_QUORUM)
    await world.go(3)
    told = await answers(calls)
    assert told[1] is NO_QUORUM
    assert (told[3], world.stored) == ("ad", "ad")


async def test_who_had_no_turn_in_its_time_changed_nothing() -> None:
    world = World()
    calls = await world.first_of("a")
    (told,) = await answers(world.calls("b", SHORT_MS))
    assert isinstance(told, TooLate)
    await world.go(1)
    assert await answers(calls) == ["a"]
    assert world.stored == "a"


async def test_who_leaves_while_it_is_written_is_told_so() -> None:
    world = World()
    calls = await world.first_of("a", "b")
    late = world.calls("c", SHORT_MS)
    await world.go(1)
    await world.begun(2)
    (told,) = await answers(late)
    assert isinstance(told, Unsettled)
    await world.go(2)
    assert await answers(calls) == ["a", "ab"]
    assert world.stored == "abc", "it was applied all the same"


async def test_who_has_no_time_left_is_told_the_stores_reason() -> None:
    world = World()
    calls = await world.first_of("a", *"bc")
    late = world.calls("d", SHORT_MS)
    await world.go(1)
    await world.begun(2)
    world.readable.clear()
    await world.go(2, NO_QUORUM)
    assert await answers(late) == [NO_QUORUM], "nothing is written while c reads"
    world.readable.set()
    await world.go(3)
    assert await answers(calls) == ["a", NO_QUORUM, "ac"]


async def test_a_fate_once_open_stays_so() -> None:
    world = World()
    calls = await world.first_of("a", *"bcde")
    await world.go(1)
    await world.go(2, UNKNOWN)
    await world.go(3, NO_QUORUM)
    await world.go(4, NO_QUORUM)
    await world.go(5)
    assert await answers(calls) == ["a", UNKNOWN, UNKNOWN, UNKNOWN, "ae"]


async def test_nothing_is_kept_of_calls_that_are_over() -> None:
    world = World()
    calls = await world.first_of("a", *"bXc")
    calls[1].cancel()
    await world.go(1)
    await world.go(2)
    await answers(calls)
    assert not world.letters._queues
