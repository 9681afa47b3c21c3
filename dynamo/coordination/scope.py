"""What all coordination machines of one node share: who I am, the ring, the tables, the store."""

from dataclasses import astuple
from typing import Protocol

from dynamo.config import ClusterConfig, TableConfig
from dynamo.coordination.away import Denied
from dynamo.coordination.gate import Gate
from dynamo.coordination.identity import Identity
from dynamo.coordination.peers import Peers
from dynamo.coordination.recent import Recent
from dynamo.errors import Code, Failure
from dynamo.keys import item_key
from dynamo.messages import CLUSTER_IS, ClusterIs
from dynamo.meters import Meters
from dynamo.ports import RecordStore
from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.joint import Rings
from dynamo.siblings.record import NOTHING, Record, Window
from dynamo.types import ItemKey, NodeId, PartitionId, TableId

DEADLINE_MS_MAX = 60_000
"""A request that asks for more time gets this much. Raising it: timers of requests long answered
are kept for longer (about 40 bytes each); lowering it: patient callers hear of failure sooner."""


class Removed(Protocol):
    """The tombstones that this node has removed (dynamo.repair.settled)."""

    def floor(self, key: ItemKey) -> int:
        """The stamp of the newest operation that went with one of the item's partition."""


class Scope:
    """The surroundings of one coordinator; mutable only in `peers` and `identity`."""

    __slots__ = (
        "_removed",
        "config",
        "denied",
        "gate",
        "identity",
        "limits",
        "me",
        "meters",
        "peers",
        "recent",
        "ring",
        "rings",
        "store",
        "tables",
        "timing",
        "window",
    )

    def __init__(
        self,
        config: ClusterConfig,
        rings: Rings,
        identity: Identity,
        store: RecordStore,
        meters: Meters,
        removed: Removed,
        before: "Scope | None" = None,
    ) -> None:
        """`removed` knows what went with removed tombstones. `before`: that of the ring before,
        whose links and gate this one takes over."""
        self.config, self.identity, self.store = config, identity, store
        self.rings, self.ring = rings, rings.ring
        self.me, self.meters, self._removed = identity.node, meters, removed
        limits, timing = config.node(self.me).limits, config.timing
        self.peers: Peers = (
            Peers(timing.hedge_delay_ms_min, timing.hedge_delay_ms_max, timing.hedge_budget)
            if before is None
            else before.peers
        )
        self.gate: Gate = (
            Gate(limits.operations_in_flight_max, limits.operations_per_client_max)
            if before is None
            else before.gate
        )
        self.denied: Denied = Denied() if before is None else before.denied
        self.recent = Recent()
        self.limits, self.timing = config.limits, config.timing
        self.tables: dict[TableId, TableConfig] = {table.id: table for table in config.tables}
        self.window = Window(config.limits.operations_max, config.limits.retry_window_ms)

    def place(self, table: TableId, key: bytes, sort_key: bytes) -> tuple[PartitionId, ItemKey]:
        """Where an item lives."""
        partition = partition_of(token_of(table, key), self.ring.partitions)
        return partition, item_key(partition, table, key, sort_key)

    def nothing(self, key: ItemKey) -> Record:
        """The record of an item of which this node holds none: it was never written, or removed
        after operations of which nobody can tell any more."""
        floor = self._removed.floor(key)
        return NOTHING._replace(floor=floor) if floor else NOTHING

    def owners(self, partition: PartitionId, table: TableConfig) -> tuple[NodeId, ...]:
        """The preference list's first N; while the partition moves, those before and after."""
        return self.rings.owners(partition, table.n)

    def needed(self, partition: PartitionId, table: TableConfig, quorum: int) -> int:
        """How many of the owners must answer so that `quorum` do, before and after a change."""
        return quorum + self.rings.extra(partition, table.n)

    def cluster(self, id: int, addresses: dict[NodeId, tuple[str, int]], wall_ms: int) -> ClusterIs:
        """The answer to who asks which cluster this is."""
        target = self.rings.target
        return ClusterIs(
            CLUSTER_IS,
            id,
            self.ring.as_value(),
            tuple(astuple(table) for table in self.config.tables),
            astuple(self.limits),
            {str(node): address for node, address in addresses.items()},
            wall_ms,
            () if target is None else target.as_value(),
        )

    def stand_ins(self, partition: PartitionId, table: TableConfig) -> tuple[NodeId, ...]:
        """All other members, in the order in which they stand in for an owner."""
        return self.rings.fallbacks(partition, table.n)

    def timeout_ms(self, deadline_ms: int) -> int:
        """How long a request may take that came with `deadline_ms` (0: the configured time)."""
        return min(deadline_ms, DEADLINE_MS_MAX) or self.timing.request_timeout_ms

    def count_refusal(self, failure: Failure) -> None:
        """Note a refusal at a bound in its own meter."""
        if failure.code is Code.OVERLOADED:
            self.meters.overloaded += 1
        elif failure.code is Code.TOO_MANY_SIBLINGS:
            self.meters.too_many_siblings += 1

    def refusal(self, table: TableId, key: bytes, sort_key: bytes, quorum: int) -> Failure | None:
        """Why a request is wrong by itself, or None."""
        config = self.tables.get(table)
        if config is None:
            known = ", ".join(f"{table.name} ({table.id})" for table in self.config.tables)
            return Failure(Code.UNKNOWN_TABLE, f"no table has id {table}; there are {known}")
        limits = self.limits
        if not key or len(key) > limits.key_bytes_max:
            return Failure(
                Code.KEY_TOO_LARGE,
                f"the key has {len(key)} bytes, it must have 1 to {limits.key_bytes_max}",
            )
        if len(sort_key) > limits.sort_key_bytes_max:
            return Failure(
                Code.KEY_TOO_LARGE,
                f"the sort key has {len(sort_key)} bytes, at most {limits.sort_key_bytes_max}",
            )
        if not 0 <= quorum <= config.n:
            return Failure(
                Code.INVALID_QUORUM, f"a quorum of {quorum} is not within 1 to N={config.n}"
            )
        return None
