"""The highest start number of each peer that this node has met, kept durably.

A disk that comes back from the past (a restored image, a swapped cable) would issue its dots again.
Its peers remember a later start and say so at the handshake; it then starts as a new incarnation.
"""

import msgpack

from dynamo.storage.port import Engine

_NAME = "boots"


class Boots:
    """Start numbers by node name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        stored = engine.get_meta(_NAME)
        self._known: dict[str, int] = msgpack.unpackb(stored) if stored else {}

    def of(self, name: str) -> int | None:
        """The highest start of that node, if it was ever met."""
        return self._known.get(name)

    def remember(self, name: str, boot: int) -> None:
        """It started anew (durable with the next log group)."""
        if self._known.get(name, 0) < boot:
            self._known[name] = boot
            self._engine.put_meta(_NAME, msgpack.packb(self._known), None)
