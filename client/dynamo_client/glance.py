"""What a reader wants of a record, for a fifth of what decoding it costs.

Almost every record has one value and its reader writes nothing back: the value's payload and stamp
are all that is used. The layout is that of `dynamo.siblings.codec`; a test holds both together.
"""

import msgpack

from dynamo.siblings.codec import DIGEST_BYTES, RECORD_FORMAT


def glance(data: bytes) -> tuple[bytes | None, int] | None:
    """(payload, stamp) of a record with exactly one value; None: decode the record."""
    try:
        form, _, _, _, _, _, values = msgpack.unpackb(
            memoryview(data)[DIGEST_BYTES:], use_list=False, strict_map_key=False
        )
        if form != RECORD_FORMAT or len(values) != 1:
            return None
        _, _, stamp, _, payload = values[0]
    except (ValueError, TypeError):
        return None
    if type(stamp) is not int or not (payload is None or type(payload) is bytes):
        return None
    return payload, stamp
