"""What a cluster is: its nodes, tables, limits and timing, as values that validate themselves.

Parsed once, at the edge, from `cluster.yml`; nothing below reads a file. What must be equal on all
nodes (cluster id, Q, ring hash, `Limits`) has a fingerprint that two sides compare when they meet.
N, R and W stand always in this order.
"""

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Literal, get_args

from dynamo.keys import TABLE_ID_MAX
from dynamo.limits import (
    PRESETS,
    ConfigError,
    Limits,
    NodeLimits,
    Timing,
    check_boolean,
    check_choice,
    check_integer,
    check_name,
)
from dynamo.types import NodeId, TableId

__all__ = [
    "LOCAL_ID",
    "NODES_MAX",
    "PRESETS",
    "ClusterConfig",
    "ConfigError",
    "ConflictRule",
    "Durability",
    "Limits",
    "NodeConfig",
    "NodeLimits",
    "TableConfig",
    "Timing",
    "builtin",
]

ConflictRule = Literal["siblings", "lww"]
Durability = Literal["fsync", "interval", "memory"]

LOCAL_ID = "local"
"""The id of a file that is a template: `dynamo-node` puts a random one in its place."""

NODES_MAX = 100
"""Members of the built-in configuration: their three port ranges are 100 apart."""

PARTITIONS_MAX = 1 << 16
"""Item keys hold a partition in two bytes."""

HASH = "mmh3-x64-128"

_CLUSTER_ID = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True)
class TableConfig:
    """One table: how many copies, how many answers, and what becomes of concurrent writes."""

    name: str
    id: TableId
    """Data is keyed by it: never reuse the id of a dropped table, never renumber."""
    n: int = 3
    """Copies. Raising it: more disks may be lost, more disk and traffic; at most all nodes."""
    r: int = 2
    """Answers a get waits for. Raising it: fresher, slower, less available reads; at most N."""
    w: int = 2
    """Durable copies a put waits for: it survives the loss of W-1 disks. Raising it: slower, less
    available writes; at most N. Reads see every acknowledged write when R + W > N."""
    conflict_rule: ConflictRule = "siblings"
    """`siblings`: concurrent writes are all kept until merged; `lww`: the latest stamp wins."""
    sloppy: bool = True
    """Whether fallback nodes may stand in for unreachable owners (available) or not (strict)."""
    value_bytes_max: int | None = None
    """A bound below the cluster's for this table's values; None: the cluster's."""
    siblings_max: int | None = None
    """A bound below the cluster's for this table's siblings; None: the cluster's."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Raise ConfigError unless 1 <= R, W <= N and every field is legal."""
        path = f"tables.{self.name}"
        check_name(path, self.name)
        check_integer(f"{path}.id", self.id, 1, TABLE_ID_MAX)
        for letter in "nrw":
            check_integer(f"{path}.{letter}", getattr(self, letter), 1)
        if self.r > self.n:
            raise ConfigError(
                f"{path}.r", f"R={self.r} is above N={self.n}; a read could never be answered"
            )
        if self.w > self.n:
            raise ConfigError(
                f"{path}.w", f"W={self.w} is above N={self.n}; a write could never be acknowledged"
            )
        check_choice(f"{path}.conflict_rule", self.conflict_rule, get_args(ConflictRule))
        check_boolean(f"{path}.sloppy", self.sloppy)
        for name in ("value_bytes_max", "siblings_max"):
            if getattr(self, name) is not None:
                check_integer(f"{path}.{name}", getattr(self, name), 1)


