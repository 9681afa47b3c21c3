"""A real cluster: `dynamo-node up` as a process of its own, its nodes killed, stopped and watched.

    async with ClusterProcess(tmp_path / "data") as cluster:
        async with connect(cluster.seeds) as db: ...
        cluster.kill("n2")                      # kill -9; `up` starts it again
        await cluster.until_serving()

Every process ends by itself after `LIFE_S`, whatever becomes of the test. Waiting is for a
condition, with a deadline; what was said until then stands in the failure.
"""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, Any

from dynamo.config import builtin
from dynamo_node.config_text import render

LIFE_S = 150
DEADLINE_S = 30.0
STOP_S = 20.0
GRAIN_S = 0.02
PORTS = range(21_000, 31_000)
"""Below those that the system hands out to outgoing connections."""

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
NODE_COMMAND = (sys.executable, "-P", "-m", "dynamo_node")
SMALL_NODE = (sys.executable, "-P", str(Path(__file__).with_name("small_node.py")))
"""The same with short log segments: what `ClusterProcess` runs unless a test is about the other."""
CLIENT_COMMAND = (sys.executable, "-P", "-m", "dynamo_client.cli")


async def pause() -> None:
    """A moment between two looks at a condition."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GRAIN_S):
            await asyncio.Event().wait()


async def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE_S) -> None:
    """Wait until `condition()` is true. Raises AssertionError after `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"not within {seconds:g} s: {what}"
        await pause()


class Program:
    """A started process and the lines that it has written; it lives LIFE_S at most."""

    def __init__(self, *command: str, cwd: Path | None = None) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self._process = subprocess.Popen(
            ["timeout", "--kill-after=5", str(LIFE_S), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=cwd,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        assert self._process.stdout is not None, "made with a pipe"
        assert self._process.stderr is not None, "made with a pipe"
        self._readers = (
            _reader(self._process.stdout, self.out),
            _reader(self._process.stderr, self.err),
        )

    @property
    def status(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        self._process.send_signal(number)

    async def ended(self, seconds: float = STOP_S) -> int:
        """Its exit status, once it has ended and all its lines are here."""
        await until(lambda: self.status is not None, "the end of a process", seconds)
        for reader in self._readers:
            reader.join(timeout=5)
        assert self.status is not None, "it has ended"
        return self.status

    def told(self) -> str:
        """Everything it wrote, for a failure's message."""
        return "\n".join([*self.out, *self.err])


class ClusterProcess:
    """`dynamo-node up` on free ports, and a way to start single nodes again by hand."""

    def __init__(
        self,
        data: Path,
        nodes: int = 3,
        *options: str,
        idle_timeout_ms: int | None = None,
        command: tuple[str, ...] = SMALL_NODE,
    ) -> None:
        """`options`: more of them for `up`, such as --no-restart. `idle_timeout_ms`: how long a
        node that stands still counts as alive, when a test wants to be sure of it. `command`: what
        the nodes and their `up` are started with."""
        self.data = data
        self.names = [f"n{number}" for number in range(1, nodes + 1)]
        self.ready_file = data.with_name(f"{data.name}.ready")
        self.port = 0
        self._options, self._idle_timeout_ms = options, idle_timeout_ms
        self._command = command
        self._up: Program | None = None
        self._by_hand: dict[str, Program] = {}

    async def __aenter__(self) -> "ClusterProcess":
        try:
            await self.start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            print("\n".join(self.up.err[-60:]))
        await self._end()

    async def start(self) -> None:
        """Start it, on the same ports as before if there was a before, and wait until it serves."""
        while True:
            self.port = self.port or free_port(len(self.names))
            self._up = Program(
                *(*self._command, "up", "--data", str(self.data)),
                *("--ready-file", str(self.ready_file), *self._wanted(), *self._options),
            )
            await until(lambda: self.facts or self.up.status is not None, "the cluster serves")
            if self.up.status is None:
                return
            await self.up.ended()
            if "is in use; stop what listens" not in self.up.told():
                raise AssertionError(f"up ended with {self.up.status}:\n{self.up.told()}")
            self.port = 0

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask `up` to stop; its exit status."""
        os.kill(self._up_pid(), number)
        return await self.up.ended()

    @property
    def up(self) -> Program:
        """The process of `dynamo-node up`."""
        assert self._up is not None, "the cluster was started"
        return self._up

    @property
    def facts(self) -> dict[str, Any]:
        """What the ready file says now; empty while there is none."""
        try:
            facts: dict[str, Any] = json.loads(self.ready_file.read_text())
        except FileNotFoundError:
            return {}
        return facts

    @property
    def seeds(self) -> str:
        """What `connect` and `--seeds` take."""
        return ",".join(f"127.0.0.1:{self.port + i}" for i in range(len(self.names)))

    def pid(self, name: str) -> int:
        """The node's process, as its directory tells; 0 if it stopped cleanly."""
        try:
            return int((self.data / name / "node.pid").read_text())
        except FileNotFoundError:
            return 0

    def kill(self, *names: str) -> list[int]:
        """kill -9, all at once; the processes that were killed."""
        return self._signal(signal.SIGKILL, names)

    def stop_node(self, name: str) -> None:
        """SIGTERM to a node of `up`, which takes it as the end of this one."""
        self._signal(signal.SIGTERM, (name,))

    async def freeze(self, *names: str) -> None:
        """SIGSTOP; returns when every thread of them stands still."""
        pids = self._signal(signal.SIGSTOP, names)
        await until(lambda: all(_is_stopped(pid) for pid in pids), f"{names} stand still")

    def thaw(self, *names: str) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT, names)

    async def until_serving(self, *, not_by: list[int]) -> None:
        """Wait until the ready file tells of new processes in place of those in `not_by`."""

        def serves() -> bool:
            pids = [node["pid"] for node in self.facts.get("nodes", [])]
            return bool(pids) and not set(pids) & set(not_by)

        await until(serves, "the killed nodes serve again")

    async def run_by_hand(self, *names: str) -> None:
        """Start nodes that `up --no-restart` leaves down, and wait until they serve."""
        for name in names:
            if name in self._by_hand:
                await self._by_hand[name].ended()
            self._by_hand[name] = Program(
                *(*self._command, "run", "--config", str(self.data / "cluster.yml")),
                *("--name", name),
            )
        for name in names:
            program = self._by_hand[name]
            await until(
                lambda p=program: p.status is not None or any('"serving"' in x for x in p.err),
                f"{name} serves",
            )
            assert program.status is None, program.told()

    async def stop_by_hand(self, name: str) -> int:
        """SIGTERM to a node that was started by hand; its exit status."""
        program = self._by_hand.pop(name)
        os.kill(self.pid(name), signal.SIGTERM)
        return await program.ended()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the node has logged, in order, over all its lives."""
        prefix = f"{name} | "
        lines = [line.removeprefix(prefix) for line in self.up.err if line.startswith(prefix)]
        if name in self._by_hand:
            lines += self._by_hand[name].err
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _wanted(self) -> tuple[str, ...]:
        """The options that say which cluster."""
        if self._idle_timeout_ms is None:
            return ("--nodes", str(len(self.names)), "--port", str(self.port))
        config = builtin(len(self.names), str(self.data), self.port)
        timing = replace(config.timing, idle_timeout_ms=self._idle_timeout_ms)
        file = self.data.with_name(f"{self.data.name}.yml")
        file.write_text(render(replace(config, timing=timing)))
        return ("--config", str(file))

    def _signal(self, number: signal.Signals, names: tuple[str, ...]) -> list[int]:
        pids = [self.pid(name) for name in names]
        for pid in pids:
            assert pid > 1, f"not all of {names} are running"
            os.kill(pid, number)
        return pids

    def _up_pid(self) -> int:
        return int((self.data / "up.lock").read_text())

    async def _end(self) -> None:
        """End everything that this cluster started."""
        for name in self.names:
            with suppress(ProcessLookupError):
                if self._is_ours(pid := self.pid(name)):
                    os.kill(pid, signal.SIGCONT)
        programs = [program for program in (self._up, *self._by_hand.values()) if program]
        for program in programs:
            program.signal(signal.SIGTERM)
        for program in programs:
            await program.ended(STOP_S + 10)

    def _is_ours(self, pid: int) -> bool:
        """Whether the process that the pid file names is still a node of this directory."""
        try:
            return str(self.data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False


async def run(*command: str, seconds: float = DEADLINE_S, cwd: Path | None = None) -> Program:
    """A command, run to its end."""
    program = Program(*command, cwd=cwd)
    await program.ended(seconds)
    return program


def _reader(stream: IO[str], lines: list[str]) -> Thread:
    def read() -> None:
        with stream:
            lines.extend(line.rstrip("\n") for line in stream)

    thread = Thread(target=read, daemon=True)
    thread.start()
    return thread


def free_port(nodes: int) -> int:
    """A first port such that `up` finds all it wants free."""
    for port in random.SystemRandom().sample(PORTS, 100):
        wanted = [port + part + i for part in (0, 100, 200) for i in range(nodes)]
        if all(_is_free(each) for each in wanted):
            return port
    raise AssertionError(f"no free ports in {PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_stopped(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)
