"""Results for a person: tables on standard output."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Column, Table

from dynamo_bench.compare import Row
from dynamo_bench.measure import Figures
from dynamo_bench.replay import Comparison
from dynamo_bench.scale import Check

PIPE_COLUMNS = 100
"""Where there is no terminal whose width would count."""


def console(*, stderr: bool = False) -> Console:
    """Where tables go."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = PIPE_COLUMNS
    return made


def show_facts(out: Console, facts: Mapping[str, object]) -> None:
    """The machine, the moment and what else went on."""
    out.print(
        " · ".join(f"{name} {value}" for name, value in facts.items()), style="dim", soft_wrap=True
    )


def show_figures(out: Console, named: Mapping[str, Figures]) -> None:
    """One line per cell."""
    table = Table("cell", *numbers("ops/s", "p50 ms", "p99 ms", "p99.9 ms"), "errors")
    for name, cell in named.items():
        errors = ", ".join(f"{kind}: {count}" for kind, count in cell.errors.items()) or "none"
        figures = (f"{cell.ops_per_s:,.0f}", str(cell.p50_ms), str(cell.p99_ms), str(cell.p999_ms))
        table.add_row(name, *figures, errors)
    out.print(table)


def show_rows(out: Console, rows: Sequence[Row]) -> None:
    """The ratios beside what they must be."""
    table = Table(
        "target",
        *numbers("yardstick", "cluster", "ratio", "must", "aim"),
        "reads",
        caption="medians of the rounds; the ratio is the median of the rounds' ratios",
    )
    for row in rows:
        target, sign = row.target, "≥" if row.target.more_is_better else "≤"
        holds = target.holds(row.ratio, target.at_least)
        style = "green" if holds else "bold red"
        digits = 0 if target.unit == "/s" else 2
        table.add_row(
            target.name,
            f"{row.yardstick:,.{digits}f} {target.unit}",
            f"{row.cluster:,.{digits}f} {target.unit}",
            f"[{style}]{row.ratio:.2f}[/]",
            f"{sign} {target.at_least}",
            f"{sign} {target.aim}",
            row.reads if target.cell.workload == "get" else "",
        )
    out.print(table)


def show_checks(out: Console, checks: Sequence[Check]) -> None:
    """The figures of the large data set beside their bounds."""
    table = Table("figure", *numbers("measured", "must"))
    for check in checks:
        style = "green" if check.holds else "bold red"
        table.add_row(check.name, f"[{style}]{check.figure:,.2f} {check.unit}[/]", check.bound)
    out.print(table)


def show_comparison(out: Console, comparison: Comparison) -> None:
    """Whether the carts are the file."""
    style = "green" if comparison.exact else "bold red"
    out.print(
        f"{comparison.carts:,} carts, {comparison.lines:,} lines read back: "
        f"[{style}]{comparison.missing} missing, {comparison.twice} twice, "
        f"{comparison.foreign} foreign[/], {comparison.siblings} carts with siblings",
        soft_wrap=True,
    )


def numbers(*headers: str) -> list[Column]:
    """Columns whose cells end at the right."""
    return [Column(header, justify="right") for header in headers]
