"""What the core asks of the outside, as protocols: today only the store of records.

A store is memory first: `put` is visible to `get` at once and durable later; the owner of the
store (a shell or the simulator) then hands the tokens back to the kernel as `Persisted`.
"""

from collections.abc import Collection, Hashable
from typing import Protocol

from dynamo.types import ItemKey

MEMORY_FULL = "memory full"
"""A store's refusal of everything, deletes as well: only a checkpoint makes room."""
DISK_FULL = "disk full"
"""A store's refusal of what needs more room; there is a reserve for deletes."""

BEHIND = "asks by an older ring"
"""Why a replica refuses who has not heard of a ring change; the newer ring is on its way there."""

DAMAGED_KEYS_MAX = 1000
"""Damaged keys that a store notes; those beyond are found again when they are read."""

CORRUPT = "corrupt data"
"""Why a replica whose record is damaged refuses; its node repairs it from the others."""
NO_HINT = "not an owner, and no hint"
"""Why a node refuses that neither owns the item nor keeps anything of it for an owner."""


class RecordStore(Protocol):
    """Records by item key, as the core sees them."""

    @property
    def damaged_keys(self) -> Collection[bytes]:
        """Keys whose records were found damaged and not replaced since, up to some number."""

    def get(self, key: ItemKey) -> bytes | None:
        """The newest record under `key`, durable or not yet. Raises CorruptData."""

    def head(self, key: ItemKey, size: int) -> bytes | None:
        """The first `size` bytes of the newest record, which is not looked at whether it is whole;
        None if there is none. Raises CorruptData."""

    def put(self, key: ItemKey, record: bytes, token: Hashable) -> None:
        """Make `record` the newest; hand `token` back once it is durable."""

    def delete(self, key: ItemKey, token: Hashable) -> None:
        """Remove the record, in the same log and the same order; visible at once."""

    def put_meta(self, name: str, value: bytes, token: Hashable = None) -> None:
        """Node state of a few bytes, in the same log and the same order as the records."""

    def get_meta(self, name: str) -> bytes | None:
        """The newest state of that name. Raises CorruptData."""

    def scan(self, after: ItemKey, until: ItemKey, limit: int) -> list[tuple[ItemKey, bytes]]:
        """At most `limit` records with after < key < until, in key order."""

    def refusal(self) -> str | None:
        """Why no write that can be refused is accepted now (MEMORY_FULL, DISK_FULL), or None."""
