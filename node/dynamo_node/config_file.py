"""`cluster.yml` to `ClusterConfig`: parsed once, refused with the line and a sentence.

    cluster:   name, id, partitions (Q), hash
    defaults:  node: …, table: …      what every node and table has unless it says otherwise
    nodes:     NAME: port, grpc_port, metrics_port, address, listen_address, listen_port, host,
                     zone, weight, data, durability, interval_ms, limits
    tables:    NAME: id, n, r, w, conflict_rule, sloppy, value_bytes_max, siblings_max
    timing:    preset and what differs from it
    limits:    bounds that are equal on all nodes

What a key means and its default is said once, in `dynamo.config` and `dynamo.limits`.
"""

from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dynamo.config import (
    PRESETS,
    ClusterConfig,
    ConfigError,
    Limits,
    NodeConfig,
    NodeLimits,
    TableConfig,
    Timing,
)
from dynamo.types import NodeId
from dynamo_node.config_text import render
from dynamo_node.yaml_tree import ConfigFileError, read_tree

__all__ = ["ConfigFileError", "load", "parse", "render"]

Section = dict[str, Any]

_NODE_KEYS = [field.name for field in fields(NodeConfig) if field.name != "name"]
_TABLE_KEYS = [field.name for field in fields(TableConfig) if field.name != "name"]


def load(file: Path) -> ClusterConfig:
    """Read and parse a file. Raises ConfigError if it cannot be read or is wrong."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError("", f"{file} cannot be read: {reason}") from error
    return parse(text, str(file))


def parse(text: str, file: str = "cluster.yml") -> ClusterConfig:
    """The cluster that `text` describes. Raises ConfigFileError with line and sentence."""
    tree = read_tree(text, file)
    try:
        return _cluster(tree.values)
    except ConfigError as error:
        line = tree.line(error.path)
        raise ConfigFileError(file, line, error.path, error.sentence) from error


def _cluster(root: Section) -> ClusterConfig:
    _refuse_unknown("", root, ("cluster", "defaults", "nodes", "tables", "timing", "limits"))
    cluster = _section(root, "", "cluster", ("name", "id", "partitions", "hash"))
    for key in ("name", "id"):
        _require("cluster", cluster, key)
    _require("", root, "nodes")
    defaults = _section(root, "", "defaults", ("node", "table"))
    node_defaults = _section(defaults, "defaults", "node", _NODE_KEYS)
    table_defaults = _section(defaults, "defaults", "table", _TABLE_KEYS)
    return ClusterConfig(
        nodes=tuple(
            _node(name, section, node_defaults) for name, section in _named(root, "nodes").items()
        ),
        tables=tuple(
            _table(name, position, section, table_defaults)
            for position, (name, section) in enumerate(_named(root, "tables").items(), 1)
        ),
        limits=Limits(**_section(root, "", "limits", _names(Limits))),
        timing=_timing(root),
        **cluster,
    )


def _node(name: str, section: Section, defaults: Section) -> NodeConfig:
    path = f"nodes.{name}"
    _refuse_unknown(path, section, _NODE_KEYS)
    own = _section(section, path, "limits", _names(NodeLimits))
    shared = _section(defaults, "defaults.node", "limits", _names(NodeLimits))
    merged = {**defaults, **section}
    _require(path, merged, "port")
    try:
        merged["limits"] = NodeLimits(**{**shared, **own})
    except ConfigError as error:
        raise ConfigError(f"{path}.{error.path}", error.sentence) from error
    return NodeConfig(name=NodeId(name), **merged)


def _table(name: str, position: int, section: Section, defaults: Section) -> TableConfig:
    _refuse_unknown(f"tables.{name}", section, _TABLE_KEYS)
    return TableConfig(name=name, **{"id": position, **defaults, **section})


def _timing(root: Section) -> Timing:
    """`timing: wan`, or `timing: {preset: wan, request_timeout_ms: 3000}`; default `lan`."""
    if isinstance(root.get("timing"), str):
        root = {"timing": {"preset": root["timing"]}}
    section = _section(root, "", "timing", ("preset", *_names(Timing)))
    preset = section.pop("preset", "lan")
    if preset not in PRESETS:
        raise ConfigError("timing.preset", f"{preset!r} must be {' or '.join(PRESETS)}")
    base = {name: getattr(PRESETS[preset], name) for name in _names(Timing)}
    return Timing(**{**base, **section})


def _names(kind: type[Limits] | type[NodeLimits] | type[Timing]) -> list[str]:
    return [field.name for field in fields(kind)]


def _named(root: Section, key: str) -> dict[str, Section]:
    """The sections under `nodes:` or `tables:` by name."""
    outer = _mapping(root.get(key), key)
    return {name: _mapping(inner, f"{key}.{name}") for name, inner in outer.items()}


def _section(outer: Section, path: str, key: str, known: Iterable[str]) -> Section:
    """A copy of the mapping under `key`, empty if absent, with known keys only."""
    inner = f"{path}.{key}" if path else key
    section = _mapping(outer.get(key), inner)
    _refuse_unknown(inner, section, known)
    return dict(section)


def _mapping(value: object, path: str) -> Section:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(path, f"{value!r} must be a mapping, key: value")
    return value


def _require(path: str, section: Section, key: str) -> None:
    if section.get(key) is None:
        raise ConfigError(path, f"`{key}:` is missing")


def _refuse_unknown(path: str, section: Section, known: Iterable[str]) -> None:
    """Raise ConfigError for a key that means nothing, with what may have been meant."""
    names = list(known)
    for key in section:
        if key not in names:
            close = get_close_matches(key, names, 1)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(names)}"
            inner = f"{path}.{key}" if path else key
            raise ConfigError(inner, f"there is no such key; {hint}")
