"""`dynamo-node up`: a whole cluster on this machine, each node a process of its own."""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from dynamo.config import ClusterConfig, NodeConfig
from dynamo_node.announcer import Announcer
from dynamo_node.cluster_directory import ClusterDirectory
from dynamo_node.ports import require_free
from dynamo_node.restarts import Restarts
from dynamo_node.supervisor import Supervisor

Clock = Callable[[], float]

SAME_SIGNAL_S = 0.3
"""Signals this close are one: of a Ctrl-C, `timeout` and other wrappers pass a second copy on.
Raising it: an impatient second Ctrl-C is not heard; lowering it: one Ctrl-C may kill."""


@dataclass(frozen=True)
class UpOptions:
    """What the command line said."""

    config: ClusterConfig
    data: Path
    ready_file: Path | None = None
    restart: bool = True
    verbose: bool = False


def up(options: UpOptions) -> int:
    """Run the cluster until a signal; the exit status. Raises ConfigError, CannotStart."""
    directory = ClusterDirectory(options.data)
    with directory.lock():
        require_free(options.config.nodes)
        config = directory.adopt(options.config)
        announcer = Announcer(config, directory, options.ready_file)
        announcer.prepare()
        try:
            return asyncio.run(_supervise(config, directory, announcer, options))
        finally:
            announcer.withdraw()


async def _supervise(
    config: ClusterConfig, directory: ClusterDirectory, announcer: Announcer, options: UpOptions
) -> int:
    supervisor = Supervisor(
        config.nodes,
        partial(_command, directory, _logging(options.verbose, sys.stderr.isatty())),
        announcer,
        (lambda: Restarts(Random())) if options.restart else None,
    )
    loop = asyncio.get_running_loop()
    stop = Stopper(supervisor, announcer, loop.time)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    return await supervisor.run()


class Stopper:
    """Stops at the first signal, kills at a later one."""

    def __init__(self, supervisor: Supervisor, announcer: Announcer, now: Clock) -> None:
        self._supervisor = supervisor
        self._announcer = announcer
        self._now = now
        self._first_s: float | None = None

    def __call__(self) -> None:
        if self._first_s is None:
            self._first_s = self._now()
            self._announcer.withdraw()
            self._announcer.say("stopping; again to kill")
        elif self._now() < self._first_s + SAME_SIGNAL_S:
            return
        else:
            self._announcer.say("killing")
        self._supervisor.stop()


def _command(
    directory: ClusterDirectory, logging: Sequence[str], node: NodeConfig, lifeline_fd: int
) -> Sequence[str]:
    """How a node is started."""
    return [
        *(sys.executable, "-P", "-m", "dynamo_node", "run"),
        *("--config", str(directory.config_file), "--name", node.name),
        *("--lifeline-fd", str(lifeline_fd), *logging),
        *(("--bootstrap",) if directory.is_founder(node.name) else ()),
    ]


def _logging(verbose: bool, terminal: bool) -> Sequence[str]:
    """What the nodes say: everything to a file or to who asks; on a terminal what went wrong."""
    level = "info" if verbose or not terminal else "warning"
    return ("--log-format", "text" if terminal else "json", "--log-level", level)
