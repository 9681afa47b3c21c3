"""Read your writes and monotonic reads, whatever R is: what a session remembers and asks."""

import asyncio
from typing import Any
from zlib import crc32

import msgpack
import pytest

from dynamo.config import TableConfig
from dynamo.errors import Code, Failure, InvalidRequest, QuorumNotReached
from dynamo.history import NO_GAPS, History
from dynamo.siblings.codec import encode_context
from dynamo.siblings.record import Seen
from dynamo.types import Actor, ItemKey, PartitionId, TableId
from dynamo_client.codecs import RAW
from dynamo_client.item import Item
from dynamo_client.operations import REMOVED, Handle, Place, Within
from dynamo_client.session import (
    NEVER,
    SESSION_AGE_S,
    SESSION_ITEMS_MAX,
    TOKEN_BYTES_MAX,
    TOKEN_ITEMS_MAX,
    Memory,
    SessionOperations,
)

TABLE = TableConfig("cart", TableId(1), 3, 1, 2, "siblings")
OF = Handle(TABLE.id, RAW)
SOON = Within(1000.0)
KEY = (1, b"alice", b"")
GONE = b"gone"
"""Before a context: nothing is found there."""


def context(counter: int, actor: str = "x") -> bytes:
    """Of somebody who has seen all dots of an actor up to this one."""
    history = History({Actor(actor): counter} if counter else {}, NO_GAPS)
    return encode_context(ItemKey(b"alice"), Seen(history, 0, ()))


def item(key: int) -> tuple[int, bytes, bytes]:
    return (1, b"%d" % key, b"")


def checked(*fields: Any) -> bytes:
    """What would be a token, if these were its fields."""
    body: bytes = msgpack.packb(fields)
    return body + crc32(body).to_bytes(4, "big")


class Replicas:
    """The client's operations over replicas that show one context after the other."""

    def __init__(self, *shown: Any) -> None:
        self.shown = list(shown)
        self.asked: list[Any] = []
        self.left = 1000.0

    def place(self, id: TableId, whose: Any, whose_sort: Any, *, strict: bool = False) -> Place:
        return Place(TABLE, whose, whose_sort, PartitionId(0), strict)

    def deadline_ms(self, timeout_ms: object) -> float:
        return 1000.0

    def left_ms(self, deadline_ms: float) -> float:
        return self.left

    async def get(self, of: Handle, whose: Any, whose_sort: Any, r: Any, within: Within) -> Item:
        self.asked.append(r)
        if len(self.shown) == 1:
            self.left = 0.0
        shown = self.shown.pop(0)
        if isinstance(shown, Exception):
            raise shown
        return Item([] if shown.startswith(GONE) else [b"v"], shown.removeprefix(GONE))

    async def put(self, *what: Any) -> bytes:
        context: bytes = self.shown.pop(0)
        return context


def over(replicas: Replicas, memory: Memory) -> SessionOperations:
    return SessionOperations(replicas, memory)  # type: ignore[arg-type]


async def read(operations: SessionOperations, r: Any = None) -> Item:
    return await operations.get(OF, b"alice", b"", r, SOON)


async def test_a_read_that_shows_the_own_write_is_given_at_once() -> None:
    replicas = Replicas(context(5), context(5))
    session = over(replicas, Memory())
    await session.put(OF, b"alice", b"", b"v", None, None, SOON)
    assert (await read(session)).context == context(5)
    assert replicas.asked == [None], "at the caller's own R"


async def test_an_older_one_is_asked_again_where_every_acknowledged_write_is() -> None:
    replicas = Replicas(context(5), context(4), b"", context(6), context(6))
    session = over(replicas, Memory())
    await session.put(OF, b"alice", b"", b"v", None, None, SOON)
    assert (await read(session, 1)).context == context(6)
    assert replicas.asked == [1, 2, 3]


async def test_reads_never_go_backwards() -> None:
    replicas = Replicas(context(7), context(6), context(7), context(7))
    session = over(replicas, Memory())
    await read(session)
    assert (await read(session)).context == context(7)
    assert replicas.asked == [None, None, 2]


async def test_what_two_writers_did_is_all_remembered() -> None:
    memory = Memory()
    memory.note(KEY, context(3, "x"))
    memory.note(KEY, context(4, "y"))
    seen = memory.seen(KEY)
    assert seen is not None
    assert seen.history == History({Actor("x"): 3, Actor("y"): 4}, NO_GAPS)


async def test_if_nobody_shows_it_in_time_the_reader_is_told() -> None:
    replicas = Replicas(context(5), context(4), context(4))
    session = over(replicas, Memory())
    await session.put(OF, b"alice", b"", b"v", None, None, SOON)
    with pytest.raises(QuorumNotReached, match="show what this session has seen"):
        await asyncio.wait_for(read(session), 5)


def test_a_token_that_was_altered_is_refused() -> None:
    memory = Memory()
    memory.note(KEY, context(5))
    token = memory.token()
    for place in range(len(token)):
        with pytest.raises(InvalidRequest):
            Memory(token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :])


