"""What a node is when it starts: the same one, one that may have forgotten, or a new one.

    what the store found            incarnation   epoch   forgets       partitions that count
    new directory, bootstrap        new           1       nothing       all
    new directory                   new           1       nothing       none: rebuilding
    damaged, or rolled back         new           +1      nothing       none: rebuilding
    unclean stop                    same          +1      up to here    as before
    clean stop                      same          +1      as before     as before

The decision is durable before the node says a word to anyone: no dot of an epoch is issued twice.
"""

from typing import NamedTuple

import msgpack

from dynamo.repair.lives import start_number
from dynamo.repair.rebuild import MISSING, decode_partitions, encode_partitions
from dynamo.types import PartitionId

IDENTITY = "identity"
"""The name under which a store keeps incarnation, epoch and newest unclean epoch."""
ROLLED_BACK = "rolled back"
"""Set when a peer remembers a later start than this disk does: an old copy of a disk came back."""

FORGOT = "dropped records"
"""Set when records of partitions that the node owns no more were dropped, and with them what its
own dots were, or when it wrote for owners that were away: the next start is like an unclean one."""

INCARNATION_DIGITS = 9


class Found(NamedTuple):
    """What the store knows about its past."""

    fresh: bool
    clean: bool
    """After a clean stop, in a life in which `FORGOT` was not set."""
    damaged: bool
    identity: bytes | None
    missing: bytes | None
    rolled_back: bool


class Boot(NamedTuple):
    """Who starts now."""

    incarnation: str
    epoch: int
    unclean_epoch: int
    missing: frozenset[PartitionId]
    wall_ms: int = 0

    @property
    def number(self) -> int:
        """What peers remember of this start (dynamo.repair.lives)."""
        return start_number(self.epoch, self.wall_ms)

    def meta(self) -> dict[str, bytes]:
        """What must be durable before serving."""
        identity = msgpack.packb((self.incarnation, self.epoch, self.unclean_epoch))
        missing = encode_partitions(tuple(sorted(self.missing)))
        return {IDENTITY: identity, MISSING: missing, ROLLED_BACK: b"", FORGOT: b""}


def boot(found: Found, mine: tuple[PartitionId, ...], bootstrap: bool, wall_ms: int) -> Boot:
    """Decide. `mine`: the partitions of which this node is an owner."""
    incarnation, epoch, unclean = decode_identity(found.identity)
    if found.fresh and bootstrap:
        return Boot(_new_incarnation(wall_ms), 1, 0, frozenset(), wall_ms)
    if found.fresh or found.damaged or found.rolled_back or not incarnation:
        return Boot(_new_incarnation(wall_ms), epoch + 1, 0, frozenset(mine), wall_ms)
    missing = decode_partitions(found.missing or b"")
    unclean = unclean if found.clean else epoch + 1
    return Boot(incarnation, epoch + 1, unclean, missing, wall_ms)


def decode_identity(data: bytes | None) -> tuple[str, int, int]:
    """Incarnation, epoch and unclean epoch of the last start, from what the store kept of it."""
    if data is None:
        return "", 0, 0
    incarnation, epoch, unclean = msgpack.unpackb(data)
    return incarnation, epoch, unclean


def _new_incarnation(wall_ms: int) -> str:
    """The time of birth in base 36, of fixed width so that later is greater."""
    digits = ""
    for _ in range(INCARNATION_DIGITS):
        wall_ms, digit = divmod(wall_ms, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits
