"""A session: whoever carries it reads its own writes, and never reads backwards, at any R.

    put ─▶ the context of it: dots ┐
    get ─▶ the context of it: dots ┴▶ remembered by item
    next get of that item, at R ─▶ covers them? ─▶ given to the caller
                                      no ─▶ asked again of as many as hold every acknowledged write

Replicas are asked at the caller's own R as long as they show nothing older than this session has
seen: a session at R=1 is as quick as any other reader, but for the few reads that come too early
(Terry and others, "Session guarantees for weakly consistent replicated data", 1994: read your
writes, monotonic reads).

What a session remembers is bounded in number and in age. An item that it does not remember, once
anything was forgotten, is read at N-W+1, where every write is that W owners have acknowledged. So a
token, which holds the items seen last, carries the guarantee into another process.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain, cycle
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

import msgpack

from dynamo.errors import Code, Failure, InvalidContext, InvalidRequest, QuorumNotReached
from dynamo.history import EMPTY, History
from dynamo.siblings.codec import encode_context, opened_context
from dynamo.siblings.record import Seen
from dynamo.types import ItemKey
from dynamo_client.codecs import Codec
from dynamo_client.item import Item
from dynamo_client.links import JITTER
from dynamo_client.operations import REMOVED, Handle, Operations, Within
from dynamo_client.table import ItemOperations, Table

SESSION_ITEMS_MAX = 1024
"""Items that a session remembers. Raising it: some 300 bytes each; lowering it: more items are read
at a quorum."""
SESSION_AGE_S = 3600.0
"""For how long, from when it was seen last. Less than a tombstone's age: of what was deleted and
removed for good, nobody shows what was seen of it before."""
TOKEN_ITEMS_MAX = 64
"""Items in a token, the newest: about 100 bytes each."""
TOKEN_BYTES_MAX = 1 << 16
PAUSE_MS_MIN, PAUSE_MS_MAX = 5.0, 100.0
"""Between two looks for what was seen before, doubling."""

FORMAT, CHECK_BYTES = 1, 4
NO_ITEM = ItemKey(b"")
"""Contexts in a token are no writer's: of no item."""

Key: TypeAlias = tuple[int, bytes, bytes]
"""Table, key and sort key."""
MakeTable: TypeAlias = Callable[[ItemOperations, str, Codec | None, bool], Table]


class Remembered(NamedTuple):
    """What was seen of an item, whether it was gone then, and when (UTC seconds)."""

    history: History
    gone: bool
    at_s: float


NEVER = Remembered(EMPTY, True, 0.0)
"""Of an item that was not seen."""


