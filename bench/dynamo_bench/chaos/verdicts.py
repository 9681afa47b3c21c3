"""Yes or no, one sentence each: what the run was for."""

from collections.abc import Sequence
from typing import NamedTuple

from dynamo_bench.chaos.items import Found
from dynamo_bench.chaos.judging import Judgement
from dynamo_bench.chaos.schedule import MEMBERS, TWO
from dynamo_bench.chaos.windows import WINDOW_S, Around, Fates

P99_TIMES_MAX = 2.0
"""With a node dead for five seconds, p99 is at most so many times what it was before."""
BACK_AFTER_S = 5.0


class Verdict(NamedTuple):
    """One claim. `holds` None: this run could not tell."""

    claim: str
    holds: bool | None
    because: str


class End(NamedTuple):
    """How the cluster was when all was healed."""

    unknown: int
    """Writes of whose fate the cluster could not tell."""
    differing: int
    """Keys whose owners did not agree at the last."""
    silent: int
    """Replicas that did not say at the end what they hold of a key."""
    unheard: int
    """Keys of which no replica said it."""
    alike_after_s: float | None
    """When they all did, from the last heal or the end of the load, whichever was later."""
    statuses: list[int]
    """Of the nodes' clean stop."""
    hints: int | None = 0
    """Kept at the last by all nodes together; None: one did not say."""
    items: Found | None = None
    """Those that nobody touched; None: there were none."""


def verdicts(
    judgement: Judgement, faults: Sequence[Around], fates: Fates, end: End
) -> list[Verdict]:
    """All of them, those that matter most first."""
    return [
        _kept(judgement, end),
        _available(fates),
        _told(end),
        _converged(end),
        _delivered(end),
        *([_untouched(end.items)] if end.items is not None else []),
        *([_rebuilt(judgement)] if any(f.happened.fault.kind == "wipe" for f in faults) else []),
        *(_survived(each) for each in faults if each.happened.fault.kind in ("kill", "zone")),
        *(_goes_on(each) for each in faults if each.happened.fault.kind == TWO),
        *(
            verdict(each)
            for each in faults
            if each.happened.fault.kind == MEMBERS
            for verdict in (_changed, _moved)
        ),
        _stopped(end),
    ]


def _kept(judgement: Judgement, end: End) -> Verdict:
    """A replica that says nothing at the end has not shown that it lost nothing; a key of which all
    say nothing is lost."""
    silent = f"; {end.silent:,} did not say what they hold" if end.silent else ""
    if end.unheard:
        silent += f", of {end.unheard:,} keys none did"
    holds = judgement.holds and not end.unheard
    return Verdict(
        "nothing acknowledged is lost, nothing denied is shown, siblings are exactly the "
        "concurrent writes, strict reads are regular",
        None if end.silent and holds else holds,
        f"{judgement.reads:,} reads, {judgement.writes:,} writes and {judgement.replicas:,} "
        f"replicas' records were held against each other{silent}; "
        f"{len(judgement.violations):,} keys with a violation",
    )


def _available(fates: Fates) -> Verdict:
    """One node of three, or one zone, is no reason to fail."""
    failed = fates.unexcused.total()
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(fates.unexcused.items()))
    because = f"{failed:,} failed ({kinds})" if failed else "none failed"
    if fates.excused:
        because += f"; {fates.excused.total():,} more while too many copies were dead"
    return Verdict(
        "no operation fails for good while at most one copy of its key is hurt", not failed, because
    )


def _told(end: End) -> Verdict:
    because = f"{end.unknown:,} stay unknown" if end.unknown else "all were told when asked"
    return Verdict("what became of a write can be asked later", not end.unknown, because)


def _converged(end: End) -> Verdict:
    if end.alike_after_s is None:
        because = f"{end.differing:,} keys still differ after a minute"
    else:
        because = f"alike {end.alike_after_s:.1f} s after the end"
    return Verdict(
        "all replicas become alike by themselves", end.alike_after_s is not None, because
    )


def _delivered(end: End) -> Verdict:
    """Whoever was away is given all that others kept for it."""
    told = {None: "a node does not say what it keeps", 0: "no node keeps one"}
    because = told.get(end.hints, f"{end.hints or 0:,} are still kept after a minute")
    holds = None if end.hints is None else not end.hints
    return Verdict("all hints are handed over once all nodes are back", holds, because)


