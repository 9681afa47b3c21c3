"""What a node remembers of the starts of another, to know an old copy of its disk.

    it shows up as            known as                      then
    a new incarnation         anything                      it is who it says it is from now on
    the present incarnation   a start not later than this   the same
    the present incarnation   a later start                 an old copy: it would reissue its dots
    the present incarnation   another start of that number  an old copy, from before that one
    a former incarnation      replaced by another since     an old copy

Incarnations are told apart, never ordered: a disk that was replaced while the clock was wrong may
bear an earlier time of birth than the lost one.
"""

from typing import NamedTuple

import msgpack

FORMER_MAX = 16
"""Lost disks of one node that its peers remember; the oldest is forgotten first."""


STARTED_BITS = 40
"""Of a start's number, below its epoch: when it was, so that no two starts have one number."""


def start_number(epoch: int, wall_ms: int) -> int:
    """A start as peers remember it; it rises from start to start of one disk."""
    return epoch << STARTED_BITS | wall_ms & (1 << STARTED_BITS) - 1


class Lives(NamedTuple):
    """The starts of one node, as a peer has met them."""

    incarnation: str
    number: int
    """The highest start of this incarnation (`Boot.number`)."""
    former: tuple[str, ...] = ()

    def shows_old_copy(self, incarnation: str, number: int) -> bool:
        """Whether this start is that of a disk which has come back from the past."""
        if incarnation == self.incarnation:
            return number != self.number and _epoch(number) <= _epoch(self.number)
        return incarnation in self.former

    def after(self, incarnation: str, number: int) -> "Lives":
        """With this start, which is no old copy."""
        assert not self.shows_old_copy(incarnation, number), "old copies are not remembered"
        if incarnation == self.incarnation:
            return self._replace(number=number)
        return Lives(incarnation, number, (*self.former, self.incarnation)[-FORMER_MAX:])


def met(known: Lives | None, incarnation: str, number: int) -> Lives | None:
    """What is known after meeting this start; None if it is an old copy."""
    if known is None:
        return Lives(incarnation, number)
    if known.shows_old_copy(incarnation, number):
        return None
    return known.after(incarnation, number)


def _epoch(number: int) -> int:
    return number >> STARTED_BITS


def encode_lives(lives: dict[str, Lives]) -> bytes:
    """All that a node remembers of its peers, for its store."""
    packed: bytes = msgpack.packb({name: tuple(known) for name, known in lives.items()})
    return packed


def decode_lives(value: bytes | None) -> dict[str, Lives]:
    """The inverse; nothing for None."""
    if not value:
        return {}
    found = msgpack.unpackb(value, use_list=False)
    return {name: Lives(*known) for name, known in found.items()}
