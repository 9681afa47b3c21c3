"""What anti-entropy puts on the wire: whole kernels in one process, messages packed and weighed.

    python -m dynamo_bench.exchange                   a million keys; takes minutes and a gigabyte
    python -m dynamo_bench.exchange --keys 100000     less

Two stories. One key differs among all: how much is said until it is found, repaired and found equal
everywhere. A node comes back behind by many keys: how much until all are equal, beside the bytes of
the records that it lacked. Time is simulated, in ticks; the processor time is real.
"""

import argparse
import time
from collections import deque
from typing import Any, NamedTuple

from dynamo.config import builtin
from dynamo.coordination.identity import Identity
from dynamo.history import History
from dynamo.kernel import Kernel
from dynamo.keys import item_key
from dynamo.messages import Broadcast, Effect, Event, PeerUp, Received, Send, Tick
from dynamo.messages_exchange import ASK_EXCHANGE
from dynamo.meters import Meters
from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.siblings.codec import encode_record
from dynamo.siblings.record import Record, Value, operation_id
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import Actor, Instant, ItemKey, NodeId, Stamp, TableId
from dynamo.wire.frames import pack_message

CLIENT = 1
TICK_MS = 5.0
PATIENCE_MS = 3_600_000.0


class Exchanged(NamedTuple):
    """One story told to its end."""

    keys: int
    """Of each node."""
    differing: int
    differing_bytes: int
    """Keys and records that a node lacked."""
    wire_bytes: int
    simulated_ms: float
    processor_s: float
    grow_us: float
    """Processor microseconds to take one item into a tree at the start."""

    @property
    def ratio(self) -> float:
        """What was said beside what was lacked."""
        return self.wire_bytes / self.differing_bytes


class Owners:
    """Three kernels that hold copies of the same items."""

    def __init__(self) -> None:
        config = builtin()
        members = tuple(Member(node.name, node.host, node.zone, 1.0) for node in config.nodes)
        self._partitions = config.partitions
        ring = plan(members, config.partitions, 3).ring
        self.engines = {node.name: MemoryEngine() for node in config.nodes}
        self._kernels = {
            name: Kernel(config, ring, Identity(name, "0mwp3ecrt", 1, 0, 256), engine, Meters())
            for name, engine in self.engines.items()
        }
        self.now_ms = 1000.0
        self.wire_bytes = 0
        self._todo: deque[tuple[NodeId, Event]] = deque()

    def item(self, number: int) -> ItemKey:
        """The number-th key."""
        key = b"customer-%d" % number
        partition = partition_of(token_of(TableId(1), key), self._partitions)
        return item_key(partition, TableId(1), key, b"")

    def grow(self) -> None:
        """Time passes until every tree is made."""
        self._pass_until(lambda status: status["trees_growing"] == 0)

    def link(self) -> None:
        """All see each other from now on."""
        for name in self._kernels:
            for other in self._kernels:
                if other != name:
                    self._todo.append((name, PeerUp(other)))
        self._deliver_all()

    def compare(self) -> None:
        """Ask all for a comparison, and let time pass until all are in sync."""
        for name in self._kernels:
            self._todo.append((name, Received(CLIENT, ((ASK_EXCHANGE, 1),))))
        self._deliver_all()
        self._pass_until(
            lambda status: all(
                peer["in_sync"] == peer["trees"] for peer in status["in_sync"].values()
            )
        )

    def _pass_until(self, reached: Any) -> None:
        until_ms = self.now_ms + PATIENCE_MS
        while not all(reached(kernel.status()) for kernel in self._kernels.values()):
            assert self.now_ms < until_ms, "this never ends"
            for _ in range(20):
                self._tick()

    def _tick(self) -> None:
        self.now_ms += TICK_MS
        for name, kernel in self._kernels.items():
            due_ms = kernel.deadline()
            if due_ms is None or due_ms <= self.now_ms:
                self._todo.append((name, Tick()))
        self._deliver_all()

    def _deliver_all(self) -> None:
        while self._todo:
            name, event = self._todo.popleft()
            now = Instant(self.now_ms, 1_700_000_000_000)
            for effect in self._kernels[name].handle(event, now):
                self._send(name, effect)
            engine = self.engines[name]
            if (group := engine.take_group()) is not None:
                engine.synced(group)

    def _send(self, name: NodeId, effect: Effect) -> None:
        assert isinstance(effect, Send | Broadcast), f"{effect} between honest nodes"
        for to in (effect.to,) if isinstance(effect, Send) else effect.to:
            if not isinstance(to, int):
                self.wire_bytes += len(pack_message(effect.message))
                self._todo.append((to, Received(name, (tuple(effect.message),))))


def record(counter: int, number: int, value: bytes) -> bytes:
    """The record of one writer's counter-th write of an item."""
    actor, stamp = Actor("n1/0mwp3ecrt"), Stamp((1_700_000_000_000 + number) << 16)
    one = Value(actor, (1 << 32) + counter, stamp, operation_id(stamp, 7, number), value)
    return encode_record(Record(History({actor: one.counter}, {}), 0, {}, (one,)))


def exchange(keys: int, differing: int, value_bytes: int) -> Exchanged:
    """`keys` items everywhere, of which n3 holds `differing` ones as they were before a write; of
    every second of these it holds nothing."""
    owners, value = Owners(), bytes(value_bytes)
    step = max(1, keys // max(1, differing))
    behind = frozenset(range(0, step * differing, step))
    differing_bytes = 0
    for number in range(keys):
        key = owners.item(number)
        newest = record(2, number, value)
        for name, engine in owners.engines.items():
            if name != "n3" or number not in behind:
                engine.put(key, newest, None)
            elif number // step % 2:
                engine.put(key, record(1, number, value), None)
        if number in behind:
            differing_bytes += len(key) + len(newest)
    began = time.process_time()
    owners.grow()
    grow_us = (time.process_time() - began) * 1e6 / keys / len(owners.engines)
    owners.link()
    owners.wire_bytes, from_ms, began = 0, owners.now_ms, time.process_time()
    owners.compare()
    processor_s = time.process_time() - began
    _require_equal(owners, keys)
    return Exchanged(
        *(keys, differing, differing_bytes, owners.wire_bytes),
        *(owners.now_ms - from_ms, processor_s, grow_us),
    )


def _require_equal(owners: Owners, keys: int) -> None:
    for number in range(keys):
        key = owners.item(number)
        held = {engine.get(key) for engine in owners.engines.values()}
        assert len(held) == 1, f"{key!r} differs in the end"
        assert None not in held, f"{key!r} is gone in the end"


def main() -> None:
    """Both stories, told to people."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--behind", type=int, default=0, help="default: a tenth of the keys")
    parser.add_argument("--value-bytes", type=int, default=100)
    wanted = parser.parse_args()
    for differing in (1, wanted.behind or wanted.keys // 10):
        found = exchange(wanted.keys, differing, wanted.value_bytes)
        print(
            f"{found.differing:,} of {found.keys:,} keys differ ({found.differing_bytes:,} bytes): "
            f"{found.wire_bytes:,} bytes said, {found.ratio:.2f} x; "
            f"{found.simulated_ms / 1000:.1f} s simulated, {found.processor_s:.1f} s of processor; "
            f"trees grew at {found.grow_us:.1f} us per item"
        )


if __name__ == "__main__":
    main()
