"""Which engine a node's durability asks for, opened."""

import os
from pathlib import Path

import structlog

from dynamo.config import NodeConfig
from dynamo.errors import CorruptData
from dynamo.storage.engine import LogEngine
from dynamo.storage.files import OsFiles
from dynamo.storage.lmdb_table import LmdbTable
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.storage.port import Engine, EngineOptions
from dynamo.storage.recovery import Recovery

log = structlog.get_logger()


def opened_engine(node: NodeConfig, engine: Engine | None = None) -> tuple[Engine, Recovery]:
    """The node's store and what was found in it. Blocks.

    Damage puts the old files aside (`damaged-1`, ...) and starts empty: the node rebuilds.
    """
    if engine is not None:
        return engine, engine.open()
    if node.durability == "memory":
        engine = MemoryEngine(_options(node))
        return engine, engine.open()
    engine = _on_disk(node)
    try:
        return engine, engine.open()
    except CorruptData as error:
        log.error("the data is damaged; rebuilding from the other nodes", reason=str(error))
        engine.close()
        _put_aside(Path(node.data))
        engine = _on_disk(node)
        return engine, engine.open()._replace(damaged=True, fresh=False)


def _on_disk(node: NodeConfig) -> Engine:
    root = Path(node.data)
    root.mkdir(parents=True, exist_ok=True)
    return LogEngine(OsFiles(str(root / "log")), LmdbTable(str(root / "table")), _options(node))


def _options(node: NodeConfig) -> EngineOptions:
    return EngineOptions(
        durability=node.durability,
        memory_bytes_max=node.limits.memory_table_bytes_max,
        disk_reserve_bytes=node.limits.disk_reserve_bytes,
    )


def _put_aside(root: Path) -> None:
    """Keep what was damaged for whoever wants to look at it."""
    number = 1
    while (root / f"damaged-{number}").exists():
        number += 1
    aside = root / f"damaged-{number}"
    aside.mkdir()
    for part in ("log", "table"):
        if (root / part).exists():
            os.rename(root / part, aside / part)
