"""DIR of `up`: what makes its nodes' directories one cluster.

    DIR/cluster.yml   the configuration in use, with the cluster's own id
    DIR/cluster-id    that id, chosen at creation
    DIR/founding      founders that have not served yet: only they start with --bootstrap
    DIR/up.lock       held by the `up` that runs the cluster
    DIR/n1, DIR/n2 …  one directory per node (node.lock, node.pid, data)

A founder may trust its empty directory: nobody has written yet. Any other node whose directory is
empty has lost its disk and copies from the others, or acknowledged writes would vanish. The list
of founders is written before anything else, so that a creation cut short is continued.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from dynamo.config import ClusterConfig, ConfigError
from dynamo_node.config_file import load
from dynamo_node.config_text import render
from dynamo_node.directory import CannotStart, cluster_id, locked, write_atomically


class ClusterDirectory:
    """One DIR. Call `lock`, then `adopt`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._shown = path
        self._founders: list[str] = []

    @property
    def config_file(self) -> Path:
        """What nodes are started with."""
        return self.path / "cluster.yml"

    def lock(self) -> AbstractContextManager[None]:
        """Own DIR. Raises CannotStart if another `up` does."""
        return locked(self._shown, "up.lock", "is already run by another `dynamo-node up`")

    def node(self, name: str) -> Path:
        """A node's directory."""
        return self.path / name

    def adopt(self, wanted: ClusterConfig) -> ClusterConfig:
        """`wanted` with the directory's id and paths, saved; a new cluster if there is none.

        Raises ConfigError if DIR holds another cluster, CannotStart if all its nodes are lost.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self.config_file.exists():
            require_same_cluster(load(self.config_file), wanted, self._shown)
            self._founders = self._read_founders()
            self._require_remains(wanted)
        elif not any(self.node(node.name).exists() for node in wanted.nodes):
            self._write_founders([node.name for node in wanted.nodes])
        config = replace(
            wanted,
            id=cluster_id(self.path, wanted.id),
            nodes=tuple(replace(node, data=str(self.node(node.name))) for node in wanted.nodes),
        )
        write_atomically(self.config_file, render(config))
        return config

    def is_founder(self, name: str) -> bool:
        """Whether the node may take an empty directory for a complete one."""
        return name in self._founders

    def has_served(self, name: str) -> None:
        """From now on an empty directory of this node is a lost disk."""
        if name in self._founders:
            self._write_founders([founder for founder in self._founders if founder != name])

    def _require_remains(self, wanted: ClusterConfig) -> None:
        nodes = [node.name for node in wanted.nodes]
        if not any(self.node(name).exists() or name in self._founders for name in nodes):
            raise CannotStart(
                f"the directories of all nodes in {self._shown} are gone, so there is nothing to "
                f"rebuild from; remove {self._shown} as a whole to start an empty cluster"
            )

    def _read_founders(self) -> list[str]:
        file = self.path / "founding"
        return file.read_text(encoding="utf-8").split() if file.exists() else []

    def _write_founders(self, names: Sequence[str]) -> None:
        self._founders = list(names)
        write_atomically(self.path / "founding", "".join(f"{name}\n" for name in names))


def require_same_cluster(saved: ClusterConfig, wanted: ClusterConfig, where: Path) -> None:
    """Raise ConfigError if `wanted` would lose what the nodes of `saved` have stored."""
    before = [node.name for node in saved.nodes]
    after = [node.name for node in wanted.nodes]
    if sorted(before) != sorted(after):
        raise ConfigError(
            "nodes",
            f"{where} holds a cluster of {_names(before)}, not of {_names(after)}; `up` changes no "
            "members (`dynamo member` does): start the same nodes or choose another --data",
        )
    if (saved.partitions, saved.hash) != (wanted.partitions, wanted.hash):
        raise ConfigError(
            "cluster.partitions",
            f"{where} was created with Q={saved.partitions}; it cannot become {wanted.partitions}",
        )
    for table in wanted.tables:
        old = saved.table_by_id(table.id)
        if old and old.name != table.name:
            raise ConfigError(
                f"tables.{table.name}.id",
                f"{table.id} is the id of {old.name} in {where}, whose data {table.name} would "
                "show; ids are never reused",
            )
        same = saved.table(table.name)
        if same and same.id != table.id:
            raise ConfigError(
                f"tables.{table.name}.id",
                f"{table.id} was {same.id} in {where}; the table's data would disappear",
            )


def _names(names: Sequence[str]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{len(names)} nodes ({names[0]} … {names[-1]})"
