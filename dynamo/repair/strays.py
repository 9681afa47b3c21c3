"""What a former owner still holds goes to the present owners, and then from here.

    rows of a place that is not mine ─▶ an owner: "have you just this?" (digest), one page
        same ───────────────────────────────────────────────┐
        another ─▶ put it there ─▶ merged, durable ─────────┤
                                                            ▼
        the last one put there ─▶ durable, and so all before it ─▶ the next owner
                                            all owners hold it ─▶ the page is dropped here

A write that counted with a stand-in may have its only other copy at an owner that a change made a
former one, where no reader and no comparison comes by: it is lost with the stand-in's disk. And
nobody else would ever give back the room that moved partitions take (Cassandra wants `cleanup`).

Law: a record is removed only if it is still the one that the owners were asked about, and each of
them holds durably all that it says: a node's log keeps its order, so whatever is durable there
shows that all it was seen to hold before is durable too. An owner that has promised never to apply
a write takes it from nobody (`Replica.put`, `late`): a copy may come here later.

Whoever drops records forgets what its own dots in them were. Should it own the partition again, its
next dot must not be taken to have seen them: that is noted before (`Identity.forget`, and `FORGOT`
for the starts to come; simulator, seed 40000).

Only while no change is under way: until its end the owners before count as well. What this node
owns is not looked at: a place is one table's part of a partition, and its rows lie together.
"""

from collections.abc import Callable, Iterable

from dynamo.background import Part
from dynamo.keys import partition_of_key, table_bounds
from dynamo.messages import REPLICA_GET, REPLICA_PUT, Effect, ReplicaGet, ReplicaPut, Send
from dynamo.meters import Meters
from dynamo.ports import MEMORY_FULL
from dynamo.repair.boot import FORGOT
from dynamo.repair.trees import Trees
from dynamo.ring.joint import Rings
from dynamo.siblings.codec import DIGEST_BYTES
from dynamo.types import ItemKey, NodeId, PartitionId, TableId

PAGE_ROWS_MAX = 64
"""Records that an owner is asked about at one time. Raising it: sooner through, in larger bites."""
PAGE_BYTES_MAX = 1 << 20
"""The same in bytes; one record always fits."""
PAUSE_MS = 20.0
"""Rest after each page at full pace. Raising it: less is taken from the foreground, room is given
back later."""
RETRY_MS = 1000.0
"""After a refusal, a silence, or while an owner is away."""
SILENCE_MS = 5000.0
PLACES_AT_ONCE = 16
"""Places of one slice in which nothing is found; each costs a look into the table."""

Place = tuple[PartitionId, TableId]


class _Page:
    """Records that all owners are asked about, one after the other."""

    __slots__ = ("asked_ms", "is_proof", "owner", "records", "to_ask", "waiting")

    def __init__(self, owners: tuple[NodeId, ...], records: dict[ItemKey, bytes]) -> None:
        self.owner, *self.to_ask = owners
        self.records, self.asked_ms = records, 0.0
        self.waiting: dict[int, ItemKey] = {}
        """By request id."""
        self.is_proof = False
        """Whether what is waited for shows that all the rest is durable."""


