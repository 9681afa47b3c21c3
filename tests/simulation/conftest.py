"""Adds up what the simulated runs saw, and says it at the end of the test run."""

from collections import Counter
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line of faults and one of operations, over all runs of `test_seeds`."""
    totals: dict[str, Counter[str]] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, counts in getattr(report, "user_properties", []):
            if name.startswith("simulated "):
                totals.setdefault(name, Counter()).update(counts)
    for name, total in sorted(totals.items()):
        counted = ", ".join(f"{what} {total[what]:,}" for what in sorted(total))
        terminalreporter.write_line(f"{name}: {counted}")
