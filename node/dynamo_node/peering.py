"""Keeps one link to every other member: the lower name dials, with jittered backoff."""

import asyncio
import random

import structlog

from dynamo.config import ClusterConfig, NodeConfig
from dynamo.errors import ProtocolViolation
from dynamo.types import NodeId
from dynamo.wire.endpoints import LinkSet
from dynamo_node.node import Node

log = structlog.get_logger()


async def keep_linked(node: Node, links: LinkSet, config: ClusterConfig) -> None:
    """Dial every peer that this node is to dial, until cancelled."""
    async with asyncio.TaskGroup() as group:
        for peer in config.nodes:
            if node.me < peer.name:
                group.create_task(_keep_one(node, links, peer, config), name=f"dial {peer.name}")


async def _keep_one(node: Node, links: LinkSet, peer: NodeConfig, config: ClusterConfig) -> None:
    least, most = config.timing.reconnect_delay_ms_min, config.timing.reconnect_delay_ms_max
    delay_ms, told = float(least), ""
    while True:
        if not node.is_linked(NodeId(peer.name)):
            try:
                name = NodeId(peer.name)
                await links.dial(peer.address, peer.port, node.hello_to(name))
                delay_ms, told = float(least), ""
            except (OSError, ProtocolViolation) as error:
                if str(error) != told:
                    told = str(error)
                    log.info("peer not reachable", peer=peer.name, reason=told)
                delay_ms = min(delay_ms * 2, most)
        await asyncio.sleep(random.uniform(0.5, 1.0) * delay_ms / 1000)
