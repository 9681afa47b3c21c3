"""The yardstick from outside: three bare node processes and a client for them.

    async with Yardstick() as yardstick:
        figures = await yardstick.measure("put", concurrency=64, seconds=10)

What the nodes do stands in `yardstick_node`. `dynamo-bench yardstick` prints its rates alone,
`dynamo-bench compare` sets the cluster beside it.
"""

import asyncio
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from dynamo_bench.in_flight import for_each
from dynamo_bench.measure import Figures, Operate, Progress, closed_loop
from dynamo_bench.yardstick_wire import GET, PUT, Asker

NODES = 3
KEY_STRIDE = 7919
"""Prime, so that successive operations touch keys far apart and all in turn."""

STOP_TIMEOUT_S = 10
FILL_IN_FLIGHT = 64


class Yardstick:
    """Three running nodes, each a process with a directory of its own, and a link to each."""

    def __init__(
        self,
        *,
        keys: int = 20_000,
        value_bytes: int = 1024,
        fdatasync: bool = True,
        directory: Path | None = None,
    ) -> None:
        self._keys = [b"k%d" % number for number in range(keys)]
        self._value = os.urandom(value_bytes)
        self._fdatasync = fdatasync
        self._parent = directory
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._askers: list[Asker] = []
        self._numbers = itertools.count()

    async def __aenter__(self) -> "Yardstick":
        self._path = Path(tempfile.mkdtemp(prefix="yardstick-", dir=self._parent))
        ports = _free_ports(NODES)
        try:
            self._nodes = [self._start(index, ports) for index in range(NODES)]
            for node in self._nodes:
                await asyncio.to_thread(_wait_until_ready, node)
            for port in ports:
                asker = Asker()
                await asker.connect(port)
                self._askers.append(asker)
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._stop)

    async def fill(self) -> None:
        """Write every key once, so that reads find something."""

        async def write(numbered: tuple[int, bytes]) -> None:
            number, key = numbered
            await self._ask(number, PUT, key, self._value)

        await for_each(enumerate(self._keys), write, in_flight=FILL_IN_FLIGHT)

    async def measure(
        self, workload: str, *, concurrency: int, seconds: float, progress: Progress | None = None
    ) -> Figures:
        """Run one cell; `workload` is `put` or `get`."""
        operate = self._operation(workload)
        return await closed_loop([operate] * concurrency, seconds, progress)

    def _operation(self, workload: str) -> Operate:
        verb = {"put": PUT, "get": GET}[workload]
        value = self._value if verb == PUT else None
        keys, numbers = self._keys, self._numbers

        def operate() -> asyncio.Future[object]:
            number = next(numbers)
            return self._ask(number, verb, keys[number * KEY_STRIDE % len(keys)], value)

        return operate

    def _ask(
        self, number: int, verb: int, key: bytes, value: bytes | None
    ) -> asyncio.Future[object]:
        reply: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._askers[number % NODES].ask(verb, key, value, reply.set_result)
        return reply

    def _start(self, index: int, ports: list[int]) -> subprocess.Popen[bytes]:
        arguments = [str(index), str(self._path / str(index)), str(int(self._fdatasync))]
        command = [sys.executable, "-P", "-m", "dynamo_bench.yardstick_node", *arguments]
        command += map(str, ports)
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _stop(self) -> None:
        for node in self._nodes:
            node.communicate(timeout=STOP_TIMEOUT_S)
        shutil.rmtree(self._path, ignore_errors=True)


def _wait_until_ready(node: subprocess.Popen[bytes]) -> None:
    assert node.stdout is not None, "started with a pipe"
    if node.stdout.readline() != b"ready\n":
        raise RuntimeError(f"a yardstick node ended at its start with status {node.wait()}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()
