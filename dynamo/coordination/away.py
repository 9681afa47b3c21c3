"""Coordination by a node that owns nothing of an item, while it reaches none who does.

    owners      n1 ✗     n2 ✗     n3 ✗        the writer reaches n4 and n5 only
    n4 (me)     HintPut(owner = n1) to myself, durable ─▶ n5: HintPut(owner = n2) ─▶ W = 2

Writes go on as long as W members are left (the paper's sections 2.3 and 4.6, "always writeable").
This node takes the first owner's slot itself, composes on what it keeps of the item for any owner,
and asks other fallbacks to stand in for the other owners. All that it has is hints, so all of it
goes to the owners when they are back.

It is no owner, so it lacks three things that owners know. What it handed over and dropped: its own
dots of before are a gap under the next one, never taken as seen (`Identity.hint_dropped`); and if
it becomes an owner, its records do not know of its dots in hints (`Identity.went_away`). Which
operations owners have forgotten with a tombstone: it takes none that old. Which operations were
denied, after a word of its own that it has nothing of them (decision 020): it begins none that is
older than its last such word.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Protocol

from dynamo.coordination.stand_ins import StandIns
from dynamo.hlc import stamp_ms
from dynamo.siblings.record import operation_stamp
from dynamo.types import ItemKey, NodeId, OperationId

DENIED_MAX = 8192
"""Items of which a node remembers when it said that it has nothing of them; beyond, it takes that
to have been of all items. Raising it: more memory, some 200 bytes each; lowering it: while owners
are away a question about one operation holds up writes of other items."""


class Keeper(Protocol):
    """What this node keeps for owners."""

    def held(self, key: ItemKey, owners: tuple[NodeId, ...]) -> bytes | None:
        """Of an item, for all of them together. Raises CorruptData."""

    def everything(self, key: ItemKey) -> tuple[bytes | None, str]:
        """All that this node has of an item, or why it cannot tell."""

    def refuses(self, owner: NodeId, key: ItemKey, size: int) -> str:
        """Why no record of so many bytes can be kept for an owner; empty if it can."""

    def keep_own(
        self, owner: NodeId, key: ItemKey, record: bytes, base: bytes, token: Hashable
    ) -> None:
        """Keep what this node has composed itself; the token tells when that is durable."""


class Denied:
    """Up to when operations may have been denied on this node's word; bounded in number."""

    __slots__ = ("_by_key", "_since_ms")

    def __init__(self) -> None:
        self._by_key: OrderedDict[ItemKey, int] = OrderedDict()
        self._since_ms = 0

    def begin(self, wall_ms: int) -> None:
        """What an earlier start of this node said is not known any more. Only the first call
        counts."""
        self._since_ms = self._since_ms or wall_ms

    def renew(self, wall_ms: int) -> None:
        """Records were dropped, and with them the fences in them."""
        self._since_ms = max(self._since_ms, wall_ms)

    def note(self, key: ItemKey, wall_ms: int) -> None:
        """Somebody asked what became of an operation on this item."""
        self._by_key[key] = max(self._by_key.get(key, 0), wall_ms)
        self._by_key.move_to_end(key)
        if len(self._by_key) > DENIED_MAX:
            _, oldest_ms = self._by_key.popitem(last=False)
            self._since_ms = max(self._since_ms, oldest_ms)

    def may_cover(self, key: ItemKey, operation: OperationId, skew_ms: int) -> bool:
        """Whether this one may have been denied. Its stamp is at most the skew ahead of the clock
        of who denied it, and that one at most the skew ahead of this node's."""
        newest_ms = max(self._since_ms, self._by_key.get(key, 0))
        return stamp_ms(operation_stamp(operation)) <= newest_ms + 2 * skew_ms


def is_old(operation: OperationId, before_ms: int) -> bool:
    """Whether it was made then or earlier: owners may have forgotten it with its tombstone."""
    return stamp_ms(operation_stamp(operation)) <= before_ms


def alone(me: NodeId, owners: tuple[NodeId, ...], order: tuple[NodeId, ...]) -> StandIns:
    """The slots of a write none of whose owners is reached: this node's own is the first one."""
    stand_ins = StandIns(order)
    first, *absent = owners
    stand_ins.owner_of[me], stand_ins.absent = first, absent
    return stand_ins
