"""The daemon: one node with its gRPC edge and metrics, until SIGTERM."""

import asyncio
import ctypes
import gc
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from dynamo.config import ClusterConfig
from dynamo_node.assembly import running_node
from dynamo_node.edges import open_edges
from dynamo_node.joining import topology_at
from dynamo_node.node import Node

SWITCH_INTERVAL_S = 0.0005
"""How long the event loop may keep the interpreter from the log and checkpoint threads. Python's
default of 5 ms makes a checkpoint beside a busy loop take 20 times as long (5.5 s instead of 0.27 s
for 28 MB), because LMDB hands the interpreter back after every item."""
LINKED_WITHIN_S = 2.0
"""How long a starting node looks for its peers before it says that it serves. Raising it: beside
dead peers it is announced later; lowering it: who begins at once may find no quorum yet."""
LINKED_POLL_S = 0.005
MALLOC_KEEP_BYTES = 32 << 20
GARBAGE_OBJECTS = 50_000
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


async def serve(
    config: ClusterConfig,
    name: str,
    *,
    bootstrap: bool,
    ready: Callable[[dict[str, Any]], None],
    join: str | None = None,
) -> None:
    """Serve as node `name` until SIGTERM or Ctrl-C, then drain. Raises what ends the node.

    `join`: HOST:PORT[,…] of members of the cluster that this node is to join.
    """
    me = config.node(name)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _keep_freed_memory()
    _collect_seldom()
    stop = _stop_signal()
    joins = None if join is None else partial(topology_at, join, config)
    async with (
        running_node(config, name, bootstrap=bootstrap, joins=joins) as node,
        open_edges(node, me),
    ):
        await _linked(node, stop)
        ready({"port": me.port, "grpc_port": me.grpc_port, "metrics_port": me.metrics_port})
        await asyncio.wait([stop, node.failed], return_when=asyncio.FIRST_COMPLETED)
        if node.failed.done():
            node.failed.result()


async def _linked(node: Node, stop: "asyncio.Future[None]") -> None:
    """Return when all peers are linked, or it is not worth waiting any longer."""
    members = node.brain.topology.members
    peers = [peer for peer in members if peer != node.me] if node.me in members else []
    with suppress(TimeoutError):
        async with asyncio.timeout(LINKED_WITHIN_S):
            while not all(map(node.is_linked, peers)) and not (stop.done() or node.failed.done()):
                await asyncio.sleep(LINKED_POLL_S)


def _keep_freed_memory() -> None:
    """Ask glibc not to give freed buffers back to the kernel at once: a frame's buffer lives for a
    moment, and under load nearly all page faults came from asking for the same pages again."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, MALLOC_KEEP_BYTES)
        mallopt(_MMAP_THRESHOLD, MALLOC_KEEP_BYTES)


def _collect_seldom() -> None:
    """The hot path makes many tuples and no cycles: look for cycles seldom, and not among what was
    there at the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)


def _stop_signal() -> "asyncio.Future[None]":
    """Done at the first SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def stopped() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    return stop
