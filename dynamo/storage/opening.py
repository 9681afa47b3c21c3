"""From a path and options to an engine that is open: the one call that a node makes.

DIR/LOCK                    held while the engine is open
DIR/log-0000000000000007    segments of the log
DIR/table/data.mdb          the checkpoint table
"""

from dynamo.storage.engine import LogEngine
from dynamo.storage.files import OsFiles
from dynamo.storage.lmdb_table import LmdbTable
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.storage.port import Engine, EngineOptions
from dynamo.storage.recovery import Recovery


def open_engine(path: str, options: EngineOptions) -> tuple[Engine, Recovery]:
    """The engine over a data directory, which is made if need be, and what it found there.

    Blocks while the log is replayed. Raises DirectoryInUse, CorruptData, DiskFull, StorageFailed.
    """
    engine: Engine
    if options.durability == "memory":
        engine = MemoryEngine(options)
        return engine, engine.open()
    files = OsFiles(path)
    try:
        engine = LogEngine(files, LmdbTable(f"{path}/table"), options)
    except BaseException:
        files.release()
        raise
    try:
        return engine, engine.open()
    except BaseException:
        engine.close()
        raise
