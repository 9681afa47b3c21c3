"""The operations on one item, in bytes: what `Table` does after it has found its bytes.

Each checks what can be checked here, so that a caller's mistake costs no round trip, then makes
one call, or a few that are known to have had no effect. What a caller gives is an `object` until it
was looked at: a compiled function would meet anything else with a bare TypeError.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, get_args

from dynamo.config import TableConfig
from dynamo.coordination.reading import Read
from dynamo.errors import (
    Code,
    Failure,
    InvalidContext,
    InvalidQuorum,
    InvalidRequest,
    KeyTooLarge,
    ValueTooLarge,
)
from dynamo.keys import item_key
from dynamo.messages import ASK_OUTCOME, ASK_REPAIR, GET, PUT
from dynamo.ring import partition_of, token_of
from dynamo.siblings.codec import decode_record, encode_context
from dynamo.siblings.operation_token import encode_operation
from dynamo.siblings.record import Record, highest_stamp, seen_by_reader, siblings
from dynamo.types import ItemKey, OperationId, PartitionId, TableId
from dynamo_client.codecs import Codec, decoded, encoded
from dynamo_client.coordinated import Coordinated
from dynamo_client.errors import Closed, OutcomeUnknown
from dynamo_client.glance import glance
from dynamo_client.item import Context, Item
from dynamo_client.reading import ReplicaRead
from dynamo_client.router import Router

Reads = Literal["client", "server"]
"""Who asks the replicas for a get: the client itself, or a coordinating node."""

READS: tuple[Reads, ...] = get_args(Reads)

TIMEOUT_MS_MAX = 86_400_000.0
"""A day: what waits longer is no operation."""

AHEAD_MS_MAX = 128
"""How far a write's stamp is lifted, doubling from 1 ms, when a record's floor is above it."""


REMOVED: Final = object()
"""Instead of a value: none."""


class Handle(NamedTuple):
    """A table as an application has opened it."""

    table: TableId
    codec: Codec
    strict: bool = False
    """Only owners count, also where the table is sloppy."""


class Within(NamedTuple):
    """How long an operation may take: from now on, or until a deadline unless that is zero."""

    timeout_ms: Any
    """As a caller gave it; looked at by `Operations.deadline_ms`."""
    deadline_ms: float = 0.0


class Place(NamedTuple):
    """An item, and where it lives."""

    table: TableConfig
    key: bytes
    sort_key: bytes
    partition: PartitionId
    strict: bool = False
    """Only its owners may count."""


class Operations:
    """Puts, gets and outcomes over one router."""

    def __init__(self, router: Router, reads: Reads) -> None:
        self._router, self._calls, self._clock = router, router.calls, router.clock
        self._reads = reads

    def place(
        self, id: TableId, whose: object, whose_sort: object, *, strict: bool = False
    ) -> Place:
        """Where the item of a key and a sort key lives. Raises KeyTooLarge, InvalidRequest."""
        view = self._router.view
        key, sort_key = _bytes(whose), _bytes(whose_sort)
        limits = view.limits
        if not 0 < len(key) <= limits.key_bytes_max:
            raise KeyTooLarge(
                f"the key has {len(key)} bytes, it must have 1 to {limits.key_bytes_max}"
            )
        if len(sort_key) > limits.sort_key_bytes_max:
            most = limits.sort_key_bytes_max
            raise KeyTooLarge(f"the sort key has {len(sort_key)} bytes, at most {most}")
        partition = partition_of(token_of(id, key), view.ring.partitions)
        return Place(view.tables[id], key, sort_key, partition, strict)

    async def get(
        self, of: Handle, whose: object, whose_sort: object, r: object, within: Within
    ) -> Item:
        """What R replicas have of an item. Raises DynamoError."""
        place = self.place(of.table, whose, whose_sort, strict=of.strict)
        deadline_ms = within.deadline_ms or self.deadline_ms(within.timeout_ms)
        if self._reads == "server":
            return await self._get_from_coordinator(place, of.codec, r, deadline_ms)
        read = self._asked(place, r, deadline_ms)
        try:
            answer = await read.future
        except asyncio.CancelledError:
            self._calls.drop(read)
            raise
        if type(answer) is Read:
            return self._found(place, of.codec, read.key, answer)
        if answer.code is Code.WRONG_RING:
            # It changed meanwhile, and is asked about by the new one.
            return await self.get(of, whose, whose_sort, r, Within(0.0, deadline_ms))
        if answer.code is Code.QUORUM_NOT_REACHED and self._router.anyone() is not None:
            # This client cannot reach R owners; perhaps a node can.
            return await self._get_from_coordinator(place, of.codec, r, deadline_ms)
        raise answer.error()

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
        """The context after the write (of `REMOVED`: a delete). Raises DynamoError."""
        place = self.place(of.table, whose, whose_sort, strict=of.strict)
        payload = None if value is REMOVED else encoded(of.codec, value)
        deadline_ms = within.deadline_ms or self.deadline_ms(within.timeout_ms)
        self._check(place, payload)
        covered, ahead_ms = _context(context), 0
        while True:
            call, operation = self._written(place, payload, covered, w, deadline_ms, ahead_ms)
            try:
                answer = await call.future
            except asyncio.CancelledError:
                self._calls.drop(call)
                raise
            if type(answer) is not Failure:
                return self._acknowledged(place, answer)
            if answer.code is not Code.WRITE_TOO_OLD or answer.unknown or ahead_ms > AHEAD_MS_MAX:
                raise _write_error(answer, place, operation)
            # A record on which many write keeps only the newest ids; its floor is above our
            # stamp, nothing was done, and a newer stamp is a new chance.
            ahead_ms = 2 * ahead_ms or 1

    async def outcome(self, place: Place, operation: OperationId, deadline_ms: float) -> str:
        """`applied`, `not applied` or `unknown`. Raises DynamoError."""
        body = (place.table.id, place.key, place.sort_key, operation)
        answer = await self._coordinated(ASK_OUTCOME, body, place, 1, deadline_ms)
        state: str = answer.state
        return state

    def deadline_ms(self, timeout_ms: object) -> float:
        """The deadline of an operation that begins now. Raises InvalidRequest, Closed."""
        known = isinstance(timeout_ms, int | float) and not isinstance(timeout_ms, bool)
        if not known or not 0 < timeout_ms <= TIMEOUT_MS_MAX:  # type: ignore[operator]
            most = f"at most {TIMEOUT_MS_MAX:.0f}"
            raise InvalidRequest(f"a timeout is ms above zero, {most}, not {timeout_ms!r}")
        if self._calls.failure is not None:
            raise Closed(self._calls.failure.message)
        return self._calls.now_ms() + float(timeout_ms)  # type: ignore[arg-type]

    def left_ms(self, deadline_ms: float) -> float:
        """How much of a deadline is left."""
        return deadline_ms - self._calls.now_ms()

    def _asked(self, place: Place, r: object, deadline_ms: float) -> ReplicaRead:
        """The replicas are asked for an item."""
        table, key, sort_key, partition, _ = place
        quorum, calls = _quorum("R", r, table.r, table.n), self._calls
        calls.hedging.budget.earn()
        whole_key = item_key(partition, table.id, key, sort_key)
        read = ReplicaRead(self._router, whole_key, partition, table.n, quorum, deadline_ms)
        calls.begin(read, calls.now_ms())
        return read

    def _found(self, place: Place, codec: Codec, key: ItemKey, read: Read) -> Item:
        """What R replicas say: mostly the same, and mostly one value."""
        seen = _glance(read)
        if seen is not None:
            data, payload, stamp = seen
            self._clock.observe(stamp, self._calls.now_ms())
            values = [] if payload is None else [decoded(codec, payload)]
            return Item(values, partial(_context_of_bytes, key, data))
        record, behind = read.merged(place.table.conflict_rule, self._router.view.window)
        if behind:
            self._ask_repair(place, key)
        self._clock.observe(highest_stamp(record), self._calls.now_ms())
        payloads = [value.payload for value in siblings(record) if value.payload is not None]
        return _item(codec, payloads, partial(_context_of, key, record))

    async def _get_from_coordinator(
        self, place: Place, codec: Codec, r: object, deadline_ms: float
    ) -> Item:
        """What a coordinator finds."""
        quorum = _quorum("R", r, place.table.r, place.table.n)
        body = (place.table.id, place.key, place.sort_key, quorum, place.strict)
        answer = await self._coordinated(GET, body, place, quorum, deadline_ms)
        self._clock.observe(answer.stamp, self._calls.now_ms())
        return _item(codec, answer.payloads, answer.context)

    def _written(
        self,
        place: Place,
        payload: bytes | None,
        covered: bytes | None,
        w: object,
        deadline_ms: float,
        ahead_ms: int,
    ) -> tuple[Coordinated, OperationId]:
        """A coordinator is asked to write; the operation's id."""
        now_ms = self._calls.now_ms()
        table, key, sort_key, partition, strict = place
        quorum = _quorum("W", w, table.w, table.n)
        operation = self._clock.operation(now_ms, ahead_ms, (table.id, key, sort_key))
        asked_w = 0 if w is None else quorum
        body = (table.id, key, sort_key, covered, payload, operation, asked_w, strict)
        call = Coordinated(self._router, PUT, body, partition, table.n, deadline_ms, quorum, True)
        self._calls.begin(call, now_ms)
        return call, operation

    def _acknowledged(self, place: Place, done: Any) -> bytes:
        """W replicas have it: the context after it."""
        written = place.table.id, place.key, place.sort_key
        self._clock.wrote(written, done.stamp, self._calls.now_ms())
        context: bytes = done.context
        return context

    async def _coordinated(
        self, kind: int, body: tuple[Any, ...], place: Place, needed: int, deadline_ms: float
    ) -> Any:
        n, partition = place.table.n, place.partition
        call = Coordinated(self._router, kind, body, partition, n, deadline_ms, needed)
        answer = await self._calls.run(call, self._calls.now_ms())
        if type(answer) is Failure:
            raise answer.error()
        return answer

    def _ask_repair(self, place: Place, key: ItemKey) -> None:
        for peer in self._router.owners(place.partition, place.table.n):
            if peer.link is not None:
                peer.link.send((ASK_REPAIR, key))
                return

    def _check(self, place: Place, payload: bytes | None) -> None:
        if payload is not None:
            most = place.table.value_bytes_max or self._router.view.limits.value_bytes_max
            if len(payload) > most:
                raise ValueTooLarge(f"the value has {len(payload)} bytes, at most {most}")


