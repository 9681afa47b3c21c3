"""Planted bugs of disks that fail, of what repairs them, of quorums and bounds (`planted`)."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from dynamo.config import Limits, NodeLimits
from dynamo.coordination import composing
from dynamo.coordination.gate import Gate
from dynamo.coordination.gets import Gets
from dynamo.coordination.puts import Puts
from dynamo.coordination.repairs import Repairs
from dynamo.errors import CorruptData
from dynamo.kernel import Kernel
from dynamo.messages import Source
from dynamo.repair.exchange import Exchange
from dynamo.repair.trees import Trees
from dynamo.siblings import record as records
from dynamo.siblings.record import Record, Seen, Value
from dynamo.storage import engine as engines
from dynamo.storage.files import DiskFull
from dynamo.testing.bugs import Bug
from dynamo.testing.scenario import TABLES, Shape

# what is written

_written = records.written


def _delete_forgets(record: Record, seen: Seen, value: Value, *rest: Any, **named: Any) -> Record:
    if value.payload is None:
        return records.NOTHING
    return _written(record, seen, value, *rest, **named)


def _first_attempt(retried: Any, operation: Any) -> Any:
    return retried


def _no_exchange(self: Exchange, up: Any, now_ms: float) -> list[Any]:
    return []


def _put_unhashed(self: Trees, key: Any, record: bytes, token: Any) -> None:
    self._store.put(key, record, token)


# disks

_run_group = engines.Group.run


def _full_is_fine(self: engines.Group) -> None:
    with suppress(DiskFull):
        _run_group(self)


_trees_get = Trees.get


def _damaged_is_missing(self: Trees, key: Any) -> bytes | None:
    try:
        return _trees_get(self, key)
    except CorruptData:
        return None


# who is counted


def _refusal_counts(self: Puts, node: Any, id: int, cause: str, now_ms: float) -> list[Any]:
    return self.acknowledge(node, id, now_ms)


def _refused_is_nothing(self: Gets, node: Any, id: int, cause: str, now_ms: float) -> list[Any]:
    return self.answer(node, id, None, False, now_ms)


_new_kernel = Kernel.__init__


def _counts_unconfirmed(self: Kernel, *arguments: Any) -> None:
    _new_kernel(self, *arguments)
    self._ready |= self._unconfirmed
    self._unconfirmed = frozenset()


# bounds


def _queue_without_end(self: Repairs, key: Any, now_ms: float) -> None:
    if key not in self._waiting:
        self._waiting[key] = now_ms + self._scope.timing.repair_delay_ms
        self._timers.add(self._waiting[key], 0)


_enter = Gate.enter


def _let_all_in(self: Gate, source: Source) -> Any:
    bounds, self._most, self._most_each = (self._most, self._most_each), 1 << 30, 1 << 30
    entered = _enter(self, source)
    self._most, self._most_each = bounds
    return entered


_READ_ONE = tuple(replace(table, r=1, w=3) for table in TABLES)
_OLD = Shape(
    nodes=3,
    tracks=4,
    kinds=("old image", "old image", "crash", "one-way", "partition", "pause"),
    tables=_READ_ONE,
    spares=0,
)
_DAMAGE = Shape(
    nodes=3,
    tracks=4,
    keys=60,
    kinds=("damaged value", "damaged value", "one-way", "partition", "loss", "delay", "slow disk"),
    tables=_READ_ONE,
    spares=0,
)
_FULL = Shape(nodes=3, tracks=4, kinds=("full disk", "full disk", "crash", "loss", "delay"))
_BOUNDED = Shape(
    nodes=3,
    keys=40,
    node_limits=NodeLimits(
        operations_in_flight_max=3, operations_per_client_max=1, repairs_queued_max=2
    ),
)

_CUT_OFF = Shape(
    nodes=3,
    keys=4,
    tracks=6,
    kinds=("partition", "one-way", "pause", "flapping", "delay"),
    limits=Limits(operations_max=8),
    spares=0,
)
_LOST = Shape(nodes=3, tracks=4, kinds=("lost disk", "lost disk", "crash", "delay", "loss"))

BUGS = {
    "delete forgets the history": Bug(
        "A record that is removed at once comes back from a replica that has missed the delete.",
        ((composing, "written", _delete_forgets),),
    ),
    "refusal counted as an acknowledgement": Bug(
        "A replica that is full says no, and the writer is told that it has the write.",
        ((Puts, "refuse", _refusal_counts),),
        _FULL,
    ),
    "refusal counted as nothing found": Bug(
        "A replica that may not answer a read answers that there is nothing.",
        ((Gets, "refuse", _refused_is_nothing),),
        _LOST,
    ),
    "full disk taken for a written one": Bug(
        "What found no room is acknowledged, and gone at the next crash.",
        ((engines.Group, "run", _full_is_fine),),
        _FULL,
        seed=5,
    ),
    "damaged value taken for none": Bug(
        "A replica says `not found` of what its disk no longer reads.",
        ((Trees, "get", _damaged_is_missing),),
        _DAMAGE,
        seed=35,
    ),
    "old image serves at once": Bug(
        "A disk from the past answers reads before anybody could say what it is.",
        ((Kernel, "__init__", _counts_unconfirmed),),
        _OLD,
        seed=102,
    ),
    "retry taken for a first attempt": Bug(
        "A coordinator that was cut off comes back with a value that was replaced meanwhile.",
        ((records, "_with", _first_attempt),),
        _CUT_OFF,
        seed=6,
    ),
    "no exchange": Bug(
        "Replicas that missed a write keep missing it until somebody reads.",
        ((Exchange, "advance", _no_exchange),),
        seed=1,
    ),
    "puts unseen by the hash trees": Bug(
        "Owners that differ compare alike.",
        ((Trees, "put", _put_unhashed),),
    ),
    "repairs without a bound": Bug(
        "Every difference seen is remembered until memory ends.",
        ((Repairs, "request", _queue_without_end),),
        _BOUNDED,
    ),
    "operations without a bound": Bug(
        "A burst is taken in whole, and everybody waits.",
        ((Gate, "enter", _let_all_in),),
        _BOUNDED,
    ),
}
"""By their names."""
