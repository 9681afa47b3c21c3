"""An item as 64 bits, for hash trees: equal on two replicas if neither can teach the other.

    fingerprint = mmh3(key, the record's mark (dynamo.siblings.codec))

A put is hashed by every replica; the mark makes that one look at twelve bytes and one hash.
"""

import mmh3

from dynamo.siblings.codec import MARK_AT, MARK_BYTES
from dynamo.types import ItemKey

_SEED = 0x66707274
_hash = mmh3.mmh3_x64_128_uintdigest


def fingerprint(key: ItemKey, record: bytes | None) -> int:
    """The item's hash; 0 for none. What is no record has some hash, most likely another one than
    what other replicas hold, and is found to differ."""
    if record is None:
        return 0
    hashed: int = _hash(key + record[MARK_AT : MARK_AT + MARK_BYTES], _SEED) >> 64
    return hashed
