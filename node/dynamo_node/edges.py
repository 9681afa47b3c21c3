"""The doors beside frames: gRPC for every language, metrics and health over HTTP."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from dynamo.config import NodeConfig
from dynamo_node.grpc_edge import start_grpc
from dynamo_node.metrics import (
    EngineState,
    LinkState,
    MemberState,
    NodeState,
    Sources,
    registry_of,
)
from dynamo_node.metrics_http import start_metrics_http
from dynamo_node.node import Node

GRPC_GRACE_S = 5.0


@asynccontextmanager
async def open_edges(node: Node, me: NodeConfig) -> AsyncIterator[None]:
    """Both listen inside the context. Raises CannotStart if a port is taken."""
    figures = Figures(node, me)
    sources = Sources(figures.node, figures.engine, figures.links, figures.members)
    registry = registry_of(node.meters, sources)
    async with AsyncExitStack() as stack:
        http = await start_metrics_http(me.listens_at, me.metrics_port, registry, node.is_serving)
        stack.push_async_callback(http.stop)
        edge = await start_grpc(node, me.listens_at, me.grpc_port)
        stack.push_async_callback(edge.stop, GRPC_GRACE_S)
        await edge.set_serving(True)
        yield


class Figures:
    """A running node's numbers, read at scrape time."""

    def __init__(self, node: Node, me: NodeConfig) -> None:
        self._node, self._me = node, me

    def node(self) -> NodeState:
        """From the kernel."""
        status = self._node.kernel.status()
        return NodeState(
            status["operations_in_flight"],
            status["repairs_queued"],
            status["partitions"],
            status["partitions_missing"],
            status["trees_growing"],
            status["in_sync_age_ms"] / 1000,
            status["tombstones_waiting"],
            tuple(status["background_share"].items()),
            sum(status["hints"].values()),
            status["hints_bytes"],
        )

    def engine(self) -> EngineState:
        """From the engine and its driver."""
        held, driver = self._node.engine.figures(), self._node.driver
        assert driver is not None, "edges open after the store"
        return EngineState(
            held.memory_bytes,
            held.memory_bytes_max,
            held.log_bytes,
            held.log_segments,
            held.checkpoint_running,
            self._free_bytes(),
            self._node.engine.refusal() is not None,
            held.damaged_keys,
            driver.checkpoints,
            driver.checkpoint_ms,
        )

    def links(self) -> Iterator[LinkState]:
        """From the open links."""
        for source, link in self._node.links().items():
            yield LinkState(
                source if isinstance(source, str) else "",
                link.queued_bytes,
                link.messages_in,
                link.messages_out,
                link.bytes_in,
                link.bytes_out,
            )

    def members(self) -> Iterator[MemberState]:
        """What the kernel thinks of the others."""
        for name, view in self._node.kernel.status()["members"].items():
            yield MemberState(name, view["state"], view["answers"])

    def _free_bytes(self) -> int:
        """0 for a node that keeps nothing on a disk."""
        if self._me.durability == "memory":
            return 0
        return shutil.disk_usage(self._me.data).free
