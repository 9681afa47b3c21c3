"""Read repair: after a reply, bring the owners of one item together again (section 5).

    difference seen -> wait a little (late writes arrive by themselves) -> read every linked owner
      -> still different? -> send the join to those that are behind

Comparing again before repairing is what keeps repair from being louder than the operations that
cause it (riak_kv#1771). Bounded: at most `repairs_queued_max` items wait, each once; more are
dropped, and the next read finds the difference again.

A record of this node's own that is damaged may have been acknowledged, so what takes its place is
the join of N-W+1 other owners: any of those sets holds all that was. With fewer it stays damaged,
which counts in no read, and is tried again after a request's time.
"""

from typing import NamedTuple

from dynamo.coordination.decisions import REPAIRS, Decision, Ids
from dynamo.coordination.reading import Read
from dynamo.coordination.scope import Scope
from dynamo.errors import CorruptData
from dynamo.keys import partition_of_key, table_of_key
from dynamo.messages import REPLICA_GET, REPLICA_PUT, Broadcast, ReplicaGet, ReplicaPut
from dynamo.ports import CORRUPT
from dynamo.siblings.codec import encode_record
from dynamo.timers import TimerWheel
from dynamo.types import ItemKey, NodeId

RUNNING_MAX = 64
"""Repairs that read at once; the others wait their turn."""


class _Repair(NamedTuple):
    """One that reads."""

    key: ItemKey
    read: Read
    is_damaged: bool
    """Whether this node's own record is."""


class Repairs:
    """Items whose owners were seen to differ."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._ids = Ids(REPAIRS, scope.identity.first_request())
        self._waiting: dict[ItemKey, float] = {}
        self._running: dict[int, _Repair] = {}
        self._unmended: dict[int, ItemKey] = {}
        """Items whose record here is damaged, and whose owners were too few to mend it."""
        self._timers: TimerWheel[int] = TimerWheel(20.0)

    def request(self, key: ItemKey, now_ms: float) -> None:
        """Repair this item soon, unless it is queued already or the queue is full."""
        if key in self._waiting:
            return
        if len(self._waiting) >= self._scope.config.node(self._scope.me).limits.repairs_queued_max:
            self._scope.meters.repairs_dropped += 1
            return
        self._waiting[key] = now_ms + self._scope.timing.repair_delay_ms
        self._timers.add(self._waiting[key], 0)

    def answer(self, node: NodeId, id: int, record: bytes | None) -> list[Decision]:
        """An owner's record."""
        running = self._running.get(id)
        if running is None:
            return []
        running.read.answer(node, record)
        return self._finished(id)

    def refuse(self, node: NodeId, id: int) -> list[Decision]:
        """An owner does not answer; repair the others."""
        running = self._running.get(id)
        if running is None:
            return []
        running.read.refuse(node, "refused")
        return self._finished(id)

    def lost(self, node: NodeId) -> list[Decision]:
        """The link to an owner is gone."""
        waiting = [id for id, running in self._running.items() if node in running.read.pending]
        return [made for id in waiting for made in self.refuse(node, id)]

    def expire(self, now_ms: float) -> list[Decision]:
        """Start the repairs that are due, drop those without answers."""
        decisions: list[Decision] = []
        for id in self._timers.due(now_ms):
            late = self._running.pop(id, None)
            unmended = late.key if late and late.is_damaged else self._unmended.pop(id, None)
            if unmended is not None:
                self.request(unmended, now_ms)
        for key, due_ms in list(self._waiting.items()):
            if due_ms > now_ms or len(self._running) >= RUNNING_MAX:
                break
            del self._waiting[key]
            decisions += self._start(key, now_ms)
        if self._waiting:
            self._timers.add(max(now_ms, next(iter(self._waiting.values()))), 0)
        return decisions

    def deadline(self) -> float | None:
        """When `expire` has something to do."""
        return self._timers.deadline()

    def queued(self) -> int:
        """Items waiting for their repair."""
        return len(self._waiting)

    def validate(self) -> None:
        """Assert that no queue is above its bound, and that no repair waits for nobody."""
        most = self._scope.config.node(self._scope.me).limits.repairs_queued_max
        assert len(self._waiting) <= most, "too many repairs are queued"
        assert len(self._unmended) <= most, "too many damaged records wait for their owners"
        assert len(self._running) <= RUNNING_MAX, "too many repairs read at once"
        for running in self._running.values():
            assert running.read.pending, "a repair waits for nobody"

    def _start(self, key: ItemKey, now_ms: float) -> list[Decision]:
        scope = self._scope
        table = scope.tables.get(table_of_key(key))
        if table is None or partition_of_key(key) >= scope.ring.partitions:
            return []  # the key itself is damaged: no owner knows it
        owners = scope.owners(partition_of_key(key), table)
        peers = tuple(node for node in owners if node in scope.peers.up)
        id = self._ids.next()
        read = Read(len(owners))
        for node in peers:
            read.ask(node)
        damaged = False
        if scope.me in owners:
            read.ask(scope.me)
            damaged = self._read_here(read, key)
        self._running[id] = _Repair(key, read, damaged)
        self._timers.add(now_ms + scope.timing.request_timeout_ms, id)
        return [Broadcast(peers, ReplicaGet(REPLICA_GET, id, key, None)), *self._finished(id)]

    def _read_here(self, read: Read, key: ItemKey) -> bool:
        """This node's own answer, and whether it is damaged; then it counts for nothing."""
        try:
            read.answer(self._scope.me, self._scope.store.get(key))
        except CorruptData:
            read.refuse(self._scope.me, CORRUPT)
            return True
        return False

    def _finished(self, id: int) -> list[Decision]:
        """When nobody is waited for: send the join to those behind, and put it in the place of what
        is damaged here if any write that was acknowledged here must be in it."""
        key, read, is_damaged = self._running[id]
        if read.pending:
            return []
        del self._running[id]
        scope = self._scope
        table = scope.tables.get(table_of_key(key))
        if table is None or partition_of_key(key) >= scope.ring.partitions:
            return []  # the key itself is damaged: no owner knows it
        enough = len(read.answers) >= min(table.n - table.w + 1, table.n - 1)
        if is_damaged and not enough:
            self._try_again(id, key)
        if not read.answers:
            return []
        try:
            record, behind = read.merged(table.conflict_rule, scope.window)
        except CorruptData:
            return []
        if is_damaged and enough:
            behind = (*behind, scope.me)
        if not behind:
            return []
        scope.meters.read_repairs += 1
        return [Broadcast(behind, ReplicaPut(REPLICA_PUT, id, key, encode_record(record), b""))]

    def _try_again(self, id: int, key: ItemKey) -> None:
        """Ask for this repair once more when its time is over."""
        most = self._scope.config.node(self._scope.me).limits.repairs_queued_max
        if len(self._unmended) < most and key not in self._unmended.values():
            self._unmended[id] = key