def _untouched(items: Found) -> Verdict:
    because = f"{items.right:,} of {items.written:,} were read from their owners as written"
    if items.examples:
        because += f"; {'; '.join(items.examples)}"
    return Verdict(
        "every item that was written before the load is there at the end",
        items.right == items.written,
        because,
    )


def _rebuilt(judgement: Judgement) -> Verdict:
    return Verdict(
        "a node that lost its disk never denies what was acknowledged",
        not judgement.denied_what_was_there if judgement.watched else None,
        f"{judgement.watched:,} answers of such nodes, {judgement.denied_what_was_there} wrong",
    )


def _survived(fault: Around) -> Verdict:
    """The claim of a kill: nothing fails, and latency is back while the node is still dead. (What
    its start costs a machine that all nodes share is another matter.)"""
    claim = (
        f"{fault.happened.fault.name} under load: nothing fails within its deadline, and p99 is "
        f"back within {P99_TIMES_MAX:g} × of before after {BACK_AFTER_S:g} s"
    )
    failed = sum(window.failed for window in fault.during)
    before = fault.before.figures.p99_ms
    begins, ends = fault.began + BACK_AFTER_S, fault.began + fault.happened.fault.lasts_s
    later = [
        window
        for window in fault.during
        if begins <= window.begins and window.begins + WINDOW_S <= ends
    ]
    if failed:
        return Verdict(claim, False, f"{failed} operations failed")
    if not later or not fault.before.figures.operations:
        return Verdict(claim, None, "nothing failed; the run is too short for the rest")
    worst = max(window.figures.p99_ms for window in later)
    because = f"nothing failed; p99 {before:.1f} ms before, {worst:.1f} ms while it was dead"
    return Verdict(claim, worst <= P99_TIMES_MAX * before, because)


def _goes_on(fault: Around) -> Verdict:
    """Of three copies of some items two are gone. What is to be read there is one copy and what
    others were given since: that may be too few, and fails rather than deny what it cannot see."""
    succeeded, failed = fault.sloppy
    return Verdict(
        f"{fault.happened.fault.name} under load: puts go on where others may stand in",
        not failed if succeeded or failed else None,
        f"{succeeded:,} of them succeeded meanwhile, {failed:,} failed",
    )


def _changed(fault: Around) -> Verdict:
    """That nothing acknowledged is lost or read stale is said of the whole run."""
    claim = (
        f"{fault.happened.fault.name} under load: every change ends, and nothing fails meanwhile"
    )
    wanted = len(fault.happened.fault.joining) + len(fault.happened.fault.leaving)
    failures = [each.change.failure for each in fault.changes if each.change.failure]
    if failures or len(fault.changes) < wanted:
        done = len(fault.changes) - len(failures)
        because = f"{done} of {wanted} changes came to their end; {'; '.join(failures)}"
        return Verdict(claim, False, because)
    failed = sum(window.failed for window in fault.during)
    if failed:
        return Verdict(claim, False, f"{failed} operations failed")
    idle = sum(not each.was_under_load for each in fault.changes)
    if idle:
        because = f"nothing failed, but the load ended before {idle} of {wanted} changes did"
        return Verdict(claim, None, because)
    done_in_s = fault.changes[-1].change.ended - fault.changes[0].change.began
    because = f"{wanted} changes in {done_in_s:.1f} s, nothing failed"
    return Verdict(claim, True, because)


def _moved(fault: Around) -> Verdict:
    """By the rings that members hold, not by what was meant to happen."""
    changes = [each.change for each in fault.changes if not each.change.failure]
    wrong = [
        f"{each.what} was planned to move {each.planned} and may need {each.least}, the rings "
        f"differ by {each.moved}, nodes said that they copy {dict(each.told)}"
        for each in changes
        if not each.is_least
    ]
    moved = sum(each.moved for each in changes)
    return Verdict(
        "a change of members moves what was planned, and no plan could move less",
        not wrong if changes else None,
        "; ".join(wrong) or f"{moved:,} copies of partitions in {len(changes)} changes",
    )


def _stopped(end: End) -> Verdict:
    clean = not any(end.statuses)
    because = "exit status 0" if clean else f"exit statuses {end.statuses}"
    return Verdict("all nodes stop cleanly at the end", clean, because)
