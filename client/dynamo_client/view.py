"""The cluster as a client knows it: ring, tables and limits, from a node's `ClusterIs`."""

from typing import NamedTuple

from dynamo.config import ConfigError, Limits, TableConfig
from dynamo.errors import InvalidRequest, ProtocolViolation, UnknownTable
from dynamo.messages import ClusterIs
from dynamo.ring import Ring
from dynamo.ring.joint import Rings
from dynamo.siblings.record import Window
from dynamo.types import NodeId, TableId

_TABLE_FIELDS = 9
_LIMIT_FIELDS = 8
"""A node of a later version may send more; what this client does not know it leaves alone."""


class View(NamedTuple):
    """One epoch of the cluster. Immutable."""

    ring: Ring
    tables: dict[TableId, TableConfig]
    by_name: dict[str, TableConfig]
    limits: Limits
    window: Window
    addresses: dict[NodeId, tuple[str, int]]
    rings: Rings
    """The ring, and the one that a change under way leads to."""

    def table(self, name: str) -> TableConfig:
        """The table called `name`. Raises UnknownTable, which names the known ones."""
        table = self.by_name.get(name)
        if table is None:
            known = ", ".join(sorted(self.by_name))
            raise UnknownTable(f"no table is called {name!r}; there are {known}")
        return table


def view_from(message: ClusterIs) -> View:
    """What the node said. Raises ProtocolViolation if it makes no sense."""
    try:
        ring = Ring.from_value(message.ring)
        rings = Rings(ring, Ring.from_value(message.target) if message.target else None)
        tables = [TableConfig(*values[:_TABLE_FIELDS]) for values in message.tables]
        limits = Limits(*message.limits[:_LIMIT_FIELDS])
        addresses = {
            NodeId(node): (str(host), int(port)) for node, (host, port) in message.addresses.items()
        }
    except (InvalidRequest, ConfigError, TypeError, ValueError) as error:
        raise ProtocolViolation(f"a node describes its cluster in a wrong way: {error}") from error
    return View(
        ring,
        {table.id: table for table in tables},
        {table.name: table for table in tables},
        limits,
        Window(limits.operations_max, limits.retry_window_ms),
        addresses,
        rings,
    )
