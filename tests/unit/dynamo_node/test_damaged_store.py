"""Damage beyond single records ends the node; its next start puts the files aside and rebuilds."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo.config import ClusterConfig, builtin
from dynamo.errors import CorruptData
from dynamo.messages import PUT, Put, PutDone
from dynamo.siblings.record import operation_id
from dynamo.storage.engine import LogEngine
from dynamo.storage.files import OsFiles
from dynamo.storage.lmdb_table import LmdbTable
from dynamo.storage.port import EngineOptions
from dynamo.storage.tables import Items
from dynamo.types import TableId
from dynamo_node.assembly import running_node
from dynamo_node.engines import CONDEMNED, opened_engine
from dynamo_node.node import Node

SMALL = EngineOptions(
    memory_bytes_max=60_000, segment_bytes=1 << 16, log_bytes_max=1 << 18, disk_reserve_bytes=0
)


class DamagedTable:
    """The real table, which may be compiled, behind one that finds a damaged page when told."""

    def __init__(self, path: str) -> None:
        self.damaged = False
        self._real = real = LmdbTable(path)
        self.get, self.scan, self.get_meta = real.get, real.scan, real.get_meta
        self.refresh, self.close = real.refresh, real.close

    def write(self, items: Items, meta: dict[str, bytes]) -> None:
        if items and self.damaged:
            raise CorruptData("MDB_CORRUPTED: Located page was wrong type")
        self._real.write(items, meta)


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    made = builtin(1, str(tmp_path), 29_871, "ab" * 8)
    return replace(made, nodes=(replace(made.nodes[0], data=str(tmp_path / "n1")),))


async def put(node: Node, number: int) -> None:
    operation = operation_id(1 << 16, 1, number)
    key = b"key %d" % number
    message = Put(PUT, 0, 0, 0, TableId(1), key, b"", None, bytes(4000), operation, 0)
    assert isinstance(await node.call(message, 5000), PutDone)


@pytest.mark.slow
async def test_a_page_that_is_found_damaged_makes_it_a_lost_disk(config: ClusterConfig) -> None:
    root = Path(config.nodes[0].data)
    files = OsFiles(str(root))
    table = DamagedTable(f"{root}/table")
    engine = LogEngine(files, table, SMALL)
    async with running_node(config, "n1", bootstrap=True, engine=engine) as node:
        await put(node, 0)
        table.damaged = True
        number = 0
        async with asyncio.timeout(10):
            while not node.failed.done():
                number += 1
                await asyncio.wait(
                    [node.failed, asyncio.ensure_future(put(node, number))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        with pytest.raises(CorruptData, match="wrong type"):
            node.failed.result()
    assert "wrong type" in (root / CONDEMNED).read_text()
    opened, recovery = opened_engine(config.nodes[0])
    opened.close()
    assert (recovery.damaged, recovery.fresh) == (True, False)
    assert (root / "damaged-1" / "table" / "data.mdb").exists()
    assert (root / "damaged-1" / CONDEMNED).exists()
    opened, recovery = opened_engine(config.nodes[0])
    opened.close()
    assert not recovery.damaged, "once is enough"
