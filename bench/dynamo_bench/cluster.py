"""A cluster to be measured: `dynamo-node up` as a process of its own, in a temporary directory.

async with Cluster() as cluster:
    async with connect(cluster.seeds) as database: …
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NODES = 3
PORTS = range(21_000, 30_000, 300)
"""Candidates for the first port: below the range from which systems take ports on their own."""

PORT_GROUPS = (0, 100, 200)
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.01
LOG_TAIL_LINES = 20


class CannotMeasure(Exception):
    """The cluster did not start or stop as it should; the message says why."""


class Cluster:
    """Three nodes with durable data, stopped and removed at the end."""

    def __init__(self, directory: Path | None = None) -> None:
        self._parent = directory
        self._process: asyncio.subprocess.Process | None = None
        self._facts: dict[str, Any] = {}

    async def __aenter__(self) -> "Cluster":
        self._path = Path(tempfile.mkdtemp(prefix="dynamo-bench-", dir=self._parent))
        self._port = free_base_port()
        try:
            await self.start()
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._remove()

    @property
    def seeds(self) -> str:
        """What a client connects to."""
        return ",".join(self._facts["seeds"])

    async def start(self) -> float:
        """Start all nodes; the seconds until they served."""
        ready_file = self._path / "ready.json"
        ready_file.unlink(missing_ok=True)
        options = ["--nodes", str(NODES), "--data", str(self._path / "data")]
        options += ["--port", str(self._port), "--ready-file", str(ready_file), "--no-restart"]
        began = time.perf_counter()
        with (self._path / "log").open("ab") as log:
            command = Path(sys.executable).with_name("dynamo-node")
            self._process = await asyncio.create_subprocess_exec(
                command, "up", *options, stdout=log, stderr=log
            )
        while not ready_file.exists():
            if self._process.returncode is not None:
                raise CannotMeasure(f"dynamo-node up ended:\n{self._log_tail()}")
            if time.perf_counter() - began > START_TIMEOUT_S:
                raise CannotMeasure(f"no start in {START_TIMEOUT_S} s:\n{self._log_tail()}")
            await asyncio.sleep(POLL_S)
        seconds = time.perf_counter() - began
        self._facts = json.loads(ready_file.read_text())
        return seconds

    async def stop(self) -> None:
        """Stop all nodes cleanly. Raises CannotMeasure if that failed."""
        assert self._process is not None, "started before"
        self._process.send_signal(signal.SIGTERM)
        try:
            status = await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            raise CannotMeasure(f"no stop in {STOP_TIMEOUT_S} s:\n{self._log_tail()}") from None
        if status:
            raise CannotMeasure(f"stopped with status {status}:\n{self._log_tail()}")

    def anonymous_bytes(self) -> dict[str, int]:
        """Each node's anonymous memory (RssAnon: not the pages of files) by name."""
        return {node["name"]: _rss_anon(node["pid"]) for node in self._facts["nodes"]}

    async def _remove(self) -> None:
        try:
            if self._process is not None and self._process.returncode is None:
                await self.stop()
        finally:
            shutil.rmtree(self._path, ignore_errors=True)

    def _log_tail(self) -> str:
        lines = (self._path / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])


def _rss_anon(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise CannotMeasure(f"process {pid} tells no RssAnon")


def free_base_port(groups: Sequence[int] = PORT_GROUPS, nodes: int = NODES) -> int:
    """A port from which all are free that `up` (or the groups named) derives for so many nodes.

    Processes begin to look at different ones, because a port is not taken before a node starts.
    """
    first = os.getpid() % len(PORTS)
    candidates: list[int] = [*PORTS[first:], *PORTS[:first]]
    for base in candidates:
        if all(_is_free(base + group + node) for group in groups for node in range(nodes)):
            return base
    raise CannotMeasure(f"no free ports from {PORTS.start} to {PORTS.stop}")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
