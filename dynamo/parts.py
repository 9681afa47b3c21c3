"""The background work that every node has, put together (`dynamo.background`).

rebuild · handoff · exchange · collection · strays · closing · lookout, in the order of their turns
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from dynamo.coordination.decisions import CLOSING, HANDOFF, STRAYS, Ids
from dynamo.coordination.scope import Scope
from dynamo.membership.lookout import Lookout
from dynamo.membership.watch import Signs
from dynamo.ports import RecordStore
from dynamo.repair.bystanders import Bystanders
from dynamo.repair.closing import Closing
from dynamo.repair.collection import Collection
from dynamo.repair.exchange import Exchange
from dynamo.repair.handoff import Handoff
from dynamo.repair.hints import Hints
from dynamo.repair.knowledge import Knowledge
from dynamo.repair.rebuild import Rebuild
from dynamo.repair.strays import Strays
from dynamo.replica.replica import Replica
from dynamo.types import PartitionId


class Parts(NamedTuple):
    """All of them."""

    rebuild: Rebuild
    handoff: Handoff
    exchange: Exchange
    collection: Collection
    strays: Strays
    closing: Closing
    lookout: Lookout


def hints_of(scope: Scope, store: RecordStore) -> Hints:
    """What this node keeps for others; past the hash trees, straight in its store."""
    bound = scope.config.node(scope.me).limits.hints_bytes_max
    return Hints(
        *(scope.me, scope.rings, store, scope.tables),
        *(scope.window, bound, scope.meters, scope.identity.hint_dropped),
    )


def parts_of(
    scope: Scope,
    known: Knowledge,
    hints: Hints,
    replica: Replica,
    ready: AbstractSet[PartitionId],
    missing: frozenset[PartitionId],
    wall_ms: Callable[[], int],
    lookout: Lookout | None,
) -> Parts:
    """`ready`: the partitions that count, at any moment; `missing`: those to be rebuilt; `lookout`:
    that of the ring before, if there is one."""
    config, identity, peers, trees = scope.config, scope.identity, scope.peers, known.trees
    first = identity.first_request()
    next_id = Ids(0, first).next
    rebuild = Rebuild(
        *(scope.me, scope.ring, config.tables, missing, next_id),
        has_room=lambda: trees.refusal() is None,
        given_up=scope.rings.given_up,
    )
    next_hint = Ids(HANDOFF, first).next
    handoff = Handoff(hints, HANDOFF, next_hint, peers.up, replica.absorb)
    repair = (known, config.timing, ready)
    exchange = Exchange(*repair, replica.absorb, next_id, scope.meters)
    removes = config.node(scope.me).durability == "fsync" and scope.rings.target is None
    bystanders = Bystanders(known.writer, scope.rings, trees, hints, scope.tables)
    collection = Collection(*repair, wall_ms, scope.meters, removes, first, bystanders)

    def forget(partition: PartitionId) -> None:
        identity.forget(partition)
        scope.denied.renew(wall_ms())

    strays = Strays(
        *(scope.me, scope.rings, trees, STRAYS, Ids(STRAYS, first).next),
        *(float(config.timing.exchange_interval_ms), scope.meters, forget),
    )
    closing = Closing(
        *(scope.me, scope.rings, scope.tables, CLOSING, Ids(CLOSING, first).next),
        *(peers.up, hints.everything, replica.make_whole),
    )
    ring, start = ([*scope.rings.members], scope.ring.epoch), identity.epoch
    signs = Signs(peers.words, peers.silent, peers.held)
    new = (scope.me, *ring, start, first, signs, config.timing, scope.meters)
    lookout = lookout or Lookout(*new)
    lookout.ring_changed(*ring)
    return Parts(rebuild, handoff, exchange, collection, strays, closing, lookout)
