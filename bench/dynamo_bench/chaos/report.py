"""A run in words and tables for people, and as one object for machines."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dynamo_bench.chaos.plan import Outcome, Plan
from dynamo_bench.chaos.windows import Around, Measured, Window
from dynamo_bench.report import numbers

TOLD_MAX = 20
"""Violations, and reasons of failures, that people are told; machines get all."""

_MARKS = {True: "[green]yes[/]", False: "[bold red]NO[/]", None: "[yellow]?[/]"}


def show(out: Console, outcome: Outcome) -> None:
    """Windows, faults, sentences, verdicts."""
    _show_windows(out, outcome.windows, outcome.faults)
    _show_faults(out, outcome.faults)
    for each in outcome.faults:
        if each.changes:
            _show_changes(out, each.changes)
    for sentence in sentences(outcome):
        out.print(sentence, soft_wrap=True)
    out.print()
    for verdict in outcome.verdicts:
        out.print(f"{_MARKS[verdict.holds]}  {verdict.claim}: {verdict.because}", soft_wrap=True)
    for sentence, count in outcome.fates.sentences.most_common(TOLD_MAX):
        out.print(f"  [bold red]failed[/] {count:,} × {escape(sentence)}", soft_wrap=True)
    violations = outcome.judgement.violations
    for violation in violations[:TOLD_MAX]:
        out.print(f"  [bold red]violation[/] {escape(violation)}", soft_wrap=True)
    if len(violations) > TOLD_MAX:
        out.print(f"  and {len(violations) - TOLD_MAX:,} more", soft_wrap=True)


def sentences(outcome: Outcome) -> list[str]:
    """What the tables do not say."""
    fates = outcome.fates
    failed = fates.unexcused.total() + fates.excused.total()
    reached = ""
    if outcome.maximum is not None:
        reached = f"A closed loop reached {outcome.maximum:,.0f} operations/s. "
    said = [
        f"{reached}The load was {outcome.rate:,.0f} operations/s by the clock, whatever the "
        "cluster did. Latencies count from the moment at which an operation was meant to begin.",
        f"{fates.succeeded:,} operations succeeded, {failed:,} failed after all retries of the "
        f"client library within 5 s. {outcome.end.unknown} writes stay of unknown fate.",
    ]
    said += [f"Left out: {what}." for what in outcome.left_out]
    return said


def as_json(plan: Plan, outcome: Outcome) -> dict[str, object]:
    """The shape that scripts rely on."""
    judgement = outcome.judgement
    return {
        "seed": plan.schedule.seed,
        "nodes": plan.nodes,
        "maximum_ops_per_s": None if outcome.maximum is None else round(outcome.maximum, 1),
        "rate_per_s": round(outcome.rate, 1),
        "windows": [_window(window) for window in outcome.windows],
        "faults": [_fault(each) for each in outcome.faults],
        "left_out": outcome.left_out,
        "checked": {
            "reads": judgement.reads,
            "writes": judgement.writes,
            "rebuilding_answers": judgement.watched,
            "replica_records": judgement.replicas,
        },
        "violations": judgement.violations,
        "succeeded": outcome.fates.succeeded,
        "failed": {
            "while_at_most_one_copy_was_hurt": dict(outcome.fates.unexcused),
            "while_too_many_copies_were_dead": dict(outcome.fates.excused),
        },
        "failures": dict(outcome.fates.sentences),
        "unknown_writes": outcome.end.unknown,
        "hints_left": outcome.end.hints,
        "items": None if outcome.end.items is None else outcome.end.items._asdict(),
        "verdicts": [verdict._asdict() for verdict in outcome.verdicts],
        "holds": outcome.holds,
    }


def _show_windows(out: Console, windows: Sequence[Window], faults: Sequence[Around]) -> None:
    table = Table("seconds", *numbers("ops/s", "p50 ms", "p99 ms", "failed"), "meanwhile")
    for window in windows:
        meanwhile = [
            each.happened.fault.name
            for each in faults
            if each.began < window.ends and window.begins < each.healed
        ]
        table.add_row(_span(window), *_cells(window), ", ".join(meanwhile))
    out.print(table)


def _show_faults(out: Console, faults: Sequence[Around]) -> None:
    table = Table("fault", "window", *numbers("ops/s", "p50 ms", "p99 ms", "failed"), "note")
    for each in faults:
        fault = each.happened.fault
        if each.changes:
            caught_up = ""
        elif each.caught_up_s is None:
            caught_up = "had not caught up when the calm ended"
        else:
            caught_up = f"held all again {each.caught_up_s:.1f} s after its return"
        table.add_row(fault.name, "before", *_cells(each.before), "")
        for number, window in enumerate(each.during):
            note = "" if number else each.happened.note
            table.add_row("", f"during {_span(window)}", *_cells(window), note)
        table.add_row("", "after", *_cells(each.after), caught_up, end_section=True)
    out.print(table)


def _show_changes(out: Console, changes: Sequence[Measured]) -> None:
    heads = numbers("s", "moved", "planned", "least", "ops/s", "p50 ms", "p99 ms", "failed")
    table = Table("change", *heads, "note")
    for change, window, _ in changes:
        table.add_row(
            *(change.what, f"{window.ends - window.begins:.1f}"),
            *(f"{change.moved:,}", f"{change.planned:,}", f"{change.least:,}"),
            *_cells(window),
            escape(change.failure),
        )
    out.print(table)


def _cells(window: Window) -> tuple[str, str, str, str]:
    cell = window.figures
    failed = f"[bold red]{window.failed}[/]" if window.failed else "0"
    return f"{cell.ops_per_s:,.0f}", f"{cell.p50_ms:.1f}", f"{cell.p99_ms:.1f}", failed


def _span(window: Window) -> str:
    return f"{window.begins:.0f}-{window.ends:.0f}"


def _window(window: Window) -> dict[str, object]:
    return {
        "begins_s": round(window.begins, 1),
        "ends_s": round(window.ends, 1),
        **window.figures.as_json(),
    }


def _fault(each: Around) -> dict[str, object]:
    fault = each.happened.fault
    return {
        "kind": fault.kind,
        "node": fault.node,
        "detail": fault.detail.strip(),
        "began_s": round(each.began, 1),
        "healed_s": round(each.healed, 1),
        "before": _window(each.before),
        "during": [_window(window) for window in each.during],
        "after": _window(each.after),
        "caught_up_s": None if each.caught_up_s is None else round(each.caught_up_s, 2),
        "note": each.happened.note,
        **({"changes": [_change(change) for change in each.changes]} if each.changes else {}),
    }


def _change(each: Measured) -> dict[str, object]:
    change = each.change
    return {
        "what": change.what,
        "slots_moved": change.moved,
        "slots_planned": change.planned,
        "slots_least": change.least,
        "copies_told": dict(change.told),
        "failure": change.failure,
        "was_under_load": each.was_under_load,
        "figures": _window(each.window),
    }
