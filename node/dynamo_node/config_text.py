"""`ClusterConfig` to a `cluster.yml` that a person likes to read; `parse(render(c)) == c`."""

from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

import yaml

from dynamo.config import (
    PRESETS,
    ClusterConfig,
    Limits,
    NodeConfig,
    NodeLimits,
    TableConfig,
    Timing,
)

NEXT_LINE = "\x85"
"""PyYAML writes it unescaped and indents what follows, which is read back as blanks."""

_TEXT = """\
# A cluster of dynamo-kv: which nodes, which tables. `dynamo-node up --print-config` wrote it.
#
#   dynamo-node up --config cluster.yml                all nodes on this machine, data in ./data
#   dynamo-node run --config cluster.yml --name n1     one node, in the foreground
#
# For several hosts: give it an id of its own (openssl rand -hex 16), give each node the address
# on which the others reach it, and put the same file on every host. The network must be trusted.

cluster:
  name: {name}
  # Nodes and clients with another id are refused. `local` works on one machine only: a random id
  # takes its place and is kept beside the nodes' directories, in the file cluster-id.
  id: {id}
  # Q, the ring's equal parts: a power of two, at least 4 x the nodes. Fixed once there is data.
  partitions: {partitions}

# What each node or table has unless it says otherwise. durability: fsync, interval or memory.
# sloppy: fallback nodes stand in for unreachable owners; false is strict.
defaults:
  node: {node_defaults}
  table: {table_defaults}

# port: frames, for nodes and Python clients; grpc_port: every language; metrics_port: Prometheus.
# Also: address, host and zone (copies avoid sharing them), weight, durability, interval_ms, limits;
# listen_address and listen_port if a node is reached elsewhere than it listens (containers, NAT).
nodes:
{nodes}

# n copies; a get waits for r answers, a put for w durable copies; r + w > n: reads see every
# acknowledged write. conflict_rule: siblings keeps concurrent writes until they are merged, lww
# keeps the latest. Never give a new table the id of a dropped one.
tables:
{tables}

# Delays: lan, wan, local or test, and what differs, such as request_timeout_ms: 2000.
timing: {timing}

# Bounds that must be equal on all nodes, where they differ from the built-in ones.
limits: {limits}
"""

_NODE_SHARED = ("address", "zone", "durability", "interval_ms")
_NODE_SHOWN = ("address", "durability")
_NODE_FIRST = ("port", "grpc_port", "metrics_port", "data")
_TABLE_FIRST = ("id", "n", "r", "w", "conflict_rule")


def render(config: ClusterConfig) -> str:
    """The file that `parse` reads back as an equal `config`."""
    node_defaults = _shared(config.nodes, _NODE_SHARED, _NODE_SHOWN)
    table_defaults = _shared(config.tables, ("sloppy",), ("sloppy",))
    nodes = {str(node.name): _node(node, node_defaults) for node in config.nodes}
    tables = {
        table.name: _differences(table, TableConfig, table_defaults, _TABLE_FIRST)
        for table in config.tables
    }
    return _TEXT.format(
        name=_flow(config.name),
        id=_flow(config.id),
        partitions=config.partitions,
        node_defaults=_flow(node_defaults),
        table_defaults=_flow(table_defaults),
        nodes=_lines(nodes),
        tables=_lines(tables),
        timing=_flow(_timing(config.timing)),
        limits=_flow(_differences(config.limits, Limits, {})),
    )


def _node(node: NodeConfig, defaults: dict[str, Any]) -> dict[str, Any]:
    values = _differences(node, NodeConfig, defaults, _NODE_FIRST)
    if values.get("host") == node.name:
        del values["host"]
    limits = _differences(values.pop("limits", NodeLimits()), NodeLimits, {})
    return {**values, "limits": limits} if limits else values


def _timing(timing: Timing) -> dict[str, Any]:
    """The preset from which the fewest values differ, and those values."""
    candidates = [
        {"preset": name, **_differences(timing, Timing, vars(preset))}
        for name, preset in PRESETS.items()
    ]
    return min(candidates, key=len)


def _shared(
    values: Sequence[NodeConfig] | Sequence[TableConfig],
    names: tuple[str, ...],
    shown: tuple[str, ...],
) -> dict[str, Any]:
    """The fields in which all `values` agree: those of `shown`, and others not at their default."""
    shared: dict[str, Any] = {}
    for field in fields(values[0]) if values else ():
        own = [getattr(value, field.name) for value in values]
        said = field.name in shown or own[0] != _default(field)
        if field.name in names and own.count(own[0]) == len(own) and said:
            shared[field.name] = own[0]
    return shared


def _differences(
    value: Any, kind: type[Any], defaults: dict[str, Any], always: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Fields of `value` other than `defaults` or their class's default, `always` first."""
    names = [*always, *(field.name for field in fields(kind) if field.name not in always)]
    by_name = {field.name: field for field in fields(kind)}
    return {
        name: getattr(value, name)
        for name in names
        if name in always
        or (name != "name" and getattr(value, name) != defaults.get(name, _default(by_name[name])))
    }


def _default(field: "Field[Any]") -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _lines(sections: dict[str, dict[str, Any]]) -> str:
    """One line per name, their values aligned."""
    width = max((len(_flow(name)) for name in sections), default=0) + 1
    return "\n".join(
        f"  {_flow(name) + ':':<{width}} {_flow(values)}" for name, values in sections.items()
    )


def _flow(value: object) -> str:
    """A value on one line of YAML."""
    text = _dumped(value, unicode=True)
    return _dumped(value, unicode=False) if NEXT_LINE in text else text


def _dumped(value: object, *, unicode: bool) -> str:
    text: str = yaml.safe_dump(
        [value], default_flow_style=True, width=1 << 20, sort_keys=False, allow_unicode=unicode
    )
    return text.strip()[1:-1]
