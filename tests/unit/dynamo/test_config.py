"""A cluster is valid as soon as it exists, and says in a sentence why it is not."""

import re
from dataclasses import fields, replace
from typing import Any

import pytest

from dynamo import limits as limits_module
from dynamo.config import (
    LOCAL_ID,
    PRESETS,
    ClusterConfig,
    ConfigError,
    Limits,
    NodeConfig,
    NodeLimits,
    TableConfig,
    Timing,
    builtin,
)
from dynamo.types import NodeId, TableId

ID = "0123456789abcdef"


def table(**changes: Any) -> TableConfig:
    return TableConfig(**{"name": "cart", "id": TableId(1), **changes})


def node(name: str = "n1", port: int = 7400, **changes: Any) -> NodeConfig:
    return NodeConfig(NodeId(name), port, **changes)


def cluster(**changes: Any) -> ClusterConfig:
    return replace(builtin(), **changes)


def test_builtin_has_the_promised_ports_and_tables() -> None:
    config = builtin(nodes=3, data="d", port=8000)
    assert [(n.name, *n.ports(), n.data, n.host) for n in config.nodes] == [
        ("n1", 8000, 8100, 8200, "d/n1", "n1"),
        ("n2", 8001, 8101, 8201, "d/n2", "n2"),
        ("n3", 8002, 8102, 8202, "d/n3", "n3"),
    ]
    assert [(t.name, t.id, t.n, t.r, t.w, t.conflict_rule, t.sloppy) for t in config.tables] == [
        ("cart", 1, 3, 2, 2, "siblings", True),
        ("session", 2, 3, 2, 2, "lww", True),
        ("catalog", 3, 3, 1, 2, "lww", True),
        ("shop_cart", 4, 3, 2, 2, "siblings", True),
        ("shop_session", 5, 3, 2, 2, "siblings", True),
        ("shop_product", 6, 3, 1, 2, "lww", True),
    ]
    assert (config.id, config.partitions, config.hash) == (LOCAL_ID, 256, "mmh3-x64-128")


@pytest.mark.parametrize(
    ("nodes", "n", "r", "w", "q"),
    [(1, 1, 1, 1, 256), (2, 2, 2, 2, 256), (64, 3, 2, 2, 256), (65, 3, 2, 2, 512)],
)
def test_builtin_fits_the_number_of_nodes(nodes: int, n: int, r: int, w: int, q: int) -> None:
    config = builtin(nodes)
    cart = config.tables[0]
    assert (cart.n, cart.r, cart.w, config.partitions) == (n, r, w, q)


def test_a_hundred_nodes_have_ports_of_their_own() -> None:
    assert len({port for node in builtin(100).nodes for port in node.ports()}) == 300


WRONG_TABLES = [
    ({"w": 4}, "tables.cart.w", "W=4 is above N=3; a write could never be acknowledged"),
    ({"r": 4}, "tables.cart.r", "R=4 is above N=3; a read could never be answered"),
    ({"n": 0}, "tables.cart.n", "0 must be a whole number of at least 1"),
    ({"r": 0}, "tables.cart.r", "0 must be"),
    ({"w": -1}, "tables.cart.w", "-1 must be"),
    ({"w": True}, "tables.cart.w", "True must be a whole number"),
    ({"n": "3"}, "tables.cart.n", "'3' must be a whole number"),
    ({"id": 0}, "tables.cart.id", "0 must be"),
    ({"conflict_rule": "newest"}, "tables.cart.conflict_rule", "must be siblings or lww"),
    ({"sloppy": "no"}, "tables.cart.sloppy", "must be true or false"),
    ({"siblings_max": 0}, "tables.cart.siblings_max", "0 must be"),
    ({"name": "a/b"}, "tables.a/b", "'a/b' must be 1 to 63 letters"),
]


@pytest.mark.parametrize(("changes", "path", "sentence"), WRONG_TABLES)
def test_wrong_tables(changes: dict[str, Any], path: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)) as refused:
        table(**changes)
    assert refused.value.path == path
    assert str(refused.value).startswith(f"{path}: ")


