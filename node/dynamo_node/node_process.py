"""One life of one node as a child process: its lines, its readiness, its end."""

import asyncio
import json
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

LAST_WORDS = 12
"""Lines kept of what a node said last."""

LINE_BYTES_MAX = 16 * 1024
"""Longer lines of a node are cut into several."""

_AFTERWARDS_S = 1.0
"""How long to read on after the process has ended, should something else hold its pipes."""


class NodeProcess:
    """A started node. `ended` must be awaited; it reads the node's lines meanwhile."""

    def __init__(self, process: Process, ours: socket.socket) -> None:
        self._process = process
        self._ours = ours
        self.last_words: deque[str] = deque(maxlen=LAST_WORDS)

    @classmethod
    async def start(cls, command: Callable[[int], Sequence[str]]) -> "NodeProcess":
        """Start `command(fd of its lifeline)`, out of reach of the terminal's Ctrl-C."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command(theirs.fileno()),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.returncode is not None

    async def ended(
        self, line: Callable[[str], None], ready: Callable[[dict[str, Any]], None]
    ) -> int:
        """Pass on each line and the readiness; answer how it ended (negative: by a signal)."""
        with self._ours:
            async with asyncio.TaskGroup() as group:
                readers = (
                    group.create_task(self._read_lines(line)),
                    group.create_task(self._read_ready(ready)),
                )
                status = await self._process.wait()
                await asyncio.wait(readers, timeout=_AFTERWARDS_S)
                for reader in readers:
                    reader.cancel()
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def _read_lines(self, line: Callable[[str], None]) -> None:
        assert self._process.stdout is not None, "the node was started with a pipe"
        rest = b""
        while block := await self._process.stdout.read(LINE_BYTES_MAX):
            *whole, rest = (rest + block).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                whole, rest = [*whole, rest], b""
            for words in whole:
                self._heard(words, line)
        if rest:
            self._heard(rest, line)

    def _heard(self, words: bytes, line: Callable[[str], None]) -> None:
        text = words.decode("utf-8", "replace").rstrip()
        self.last_words.append(text)
        line(text)

    async def _read_ready(self, ready: Callable[[dict[str, Any]], None]) -> None:
        loop = asyncio.get_running_loop()
        said = b""
        while b"\n" not in said:
            try:
                block = await loop.sock_recv(self._ours, 4096)
            except ConnectionResetError:
                return
            if not block:
                return
            said += block
        ready(json.loads(said.partition(b"\n")[0]))


def how_it_ended(status: int) -> str:
    """`exit status 1` or `killed by SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