class Memory:
    """What one session has seen, by item."""

    def __init__(self, token: bytes = b"", clock: Callable[[], float] = time.time) -> None:
        """`token`: of a session that goes on here. Raises InvalidRequest if it is none."""
        self._clock = clock
        self._seen: OrderedDict[Key, Remembered] = OrderedDict()
        self._forgot = False
        if token != b"":
            self._restore(token)

    def token(self) -> bytes:
        """The items seen last, at most TOKEN_BYTES_MAX bytes; opaque."""
        self._forget_old()
        newest = list(self._seen.items())[-TOKEN_ITEMS_MAX:]
        while True:
            forgot = self._forgot or len(newest) < len(self._seen)
            items = [
                (key, encode_context(NO_ITEM, Seen(history, 0, ())), gone, at_s)
                for key, (history, gone, at_s) in newest
            ]
            body: bytes = msgpack.packb((FORMAT, forgot, items))
            token = body + crc32(body).to_bytes(CHECK_BYTES, "big")
            if len(token) <= TOKEN_BYTES_MAX:
                return token
            newest = newest[len(newest) // 2 + 1 :]

    def seen(self, key: Key) -> Remembered | None:
        """What must be covered; None if nothing is known of the item any more."""
        self._forget_old()
        return self._seen.get(key, None if self._forgot else NEVER)

    def note(self, key: Key, context: bytes, *, gone: bool = False, anew: bool = False) -> None:
        """This was read or written, and besides what was seen before or, `anew`, in its place."""
        if not context:
            return
        before = self._seen.pop(key, NEVER)
        try:
            history = opened_context(context).history
        except InvalidContext:  # longer than any that is accepted: what it says is not known here
            self._forgot = True
            return
        if not anew:
            history = history.union(before.history)
        self._seen[key] = Remembered(history, gone, self._clock())
        if len(self._seen) > SESSION_ITEMS_MAX:
            self._seen.popitem(last=False)
            self._forgot = True

    def _forget_old(self) -> None:
        oldest_s = self._clock() - SESSION_AGE_S
        while self._seen:
            key = next(iter(self._seen))
            if self._seen[key].at_s > oldest_s:
                return
            del self._seen[key]
            self._forgot = True

    def _restore(self, token: bytes) -> None:
        try:
            if len(token) > TOKEN_BYTES_MAX:
                raise ValueError("no token is that long")
            body, check = token[:-CHECK_BYTES], token[-CHECK_BYTES:]
            if crc32(body).to_bytes(CHECK_BYTES, "big") != check:
                raise ValueError("it was altered")
            format, forgot, items = msgpack.unpackb(body, use_list=False)
            if format != FORMAT or type(forgot) is not bool:
                raise ValueError("another format")
            if len(items) > TOKEN_ITEMS_MAX:
                raise ValueError("too many items")
            for (table, key, sort_key), context, gone, at_s in items:
                kinds = [type(part) for part in (table, key, sort_key, gone, at_s)]
                if kinds != [int, bytes, bytes, bool, float]:
                    raise ValueError("not an item")
                history = opened_context(context).history
                self._seen[table, key, sort_key] = Remembered(history, gone, at_s)
        except (ValueError, TypeError, InvalidRequest, msgpack.UnpackException) as error:
            raise InvalidRequest("a session's token is what `token()` has given") from error
        self._forgot = forgot


class Session:
    """Tables whose reads show all that this session has written and read before; one at a time for
    one user, not for several tasks that must not wait for each other's writes."""

    def __init__(self, operations: Operations, make_table: MakeTable, token: bytes) -> None:
        self._memory, self._make_table = Memory(token), make_table
        self._operations = SessionOperations(operations, self._memory)

    def table(self, name: str, codec: Codec | None = None, *, strict: bool = False) -> Table:
        """As `Database.table`. Raises UnknownTable."""
        return self._make_table(self._operations, name, codec, strict)

    def token(self) -> bytes:
        """The session for another process (`db.session(token)`): opaque, at most 64 KiB."""
        return self._memory.token()


class SessionOperations:
    """The operations of a session, for its tables: those of the client, and what was seen."""

    def __init__(self, operations: Operations, memory: Memory) -> None:
        self._operations, self._memory = operations, memory

    def left_ms(self, deadline_ms: float) -> float:
        """How much of a deadline is left."""
        return self._operations.left_ms(deadline_ms)

    def deadline_ms(self, timeout_ms: object) -> float:
        """The deadline of an operation that begins now. Raises InvalidRequest, Closed."""
        return self._operations.deadline_ms(timeout_ms)

    async def get(
        self, of: Handle, whose: object, whose_sort: object, r: Any, within: Within
    ) -> Item:
        """What R replicas have of an item, as soon as that is no older than what was seen.

        Raises DynamoError; Unavailable if no such replicas are reached within the time.
        """
        operations, pause_ms = self._operations, PAUSE_MS_MIN
        deadline_ms = within.deadline_ms or operations.deadline_ms(within.timeout_ms)
        place = operations.place(of.table, whose, whose_sort, strict=of.strict)
        key = (int(of.table), place.key, place.sort_key)
        seen, table = self._memory.seen(key), place.table
        whole = _at_least(table.n - table.w + 1, r, table.r)
        if seen is None:
            r, seen = whole, NEVER
        rounds = chain((r,), cycle((whole, table.n)))
        while True:
            r = next(rounds)
            try:
                item = await operations.get(of, whose, whose_sort, r, Within(0.0, deadline_ms))
            except QuorumNotReached:
                if r != table.n or whole == table.n or operations.left_ms(deadline_ms) <= pause_ms:
                    raise
                continue  # all owners were asked, and some are away: fewer may do
            if _shows(item, seen):
                self._memory.note(key, item.context, gone=not item.found)
                return item
            if seen.gone and r == table.n:
                # All owners have forgotten the deletion that was seen: this is newer.
                self._memory.note(key, item.context, gone=not item.found, anew=True)
                return item
            if operations.left_ms(deadline_ms) <= pause_ms:
                raise _behind().error()
            await asyncio.sleep(JITTER.uniform(0.5, 1.0) * pause_ms / 1000)
            pause_ms = min(2 * pause_ms, PAUSE_MS_MAX)

    async def put(
        self,
        of: Handle,
        whose: object,
        whose_sort: object,
        value: object,
        context: object,
        w: object,
        within: Within,
    ) -> bytes:
        """The context after the write, which is what this session has seen then."""
        operations = self._operations
        place = operations.place(of.table, whose, whose_sort, strict=of.strict)
        after = await operations.put(of, whose, whose_sort, value, context, w, within)
        key = (int(of.table), place.key, place.sort_key)
        self._memory.note(key, after, gone=value is REMOVED)
        return after


def _at_least(least: int, wanted: Any, usual: int) -> Any:
    """R, or more; what is no R at all is for the read to refuse."""
    r = usual if wanted is None else wanted
    return max(r, least) if type(r) is int and r > 0 else r


def _shows(item: Item, seen: Remembered) -> bool:
    """Whether what was read is no older than what was seen."""
    if seen is NEVER or (seen.gone and not item.found):
        return True
    context = item.context
    try:
        return bool(context) and opened_context(context).history.descends(seen.history)
    except InvalidContext:  # longer than any that is accepted
        return True


def _behind() -> Failure:
    message = "no replicas that are reached show what this session has seen"
    return Failure(Code.QUORUM_NOT_REACHED, message)
