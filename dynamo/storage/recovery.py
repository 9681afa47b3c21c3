"""What a node finds in its log when it starts: the groups to replay, and what is wrong with them.

Law: with `c` the number of the last checkpoint and `last` the end of the unbroken run c+1, c+2, ...
of sound groups, what lies behind a bad place is

    damage       if some sound group behind it says that last + 1 was synced   -> replay all, tell
    a torn tail  otherwise: nobody was told that it is durable                 -> cut it

    segment 7:  41 42 43 xx 45        45 says `synced 44`: 44 was promised, so this is damage
    segment 7:  41 42 43 xx 45        45 says `synced 43`: both were under way when power failed
    segment 7:  41 42 43 xx 45  8: 44 45   segment 8 goes on at 44: an earlier start cut this tail
"""

from collections.abc import Callable
from typing import NamedTuple

from dynamo.storage.checkpoint import Position
from dynamo.storage.files import Files
from dynamo.storage.log import Segment, generations, segment_name
from dynamo.storage.segment import (
    GROUP_HEADER_BYTES,
    LoggedGroup,
    Writes,
    decode_writes,
    header_is_sound,
    is_cut,
    sound_groups,
)


class Recovery(NamedTuple):
    """What `open` found."""

    fresh: bool
    """Nothing was ever written here."""
    clean: bool
    """The last stop was a clean one: nothing had to be replayed."""
    damaged: bool
    """Something that was promised to be durable is lost: the node must rebuild."""
    groups_replayed: int = 0
    bytes_replayed: int = 0
    torn_bytes: int = 0


class Replay:
    """Reads the segments in order and applies every group behind the table's position."""

    def __init__(self, position: Position, apply: Callable[[Writes], None]) -> None:
        self._apply = apply
        self._position = position
        self._behind: dict[int, LoggedGroup] = {}
        self.last_number = position.number
        self.damaged = False
        self.groups = 0
        self.bytes = 0
        self.torn_bytes = 0
        self.segments: list[Segment] = []

    def run(self, files: Files, *, new_table: bool) -> None:
        """Read every segment that is needed, then settle what lies behind a bad place.

        After a clean stop none is. The table is made before the first segment, so segments beside a
        new table mean that the table was lost.
        """
        found = list(generations(files.list()))
        position = self._position
        for generation in found:
            if position.clean or generation < position.generation:
                self._set_aside(files, generation)
            else:
                self._read(generation, files.read(segment_name(generation)))
        lost = position.begun and not position.clean and position.generation not in found
        self.damaged |= lost or (new_table and bool(found))
        self._settle()

    def _set_aside(self, files: Files, generation: int) -> None:
        """Not to be read: a cut tail there may carry numbers that were given again since."""
        self.segments.append(Segment(generation, files.size(segment_name(generation)), 0))

    def _read(self, generation: int, data: bytes) -> None:
        sound_header = header_is_sound(data)
        self.damaged |= sound_header and is_cut(data)
        last_number = 0
        for group in sound_groups(data, generation):
            if not sound_header:
                self.damaged = True  # it was synced before the first group was written
            if last_number == 0 and group.number == self.last_number + 1:
                self._behind.clear()  # an earlier start cut the tail before, and went on here
            last_number = max(last_number, group.number)
            if group.number > self._position.number:
                self._take(group)
        self.segments.append(Segment(generation, len(data), last_number))

    def _take(self, group: LoggedGroup) -> None:
        if group.number == self.last_number + 1 and not self._behind:
            self._replay(group)
        else:
            self._behind[group.number] = group

    def _replay(self, group: LoggedGroup) -> None:
        self._apply(decode_writes(group.payload))
        self.last_number = group.number
        self.groups += 1
        self.bytes += GROUP_HEADER_BYTES + len(group.payload)

    def _settle(self) -> None:
        behind = [group for _, group in sorted(self._behind.items())]
        if any(group.synced > self.last_number for group in behind):
            self.damaged = True
            for group in behind:
                self._replay(group)
        else:
            self.torn_bytes = sum(GROUP_HEADER_BYTES + len(group.payload) for group in behind)
        self.segments = [self._as_kept(segment) for segment in self.segments]

    def _as_kept(self, segment: Segment) -> Segment:
        """What shows damage stays until a checkpoint has covered it; a cut tail does not count."""
        if self.damaged:
            return segment._replace(last_number=self.last_number)
        return segment._replace(last_number=min(segment.last_number, self.last_number))
