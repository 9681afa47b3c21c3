"""Closing the gaps of a record's history, once nobody holds a dot that lies in one.

    all owners hold it alike ─▶ does any member keep anything else of it? ─▶ no, none
                                (a hint, or what it has left of a former ring)   │
        closed here ◀── all alike, still ◀── do the owners hold it alike? ◀──────┘

A closed gap says "seen, and gone" of every dot in it (decision 001). A dot that a crashed
coordinator shipped and forgot may be left where no owner looks: at a member that a change made a
former owner, or in a hint that somebody else made of it. Delivered after the closing, its value
would be taken for overwritten (simulator, seed 25: an acknowledged write was lost).

Law: a hint or a stray is removed when its owner holds it durably in its record, so a copy goes from
what is kept for others to what owners hold, and never is in neither. Owners may keep hints as well,
those who became owners since. So all are asked what they keep, and after all of them the owners.

An answer that does not come leaves the gaps as they are, until a later write finds all alike again.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from dynamo.background import Part
from dynamo.config import TableConfig
from dynamo.keys import partition_of_key, table_of_key
from dynamo.messages import REPLICA_GET, Broadcast, ReplicaGet
from dynamo.ports import NO_HINT
from dynamo.repair.hints import Everything
from dynamo.ring.joint import Rings
from dynamo.siblings.codec import DIGEST_BYTES
from dynamo.types import ItemKey, NodeId, TableId

OPEN_MAX = 64
"""Records that are asked about at one time; a closing takes two round trips. Raising it: gaps stay
for a shorter time after a crash; lowering it: the reverse."""


class _Asked:
    """One record, and who has not yet answered."""

    __slots__ = ("key", "others", "owners", "record", "waiting")

    def __init__(
        self, key: ItemKey, record: bytes, others: set[NodeId], owners: set[NodeId]
    ) -> None:
        self.key, self.record = key, record
        self.others = others
        """Who may say that it keeps nothing: owners hold the record."""
        self.waiting = others | owners
        self.owners = owners
        """To be asked once more."""


class Closing(Part):
    """The records of this node whose gaps are about to be closed."""

    def __init__(
        self,
        me: NodeId,
        rings: Rings,
        tables: Mapping[TableId, TableConfig],
        tag: int,
        next_id: Callable[[], int],
        up: AbstractSet[NodeId],
        everything: Callable[[ItemKey], Everything],
        make_whole: Callable[[ItemKey, bytes], object],
    ) -> None:
        """`tag`: of the ids that `next_id` makes; `up`: who is linked, at any moment; `everything`:
        that this node has of an item; `make_whole`: closes the gaps of a record here, if it is
        still the newest."""
        self.tag = tag
        self._me, self._rings, self._tables = me, rings, tables
        self._next_id, self._up = next_id, up
        self._everything, self._make_whole = everything, make_whole
        self._open: dict[int, _Asked] = {}

    def begin(self, key: ItemKey, record: bytes) -> list[Broadcast]:
        """All owners were seen to hold this record."""
        table, rings = self._tables[table_of_key(key)], self._rings
        owners = set(rings.owners(partition_of_key(key), table.n))
        others = set(rings.members) - owners
        if rings.never_changed and not (table.sloppy and others):
            self._make_whole(key, record)  # nobody can ever have kept anything
            return []
        if rings.target is not None or self._me not in owners or len(self._open) >= OPEN_MAX:
            return []
        asked = _Asked(key, record, others, owners - {self._me})
        if not self._up >= asked.waiting or self._is_open(key) or self._has_more(asked):
            return []
        return self._ask(asked)

    def refused(self, node: NodeId, id: int, cause: str, now_ms: float) -> list[Broadcast]:
        """Another member keeps nothing; or somebody does not know, or does not count."""
        asked = self._open.get(id)
        if asked is not None and cause == NO_HINT and node in asked.others:
            return self._answered(node, id)
        self._open.pop(id, None)
        return []

    def same(self, node: NodeId, id: int, now_ms: float) -> list[Broadcast]:
        """An owner holds just this record, or somebody keeps it for one."""
        return self._answered(node, id)

    def answered(
        self, node: NodeId, id: int, record: bytes | None, now_ms: float
    ) -> list[Broadcast]:
        """Something else is there."""
        self._open.pop(id, None)
        return []

    def lost(self, node: NodeId, reason: str, now_ms: float) -> list[Any]:
        """The link to a peer is gone: it does not answer any more."""
        for id in [id for id, asked in self._open.items() if node in asked.waiting | asked.owners]:
            del self._open[id]
        return []

    def validate(self) -> None:
        """Assert the bound, and that each record waits for somebody."""
        assert len(self._open) <= OPEN_MAX, "too many records are asked about"
        for asked in self._open.values():
            assert asked.waiting, "a closing waits for nobody"

    def _has_more(self, asked: _Asked) -> bool:
        """Whether this node may have anything else of the item."""
        return self._everything(asked.key) != (asked.record, "")

    def _is_open(self, key: ItemKey) -> bool:
        return any(asked.key == key for asked in self._open.values())

    def _ask(self, asked: _Asked) -> list[Broadcast]:
        """The next question; without anybody to ask the gaps are closed."""
        if not asked.waiting:
            if not self._has_more(asked):
                self._make_whole(asked.key, asked.record)
            return []
        id = self._next_id()
        self._open[id] = asked
        question = ReplicaGet(REPLICA_GET, id, asked.key, asked.record[:DIGEST_BYTES])
        return [Broadcast(tuple(sorted(asked.waiting)), question)]

    def _answered(self, node: NodeId, id: int) -> list[Broadcast]:
        asked = self._open.get(id)
        if asked is None:
            return []
        asked.waiting.discard(node)
        if asked.waiting:
            return []
        del self._open[id]
        asked.waiting, asked.owners = asked.owners, set()
        return self._ask(asked)