def _glance(read: Read) -> tuple[bytes, bytes | None, int] | None:
    """(record, payload, stamp) if all answers are the same bytes and hold one value."""
    first = read.answers[0][1]
    for _, data in read.answers:
        if data != first:
            return None
    seen = None if first is None else glance(first)
    return None if first is None or seen is None else (first, *seen)


def _item(codec: Codec, payloads: Sequence[bytes], context: Context) -> Item:
    return Item([decoded(codec, payload) for payload in payloads], context)


def _context_of(key: ItemKey, record: Record) -> bytes:
    return encode_context(key, seen_by_reader(record))


def _context_of_bytes(key: ItemKey, data: bytes) -> bytes:
    return _context_of(key, decode_record(data))


def _write_error(failure: Failure, place: Place, operation: OperationId) -> Exception:
    if not failure.unknown:
        return failure.error()
    token = encode_operation(place.table.id, place.key, place.sort_key, operation)
    return OutcomeUnknown(failure, token)


def _context(given: object) -> bytes | None:
    if given is None or type(given) is bytes:
        return given
    raise InvalidContext(f"a context is bytes, not {type(given).__name__}")


def _bytes(key: object) -> bytes:
    if type(key) is str:
        try:
            return key.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"the key is no text: {error.reason}") from None
    if type(key) is bytes:
        return key
    raise InvalidRequest(f"a key is str or bytes, not {type(key).__name__}")


def _quorum(letter: str, wanted: object, usual: int, n: int) -> int:
    if wanted is None:
        return usual
    if type(wanted) is not int or not 1 <= wanted <= n:
        raise InvalidQuorum(f"{letter}={wanted} is not within 1 to N={n}")
    return wanted
