"""What goes on, for a person at a terminal; nothing for a script."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dynamo_bench.measure import Progress as Report

REDRAW_INTERVAL_S = 0.2
"""Drawing costs about a millisecond, so reports in between are dropped."""


@contextmanager
def progress_bar(title: str) -> Iterator[Report | None]:
    """Give what to report a share of 1 to, or None if standard error is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    drawn_at = 0.0
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task(title, total=1.0)

        def report(share: float) -> None:
            nonlocal drawn_at
            now = time.monotonic()
            if now - drawn_at >= REDRAW_INTERVAL_S:
                drawn_at = now
                bar.update(task, completed=share, refresh=True)

        yield report


def steps() -> Callable[[str], None]:
    """What to tell the present step to. A line each: nothing moves while something is measured."""
    console = Console(stderr=True)

    def show(step: str) -> None:
        if console.is_terminal:
            console.print(step, style="dim", highlight=False)

    return show
