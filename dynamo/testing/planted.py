"""Planted bugs: mistakes that stores of this kind have made, to show that the simulator sees them.

Each is a few functions put in place of the right ones while a scenario runs. A checker that cannot
find every one of these within 200 seeds is not worth trusting; `tests/simulation` holds it to that.

    with planted(bug := BUGS["acknowledge before fsync"]):
        assert Scenario(seed, bug.shape).run().violation
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dynamo.coordination import composing
from dynamo.coordination.decisions import REPAIRS, TAG_MASK, AllAgree
from dynamo.coordination.identity import Identity
from dynamo.coordination.outcomes import NOT_APPLIED, Outcomes
from dynamo.coordination.puts import Puts
from dynamo.kernel import Kernel
from dynamo.messages import (
    REPLICA_RECORD,
    Ack,
    ReplicaPut,
    ReplicaRecord,
    ReplicaRefused,
    Send,
    Source,
)
from dynamo.repair import boot as boots
from dynamo.repair import collection as collections
from dynamo.repair.boot import Boot
from dynamo.repair.collection import Collection
from dynamo.repair.handoff import Handoff
from dynamo.repair.hints import Hint, Hints, hint_key
from dynamo.repair.rebuild import Rebuild
from dynamo.repair.transfers import Transfers
from dynamo.replica.replica import Replica
from dynamo.ring.joint import Rings
from dynamo.siblings import record as records
from dynamo.siblings.record import Record, Seen, Value
from dynamo.storage import checkpoint as checkpoints
from dynamo.testing import node, planted_repairs
from dynamo.testing.bugs import Bug, planted
from dynamo.testing.client import Client
from dynamo.testing.disk import SimulatedFiles
from dynamo.testing.history import Write
from dynamo.testing.scenario import TABLES, TIMING, Shape
from dynamo.testing.store import Store
from dynamo.testing.workload import Mix

__all__ = ["BUGS", "planted"]

# durability


def _kick_and_tell(self: Store) -> None:
    if self._group is None and (group := self.engine.real.take_group()) is not None:
        self._group = self._syncing = group
        self.disk.world.at(self.disk.sync_ms(), self._sync, group)
        self._persisted([token for token in group.tokens if token is not None])


def _synced_and_told_before(self: Store, group: Any) -> None:
    self.engine.real.synced(group)
    self._group = None
    self.kick()


def _sync_nothing(self: SimulatedFiles, handle: int) -> None:
    return None


_slices = checkpoints.Checkpoint.slices


def _position_first(self: checkpoints.Checkpoint) -> Iterator[checkpoints.Slice]:
    def store_position() -> int:
        generation, begun = self._log.first_needed(self._number)
        position = checkpoints.Position(self._number, generation, begun, self._clean)
        checkpoints.write_position(self._table, position)
        return 0

    yield store_position
    yield from _slices(self)


# who writes

_boot = boots.boot


def _epoch_stays(found: Any, mine: Any, bootstrap: bool, wall_ms: int) -> Boot:
    made = _boot(found, mine, bootstrap, wall_ms)
    if made.epoch == 1:
        return made
    return made._replace(epoch=1, unclean_epoch=min(made.unclean_epoch, 1))


def _no_gap(found: Any, mine: Any, bootstrap: bool, wall_ms: int) -> Boot:
    return _boot(found, mine, bootstrap, wall_ms)._replace(unclean_epoch=0)


def _same_incarnation(found: Any, mine: Any, bootstrap: bool, wall_ms: int) -> Boot:
    return _boot(found, mine, bootstrap, wall_ms)._replace(incarnation="000000000")


def _nothing_missing(found: Any, mine: Any, bootstrap: bool, wall_ms: int) -> Boot:
    return _boot(found, mine, bootstrap, wall_ms)._replace(missing=frozenset())


_new_rebuild = Rebuild.__init__


def _one_source(self: Rebuild, *arguments: Any) -> None:
    _new_rebuild(self, *arguments)
    self._quorums = [(1, 1)]


# what travels

_written = records.written


def _bare_dot(record: Record, seen: Seen, value: Value, *rest: Any, **named: Any) -> Record:
    after = _written(record, seen, value, *rest, **named)
    return after._replace(values=tuple(v for v in after.values if v.operation == value.operation))


def _overwrite(self: Replica, key: Any, record: bytes, *_: Any, **__: Any) -> tuple[bytes, bool]:
    return record, True


_replica_put = Replica.put


def _repair_overwrites(
    self: Replica, source: Source, message: ReplicaPut, *rest: Any, **named: Any
) -> list[Any]:
    if message.id & TAG_MASK != REPAIRS:
        return _replica_put(self, source, message, *rest, **named)
    self._store.put(message.key, message.record, Ack(source, message.id, None, True))
    return []


def _put_sees_all(record: Record, seen: Seen, operation: Any) -> Seen:
    return records.seen_by_reader(record)


def _no_operations(one: Any, other: Any) -> dict[Any, int]:
    return {}


def _first_come(value: Value) -> tuple[int, bytes]:
    return 0, b""


_settle = Puts._settle


def _agree_too_early(self: Puts, id: int, put: Any) -> list[Any]:
    decisions: list[Any] = _settle(self, id, put)
    return [*decisions, AllAgree(put.key, put.composed.data)] if put.composed.gaps else decisions


# who is counted

_acknowledge = Puts.acknowledge


def _count_twice(self: Puts, node: Any, id: int, *rest: Any) -> list[Any]:
    put = self._open.get(id)
    if put is not None and node not in put.pending:
        put.pending.append(node)
    return _acknowledge(self, node, id, *rest)


_new_kernel = Kernel.__init__


def _always_ready(self: Kernel, *arguments: Any) -> None:
    _new_kernel(self, *arguments)
    self._ready |= self._mine


_ship = Outcomes._ship


def _no_fence(self: Outcomes, id: int, inquiry: Any, record: Record, verdict: str, n: int) -> Any:
    if verdict == NOT_APPLIED:
        return self._close(id, verdict)
    return _ship(self, id, inquiry, record, verdict, n)


# what is removed


def _covered(*_: Any) -> bool:
    return True


def _always_equal(self: Collection, name: Any) -> int:
    return 1


# hints

_fill = Handoff._filled
_hinted_answer = Hints.get


def _drop_at_once(self: Handoff, owner: Any, round_: Any, now_ms: float) -> list[Any]:
    effects: list[Any] = _fill(self, owner, round_, now_ms)
    for sent in round_.in_flight.values():
        self._hints.delivered(sent.hint)
    return effects


def _nothing_counts(self: Hints, source: Source, message: Any) -> Send | None:
    answer = _hinted_answer(self, source, message)
    if answer is not None and isinstance(answer.message, ReplicaRefused):
        return Send(source, ReplicaRecord(REPLICA_RECORD, message.id, None))
    return answer


def _drop_what_is_there(self: Hints, hint: Hint) -> bool:
    newest = self._store.get(hint_key(hint.owner, hint.key))
    return newest is not None and _delivered(self, hint._replace(record=newest))


_delivered = Hints.delivered

# the client

_attempt = Client._attempt


def _new_operation(self: Client, write: Write, *rest: Any) -> None:
    if write.attempts:
        self._sequence += 1
        stamp = self._hybrid.next(self.clock.wall_ms())
        write.operation = records.operation_id(stamp, self._session, self._sequence)
    _attempt(self, write, *rest)


_LONELY = Shape(nodes=5, keys=80, tracks=4, kinds=("loss",), mix=Mix(get=60, delete_blind=0))
_AWAY = Shape(
    nodes=6,
    keys=4,
    tracks=6,
    hasty=0.0,
    kinds=("partition", "one-way", "pause", "crash", "flapping", "partition", "crash", "restart"),
    gap_ms=10.0,
    tables=tuple(replace(t, n=2, r=2 if t.conflict_rule == "lww" else 1, w=2) for t in TABLES),
)
_CRASHES = Shape(nodes=3, tracks=4, kinds=("crash", "crash", "loss", "delay", "slow disk", "pause"))
_DISKS = Shape(
    nodes=3, tracks=4, kinds=("lost disk", "lost disk", "crash", "delay", "loss", "slow disk")
)
_CHANGES = Shape(
    nodes=3,
    tracks=4,
    kinds=("join", "leave", "weight", "partition", "one-way", "crash", "pause", "reordering"),
)

_DELETES = Shape(
    nodes=3,
    keys=120,
    tracks=4,
    kinds=("crash", "pause", "loss", "delay", "partition"),
    timing=replace(TIMING, exchange_interval_ms=200, tombstone_age_ms=300),
)

BUGS = {
    "acknowledge before fsync": Bug(
        "A power loss takes acknowledged writes along.",
        ((Store, "kick", _kick_and_tell), (Store, "_synced", _synced_and_told_before)),
    ),
    "sync that does not sync": Bug(
        "The same, one floor deeper: the file's bytes were never forced out.",
        ((SimulatedFiles, "fdatasync", _sync_nothing),),
        seed=2,
    ),
    "checkpoint number before its data": Bug(
        "A crash between the two leaves a log that is believed to be covered.",
        ((checkpoints.Checkpoint, "slices", _position_first),),
        _CRASHES,
        seed=4,
    ),
    "dot reissued after a crash": Bug(
        "A new write bears the dot of an old one, and replicas drop it as known (riak's kv679).",
        ((node, "boot", _epoch_stays),),
        _CRASHES,
    ),
    "no gap after an unclean start": Bug(
        "A restarted coordinator claims to have seen what it shipped and forgot (kv679).",
        ((node, "boot", _no_gap),),
        _CRASHES,
        seed=1,
    ),
    "lost disk keeps its incarnation": Bug(
        "An empty disk issues the dots of the lost one once more.",
        ((node, "boot", _same_incarnation), (Boot, "number", property(lambda self: 1))),
        _DISKS,
    ),
    "lost disk counts at once": Bug(
        "A node with an empty disk answers reads before it has rebuilt.",
        ((node, "boot", _nothing_missing),),
        _DISKS,
        seed=5,
    ),
    "rebuilding node counts for reads": Bug(
        "The same, in the one set that says which partitions count.",
        ((Kernel, "__init__", _always_ready), (Kernel, "_ready_for", lambda *_: True)),
        _DISKS,
        seed=16,
    ),
    "rebuilt from one source": Bug(
        "One co-owner need not hold what the lost disk and another had acknowledged.",
        ((Rebuild, "__init__", _one_source),),
        _DISKS,
    ),
    "bare dot shipped": Bug(
        "The history travels without the siblings that it covers: they vanish.",
        ((composing, "written", _bare_dot),),
    ),
    "replica overwrites": Bug(
        "What arrives last wins, whatever it knows.",
        ((Replica, "joined", _overwrite),),
    ),
    "repair overwrites": Bug(
        "A repair brings back the state of a moment ago.",
        ((Replica, "put", _repair_overwrites),),
        seed=4,
    ),
    "put returns a context of unseen siblings": Bug(
        "The writer's next put replaces what it never saw.",
        ((composing, "seen_by_writer", _put_sees_all),),
    ),
    "merge forgets operations": Bug(
        "A retry is applied twice, also after its value was replaced.",
        ((records, "_joined_operations", _no_operations),),
    ),
    "retry as a new operation": Bug(
        "The same, by the client.",
        ((Client, "_attempt", _new_operation),),
    ),
    "lww by arrival": Bug(
        "Replicas keep whichever value they met first.",
        ((records, "_lateness", _first_come),),
    ),
    "gaps closed too early": Bug(
        "A gap is declared seen although a replica may hold something in it.",
        ((Puts, "_settle", _agree_too_early),),
        _CRASHES,
        seed=1,
    ),
    "acknowledgement counted twice": Bug(
        "A message that arrives twice makes a quorum of one.",
        ((Puts, "acknowledge", _count_twice),),
        seed=5,
    ),
    "one side's quorum counts during a move": Bug(
        "Writes of a ring change are on too few of the owners before or after it.",
        ((Rings, "extra", lambda *_: 0),),
        _CHANGES,
    ),
    "copied before it was copied": Bug(
        "A change ends while a new owner still lacks what only former owners hold.",
        ((Transfers, "lacking", lambda _: {}),),
        _CHANGES,
        seed=3,
    ),
    "hint dropped before its owner has it": Bug(
        "A crash of the owner in that moment, and the copy is gone that the writer was told of.",
        ((Handoff, "_filled", _drop_at_once),),
    ),
    "newer hint dropped with the delivered one": Bug(
        "A write that was merged into a hint while it was on its way goes with it.",
        ((Hints, "delivered", _drop_what_is_there),),
        seed=34,
    ),
    "fallback without a hint counts for reads": Bug(
        "Somebody who knows nothing says `not found` in place of an owner that has it.",
        ((Hints, "get", _nothing_counts),),
        _LONELY,
        seed=2,
    ),
    "stand-in takes what it handed over for seen": Bug(
        "It wrote while no owner was reached, and again later: the first write is overwritten.",
        ((Identity, "forget", lambda *_: None),),
        _AWAY,
        seed=111,
    ),
    "not applied without a fence": Bug(
        "A write that was still on its way appears after its author was told it never will.",
        ((Outcomes, "_ship", _no_fence),),
        Shape(hasty=0.5),
    ),
    "removal by clock": Bug(
        "A tombstone goes when it is old; a replica that was away brings the value back.",
        ((collections, "covers", _covered),),
        _DELETES,
    ),
    "vouched for without comparing": Bug(
        "A replica claims to have had what it never got, and drops it when it comes.",
        ((Collection, "_root", _always_equal),),
        _DELETES,
        seed=7,
    ),
    **planted_repairs.BUGS,
}
"""Every planted bug by its name."""
