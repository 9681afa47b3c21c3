"""A node's store, opened; what cannot be used is put aside and becomes a lost disk."""

import os
from pathlib import Path

import structlog

from dynamo.config import NodeConfig
from dynamo.errors import CorruptData
from dynamo.storage.opening import open_engine
from dynamo.storage.port import Engine, EngineOptions
from dynamo.storage.recovery import Recovery
from dynamo_node.directory import write_atomically

CONDEMNED = "damaged"
"""The file that says so."""

log = structlog.get_logger()


def opened_engine(node: NodeConfig, engine: Engine | None = None) -> tuple[Engine, Recovery]:
    """The node's store (or the given one) and what was found in it. Blocks.

    Files that cannot be read, now or when the node ran last, or are from a membership that ended,
    go to `damaged-1`, ... and the node starts empty: it rebuilds.
    """
    if engine is not None:
        return engine, engine.open()
    options = EngineOptions(
        durability=node.durability,
        memory_bytes_max=node.limits.memory_table_bytes_max,
        disk_reserve_bytes=node.limits.disk_reserve_bytes,
    )
    condemned = Path(node.data) / CONDEMNED
    try:
        if condemned.exists():
            raise CorruptData(condemned.read_text(encoding="utf-8").strip())
        return open_engine(node.data, options)
    except CorruptData as error:
        log.error("the data is put aside; rebuilding from the other nodes", reason=str(error))
        _put_aside(Path(node.data))
        opened, recovery = open_engine(node.data, options)
        return opened, recovery._replace(damaged=True, fresh=False)


def condemn(node: NodeConfig, reason: str) -> None:
    """Leave word for the next start that the files cannot be used."""
    if node.durability != "memory":
        write_atomically(Path(node.data) / CONDEMNED, f"{reason}\n")


def _put_aside(root: Path) -> None:
    """Keep it for whoever wants to look at it."""
    number = 1
    while (root / f"damaged-{number}").exists():
        number += 1
    aside = root / f"damaged-{number}"
    aside.mkdir()
    for part in [*sorted(root.glob("log-*")), root / "table", root / CONDEMNED]:
        if part.exists():
            os.rename(part, aside / part.name)
