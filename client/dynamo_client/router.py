"""Which nodes a request goes to: the cluster's view joined with the links."""

import asyncio
from collections.abc import Sequence

from dynamo.errors import DynamoError, Failure
from dynamo.messages import ASK_CLUSTER, CLUSTER_IS, ClusterIs
from dynamo.types import NodeId, PartitionId
from dynamo_client.calls import Calls
from dynamo_client.clock import ClusterClock
from dynamo_client.links import Links
from dynamo_client.peer import IN_FLIGHT_MAX, Peer
from dynamo_client.single import Single
from dynamo_client.view import View, view_from

EAGER_MAX = 16
"""In a ring of so many members or fewer every node is linked at once, else when it is needed."""

REFRESH_S = 30.0
"""How often the ring and the clock are asked for anew. Raising it: a client that writes little
learns of changes later and its clock drifts further; lowering it costs a few KiB each time."""

REFRESH_TIMEOUT_MS = 1000.0
SUSPICION_MS = 1000.0
"""So often at most does a refusal lead to a refresh."""


class Router:
    """View and links of one client."""

    def __init__(self, calls: Calls, links: Links, clock: ClusterClock, view: View) -> None:
        self.calls, self.links, self.clock = calls, links, clock
        self.view = view
        self._owners: dict[tuple[PartitionId, int], tuple[Peer, ...]] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._suspected_ms = 0.0
        self._follow(view)

    def owners(self, partition: PartitionId, n: int) -> tuple[Peer, ...]:
        """The preference list's first N, linked or not; while the partition moves, those before and
        after."""
        owners = self._owners.get((partition, n))
        if owners is None:
            nodes = self.view.rings.owners(partition, n)
            owners = tuple(self._kept(node) for node in nodes)
            self._owners[partition, n] = owners
        return owners

    def extra(self, partition: PartitionId, n: int) -> int:
        """How many owners more than R must answer while the partition moves."""
        return self.view.rings.extra(partition, n)

    def anyone(self, but: Sequence[NodeId] = ()) -> Peer | None:
        """The least busy linked node but for these; any node passes requests on to owners."""
        peers = self.links.peers.values()
        linked = [peer for peer in peers if peer.link is not None and peer.node not in but]
        return min(linked, key=lambda peer: peer.in_flight, default=None)

    def refresh(self) -> "asyncio.Task[None]":
        """Learn the newest ring from somebody; one inquiry at a time."""
        if self._refreshing is None or self._refreshing.done():
            loop = asyncio.get_running_loop()
            self._refreshing = loop.create_task(self._refresh(), name="refresh")
        return self._refreshing

    def suspect_ring(self) -> None:
        """A replica refused, perhaps because the ring has changed: look, but not all the time."""
        now_ms = self.calls.now_ms()
        if now_ms - self._suspected_ms > SUSPICION_MS:
            self._suspected_ms = now_ms
            self.refresh()

    async def keep_fresh(self) -> None:
        """Refresh now and then, and let old opinions about nodes fade, until cancelled."""
        while True:
            for _ in range(int(REFRESH_S)):
                await asyncio.sleep(1.0)
                for peer in self.links.peers.values():
                    peer.fade()
            await self.refresh()

    async def close(self) -> None:
        """Stop refreshing."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    async def _refresh(self) -> None:
        peer = self.anyone()
        if peer is None:
            return
        try:
            view = await ask_cluster(self.calls, self.clock, peer, REFRESH_TIMEOUT_MS)
        except DynamoError:
            return  # the next refresh asks again, perhaps somebody else
        finally:
            self.calls.changed()
        if view.ring.epoch >= self.view.ring.epoch:
            self._follow(view)

    def _follow(self, view: View) -> None:
        self.view = view
        self._owners.clear()
        members = {node for node in view.rings.members if node in view.addresses}
        self.links.speak_for(view.ring.epoch)
        self.links.drop(node for node in list(self.links.peers) if node not in members)
        if len(members) <= EAGER_MAX:
            for node in members:
                self._kept(node)

    def _kept(self, node: NodeId) -> Peer:
        """The peer, from now on linked if it can be."""
        peer = self.links.peers.get(node)
        if peer is not None and self.links.is_kept(node):
            return peer
        return self.links.keep(node, self.view.addresses[node])


async def ask_cluster(calls: Calls, clock: ClusterClock, peer: Peer, timeout_ms: float) -> View:
    """The cluster as a node sees it; its clock is learned by the way. Raises DynamoError."""
    sent_ms = calls.now_ms()
    question = Single(calls, peer, ASK_CLUSTER, CLUSTER_IS, sent_ms + timeout_ms)
    answer = await calls.run(question, sent_ms, ahead=True)
    if isinstance(answer, Failure):
        raise answer.error()
    assert isinstance(answer, ClusterIs), "asked for the cluster"
    clock.learn(answer.wall_ms, sent_ms, calls.now_ms())
    return view_from(answer)


def first_linked(
    peers: Sequence[Peer], tried: Sequence[NodeId], now_ms: float, *, to_write: bool
) -> Peer | None:
    """The first one that can be asked, last those that are suspect or, if it is `to_write`, take no
    writes. None: nobody has a link and a slot."""
    doubtful = None
    for peer in peers:
        if peer.link is not None and peer.in_flight < IN_FLIGHT_MAX and peer.node not in tried:
            if not (peer.is_suspect(now_ms) or (to_write and peer.refuses(now_ms))):
                return peer
            doubtful = doubtful or peer
    return doubtful


def unreachable(peers: Sequence[Peer]) -> tuple[tuple[str, str], ...]:
    """(node, why) for each that has no link."""
    return tuple(
        (peer.node, f"unreachable: {peer.reason or 'no link yet'}")
        for peer in peers
        if peer.link is None
    )
