"""A YAML file as plain values, with the line on which each of them stands.

PyYAML's safe constructor forgets lines and lets a repeated key win silently; both would make a
wrong configuration hard to see. Paths are keys joined by dots, as in `ConfigError.path`.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from dynamo.config import ConfigError

_DEPTH_MAX = 8
"""Deeper nesting is refused, which also ends a mapping that contains itself by an alias."""


class ConfigFileError(ConfigError):
    """A wrong configuration file: `cluster.yml:17: tables.cart.w: W=4 is above N=3; …`."""

    def __init__(self, file: str, line: int, path: str, sentence: str) -> None:
        super().__init__(path, sentence)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}: {where}{self.sentence}"


@dataclass(frozen=True)
class Tree:
    """The file's values, and the lines of their keys by path."""

    file: str
    values: dict[str, Any]
    lines: dict[str, int]

    def line(self, path: str) -> int:
        """Where `path` is written, or else what it stems from, or else its nearest parent."""
        kind, _, rest = path.partition(".")
        if path not in self.lines and kind in ("nodes", "tables") and "." in rest:
            default = f"defaults.{kind[:-1]}.{rest.rpartition('.')[2]}"
            if default in self.lines:
                return self.lines[default]
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path, 1)


def read_tree(text: str, file: str) -> Tree:
    """Parse `text`. Raises ConfigFileError for bad YAML, repeated keys and keys not text."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigFileError(file, line, "", f"this is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigFileError(file, 1, "", f"this is no YAML: {error}") from error
    reader = _Reader(file)
    values = reader.value(root, "", 0) if root is not None else None
    if not isinstance(values, dict):
        raise ConfigFileError(file, 1, "", "expected `cluster:`, `nodes:` and `tables:`")
    return Tree(file, values, reader.lines)


class _Reader:
    """Turns YAML nodes into values and notes the lines."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._scalars = yaml.SafeLoader("")
        self.lines: dict[str, int] = {}

    def value(self, node: yaml.Node, path: str, depth: int) -> Any:
        """The value of one node."""
        line = node.start_mark.line + 1
        if depth > _DEPTH_MAX:
            raise ConfigFileError(self._file, line, path, "this is nested too deeply")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, path, depth + 1) for child in node.value]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or error
            raise ConfigFileError(self._file, line, path, f"this is no value: {reason}") from error

    def _mapping(self, mapping: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in mapping.value:
            line = key_node.start_mark.line + 1
            key = self.value(key_node, path, depth + 1)
            if not isinstance(key, str):
                sentence = f"the key {key!r} is not text; put it in quotes"
                raise ConfigFileError(self._file, line, path, sentence)
            inner = f"{path}.{key}" if path else key
            if key in values:
                sentence = f"this key is already on line {self.lines[inner]}; one would be lost"
                raise ConfigFileError(self._file, line, inner, sentence)
            self.lines[inner] = line
            values[key] = self.value(value_node, inner, depth + 1)
        return values