WRONG_NODES = [
    ({"port": 0}, "nodes.n1.port", "0 must be a whole number from 1 to 65535"),
    ({"port": "x"}, "nodes.n1.port", "'x' must be"),
    ({"port": 65_400}, "nodes.n1.metrics_port", "65600 must be"),
    ({"weight": -1}, "nodes.n1.weight", "-1 must be a number from 0"),
    ({"weight": float("nan")}, "nodes.n1.weight", "nan must be"),
    ({"zone": 3}, "nodes.n1.zone", "3 must be text"),
    ({"durability": "disk"}, "nodes.n1.durability", "must be fsync or interval or memory"),
    ({"interval_ms": 0}, "nodes.n1.interval_ms", "0 must be"),
    ({"name": ".."}, "nodes...", "'..' must be"),
]


@pytest.mark.parametrize(("changes", "path", "sentence"), WRONG_NODES)
def test_wrong_nodes(changes: dict[str, Any], path: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)) as refused:
        node(**changes)
    assert refused.value.path == path


WRONG_CLUSTERS = [
    ({"nodes": ()}, "nodes", "at least one node"),
    ({"nodes": (node(), node("n2"), node("n3", 1))}, "nodes.n2.port", "7400 is already n1's port"),
    ({"nodes": (node(), node("n1", 1))}, "nodes.n1", "another has the name n1"),
    ({"nodes": (node(), node("b", 7300))}, "nodes.b.grpc_port", "7400 is already n1's port"),
    ({"nodes": (node(grpc_port=7400),)}, "nodes.n1.grpc_port", "7400 is already n1's port"),
    ({"nodes": (node(), node("b", 1))}, "tables.cart.n", "N=3 is above the 2 nodes"),
    ({"partitions": 255}, "cluster.partitions", "Q=255 must be a power of two"),
    ({"partitions": 8}, "cluster.partitions", "Q=8 is below 4 x 3 nodes"),
    ({"partitions": 1 << 17}, "cluster.partitions", "131072 must be"),
    ({"hash": "md5"}, "cluster.hash", "'md5' must be mmh3-x64-128"),
    ({"id": "XYZ"}, "cluster.id", "'XYZ' must be 16 to 64 random hex digits"),
    ({"name": ""}, "cluster.name", "'' must be"),
    ({"tables": (table(), table(name="b"))}, "tables.b.id", "another has the id 1"),
    ({"tables": (table(), table(id=TableId(2)))}, "tables.cart", "another has the name cart"),
    ({"tables": (table(siblings_max=101),)}, "tables.cart.siblings_max", "above limits.siblings"),
]


@pytest.mark.parametrize(("changes", "path", "sentence"), WRONG_CLUSTERS)
def test_wrong_clusters(changes: dict[str, Any], path: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)) as refused:
        cluster(**changes)
    assert refused.value.path == path


def test_a_node_without_weight_holds_no_copy() -> None:
    nodes = (*builtin().nodes[:2], node("n3", 7402, weight=0))
    with pytest.raises(ConfigError, match="N=3 is above the 2 nodes that can hold a copy"):
        cluster(nodes=nodes)


def test_two_hosts_may_use_the_same_ports() -> None:
    nodes = tuple(node(f"n{i}", address=f"10.0.0.{i}") for i in (1, 2, 3))
    assert [n.seed for n in cluster(nodes=nodes).nodes] == [
        "10.0.0.1:7400",
        "10.0.0.2:7400",
        "10.0.0.3:7400",
    ]
    assert node(address="::1").seed == "[::1]:7400"


def test_a_node_may_be_reached_elsewhere_than_it_listens() -> None:
    inside = {"listen_address": "0.0.0.0", "listen_port": 7300}
    nodes = tuple(node(f"n{i}", address=f"10.0.0.{i}", **inside) for i in (1, 2, 3))
    assert [(n.seed, n.listens_at, n.ports()) for n in cluster(nodes=nodes).nodes] == [
        (f"10.0.0.{i}:7400", "0.0.0.0", (7300, 7500, 7600)) for i in (1, 2, 3)
    ]
    assert (node().listens_at, node().ports()[0]) == ("127.0.0.1", 7400)


