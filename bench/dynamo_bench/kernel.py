"""The kernel alone: three nodes in one process, no sockets, no disks, no clocks.

What is measured is the price of deciding: processor microseconds per put and per get of all three
kernels together, messages as the tuples that frames carry. Beside a whole cluster's figures it
says how much of the time is the protocol's and how much the wire's and the disk's.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from dynamo.config import builtin
from dynamo.coordination.identity import Identity
from dynamo.kernel import Kernel
from dynamo.messages import (
    GET,
    PUT,
    Broadcast,
    Effect,
    Event,
    Get,
    PeerUp,
    Persisted,
    Put,
    PutDone,
    Received,
    Send,
)
from dynamo.meters import Meters
from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.siblings.record import operation_id
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import Instant, NodeId, TableId

CLIENT = 1
TABLE = TableId(1)


class KernelFigures(NamedTuple):
    """Processor microseconds per operation, over all three kernels."""

    put_us: float
    get_us: float


class Bench:
    """Three kernels whose effects are delivered at once."""

    def __init__(self) -> None:
        config = builtin()
        members = tuple(Member(node.name, node.host, node.zone, 1.0) for node in config.nodes)
        self.ring = plan(members, config.partitions, 3).ring
        self.stores = {node.name: MemoryEngine() for node in config.nodes}
        self.kernels = {
            name: Kernel(config, self.ring, Identity(name, "0mwp3ecrt", 1, 0, 256), store, Meters())
            for name, store in self.stores.items()
        }
        self.now = Instant(1000.0, 1_700_000_000_000)
        self.answers: deque[Any] = deque()
        self._todo: deque[tuple[NodeId, Event]] = deque()
        for name in self.kernels:
            for other in self.kernels:
                if other != name:
                    self._todo.append((name, PeerUp(other)))
        self._run()

    def request(self, node: NodeId, message: Put | Get) -> Any:
        """The answer to one request, with all that follows from it."""
        self._todo.append((node, Received(CLIENT, (tuple(message),))))
        self._run()
        return self.answers.popleft()

    def _run(self) -> None:
        """Deliver until nothing is left, then persist what was written, and again."""
        while True:
            while self._todo:
                name, event = self._todo.popleft()
                self._deliver(name, self.kernels[name].handle(event, self.now))
            for name, store in self.stores.items():
                if (group := store.take_group()) is not None:
                    self._todo.append((name, Persisted(store.synced(group))))
            if not self._todo:
                return

    def _deliver(self, name: NodeId, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Send | Broadcast), f"{effect} in a healthy cluster"
            targets = (effect.to,) if isinstance(effect, Send) else effect.to
            for to in targets:
                if isinstance(to, int):
                    self.answers.append(effect.message)
                else:
                    self._todo.append((to, Received(name, (tuple(effect.message),))))


def measure(keys: int = 2000, rounds: int = 5, value_bytes: int = 1024) -> KernelFigures:
    """The medians of `rounds` passes over all keys, each put with the context of the last one."""
    bench, value = Bench(), os.urandom(value_bytes)
    names = [b"key-%d" % number for number in range(keys)]
    owners = [
        bench.ring.preference_list(partition_of(token_of(TABLE, key), 256), 3)[0] for key in names
    ]
    contexts: dict[bytes, bytes] = {}
    sequence = 0

    def put_all() -> None:
        nonlocal sequence
        bench.now = Instant(bench.now.monotonic_ms + 1000, bench.now.wall_ms + 1000)
        for key, owner in zip(names, owners, strict=True):
            sequence += 1
            operation = operation_id(bench.now.wall_ms << 16, 7, sequence)
            context = contexts.get(key)
            done = bench.request(
                owner, Put(PUT, sequence, 1000, 1, TABLE, key, b"", context, value, operation, 0)
            )
            assert isinstance(done, PutDone), f"{done}"
            contexts[key] = done.context

    def get_all() -> None:
        for key, owner in zip(names, owners, strict=True):
            bench.request(owner, Get(GET, 1, 1000, 1, TABLE, key, b"", 0))

    put_all()
    puts = sorted(_microseconds(put_all) / keys for _ in range(rounds))
    gets = sorted(_microseconds(get_all) / keys for _ in range(rounds))
    return KernelFigures(puts[rounds // 2], gets[rounds // 2])


def _microseconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6


if __name__ == "__main__":
    figures = measure()
    print(f"kernel only: {figures.put_us:.1f} us per put, {figures.get_us:.1f} us per get")
