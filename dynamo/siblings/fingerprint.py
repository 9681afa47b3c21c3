"""An item as 64 bits, for hash trees: equal on two replicas if neither can teach the other.

    fingerprint = mmh3(key, vector in the order of actors, gaps, dots of the live values)

Not the record's digest: replicas prune what they remember of old operations each in its own time,
and a mapping's order tells who wrote first, so the same record has several forms of bytes. What is
hashed here is what a repair makes equal: two records that supersede each other have one history and
the same live dots, and a dot names one value for ever.
"""

import mmh3
import msgpack

from dynamo.siblings.codec import DIGEST_BYTES
from dynamo.types import ItemKey

_SEED = 0x66707274
_pack = msgpack.Packer(autoreset=True).pack


def fingerprint(key: ItemKey, record: bytes | None) -> int:
    """The item's hash; 0 for none. What cannot be decoded has that of its bytes, so
    that another replica's record is found to differ and sent."""
    if record is None:
        return 0
    try:
        _, vector, gaps, _, _, values = msgpack.unpackb(
            memoryview(record)[DIGEST_BYTES:], use_list=False, strict_map_key=False
        )
        known: bytes = _pack(
            (
                key,
                sorted(vector.items()),
                sorted(gaps.items()) if gaps else None,
                sorted([value[:2] for value in values]),
            )
        )
    except Exception:  # whatever a peer may have stored here under a digest that fits
        known = key + record
    return mmh3.hash64(known, _SEED, x64arch=True, signed=False)[0]