@dataclass(frozen=True)
class NodeConfig:
    """One member: where it listens, where it stands, what it keeps and how safely."""

    name: NodeId
    port: int
    """Frames: clients in Python and the other nodes."""
    grpc_port: int = 0
    """gRPC for every language; 0: port + 100."""
    metrics_port: int = 0
    """Prometheus over HTTP; 0: port + 200."""
    address: str = "127.0.0.1"
    """Where it is reached, and listens. Anything but loopback is for a trusted network only."""
    listen_address: str = ""
    """Where it listens if it is reached elsewhere (in a container, behind NAT or a proxy); empty:
    `address`."""
    listen_port: int = 0
    """Where it listens for frames if `port` is another's that passes them on; 0: `port`."""
    host: str = ""
    """Nodes with one label fail together, so copies avoid sharing it; empty: the node's name."""
    zone: str = ""
    """A room or data centre; copies go to distinct zones as far as there are some."""
    weight: float = 1
    """Share of the data relative to others. Raising it: more data and load; 0: none."""
    data: str = ""
    """Its directory, one per node, as seen from where the node starts; empty: data/NAME."""
    durability: Durability = "fsync"
    """When a put counts: `fsync` after the disk has it, `interval` before (at most `interval_ms`
    are lost in a power loss), `memory` never on disk. P1 and P5 hold for `fsync` only."""
    interval_ms: int = 100
    """Pause between syncs under `interval`. Raising it: more to lose; lowering it: more syncs."""
    limits: NodeLimits = field(default_factory=NodeLimits)

    def __post_init__(self) -> None:
        port = self.port if isinstance(self.port, int) else 0
        object.__setattr__(self, "grpc_port", self.grpc_port or port + 100)
        object.__setattr__(self, "metrics_port", self.metrics_port or port + 200)
        object.__setattr__(self, "host", self.host or self.name)
        object.__setattr__(self, "data", self.data or f"data/{self.name}")
        self.validate()

    def validate(self) -> None:
        """Raise ConfigError if a field is illegal by itself."""
        path = f"nodes.{self.name}"
        check_name(path, self.name)
        for name in ("port", "grpc_port", "metrics_port"):
            check_integer(f"{path}.{name}", getattr(self, name), 1, 65_535)
        check_integer(f"{path}.listen_port", self.listen_port, 0, 65_535)
        for name in ("address", "listen_address", "host", "zone", "data"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(
                    f"{path}.{name}", f"{getattr(self, name)!r} must be text; use quotes"
                )
        if not isinstance(self.weight, int | float) or not 0 <= self.weight < 1e6:
            raise ConfigError(f"{path}.weight", f"{self.weight!r} must be a number from 0 to 1e6")
        check_choice(f"{path}.durability", self.durability, get_args(Durability))
        check_integer(f"{path}.interval_ms", self.interval_ms, 1)
        self.limits.validate(f"{path}.limits")

    def ports(self) -> tuple[int, int, int]:
        """(frames, gRPC, metrics), all of them on `listens_at`."""
        return self.listen_port or self.port, self.grpc_port, self.metrics_port

    @property
    def listens_at(self) -> str:
        """The address to which the node binds its ports."""
        return self.listen_address or self.address

    @property
    def seed(self) -> str:
        """HOST:PORT as clients write it."""
        return self.place(self.port)

    def place(self, port: int) -> str:
        """One of the node's ports as HOST:PORT."""
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"


@dataclass(frozen=True)
class ClusterConfig:
    """A whole cluster, valid as soon as it exists."""

    name: str
    id: str
    """Random hex digits, chosen once: nodes and clients of another cluster are refused."""
    nodes: tuple[NodeConfig, ...]
    tables: tuple[TableConfig, ...]
    partitions: int = 256
    """Q, the ring's equal parts: a power of two, at least 4 x the nodes, fixed at creation.
    Raising it: finer balance, room to grow, longer ring; lowering it: coarser moves."""
    hash: str = HASH
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        self.validate()

    def node(self, name: str) -> NodeConfig:
        """The node called `name`. Raises ConfigError if there is none."""
        found = self._nodes.get(name)
        if found is not None:
            return found
        known = ", ".join(node.name for node in self.nodes)
        raise ConfigError("nodes", f"no node is called {name}; there are {known}")

    def addresses(self) -> dict[NodeId, tuple[str, int]]:
        """Where each node is reached."""
        return {node.name: (node.address, node.port) for node in self.nodes}

    def table(self, name: str) -> TableConfig | None:
        """The table called `name`, if any."""
        return self._tables.get(name)

    def table_by_id(self, id: TableId) -> TableConfig | None:
        """The table with that number, if any."""
        return self._tables_by_id.get(id)

    @cached_property
    def _nodes(self) -> dict[str, NodeConfig]:
        return {node.name: node for node in reversed(self.nodes)}

    @cached_property
    def _tables(self) -> dict[str, TableConfig]:
        return {table.name: table for table in self.tables}

    @cached_property
    def _tables_by_id(self) -> dict[TableId, TableConfig]:
        return {table.id: table for table in self.tables}

    def fingerprint(self) -> bytes:
        """16 bytes, equal on all that belong together: cluster id, Q, hash and `Limits`."""
        parts = (self.id, self.partitions, self.hash, *astuple(self.limits))
        return blake2b(repr(parts).encode(), digest_size=16).digest()

    def validate(self) -> None:
        """Raise ConfigError with the path of the first field that cannot be."""
        check_name("cluster.name", self.name)
        check_cluster_id(self.id)
        self._validate_ring()
        self._validate_nodes()
        self._validate_tables()

    def _validate_ring(self) -> None:
        path, members = "cluster.partitions", len(self.nodes)
        check_integer(path, self.partitions, 1, PARTITIONS_MAX)
        if self.partitions & (self.partitions - 1):
            raise ConfigError(path, f"Q={self.partitions} must be a power of two")
        if self.partitions < 4 * members:
            raise ConfigError(
                path, f"Q={self.partitions} is below 4 x {members} nodes; load would be uneven"
            )
        check_choice("cluster.hash", self.hash, (HASH,))

    def _validate_nodes(self) -> None:
        if not self.nodes:
            raise ConfigError("nodes", "a cluster needs at least one node")
        _check_unique("name", ((f"nodes.{node.name}", node.name) for node in self.nodes))
        taken: dict[tuple[str, str, int], str] = {}
        for node in self.nodes:
            path = f"nodes.{node.name}"
            for kind, port in zip(("port", "grpc_port", "metrics_port"), node.ports(), strict=True):
                other = taken.setdefault(
                    (node.address, node.listens_at, port), f"{node.name}'s {kind}"
                )
                if other != f"{node.name}'s {kind}":
                    raise ConfigError(f"{path}.{kind}", f"{port} is already {other}")
            if node.limits.link_bytes_max < self.limits.frame_bytes_max:
                raise ConfigError(
                    f"{path}.limits.link_bytes_max",
                    f"{node.limits.link_bytes_max} is below frame_bytes_max="
                    f"{self.limits.frame_bytes_max}; the largest frame could never be sent",
                )
            if node.limits.memory_table_bytes_max < 2 * self.limits.record_bytes_max:
                raise ConfigError(
                    f"{path}.limits.memory_table_bytes_max",
                    f"{node.limits.memory_table_bytes_max} is below 2 x record_bytes_max="
                    f"{self.limits.record_bytes_max}; the largest record could never be stored",
                )
        _check_unique("place", ((f"nodes.{node.name}.port", node.seed) for node in self.nodes))

    def _validate_tables(self) -> None:
        _check_unique("name", ((f"tables.{table.name}", table.name) for table in self.tables))
        _check_unique("id", ((f"tables.{table.name}.id", table.id) for table in self.tables))
        able = sum(node.weight > 0 for node in self.nodes)
        for table in self.tables:
            path = f"tables.{table.name}"
            if table.n > able:
                raise ConfigError(
                    f"{path}.n", f"N={table.n} is above the {able} nodes that can hold a copy"
                )
            for name in ("value_bytes_max", "siblings_max"):
                bound, most = getattr(table, name), getattr(self.limits, name)
                if bound is not None and bound > most:
                    raise ConfigError(f"{path}.{name}", f"{bound} is above limits.{name}={most}")


def builtin(
    nodes: int = 3, data: str = "data", port: int = 7400, id: str = LOCAL_ID
) -> ClusterConfig:
    """The built-in cluster: n1, n2, … on loopback, with three example tables and those of the shop.

    Node i speaks frames on port+i-1, gRPC on port+100+i-1, serves metrics on port+200+i-1 and
    keeps its data in DATA/ni. With fewer than three nodes N is the number of nodes and R and W
    are at most N; above 64 nodes Q grows to the next power of two that is 4 x the nodes.
    """
    check_integer("nodes", nodes, 1, NODES_MAX)
    members = tuple(
        NodeConfig(NodeId(f"n{i + 1}"), port + i, data=f"{data}/n{i + 1}") for i in range(nodes)
    )
    n, two = min(3, nodes), min(2, nodes)
    tables = (
        TableConfig("cart", TableId(1), n, two, two, "siblings"),
        TableConfig("session", TableId(2), n, two, two, "lww"),
        TableConfig("catalog", TableId(3), n, 1, two, "lww"),
        TableConfig("shop_cart", TableId(4), n, two, two, "siblings"),
        TableConfig("shop_session", TableId(5), n, two, two, "siblings"),
        TableConfig("shop_product", TableId(6), n, 1, two, "lww"),
    )
    partitions = max(256, 1 << (4 * nodes - 1).bit_length())
    return ClusterConfig("local", id, members, tables, partitions, timing=PRESETS["local"])


def check_cluster_id(id: object) -> None:
    """Raise ConfigError unless `id` is 16 to 64 hex digits or the template's `local`."""
    if id != LOCAL_ID and not (isinstance(id, str) and _CLUSTER_ID.fullmatch(id)):
        raise ConfigError(
            "cluster.id",
            f"{id!r} must be 16 to 64 random hex digits (in quotes if all are decimal), or "
            f"`{LOCAL_ID}` for a cluster on one machine",
        )


def _check_unique(what: str, values: Iterable[tuple[str, object]]) -> None:
    seen: set[object] = set()
    for path, value in values:
        if value in seen:
            raise ConfigError(path, f"another has the {what} {value}; each must have its own")
        seen.add(value)
