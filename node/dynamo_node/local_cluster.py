"""A real cluster inside the calling process, for applications' own tests.

    async with LocalCluster(nodes=3) as cluster:
        async with connect(cluster.seeds) as db: ...
        await cluster.stop("n2")      # reads and writes go on
        await cluster.start("n2")     # it catches up

The nodes are those of the daemon: kernel, engine, frames on loopback. Without a path they keep
everything in memory, and a stopped node comes back empty and copies its data from the others.
"""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import structlog

from dynamo.config import PRESETS, ClusterConfig, builtin
from dynamo_node.assembly import running_node
from dynamo_node.node import Node

READY_POLL_S = 0.005
READY_TIMEOUT_S = 30.0


class LocalCluster:
    """Some nodes on free ports of 127.0.0.1, all running inside the context."""

    def __init__(
        self,
        nodes: int = 3,
        path: str | Path | None = None,
        config: ClusterConfig | None = None,
    ) -> None:
        """`path`: where the nodes keep their data; None: memory only. `config`: tables, limits
        and timing other than the built-in ones; its ports and directories are replaced."""
        self._path = None if path is None else Path(path)
        self.config = self._placed(config or builtin(nodes))
        self._running: dict[str, AsyncExitStack] = {}
        self._nodes: dict[str, Node] = {}

    @property
    def seeds(self) -> str:
        """What `connect` takes: all addresses, separated by commas."""
        return ",".join(node.seed for node in self.config.nodes)

    @property
    def names(self) -> list[str]:
        """The nodes' names: n1, n2, …"""
        return [node.name for node in self.config.nodes]

    async def __aenter__(self) -> "LocalCluster":
        if not structlog.is_configured():  # an application's tests want to see its own words
            quiet = structlog.make_filtering_bound_logger(logging.WARNING)
            structlog.configure(wrapper_class=quiet)
        new = self._is_new()
        try:
            for name in self.names:
                await self._enter(name, bootstrap=new)
            await self.settled()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in list(self._running):
            await self.stop(name)

    async def stop(self, name: str) -> None:
        """Drain and stop one node."""
        self._nodes.pop(name)
        await self._running.pop(name).aclose()

    async def start(self, name: str) -> None:
        """Start a stopped node again, and wait until it is linked and counts."""
        if name in self._running:
            raise ValueError(f"{name} is running")
        await self._enter(name, bootstrap=False)
        await self.settled()

    def node(self, name: str) -> Node:
        """A running node, for tests that look inside."""
        return self._nodes[name]

    async def settled(self) -> None:
        """Wait until all running nodes are linked with each other and rebuild nothing."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not all(self._is_settled(node) for node in self._nodes.values()):
                await asyncio.sleep(READY_POLL_S)

    def _is_settled(self, node: Node) -> bool:
        linked = all(node.is_linked(other.me) for other in self._nodes.values() if other != node)
        return linked and (node.is_serving() or len(self._nodes) == 1)

    def _is_new(self) -> bool:
        """Whether no node has ever kept anything here."""
        return self._path is None or not any((self._path / name).exists() for name in self.names)

    async def _enter(self, name: str, *, bootstrap: bool) -> None:
        stack = AsyncExitStack()
        running = running_node(self.config, name, bootstrap=bootstrap)
        self._nodes[name] = await stack.enter_async_context(running)
        self._running[name] = stack

    def _placed(self, config: ClusterConfig) -> ClusterConfig:
        """The configuration on free ports, in this cluster's directories."""
        ports = iter(_free_ports(3 * len(config.nodes)))
        placed = tuple(
            replace(
                node,
                port=next(ports),
                grpc_port=next(ports),
                metrics_port=next(ports),
                address="127.0.0.1",
                data=str((self._path or Path("memory")) / node.name),
                durability="memory" if self._path is None else node.durability,
            )
            for node in config.nodes
        )
        timing = PRESETS["test"] if config.timing == PRESETS["local"] else config.timing
        return replace(config, nodes=placed, timing=timing)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    sockets = []
    try:
        for _ in range(count):
            taken = socket.socket()
            taken.bind(("127.0.0.1", 0))
            sockets.append(taken)
        return [taken.getsockname()[1] for taken in sockets]
    finally:
        for taken in sockets:
            taken.close()
