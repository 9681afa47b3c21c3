"""`cluster.yml`: what is read is what was written, and a wrong file says where."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.config import (
    PRESETS,
    ClusterConfig,
    ConfigError,
    Limits,
    NodeLimits,
    TableConfig,
    builtin,
)
from dynamo.types import TableId
from dynamo_node.config_file import ConfigFileError, load, parse, render

CLUSTER_YML = Path(__file__).resolve().parents[3] / "cluster.yml"
TEXT = render(builtin())

SMALL = """\
cluster: {name: shop, id: 00ff00ff00ff00ff}
nodes:
  a: {port: 7400}
  b: {port: 7401, limits: {clients_max: 7}}
tables:
  one:
  two: {w: 2, n: 2, r: 1}
"""


def test_the_repository_shows_the_builtin_configuration() -> None:
    assert CLUSTER_YML.read_text(encoding="utf-8") == TEXT
    assert load(CLUSTER_YML) == builtin()


def test_defaults_reach_nodes_and_tables() -> None:
    text = SMALL + (
        "defaults:\n"
        "  node: {durability: interval, limits: {forwards_max: 5}}\n"
        "  table: {n: 2, w: 1, conflict_rule: lww}\n"
    )
    config = parse(text)
    assert [node.durability for node in config.nodes] == ["interval", "interval"]
    assert config.node("a").limits == NodeLimits(forwards_max=5)
    assert config.node("b").limits == NodeLimits(forwards_max=5, clients_max=7)
    assert [(t.name, t.id, t.n, t.r, t.w) for t in config.tables] == [
        ("one", 1, 2, 2, 1),
        ("two", 2, 2, 1, 2),
    ]
    assert {t.conflict_rule for t in config.tables} == {"lww"}


def test_timing_is_a_preset_and_what_differs() -> None:
    base = SMALL.replace("  one:\n", "")
    assert parse(base).timing == PRESETS["lan"]
    assert parse(base + "timing: wan").timing == PRESETS["wan"]
    changed = parse(base + "timing: {preset: wan, repair_delay_ms: 7}").timing
    assert changed == replace(PRESETS["wan"], repair_delay_ms=7)


FULL = """\
cluster:
  name: local
  id: local
  partitions: 256
defaults:
  node: {durability: fsync}
  table: {sloppy: true}
nodes:
  n1: {port: 7400}
  n2: {port: 7401}
  n3: {port: 7402}
tables:
  cart: {n: 3, r: 2, w: 2, conflict_rule: siblings}
  session: {conflict_rule: lww}
timing: {preset: local}
limits: {}
"""

WRONG = [
    ("w: 2", "w: 4", "13: tables.cart.w: W=4 is above N=3; a write could never be acknowledged"),
    ("conflict_rule", "conflict_rul", "13: tables.cart.conflict_rul: there is no such key; did"),
    ("nodes:", "knots:", "8: knots: there is no such key; did you mean `nodes`?"),
    ("port: 7401", "port: seven", "10: nodes.n2.port: 'seven' must be a whole number from 1"),
    ("port: 7401", "", "10: nodes.n2: `port:` is missing"),
    ("port: 7401", "port: 7300, grpc_port: 7400", "10: nodes.n2.grpc_port: 7400 is already n1's"),
    ("  n2:", "  n1:", "10: nodes.n1: this key is already on line 9; one would be lost"),
    ("lww", "lww, id: 1", "14: tables.session.id: another has the id 1; each must have its own"),
    ("  n2:", "  on:", "10: nodes: the key True is not text; put it in quotes"),
    ("  n2:", "  [1]:", "10: nodes: the key [1] is not text; put it in quotes"),
    ("{preset: local}", "moon", "15: timing.preset: 'moon' must be lan or wan or local or test"),
    ("limits: {}", "limits: {clients: 3}", "16: limits.clients: there is no such key; known are"),
    ("limits: {}", "limits: {operations_max: 0}", "16: limits.operations_max: 0 must be"),
    ("limits: {}", "limits: [1]", "16: limits: [1] must be a mapping, key: value"),
    ("sloppy: true", "r: 9", "7: tables.session.r: R=9 is above N=3; a read could never be"),
    ("sloppy: true", "sloppi: true", "7: defaults.table.sloppi: there is no such key; did you"),
    ("256", "100", "4: cluster.partitions: Q=100 must be a power of two"),
    ("id: local", "id: 1234567890123456", "3: cluster.id: 1234567890123456 must be 16 to 64"),
    ("  id: local\n", "", "1: cluster: `id:` is missing"),
    ("durability: fsync", "durability: disk", "6: nodes.n1.durability: 'disk' must be fsync or"),
    ("n1: {", "n1: {limits: {clients_max: 0}, ", "9: nodes.n1.limits.clients_max: 0 must be"),
    ("nodes:\n", "nodes: [\n", "10: this is no YAML: expected ',' or ']'"),
    ("name: local", "name: &a {b: *a}", "2: cluster.name.b.b.b.b.b.b: this is nested too"),
    ("name: local", "name: !!python/none x", "2: cluster.name: this is no value: could not"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_a_wrong_file_says_where_and_why(old: str, new: str, message: str) -> None:
    assert old in FULL
    with pytest.raises(ConfigFileError) as refused:
        parse(FULL.replace(old, new, 1))
    assert str(refused.value).startswith(f"cluster.yml:{message}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "# nothing", "[]", "just text"])
def test_a_file_that_is_something_else(text: str) -> None:
    with pytest.raises(ConfigFileError, match=r"cluster\.yml:1: expected `cluster:`"):
        parse(text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yml cannot be read: No such file"):
        load(tmp_path / "nothing.yml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        load(tmp_path / "binary")


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)


@st.composite
def clusters(draw: st.DrawFn) -> ClusterConfig:
    count = draw(st.integers(1, 5))
    config = builtin(count, id=draw(st.sampled_from(["local", "1" * 16, "00e1" * 8])))
    nodes = tuple(
        replace(
            node,
            name=draw(names) + f"-{i}",
            zone=draw(st.text(max_size=4)),
            host=draw(st.sampled_from(["", "rack 1", "null", "#"])),
            weight=draw(st.sampled_from([1, 2, 0.5])),
            durability=draw(st.sampled_from(["fsync", "memory"])),
            limits=draw(st.sampled_from([NodeLimits(), NodeLimits(clients_max=3)])),
        )
        for i, node in enumerate(config.nodes)
    )
    tables = tuple(
        TableConfig(name, TableId(7 - i), n=1, r=1, w=1, sloppy=draw(st.booleans()))
        for i, name in enumerate(draw(st.lists(names, max_size=3, unique=True)))
    )
    timing = replace(
        PRESETS[draw(st.sampled_from(sorted(PRESETS)))],
        hedge_budget=draw(st.sampled_from([0.05, 0, 0.5])),
    )
    limits = draw(st.sampled_from([Limits(), Limits(siblings_max=7)]))
    return replace(
        config, name=draw(names), nodes=nodes, tables=tables, timing=timing, limits=limits
    )


@pytest.mark.slow
@given(clusters())
def test_what_is_written_is_read_back(config: ClusterConfig) -> None:
    assert parse(render(config)) == config


def test_a_next_line_character_in_a_zone_is_read_back() -> None:
    config = builtin()
    nodes = tuple(replace(node, zone="a\x85b") for node in config.nodes)
    assert parse(render(replace(config, nodes=nodes))).nodes == nodes
