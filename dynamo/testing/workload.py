"""What simulated clients do: closed loops of reads and writes on a few hot keys.

Each client draws its next operation from its own generator: reads by a coordinator or by itself,
updates (read, then write with that context), puts with its newest or an old context, blind puts,
deletes with and without a context.
"""

from collections import deque
from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import NamedTuple

from dynamo.testing.client import Client
from dynamo.testing.history import BLIND, Context, KeyHistory
from dynamo.testing.script import PlannedOperation

CONTEXTS_MAX = 4
"""Old contexts that a client keeps of each key, to write with one that is stale."""
THINK_MS = 5.0


class Mix(NamedTuple):
    """Relative weights of what clients do."""

    get: float = 20
    get_replicas: float = 12
    update: float = 20
    put_newest: float = 16
    put_old: float = 8
    put_blind: float = 12
    delete: float = 7
    delete_blind: float = 3


DEFAULT_MIX = Mix()


class Workload:
    """All clients at work, until so many operations were begun, or as a script has it."""

    def __init__(
        self,
        clients: list[Client],
        histories: list[KeyHistory],
        operations: int,
        mix: Mix,
        script: tuple[PlannedOperation, ...] | None = None,
    ) -> None:
        self._sessions = [_Session(self, client, mix) for client in clients]
        self._script = script
        self.planned: list[PlannedOperation] = []
        """What was begun, written down."""
        self.histories = histories
        self.heat = list(accumulate(1.0 / (rank + 2) for rank in range(len(histories))))
        """Some keys are hotter than others: of each, the sum of weights up to it."""
        self.operations = operations
        self.begun = 0
        self._working = 0

    @property
    def done(self) -> bool:
        """Whether every client has finished."""
        return not self._working and (self._script is not None or self.begun >= self.operations)

    def begin(self) -> None:
        """All clients start."""
        self._working = len(self._sessions)
        for session in self._sessions:
            session.follow(self._script)
            session.next()

    def leave(self) -> None:
        """A client has finished."""
        self._working -= 1


class _Session:
    """One client's loop, and the contexts that it keeps."""

    def __init__(self, workload: Workload, client: Client, mix: Mix) -> None:
        self._workload, self._client = workload, client
        self._kept: dict[str, list[Context]] = {}
        self._script: deque[PlannedOperation] | None = None
        self._thinking = client.world.rng(f"{client.name} thinks")
        self._number = 0
        """Of the operation under way."""
        self._kinds: list[Callable[[KeyHistory], None]] = [
            getattr(self, f"_{name}") for name in Mix._fields
        ]
        self._mix = list(accumulate(mix))

    def follow(self, script: tuple[PlannedOperation, ...] | None) -> None:
        """Do this client's part of a script; without one, whatever comes to mind."""
        number = self._client.number
        mine = [planned for planned in script or () if planned.client == number]
        self._script = None if script is None else deque(mine)

    def next(self) -> None:
        """Begin the next operation after a moment's thought, or at its time."""
        world = self._client.world
        if self._script is not None:
            if not self._script:
                self._workload.leave()
                return
            planned = self._script.popleft()
            world.at(max(0.0, planned.at_ms - world.now), self._begin, planned.number)
            return
        if self._workload.begun >= self._workload.operations:
            self._workload.leave()
            return
        world.at(self._thinking.expovariate(1 / THINK_MS), self._begin, self._number + 1)

    @property
    def _rng(self) -> Random:
        return self._client.rng

    def _begin(self, number: int) -> None:
        workload, client = self._workload, self._client
        workload.begun += 1
        self._number = number
        client.rng = client.world.rng(f"{client.name} operation {number}")
        workload.planned.append(PlannedOperation(client.number, number, client.world.now))
        (history,) = self._rng.choices(workload.histories, cum_weights=workload.heat)
        (kind,) = self._rng.choices(self._kinds, cum_weights=self._mix)
        kind(history)

    def _get(self, history: KeyHistory) -> None:
        self._client.read(history, self._keeping(history))

    def _get_replicas(self, history: KeyHistory) -> None:
        self._client.read_replicas(history, self._keeping(history))

    def _update(self, history: KeyHistory) -> None:
        read = self._client.read if self._rng.random() < 0.5 else self._client.read_replicas
        read(history, lambda context: self._write_after(history, context, self._payload()))

    def _put_newest(self, history: KeyHistory) -> None:
        self._put(history, self._contexts(history)[-1])

    def _put_old(self, history: KeyHistory) -> None:
        self._put(history, self._rng.choice(self._contexts(history)))

    def _put_blind(self, history: KeyHistory) -> None:
        self._put(history, BLIND)

    def _delete(self, history: KeyHistory) -> None:
        self._client.read(history, lambda context: self._write_after(history, context, None))

    def _delete_blind(self, history: KeyHistory) -> None:
        self._client.write(history, None, BLIND, self._keeping(history))

    def _put(self, history: KeyHistory, context: Context) -> None:
        self._client.write(history, self._payload(), context, self._keeping(history))

    def _write_after(
        self, history: KeyHistory, context: Context | None, payload: bytes | None
    ) -> None:
        """The second half of an update, unless its read failed."""
        if context is None:
            self.next()
            return
        self._workload.begun += 1
        self._client.write(history, payload, context, self._keeping(history))

    def _contexts(self, history: KeyHistory) -> list[Context]:
        return self._kept.get(history.name) or [BLIND]

    def _keeping(self, history: KeyHistory) -> Callable[[Context | None], None]:
        """Keep the context that an operation ends with, and go on."""

        def then(context: Context | None) -> None:
            if context is not None:
                kept = self._kept.setdefault(history.name, [])
                kept.append(context)
                del kept[:-CONTEXTS_MAX]
            self.next()

        return then

    def _payload(self) -> bytes:
        payload = f"{self._client.name}-{self._number}".encode()
        return payload.ljust(self._rng.choice((0, 0, 0, 100, 600)), b".")
