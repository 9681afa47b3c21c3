"""Keeps one link to every other member: the lower name dials, with jittered backoff.

an epoch with other members ─▶ dial who is new, no more who has left
                            └▶ after a while part with who has left: it must hear of it first
"""

import asyncio
from random import Random

import structlog

from dynamo.errors import ProtocolViolation
from dynamo.limits import Timing
from dynamo.types import NodeId
from dynamo.wire.endpoints import LinkSet
from dynamo_node.node import Node

PART_AFTER_S = 2.0
"""How long a link to a former member is kept, so that it hears that it has left."""

_JITTER = Random()
"""Not `random` itself, which an application that runs nodes in its process may have seeded."""

log = structlog.get_logger()

Address = tuple[str, int]


async def keep_linked(node: Node, links: LinkSet, timing: Timing) -> None:
    """Dial every peer that this node is to dial, until cancelled."""
    loop = asyncio.get_running_loop()
    dialing: dict[tuple[NodeId, Address], asyncio.Task[None]] = {}
    parting: asyncio.TimerHandle | None = None
    async with asyncio.TaskGroup() as group:
        while True:
            wanted = {(peer, at) for peer, at in node.brain.members().items() if node.me < peer}
            for key in dialing.keys() - wanted:
                dialing.pop(key).cancel()
            for peer, at in sorted(wanted - dialing.keys()):
                keeping = _keep_one(node, links, peer, at, timing)
                dialing[peer, at] = group.create_task(keeping, name=f"dial {peer}")
            node.members_changed.clear()
            await node.members_changed.wait()
            if parting is not None:
                parting.cancel()
            parting = loop.call_later(PART_AFTER_S, node.part_with_strangers)


async def _keep_one(node: Node, links: LinkSet, peer: NodeId, at: Address, timing: Timing) -> None:
    least, most = timing.reconnect_delay_ms_min, timing.reconnect_delay_ms_max
    delay_ms, told = float(least), ""
    while True:
        lost = node.link_lost
        if node.is_linked(peer):
            await lost.wait()
        else:
            try:
                await links.dial(*at, node.hello_to(peer))
                delay_ms, told = float(least), ""
            except (OSError, ProtocolViolation) as error:
                if str(error) != told:
                    told = str(error)
                    log.info("peer not reachable", peer=peer, reason=told)
                delay_ms = min(delay_ms * 2, most)
        await asyncio.sleep(_JITTER.uniform(0.5, 1.0) * delay_ms / 1000)
