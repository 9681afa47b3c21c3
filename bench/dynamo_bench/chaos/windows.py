"""Figures by time: every operation belongs to the window in which it was meant to begin."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dynamo_bench.chaos.faults import Happened
from dynamo_bench.chaos.journal import Operation
from dynamo_bench.chaos.members import Change
from dynamo_bench.chaos.nodes import SLOPPY
from dynamo_bench.chaos.player import ONLY_WRITES
from dynamo_bench.chaos.schedule import TAKES_ALL, Schedule
from dynamo_bench.measure import Figures, figures

WINDOW_S = 5.0
RECONNECT_S = 3.0
"""After all nodes were dead clients may need so long to find them again."""


class Window(NamedTuple):
    """Some seconds and what was measured in them."""

    begins: float
    """From the beginning of the load."""
    ends: float
    figures: Figures

    @property
    def failed(self) -> int:
        """Operations that failed for good."""
        return sum(self.figures.errors.values())


class Measured(NamedTuple):
    """A change of members and the figures while it was under way."""

    change: Change
    window: Window
    was_under_load: bool
    """Whether it was over when the load ended."""


class Around(NamedTuple):
    """A fault and the figures around it."""

    happened: Happened
    began: float
    """From the beginning of the load, as `healed`."""
    healed: float
    before: Window
    during: list[Window]
    after: Window
    caught_up_s: float | None
    """How long the node took, once back, to hold all that the others held then."""
    changes: Sequence[Measured] = ()
    sloppy: tuple[int, int] = (0, 0)
    """Of the writes in the sloppy table during it that read nothing before, how many succeeded and
    how many failed."""


class Fates(NamedTuple):
    """What became of all operations; those that failed for good by kind."""

    succeeded: int
    unexcused: Counter[str]
    excused: Counter[str]
    """Under way while too many copies of their item were dead, or soon after."""
    sentences: Counter[str]
    """What was said of the unexcused."""


def fates(operations: Sequence[Operation], faults: Iterable[Happened]) -> Fates:
    """Of all operations of a load."""
    spans = [
        (f.began, f.healed + RECONNECT_S, None if f.fault.kind == TAKES_ALL else f.stripped)
        for f in faults
        if f.fault.kind == TAKES_ALL or f.stripped
    ]
    failed = [each for each in operations if each.error]
    found = Fates(len(operations) - len(failed), Counter(), Counter(), Counter())
    for each in failed:
        if any(
            each.intended < end and begin < each.ended
            for begin, end, places in spans
            if places is None or ((each.table, each.key) in places and not is_sloppy_write(each))
        ):
            found.excused[each.error] += 1
        else:
            found.unexcused[each.error] += 1
            found.sentences[each.why] += 1
    return found


def is_sloppy_write(operation: Operation) -> bool:
    """Whether nodes that are no owners may count for it: what one reads must come from owners, or
    from who keeps it for them."""
    return operation.table == SLOPPY and operation.kind in ONLY_WRITES


def window(operations: Iterable[Operation], origin: float, begins: float, ends: float) -> Window:
    """One window; times from `origin`."""
    latencies, errors = [], Counter[str]()
    for operation in operations:
        if begins <= operation.intended - origin < ends:
            if operation.error:
                errors[operation.error] += 1
            else:
                latencies.append(operation.ended - operation.intended)
    return Window(begins, ends, figures(latencies, ends - begins, errors))


def windows(
    operations: Sequence[Operation], origin: float, begins: float, ends: float
) -> list[Window]:
    """Windows of `WINDOW_S` from one moment to another; the last has what is left."""
    count = max(1, math.ceil((ends - begins) / WINDOW_S))
    starts = [begins + WINDOW_S * number for number in range(count)]
    return [window(operations, origin, start, min(start + WINDOW_S, ends)) for start in starts]


def around(
    happened: Happened,
    operations: Sequence[Operation],
    origin: float,
    schedule: Schedule,
    caught_up_s: float | None,
) -> Around:
    """The figures before, during and after a fault, with calm on both sides."""
    began, healed = happened.began - origin, happened.healed - origin
    calm_s, ends = schedule.calm_s, schedule.seconds
    return Around(
        happened,
        began,
        healed,
        before=window(operations, origin, max(0.0, began - calm_s), began),
        during=windows(operations, origin, began, min(healed, ends)),
        after=window(operations, origin, min(healed, ends), min(healed + calm_s, ends)),
        caught_up_s=caught_up_s,
        changes=[_measured(change, operations, origin, ends) for change in happened.changes],
        sloppy=_sloppy(operations, happened),
    )


def _measured(
    change: Change, operations: Sequence[Operation], origin: float, ends: float
) -> Measured:
    begun, over = change.began - origin, change.ended - origin
    return Measured(change, window(operations, origin, begun, over), over <= ends)


def _sloppy(operations: Iterable[Operation], happened: Happened) -> tuple[int, int]:
    """How many writes there succeeded and failed during a fault."""
    meant = [
        operation
        for operation in operations
        if is_sloppy_write(operation) and happened.began <= operation.intended < happened.healed
    ]
    failed = sum(bool(operation.error) for operation in meant)
    return len(meant) - failed, failed
