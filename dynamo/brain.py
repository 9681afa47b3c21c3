"""One node through all epochs of its ring: a kernel for each, and what outlives them.

    event ──▶ barred? ──▶ kernel of epoch e ──▶ effects
                              │ an epoch is adopted (`dynamo.membership.council`)
                              ▼
              all under way is given up, who asked asks again
              what counts here is settled and kept, then the epoch itself
                              ▼
                        kernel of epoch e + 1, over the same store, links and clocks

Law:      a partition that this node owns counts here after an epoch was adopted only if it counted
          before, or was copied while its change was under way; any other is rebuilt first.
          Who was no member for a time joins as somebody new, with an empty store (`JoinsAnew`):
          nobody asked it for what it held when writes were denied and tombstones removed, and all
          its dots were taken to be known.

A coordinator that went on with an operation by the ring before, over links that speak for the new
one, would slip past the barrier; so it goes on with none.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from dynamo.config import ClusterConfig
from dynamo.coordination.decisions import Ids
from dynamo.coordination.identity import Identity
from dynamo.coordination.lateness import OLD_MS, in_time
from dynamo.errors import DynamoError
from dynamo.kernel import Kernel, Tenure
from dynamo.membership.change import Quorum
from dynamo.membership.council import Council
from dynamo.membership.epochs import STATE, State, stored_state
from dynamo.membership.paxos import Acceptor, Voter
from dynamo.membership.topology import Topology, founding
from dynamo.messages import (
    BARRED,
    REPLICA_REFUSED,
    ClientGone,
    Effect,
    Event,
    Received,
    ReplicaRefused,
    Send,
)
from dynamo.meters import Meters
from dynamo.ports import BEHIND, RecordStore
from dynamo.repair.rebuild import MISSING, encode_partitions
from dynamo.repair.transfers import COPIED, Transfers, decode_copied
from dynamo.ring.joint import Rings
from dynamo.ring.ring import Ring
from dynamo.types import Instant, NodeId, PartitionId

WAS_MEMBER = "was a member"
"""Set in a store whose node has been one."""


class JoinsAnew(DynamoError):
    """This node was a member, then none, and has joined again. To be started on an empty store, as
    another incarnation; nothing of the epoch that says so is kept."""

    kind = "joins anew"


class Recalled(NamedTuple):
    """What a node knows of ring changes when it starts."""

    state: State
    copied: frozenset[PartitionId]
    """Gained partitions that were copied before a restart in the midst of a change."""

    def in_another_life(self) -> "Recalled":
        """After a damaged or set-back disk: what was promised may be forgotten, so this life has
        no vote in the epoch; and what was copied may be lost."""
        state = self.state._replace(founder=False, acceptor=Acceptor())
        return Recalled(state, frozenset())


def founders(ring: Ring, config: ClusterConfig) -> Topology:
    """The first epoch of a cluster, as its cluster.yml has it."""
    addresses = sorted(config.addresses().items())
    return founding(ring)._replace(addresses=tuple((name, *at) for name, at in addresses))


def recalled(meta: Callable[[str], bytes | None], first: Topology, founder: bool) -> Recalled:
    """From what the store has kept. `first`: what to begin with if it has kept nothing; `founder`:
    whether this node lives its first life."""
    state = stored_state(meta(STATE), first, founder)
    return Recalled(state, decode_copied(meta(COPIED), state.topology.epoch))


class Brain:
    """The door of a node: `handle(event, now) -> effects`, as a kernel has it."""

    def __init__(
        self,
        config: ClusterConfig,
        identity: Identity,
        store: RecordStore,
        meters: Meters,
        recalled: Recalled,
        missing: frozenset[PartitionId] = frozenset(),
    ) -> None:
        """`missing`: partitions that a lost disk took along; they are rebuilt before they count."""
        self._config, self._identity, self._store = config, identity, store
        self._meters = meters
        self.council = Council(
            Voter(identity.node, identity.incarnation),
            recalled.state,
            store,
            [Quorum(table.n, table.r, table.w) for table in config.tables],
            config.addresses(),
        )
        if recalled.state.founder or self.topology.since(identity.node):
            self._note_membership()
        self._transfers: Transfers | None = None
        self.kernel = self._kernel_for(missing, recalled.copied, None)
        self._draining = False

    @property
    def topology(self) -> Topology:
        """The members and rings in force."""
        return self.council.topology

    def members(self) -> dict[NodeId, tuple[str, int]]:
        """All members and where they are, as far as that is known."""
        addresses = self.council.addresses()
        return {node: addresses[node] for node in self.topology.members if node in addresses}

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """Take in what happened; answer what is to be done about it, in order. Raises JoinsAnew."""
        refused: list[Effect] = []
        if isinstance(event, Received):
            if event.age_ms >= OLD_MS:
                event, refused = in_time(event, self.kernel.scope)
            if self.council.is_barred(event.source):
                event, barred = self._barred(event)
                refused = refused + barred
        elif isinstance(event, ClientGone):
            self.council.forget(event.source)
        effects = self.kernel.handle(event, now)
        while self.council.adopted is not None:
            effects = effects + self._adopt(now)
        return refused + effects if refused else effects

    def drain(self) -> None:
        """Begin no client operation any more; those in flight go on."""
        self._draining = True
        self.kernel.drain()

    def _barred(self, event: Received) -> tuple[Received, list[Effect]]:
        """Who asks by an older ring is told the newer one, and asks again."""
        source = event.source
        taken: list[tuple[Any, ...]] = []
        refused: list[Effect] = []
        for raw in event.messages:
            if raw and raw[0] in BARRED and len(raw) > 1 and type(raw[1]) is int:
                refusal = ReplicaRefused(REPLICA_REFUSED, raw[1], BEHIND)
                refused.append(Send(source, refusal))
            else:
                taken.append(raw)
        if refused and not isinstance(source, int):
            refused.insert(0, Send(source, self.council.told_of_epoch()))
        return Received(source, taken), refused

    def _adopt(self, now: Instant) -> list[Effect]:
        """Another epoch is in force: begin anew with a kernel that serves it."""
        keep, self.council.adopted = self.council.adopted, None
        assert keep is not None, "there is an epoch to adopt"
        before, ring, me = self.kernel, self.topology.ring, self._identity.node
        since, was_member = self.topology.since(me), me in before.scope.rings.members
        if since > before.scope.ring.epoch and self._store.get_meta(WAS_MEMBER):
            raise JoinsAnew(f"{me} is a member since epoch {since}, and was one before")
        if was_member or since:
            self._note_membership()
        effects = before.give_up(now)
        mine = frozenset(ring.primaries_of(me, ring.n_max))
        missing = mine - self._counting(before, ring)
        # Before the epoch, in the same log: who finds the epoch finds what counts in it.
        self._store.put_meta(MISSING, encode_partitions(tuple(sorted(missing))))
        told = self.council.keep(keep)
        assert not told, "an epoch is told when it is durable"
        self._identity.renew()
        self.kernel = self._kernel_for(missing, frozenset(), before)
        if self._draining:
            self.kernel.drain()
        return effects + self.kernel.begin(now)

    def _note_membership(self) -> None:
        """Before anything is written as a member."""
        if not self._store.get_meta(WAS_MEMBER):
            self._store.put_meta(WAS_MEMBER, b"1")

    def _counting(self, kernel: Kernel, after: Ring) -> frozenset[PartitionId]:
        """The partitions that count here when the ring `after` takes the place of the kernel's."""
        ring, transfers = kernel.scope.ring, self._transfers
        owned = ring.primaries_of(self._identity.node, ring.n_max)
        counting = frozenset(owned) - frozenset(kernel.missing())
        if transfers is None or after.owners == ring.owners:
            return counting
        return (counting | transfers.gained).difference(transfers.lacking())

    def _kernel_for(
        self,
        missing: frozenset[PartitionId],
        copied: frozenset[PartitionId],
        before: Kernel | None,
    ) -> Kernel:
        topology = self.topology
        self._transfers = self._transfers_for(topology, copied)
        rings = Rings(topology.ring, topology.target, topology.moved, topology.given_up)
        tenure = Tenure(self.council, rings, self._transfers, before)
        kernel = Kernel(
            *(self._config, topology.ring, self._identity, self._store, self._meters),
            *(missing, tenure),
        )
        self.council.hints = kernel.hints.count
        return kernel

    def _transfers_for(
        self, topology: Topology, copied: frozenset[PartitionId]
    ) -> Transfers | None:
        """What this node gains while a change is under way."""
        self.council.lacking = dict
        if topology.target is None:
            return None
        identity = self._identity
        transfers = Transfers(
            *(identity.node, topology.ring, topology.target, self._config.tables, copied),
            *(self.council.holds, Ids(0, identity.first_request() + _APART).next, self._store),
        )
        self.council.lacking = transfers.lacking
        return transfers


_APART = 1 << 31
"""The request ids of transfers are so far from those of the kernel."""
