"""What all coordination machines of one node share: who I am, the ring, the tables, the store."""

from dynamo.config import ClusterConfig, TableConfig
from dynamo.coordination.gate import Gate
from dynamo.coordination.identity import Identity
from dynamo.coordination.peers import Peers
from dynamo.coordination.recent import Recent
from dynamo.errors import Code, Failure
from dynamo.keys import item_key
from dynamo.meters import Meters
from dynamo.ports import RecordStore
from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.ring import Ring
from dynamo.siblings.record import Window
from dynamo.types import ItemKey, NodeId, PartitionId, TableId

DEADLINE_MS_MAX = 60_000
"""A request that asks for more time gets this much. Raising it: timers of requests long answered
are kept for longer (about 40 bytes each); lowering it: patient callers hear of failure sooner."""


class Scope:
    """The surroundings of one coordinator; mutable only in `peers` and `identity`."""

    __slots__ = (
        "config",
        "gate",
        "identity",
        "limits",
        "me",
        "meters",
        "peers",
        "recent",
        "ring",
        "store",
        "tables",
        "timing",
        "window",
    )

    def __init__(
        self,
        config: ClusterConfig,
        ring: Ring,
        identity: Identity,
        store: RecordStore,
        peers: Peers,
        gate: Gate,
        meters: Meters,
    ) -> None:
        self.config, self.ring, self.identity, self.store = config, ring, identity, store
        self.peers, self.gate, self.meters = peers, gate, meters
        self.me = identity.node
        self.recent = Recent()
        self.limits, self.timing = config.limits, config.timing
        self.tables: dict[TableId, TableConfig] = {table.id: table for table in config.tables}
        self.window = Window(config.limits.operations_max, config.limits.retry_window_ms)

    def place(self, table: TableId, key: bytes, sort_key: bytes) -> tuple[PartitionId, ItemKey]:
        """Where an item lives."""
        partition = partition_of(token_of(table, key), self.ring.partitions)
        return partition, item_key(partition, table, key, sort_key)

    def owners(self, partition: PartitionId, table: TableConfig) -> tuple[NodeId, ...]:
        """The preference list's first N."""
        return self.ring.preference_list(partition, table.n)

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
