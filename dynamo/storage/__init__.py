"""Floor F5: a log in front of LMDB, with its jobs apart from any event loop."""

from dynamo.storage.engine import LogEngine
from dynamo.storage.files import DirectoryInUse, DiskFull, Files, OsFiles
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.storage.opening import open_engine
from dynamo.storage.port import Durability, Engine, EngineOptions
from dynamo.storage.recovery import Recovery

__all__ = [
    "DirectoryInUse",
    "DiskFull",
    "Durability",
    "Engine",
    "EngineOptions",
    "Files",
    "LogEngine",
    "MemoryEngine",
    "OsFiles",
    "Recovery",
    "open_engine",
]
