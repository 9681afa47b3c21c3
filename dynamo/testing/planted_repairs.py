"""Planted bugs of disks that fail, of what repairs them, of quorums and bounds (`planted`)."""

from contextlib import suppress
from typing import Any

from dynamo.coordination import composing
from dynamo.coordination.gets import Gets
from dynamo.coordination.puts import Puts
from dynamo.siblings import record as records
from dynamo.siblings.record import Record, Seen, Value
from dynamo.storage import engine as engines
from dynamo.storage.files import DiskFull
from dynamo.testing.bugs import Bug
from dynamo.testing.scenario import Shape

# what is written

_written = records.written


def _delete_forgets(record: Record, seen: Seen, value: Value, *rest: Any) -> Record:
    if value.payload is None:
        return records.NOTHING
    return _written(record, seen, value, *rest)


# disks

_run_group = engines.Group.run


def _full_is_fine(self: engines.Group) -> None:
    with suppress(DiskFull):
        _run_group(self)


# who is counted


def _refusal_counts(self: Puts, node: Any, id: int, cause: str, now_ms: float) -> list[Any]:
    return self.acknowledge(node, id, now_ms)


def _refused_is_nothing(self: Gets, node: Any, id: int, cause: str, now_ms: float) -> list[Any]:
    return self.answer(node, id, None, False, now_ms)


_FULL = Shape(nodes=3, tracks=4, kinds=("full disk", "full disk", "crash", "loss", "delay"))
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
    ),
}
"""By their names."""
