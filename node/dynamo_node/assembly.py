"""Puts one node together from its parts, and takes it apart again.

engine opened ─▶ boot decided and made durable ─▶ kernel ─▶ store driver ─▶ links ─▶ edges
stop:  refuse new work ─▶ wait for what is in flight ─▶ close links ─▶ final checkpoint
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog

from dynamo.brain import Brain, JoinsAnew, Recalled, founders, recalled
from dynamo.config import ClusterConfig, NodeConfig
from dynamo.coordination.identity import Identity
from dynamo.errors import CorruptData, StorageFailed
from dynamo.membership.epochs import STATE
from dynamo.membership.topology import Topology
from dynamo.meters import Meters
from dynamo.repair.boot import FORGOT, IDENTITY, ROLLED_BACK, Boot, Found, boot
from dynamo.repair.rebuild import MISSING
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member, Ring
from dynamo.storage.files import DiskFull
from dynamo.storage.port import Engine
from dynamo.storage.recovery import Recovery
from dynamo.types import NodeId
from dynamo.wire.endpoints import LinkSet
from dynamo.wire.limits import LinkLimits
from dynamo.wire.link import Callbacks
from dynamo_node.directory import CannotStart
from dynamo_node.engines import condemn, opened_engine
from dynamo_node.node import Node
from dynamo_node.peering import keep_linked
from dynamo_node.storing import StoreDriver

log = structlog.get_logger()


def initial_ring(config: ClusterConfig) -> Ring:
    """The ring of a static cluster: every node computes the same one from cluster.yml."""
    members = tuple(
        Member(node.name, node.host, node.zone, float(node.weight)) for node in config.nodes
    )
    n = max((table.n for table in config.tables), default=1)
    return plan(members, config.partitions, n).ring


@asynccontextmanager
async def running_node(
    config: ClusterConfig,
    name: str,
    *,
    bootstrap: bool,
    engine: Engine | None = None,
    joins: Callable[[], Awaitable[Topology]] | None = None,
) -> AsyncIterator[Node]:
    """A node that serves frames inside the context, and drains and stops cleanly at its end.

    `engine`: an unopened one to use instead of the node's own directory. `joins`: tells
    the epoch of a running cluster, if this node is no founder and was never told.
    """
    me = config.node(name)
    loop = asyncio.get_running_loop()
    opened, recovery = await loop.run_in_executor(None, opened_engine, me, engine)
    try:
        if joins is None or opened.get_meta(STATE) is not None:
            first = founders(initial_ring(config), config)
        else:
            first = await joins()
        decided, known = _boot(opened, recovery, first, me.name, bootstrap)
    except BaseException:
        opened.close()
        raise
    identity = Identity(
        me.name, decided.incarnation, decided.epoch, decided.unclean_epoch, config.partitions
    )
    meters = Meters()
    brain = Brain(config, identity, opened, meters, known, decided.missing)
    node = Node(config, brain, opened, decided, me.name, meters)
    async with AsyncExitStack() as stack:
        interval = me.interval_ms if me.durability == "interval" else None
        driver = StoreDriver(opened, node.persisted, node.fail, meters, interval)
        stack.push_async_callback(_close_engine, opened, node)
        await stack.enter_async_context(driver)
        node.driver = driver
        links = LinkSet(
            Callbacks(node.hello, node.opened, node.received, node.lost), _limits(config, me)
        )
        await stack.enter_async_context(links)
        try:
            await links.listen(me.listens_at, me.ports()[0])
        except OSError as error:
            place = f"{me.listens_at}:{me.ports()[0]}"
            raise CannotStart(f"{place} cannot be used for frames: {_why(error)}") from error
        dialing = loop.create_task(keep_linked(node, links, config.timing))
        stack.push_async_callback(_cancelled, dialing)
        yield node
        await _drain(node, config.timing.drain_timeout_ms)


def _boot(
    engine: Engine, recovery: Recovery, first: Topology, me: NodeId, bootstrap: bool
) -> tuple[Boot, Recalled]:
    """Decide who starts in which epoch, and make it durable before anything else happens."""
    lost = recovery.damaged or bool(engine.get_meta(ROLLED_BACK))
    known = recalled(engine.get_meta, first, founder=bootstrap or not (recovery.fresh or lost))
    found = Found(
        recovery.fresh,
        recovery.clean and not engine.get_meta(FORGOT),
        recovery.damaged,
        engine.get_meta(IDENTITY),
        engine.get_meta(MISSING),
        bool(engine.get_meta(ROLLED_BACK)),
    )
    ring = known.state.topology.ring
    mine = ring.primaries_of(me, ring.n_max)
    decided = boot(found, mine, bootstrap, time.time_ns() // 1_000_000)
    if lost:
        known = known.in_another_life()
    for name, value in {**decided.meta(), STATE: known.state.encoded()}.items():
        engine.put_meta(name, value, None)
    while (group := engine.take_group()) is not None:
        group.run()
        engine.sync()
        engine.synced(group)
    if set(ring.members) != set(first.ring.members):
        log.warning(
            "the members are those of the ring, not of cluster.yml, which only founds a cluster",
            ring=[_told(member) for member in ring.members],
            cluster_yml=[_told(member) for member in first.ring.members],
        )
    if decided.missing:
        log.warning("copying what is missing from the others", partitions=len(decided.missing))
    log.info(
        "store opened",
        fresh=recovery.fresh,
        clean=recovery.clean,
        damaged=recovery.damaged,
        groups_replayed=recovery.groups_replayed,
        torn_bytes=recovery.torn_bytes,
        epoch=decided.epoch,
        partitions_missing=len(decided.missing),
    )
    return decided, known


def _told(member: Member) -> str:
    return f"{member.node} (host {member.host}, zone {member.zone or '-'}, weight {member.weight})"


def _limits(config: ClusterConfig, me: NodeConfig) -> LinkLimits:
    timing = config.timing
    return LinkLimits(
        outgoing_bytes_max=me.limits.link_bytes_max,
        frame_bytes_max=config.limits.frame_bytes_max,
        handshake_timeout_ms=timing.handshake_timeout_ms,
        ping_interval_ms=timing.ping_interval_ms,
        idle_timeout_ms=timing.idle_timeout_ms,
        client_idle_timeout_ms=timing.client_idle_timeout_ms,
        clients_bytes_max=me.limits.clients_bytes_max,
        connections_max=me.limits.clients_max + len(config.nodes),
    )


def _why(error: OSError) -> str:
    """The system's own words; asyncio's repeat the address in them."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)


async def _drain(node: Node, timeout_ms: int) -> None:
    """Take no new clients, finish what is in flight, within bounds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_ms / 1000):
            await node.drained()


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def _close_engine(engine: Engine, node: Node) -> None:
    """A final checkpoint, unless the store is what failed; what cannot be used any more is left
    with a word.
    Raises what kept a node that had not failed from it; a full disk is no reason, the log has it.
    """
    loop = asyncio.get_running_loop()
    error = node.failed.exception() if node.failed.done() else None
    had_failed = isinstance(error, StorageFailed | CorruptData | JoinsAnew)
    if not had_failed:
        try:
            await loop.run_in_executor(None, engine.close_clean)
            return
        except (StorageFailed, DiskFull, CorruptData) as failure:
            log.error("the store was not closed cleanly", reason=str(failure))
            error = failure
    if isinstance(error, CorruptData | JoinsAnew):
        condemn(node.config.node(node.me), str(error))
    engine.close()
    if isinstance(error, StorageFailed | CorruptData) and not had_failed:
        raise error
