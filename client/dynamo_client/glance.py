"""What a reader wants of a record, for a fifth of what decoding it costs.

Almost every record has one value and its reader writes nothing back: the value's payload and stamp
are all that is used. The layout is that of `dynamo.siblings.codec`; a test holds both together.
"""

import msgpack

from dynamo.siblings.codec import DIGEST_BYTES, RECORD_FORMAT, RETRIED_FORMAT

_FORMATS = (RECORD_FORMAT, RETRIED_FORMAT)


def glance(data: bytes) -> tuple[bytes | None, int] | None:
    """(payload, stamp) of a record with exactly one value; None: decode the record."""
    try:
        parts = msgpack.unpackb(
            memoryview(data)[DIGEST_BYTES:], use_list=False, strict_map_key=False
        )
        if parts[0] not in _FORMATS or len(parts) not in (7, 8) or len(parts[-1]) != 1:
            return None
        _, _, stamp, _, payload = parts[-1][0]
    except (ValueError, TypeError, LookupError):
        return None
    if type(stamp) is not int or not (payload is None or type(payload) is bytes):
        return None
    return payload, stamp
