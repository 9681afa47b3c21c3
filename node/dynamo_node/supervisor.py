"""Keeps the processes of a cluster's nodes alive until told to stop.

    starting ──► serving ──► dead ──(backoff)──► starting
                               └──(--no-restart, or five deaths before ever serving)──► down

The first `stop` asks every node to end (SIGTERM), waits, then kills; the second kills at once.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

from dynamo.config import NodeConfig
from dynamo_node.node_process import NodeProcess, how_it_ended
from dynamo_node.restarts import ATTEMPTS_MAX, Restarts

STOP_TIMEOUT_S = 15.0
"""How long nodes may drain and checkpoint. Raising it: a hung node delays the stop; lowering it:
a slow disk turns a clean stop into a crash, and the next start into a recovery."""


class Audience(Protocol):
    """Who is told what happens."""

    def say(self, text: str) -> None:
        """A sentence for the operator."""

    def line(self, name: str, text: str) -> None:
        """A line that the node `name` wrote."""

    def serves(self, node: NodeConfig) -> None:
        """The node has begun to serve."""

    def all_serve(self, pids: dict[str, int]) -> None:
        """Every node serves, by these processes; again after each restart."""


class Supervisor:
    """Runs `command(node, lifeline fd)` for each node."""

    def __init__(
        self,
        nodes: Sequence[NodeConfig],
        command: Callable[[NodeConfig, int], Sequence[str]],
        audience: Audience,
        restarts: Callable[[], Restarts] | None,
        stop_timeout_s: float = STOP_TIMEOUT_S,
    ) -> None:
        self._nodes = nodes
        self._command = command
        self._audience = audience
        self._restarts = restarts
        self._stop_timeout_s = stop_timeout_s
        self._running: dict[str, NodeProcess] = {}
        self._serving: dict[str, int] = {}
        self._down = 0
        self._status = 0
        self._over = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        """Run until `stop` or until nothing is left to run; answers the exit status."""
        try:
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(node)) for node in self._nodes]
                await self._over.wait()
                await self._end(keepers)
        finally:
            for process in self._running.values():
                process.signal(signal.SIGKILL)
        return self._status

    def stop(self) -> None:
        """Stop all nodes cleanly; called again, kill those that are left."""
        if self._over.is_set():
            self._hurry.set()
        self._over.set()

    async def _keep(self, node: NodeConfig) -> None:
        """One node, life after life."""
        restarts = self._restarts() if self._restarts else None
        loop = asyncio.get_running_loop()
        while not self._over.is_set():
            born = loop.time()
            process = await NodeProcess.start(lambda fd: self._command(node, fd))
            status = await self._live(node, process, restarts)
            if self._over.is_set():
                self._note_end(node, status)
                return
            delay_s = self._after(node, process, status, loop.time() - born, restarts)
            if delay_s is None:
                return
            await self._pause(delay_s)

    async def _live(self, node: NodeConfig, process: NodeProcess, restarts: Restarts | None) -> int:
        """One life, to its end."""
        self._running[node.name] = process
        if self._over.is_set():
            process.signal(signal.SIGTERM)

        def ready(_facts: object) -> None:
            if restarts:
                restarts.served()
            self._serving[node.name] = process.pid
            self._audience.serves(node)
            if len(self._serving) == len(self._nodes) and not self._over.is_set():
                self._audience.all_serve(self._serving)

        try:
            return await process.ended(lambda text: self._audience.line(node.name, text), ready)
        finally:
            if process.has_ended:
                del self._running[node.name]
            self._serving.pop(node.name, None)

    def _after(
        self,
        node: NodeConfig,
        process: NodeProcess,
        status: int,
        lived_s: float,
        restarts: Restarts | None,
    ) -> float | None:
        """What a death means: a pause before the next life, or None for no other."""
        death = f"{node.name} ended after {lived_s:.1f} s ({how_it_ended(status)})"
        if restarts is None:
            self._audience.say(f"{death}; it stays down because of --no-restart")
            self._status = 1
            self._down += 1
            if self._down == len(self._nodes):
                self._audience.say("no node is left")
                self._over.set()
            return None
        delay_s = restarts.died(lived_s)
        if delay_s is None:
            words = "\n".join(f"    {line}" for line in process.last_words) or "    (nothing)"
            self._audience.say(
                f"{death}, {ATTEMPTS_MAX} times without ever serving; stopping everything. "
                f"Its last words:\n{words}"
            )
            self._status = 1
            self._over.set()
        else:
            self._audience.say(f"{death}; starting it again in {delay_s:.1f} s")
        return delay_s

    def _note_end(self, node: NodeConfig, status: int) -> None:
        """A node that was asked to end and failed at it is worth a word."""
        if status not in (0, -signal.SIGTERM, -signal.SIGKILL):
            self._audience.say(f"{node.name} did not stop cleanly ({how_it_ended(status)})")
            self._status = 1

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass

    async def _end(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """Ask every node to end, wait, then kill."""
        for process in self._running.values():
            process.signal(signal.SIGTERM)
        hurry = asyncio.create_task(self._hurry.wait())
        ended = asyncio.create_task(asyncio.wait(keepers))
        await asyncio.wait(
            (hurry, ended), timeout=self._stop_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        for name, process in self._running.items():
            why = "at once" if hurry.done() else f"not stopped after {self._stop_timeout_s:g} s"
            self._audience.say(f"{name} is killed, {why}; it recovers when it starts again")
            self._status = 1
            process.signal(signal.SIGKILL)
        hurry.cancel()
        await ended