async def test_a_token_carries_it_into_another_process() -> None:
    memory = Memory()
    memory.note(KEY, context(5))
    replicas = Replicas(context(4), context(5), context(5))
    session = over(replicas, Memory(memory.token()))
    assert (await read(session)).context == context(5)
    assert replicas.asked == [None, 2]


@pytest.mark.parametrize(
    "token",
    [
        *(b"\xc1", b"abc", b"\x93\x02\xc2\x90", b"x" * (TOKEN_BYTES_MAX + 1)),
        checked(2, False, []),
        checked(1, 0, []),
        checked(1, False, [((1, 1 << 40, b""), context(1), False, 0.0)]),
        checked(1, False, [((1, b"a", b""), context(1), False, 0.0)] * 65),
    ],
)
def test_what_is_no_token_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidRequest, match="what `token"):
        Memory(token)


async def test_beyond_the_bound_the_oldest_is_forgotten_and_read_at_a_quorum() -> None:
    memory = Memory()
    memory.note(KEY, context(5))
    for number in range(SESSION_ITEMS_MAX):
        memory.note(item(number), context(1))
    assert memory.seen(KEY) is None
    assert memory.seen(item(0)) is not None
    replicas = Replicas(context(5), context(5))
    await read(over(replicas, memory))
    assert replicas.asked == [2]


def test_a_token_holds_the_newest_and_says_that_there_were_more() -> None:
    memory = Memory()
    for number in range(TOKEN_ITEMS_MAX + 1):
        memory.note(item(number), context(1))
    restored = Memory(memory.token())
    assert restored.seen(item(0)) is None
    assert restored.seen(item(TOKEN_ITEMS_MAX)) is not None


def test_a_token_is_bounded_in_bytes_too() -> None:
    memory = Memory()
    for number in range(TOKEN_ITEMS_MAX):
        memory.note((1, b"k" * 1024, b"%d" % number), context(1, "a" * 1000))
    token = memory.token()
    assert len(token) <= TOKEN_BYTES_MAX
    assert Memory(token).seen((1, b"k" * 1024, b"%d" % (TOKEN_ITEMS_MAX - 1))) is not None


def test_what_is_old_is_forgotten() -> None:
    clock = [0.0]
    memory = Memory(clock=lambda: clock[0])
    memory.note(KEY, context(5))
    clock[0] = SESSION_AGE_S / 2
    memory.note(item(1), context(1))
    clock[0] = SESSION_AGE_S
    assert memory.seen(KEY) is None
    assert memory.seen(item(1)) is not None


def test_of_an_item_that_was_never_seen_nothing_is_asked() -> None:
    assert Memory().seen(KEY) is NEVER


async def test_a_wrong_quorum_is_for_the_read_to_refuse() -> None:
    memory = Memory()
    for number in range(SESSION_ITEMS_MAX + 1):
        memory.note(item(number), context(1))
    replicas = Replicas(b"", b"", b"")
    for wrong in ("2", 0, -1):
        await read(over(replicas, memory), wrong)
    assert replicas.asked == ["2", 0, -1]


async def test_a_deletion_that_was_seen_is_not_undone_by_a_replica_that_missed_it() -> None:
    replicas = Replicas(context(6), context(5), GONE + context(6), context(6))
    session = over(replicas, Memory())
    await session.put(OF, b"alice", b"", REMOVED, None, None, SOON)
    assert not (await read(session)).found
    assert replicas.asked == [None, 2]


async def test_a_deletion_that_all_owners_have_forgotten_is_still_a_deletion() -> None:
    memory = Memory()
    memory.note(KEY, context(6), gone=True)
    replicas = Replicas(GONE, context(1, "y"), context(1, "y"), context(1, "y"), context(1, "y"))
    session = over(replicas, memory)
    assert not (await read(session)).found
    assert (await read(session)).found, "what was written since, once all owners show it"
    assert replicas.asked == [None, None, 2, 3]
    seen = memory.seen(KEY)
    assert seen is not None
    assert seen.history == History({Actor("y"): 1}, NO_GAPS), "and not what nobody knows"


async def test_if_not_all_owners_answer_fewer_are_asked_again() -> None:
    memory = Memory()
    memory.note(KEY, context(6))
    away = Failure(Code.QUORUM_NOT_REACHED).error()
    replicas = Replicas(context(5), context(5), away, context(6), context(6))
    assert (await read(over(replicas, memory))).context == context(6)
    assert replicas.asked == [None, 2, 3, 2]


def test_a_token_keeps_when_it_was_seen() -> None:
    memory = Memory(clock=lambda: 1000.0)
    memory.note(KEY, context(5), gone=True)
    later = Memory(memory.token(), clock=lambda: 1000.0 + SESSION_AGE_S - 1)
    assert later.seen(KEY) == memory.seen(KEY)
    assert Memory(later.token(), clock=lambda: 1000.0 + SESSION_AGE_S).seen(KEY) is None


def test_a_context_that_nobody_accepts_is_forgotten_and_the_write_stands() -> None:
    memory = Memory()
    memory.note(KEY, b"longer than any" * 10_000)
    assert memory.seen(KEY) is None, "read at a quorum"