class Strays(Part):
    """The records of this node that belong to others."""

    kind = "strays"
    share_min = 0.125

    def __init__(
        self,
        me: NodeId,
        rings: Rings,
        trees: Trees,
        tag: int,
        next_id: Callable[[], int],
        interval_ms: float,
        meters: Meters,
        forget: Callable[[PartitionId], None],
    ) -> None:
        """`tag`: of the ids that `next_id` makes; `interval_ms`: after a pass comes the next one,
        for what the last operations of the ring before brought here. `forget`: told of each
        partition of which records are dropped, before they are."""
        self.tag = tag
        self._me, self._rings, self._trees = me, rings, trees
        self._next_id, self._interval_ms, self._meters = next_id, interval_ms, meters
        self._forget = forget
        self._idle = rings.never_changed or rings.target is not None
        self._places = [] if self._idle else self._not_mine()
        self._left: list[Place] = []
        """Of this pass, the next one last."""
        self._after = ItemKey(b"")
        self._page: _Page | None = None
        self._due_ms = 0.0
        self._pause_ms = PAUSE_MS
        self._begin_pass()

    def pace(self, share: float) -> None:
        """Take this share (above 0, at most 1) of what is taken at full pace."""
        assert 0 < share <= 1, "a pace is a share"
        self._pause_ms = PAUSE_MS / share

    def advance(self, up: set[NodeId], now_ms: float) -> list[Effect]:
        """Ask about the next page; give up one whose owner is silent."""
        if self._idle:
            return []
        page = self._page
        if page is not None:
            if now_ms - page.asked_ms > SILENCE_MS:
                self._give_up(now_ms)
            return []
        return self._next(up, now_ms) if now_ms >= self._due_ms else []

    def deadline(self) -> float | None:
        """When `advance` has something to do."""
        if self._idle:
            return None
        return self._due_ms if self._page is None else self._page.asked_ms + SILENCE_MS + 1

    def lost(self, node: NodeId, reason: str, now_ms: float) -> list[Effect]:
        """The link to a peer is gone; another owner is asked."""
        if self._page is not None and self._page.owner == node:
            self._give_up(now_ms)
        return []

    def same(self, node: NodeId, id: int, now_ms: float) -> list[Effect]:
        """The owner holds just this record."""
        return [] if self._taken(node, id) is None else self._gone_on(now_ms)

    def answered(self, node: NodeId, id: int, record: bytes | None, now_ms: float) -> list[Effect]:
        """The owner holds another record, or none: it is told of this one."""
        key = self._taken(node, id)
        if key is None or self._page is None:
            return []
        self._meters.keys_repaired += 1
        return [self._put(self._page, key)]

    def acknowledged(
        self, node: NodeId, id: int, record: bytes | None, whole: bool, now_ms: float
    ) -> list[Effect]:
        """The owner has merged it durably."""
        return [] if self._taken(node, id) is None else self._gone_on(now_ms)

    def refused(self, node: NodeId, id: int, cause: str, now_ms: float) -> list[Effect]:
        """The owner is full, or does not count now."""
        if self._taken(node, id) is not None:
            self._give_up(now_ms)
        return []

    def validate(self) -> None:
        """Assert the bounds of a page."""
        if self._page is not None:
            assert 0 < len(self._page.records) <= PAGE_ROWS_MAX, "a page out of its bounds"
            assert self._page.waiting, "a page waits for nobody"

    def _not_mine(self) -> list[Place]:
        """Where another's items would be, the last place first."""
        return [
            (PartitionId(partition), table)
            for partition in reversed(range(self._rings.ring.partitions))
            for table, n in sorted(self._trees.copies.items())
            if self._me not in self._rings.owners(PartitionId(partition), n)
        ]

    def _begin_pass(self) -> None:
        self._left, self._after = list(self._places), ItemKey(b"")

    def _next(self, up: set[NodeId], now_ms: float) -> list[Effect]:
        """The next page of strays of this pass, if a few places hold any."""
        if self._trees.refusal() == MEMORY_FULL:  # a removal takes room as well
            self._due_ms = now_ms + RETRY_MS
            return []
        for _ in range(PLACES_AT_ONCE):
            if not self._left:
                self._begin_pass()
                self._due_ms = now_ms + self._interval_ms
                return []
            if found := self._found(self._left[-1]):
                return self._ask(self._left[-1], found, up, now_ms)
            self._lose_damaged(self._left.pop())
            self._after = ItemKey(b"")
        self._due_ms = now_ms + self._pause_ms
        return []

    def _found(self, place: Place) -> dict[ItemKey, bytes]:
        """The next strays of a place, as many as a page holds."""
        first, until = table_bounds(*place)
        found: dict[ItemKey, bytes] = {}
        size = 0
        for key, record in self._trees.scan(max(self._after, first), until, PAGE_ROWS_MAX):
            size += len(record)
            if found and size > PAGE_BYTES_MAX:
                break
            found[key] = record
        return found

    def _lose_damaged(self, place: Place) -> None:
        """All that can be read there is dropped: what is left cannot be handed over."""
        first, until = table_bounds(*place)
        lost = [ItemKey(key) for key in self._trees.damaged_keys if first < key < until]
        if lost:
            self._drop(place[0], lost)

    def _drop(self, partition: PartitionId, keys: Iterable[ItemKey]) -> None:
        """Remove records, and note first that this node forgets what its dots in them were."""
        self._forget(partition)
        self._trees.put_meta(FORGOT, b"1")
        for key in keys:
            self._trees.delete(key, None)
            self._meters.strays_dropped += 1

    def _ask(
        self, place: Place, records: dict[ItemKey, bytes], up: set[NodeId], now_ms: float
    ) -> list[Effect]:
        """Ask all owners whether they hold these; while one is away, later."""
        partition, table = place
        owners = self._rings.owners(partition, self._trees.copies[table])
        if not up.issuperset(owners):
            self._put_off(now_ms)
            return []
        self._page = _Page(owners, records)
        return self._asked(self._page, now_ms)

    def _asked(self, page: _Page, now_ms: float) -> list[Effect]:
        """The questions to the page's present owner."""
        page.asked_ms, page.is_proof = now_ms, False
        asked: list[Effect] = []
        for key, record in page.records.items():
            id = self._next_id()
            page.waiting[id] = key
            asked.append(Send(page.owner, ReplicaGet(REPLICA_GET, id, key, record[:DIGEST_BYTES])))
        return asked

    def _put(self, page: _Page, key: ItemKey) -> Effect:
        id = self._next_id()
        page.waiting[id] = key
        return Send(page.owner, ReplicaPut(REPLICA_PUT, id, key, page.records[key], b""))

    def _taken(self, node: NodeId, id: int) -> ItemKey | None:
        """What was asked there under this id."""
        page = self._page
        return page.waiting.pop(id, None) if page is not None and page.owner == node else None

    def _gone_on(self, now_ms: float) -> list[Effect]:
        """All of the page is there: prove it, ask the next owner, and in the end drop it here."""
        page = self._page
        assert page is not None, "an answer belongs to a page"
        if page.waiting:
            return []
        last = next(reversed(page.records))
        if not page.is_proof:
            page.is_proof, page.asked_ms = True, now_ms
            return [self._put(page, last)]
        if page.to_ask:
            page.owner = page.to_ask.pop(0)
            return self._asked(page, now_ms)
        unchanged = [key for key, each in page.records.items() if self._trees.held(key) == each]
        self._drop(partition_of_key(last), unchanged)
        self._page, self._after = None, last
        self._due_ms = now_ms + self._pause_ms
        return []

    def _give_up(self, now_ms: float) -> None:
        """Ask about the same records later."""
        self._page = None
        self._put_off(now_ms)

    def _put_off(self, now_ms: float) -> None:
        """Other places first."""
        self._left.insert(0, self._left.pop())
        self._after = ItemKey(b"")
        self._due_ms = now_ms + RETRY_MS
