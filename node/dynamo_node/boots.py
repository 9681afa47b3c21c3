"""The starts of each peer that this node has met, kept durably.

A disk that comes back from the past (a restored image, a swapped cable) would issue its dots again.
Its peers remember a later start and say so at the handshake; it then starts as a new incarnation.
The rules are in `dynamo.repair.lives`.
"""

from dynamo.repair.lives import decode_lives, encode_lives, met
from dynamo.storage.port import Engine

_NAME = "starts of peers"


class Boots:
    """Starts by node name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known = decode_lives(engine.get_meta(_NAME))

    def above(self, name: str, incarnation: str, boot: int) -> int | None:
        """A start number above this one if it is that of an old copy, else None."""
        known = self._known.get(name)
        if known is None or not known.shows_old_copy(incarnation, boot):
            return None
        return max(known.number, boot + 1)

    def remember(self, name: str, incarnation: str, boot: int) -> bool:
        """Whether this start is no old copy; it is durable with the next log group."""
        known = self._known.get(name)
        now_known = met(known, incarnation, boot)
        if now_known is None:
            return False
        if now_known != known:
            self._known[name] = now_known
            self._engine.put_meta(_NAME, encode_lives(self._known), None)
        return True
