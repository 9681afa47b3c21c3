"""Yes or no, one sentence each: what the run was for."""

from collections.abc import Sequence
from typing import NamedTuple

from dynamo_bench.chaos.judging import Judgement
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


def verdicts(
    judgement: Judgement, faults: Sequence[Around], fates: Fates, end: End
) -> list[Verdict]:
    """All of them, those that matter most first."""
    return [
        _kept(judgement, end),
        _available(fates),
        _told(end),
        _converged(end),
        *([_rebuilt(judgement)] if any(f.happened.fault.kind == "wipe" for f in faults) else []),
        *(_survived(each) for each in faults if each.happened.fault.kind in ("kill", "zone")),
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
        because += f"; {fates.excused.total():,} more while all nodes were dead"
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


def _stopped(end: End) -> Verdict:
    clean = not any(end.statuses)
    because = "exit status 0" if clean else f"exit statuses {end.statuses}"
    return Verdict("all nodes stop cleanly at the end", clean, because)