def test_two_nodes_are_never_reached_at_one_place() -> None:
    nodes = tuple(node(f"n{i}", 7400, listen_port=7300 + i, **others(i)) for i in (1, 2, 3))
    with pytest.raises(ConfigError, match=r"another has the place 127.0.0.1:7400") as refused:
        cluster(nodes=nodes)
    assert refused.value.path == "nodes.n2.port"


def others(i: int) -> dict[str, Any]:
    return {"grpc_port": 7500 + i, "metrics_port": 7600 + i}


def test_the_fingerprint_is_of_what_must_be_equal() -> None:
    config = builtin(id=ID)
    same = replace(config, name="other", timing=PRESETS["wan"], tables=())
    assert len(config.fingerprint()) == 16
    assert config.fingerprint() == same.fingerprint()
    others = [
        replace(config, id=ID + "00"),
        replace(config, partitions=512),
        *(replace(config, limits=limits) for limits in changed_limits()),
    ]
    assert len({other.fingerprint() for other in (config, *others)}) == 1 + len(others)


def changed_limits() -> list[Limits]:
    """One for each limit."""
    base = Limits()
    return [replace(base, **{f.name: getattr(base, f.name) + 1}) for f in fields(base)]


def test_lookups() -> None:
    config = builtin()
    assert config.node("n2") is config.nodes[1]
    assert config.table("session") is config.table_by_id(TableId(2))
    assert config.table("nothing") is None
    assert config.table_by_id(TableId(9)) is None
    with pytest.raises(ConfigError, match="no node is called n9; there are n1, n2, n3"):
        config.node("n9")


WRONG_BOUNDS = [
    (Limits, {"value_bytes_max": 8 << 20}, "limits.record_bytes_max"),
    (Limits, {"frame_bytes_max": 9 << 20}, "limits.frame_bytes_max"),
    (Limits, {"operations_max": 0}, "limits.operations_max"),
    (Limits, {"key_bytes_max": 1 << 20}, "limits.key_bytes_max"),
    (NodeLimits, {"clients_max": 0}, "limits.clients_max"),
    (NodeLimits, {"operations_per_client_max": 5000}, "limits.operations_per_client_max"),
    (Timing, {"request_timeout_ms": 1.5}, "timing.request_timeout_ms"),
    (Timing, {"hedge_budget": 1.5}, "timing.hedge_budget"),
    (Timing, {"hedge_delay_ms_min": 201}, "timing.hedge_delay_ms_min"),
    (Timing, {"idle_timeout_ms": 999}, "timing.idle_timeout_ms"),
]


@pytest.mark.parametrize(("kind", "changes", "path"), WRONG_BOUNDS)
def test_wrong_bounds(kind: type[Any], changes: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        kind(**changes)
    assert refused.value.path == path


@pytest.mark.parametrize("bound", ["link_bytes_max", "memory_table_bytes_max"])
def test_a_node_must_have_room_for_the_largest_record(bound: str) -> None:
    small = node(limits=NodeLimits(**{bound: 1 << 20}))
    with pytest.raises(ConfigError) as refused:
        cluster(nodes=(small, *builtin().nodes[1:]))
    assert refused.value.path == f"nodes.n1.limits.{bound}"


def test_zero_where_zero_means_none() -> None:
    assert Limits(sort_key_bytes_max=0).sort_key_bytes_max == 0
    assert NodeLimits(disk_reserve_bytes=0).disk_reserve_bytes == 0
    assert Timing(repair_delay_ms=0, hedge_budget=0).hedge_budget == 0


def test_presets() -> None:
    assert list(PRESETS) == ["lan", "wan", "local", "test"]
    assert PRESETS["lan"] == limits_module.LAN == Timing()
