"""On what, and beside what else, figures were measured."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def machine_facts() -> dict[str, object]:
    """The machine and the moment, for the head of a report."""
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "version": version("dynamo-kv"),
        "uptime_s": round(uptime_s),
        "load_average": load_average(),
    }


def load_average() -> list[float]:
    """Of the last 1, 5 and 15 minutes. Near zero before a run if the machine is ours alone."""
    return [round(load, 2) for load in os.getloadavg()]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
