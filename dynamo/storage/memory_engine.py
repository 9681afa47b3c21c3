"""The engine without a disk: everything in one dict, for tests, caches and the kernel's benchmark.

Its groups are durable in name only, so its node's promises are those of a node that loses its disk
at every stop; the handshake carries the durability `memory`.
"""

from collections.abc import Hashable
from itertools import islice

from dynamo.ports import MEMORY_FULL
from dynamo.storage.key_index import KeyIndex
from dynamo.storage.port import EngineFigures, EngineOptions, RunningCheckpoint, WriteGroup
from dynamo.storage.recent_writes import ENTRY_BYTES
from dynamo.storage.recovery import Recovery
from dynamo.types import ItemKey

_UNBOUNDED = EngineOptions(durability="memory", memory_bytes_max=0)


class MemoryGroup:
    """Writes of which nothing is to be done."""

    def __init__(self, tokens: list[Hashable]) -> None:
        self.tokens = tokens

    def run(self) -> None:
        """Nothing blocks."""


class MemoryEngine:
    """`Engine` in memory only; of the options it heeds `memory_bytes_max` (0: no bound)."""

    def __init__(self, options: EngineOptions = _UNBOUNDED) -> None:
        self._records: dict[bytes, bytes] = {}
        self._index = KeyIndex()
        self._states: dict[str, bytes] = {}
        self._bytes = 0
        self._bytes_max = options.memory_bytes_max
        self._tokens: list[Hashable] = []
        self._under_way: MemoryGroup | None = None
        self.damaged_keys: dict[bytes, None] = {}
        """None ever."""

    def open(self) -> Recovery:
        """Always a fresh start."""
        return Recovery(fresh=True, clean=False, damaged=False)

    def get(self, key: ItemKey) -> bytes | None:
        """The newest record under `key`."""
        return self._records.get(key)

    def head(self, key: ItemKey, size: int) -> bytes | None:
        """The first bytes of it."""
        record = self._records.get(key)
        return None if record is None else record[:size]

    def put(self, key: ItemKey, record: bytes, token: Hashable) -> None:
        """Make `record` the newest; its token comes back from `synced`."""
        old = self._records.get(key)
        if old is None:
            self._index.add(key)
            self._bytes += ENTRY_BYTES + len(key)
        else:
            self._bytes -= len(old)
        self._bytes += len(record)
        self._records[key] = record
        self._tokens.append(token)

    def delete(self, key: ItemKey, token: Hashable) -> None:
        """Remove the record at once."""
        old = self._records.pop(key, None)
        if old is not None:
            self._index.discard(key)
            self._bytes -= ENTRY_BYTES + len(key) + len(old)
        self._tokens.append(token)

    def put_meta(self, name: str, value: bytes, token: Hashable | None = None) -> None:
        """Set one of the node's own small states."""
        self._states[name] = value
        self._tokens.append(token)

    def get_meta(self, name: str) -> bytes | None:
        """The newest state of that name."""
        return self._states.get(name)

    def scan(self, after: ItemKey, until: ItemKey, limit: int) -> list[tuple[ItemKey, bytes]]:
        """At most `limit` records with after < key < until, in key order."""
        keys = islice(self._index.between(after, until), limit)
        return [(ItemKey(key), self._records[key]) for key in keys]

    def refusal(self) -> str | None:
        """`memory full` at the bound."""
        return MEMORY_FULL if self._bytes >= self._bytes_max > 0 else None

    def check_disk(self) -> None:
        """There is none."""

    def take_group(self) -> MemoryGroup | None:
        """The waiting tokens; None when there are none or a group is under way."""
        if not self._tokens or self._under_way is not None:
            return None
        self._under_way = MemoryGroup(self._tokens)
        self._tokens = []
        return self._under_way

    def synced(self, group: WriteGroup) -> list[Hashable]:
        """The tokens of a group whose `run` returned."""
        assert isinstance(group, MemoryGroup), "the group is one of this engine's"
        assert group is self._under_way, "groups are done one at a time"
        self._under_way = None
        return [token for token in group.tokens if token is not None]

    def sync(self) -> None:
        """Nothing to sync."""

    def checkpoint_due(self) -> bool:
        """Never."""
        return False

    def begin_checkpoint(self) -> RunningCheckpoint | None:
        """Never."""
        return None

    def checkpointed(self, checkpoint: RunningCheckpoint) -> None:
        """Never called, as no checkpoint begins."""

    def checkpoint_failed(self, checkpoint: RunningCheckpoint) -> None:
        """Never called, as no checkpoint begins."""

    def figures(self) -> EngineFigures:
        """What is held now."""
        return EngineFigures(self._bytes, self._bytes_max)

    def close_clean(self) -> list[Hashable]:
        """The tokens that still wait."""
        tokens, self._tokens = self._tokens, []
        return [token for token in tokens if token is not None]

    def close(self) -> None:
        """Nothing to let go of."""
