"""What simulated clients do: closed loops of reads and writes on a few hot keys.

Each client draws its next operation from its own generator: reads by a coordinator or by itself,
updates (read, then write with that context), puts with its newest or an old context, blind puts,
deletes with and without a context.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from dynamo.testing.client import Client
from dynamo.testing.history import BLIND, Context, KeyHistory

CONTEXTS_MAX = 4
"""Old contexts that a client keeps of each key, to write with one that is stale."""
THINK_MS = 15.0


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
    """All clients at work, until so many operations were begun."""

    def __init__(
        self,
        clients: list[Client],
        histories: list[KeyHistory],
        operations: int,
        mix: Mix,
    ) -> None:
        self._sessions = [_Session(self, client, mix) for client in clients]
        self.histories = histories
        self.weights = [1.0 / (rank + 2) for rank in range(len(histories))]
        """Some keys are hotter than others."""
        self.operations = operations
        self.begun = 0
        self._working = 0

    @property
    def done(self) -> bool:
        """Whether every client has finished."""
        return not self._working and self.begun >= self.operations

    def begin(self) -> None:
        """All clients start."""
        self._working = len(self._sessions)
        for session in self._sessions:
            session.next()

    def leave(self) -> None:
        """A client has finished."""
        self._working -= 1


class _Session:
    """One client's loop, and the contexts that it keeps."""

    def __init__(self, workload: Workload, client: Client, mix: Mix) -> None:
        self._workload, self._client = workload, client
        self._rng: Random = client.rng
        self._kept: dict[str, list[Context]] = {}
        self._payloads = 0
        self._kinds: list[Callable[[KeyHistory], None]] = [
            getattr(self, f"_{name}") for name in Mix._fields
        ]
        self._mix = mix

    def next(self) -> None:
        """Begin the next operation after a moment's thought."""
        if self._workload.begun >= self._workload.operations:
            self._workload.leave()
            return
        self._client.world.at(self._rng.expovariate(1 / THINK_MS), self._begin)

    def _begin(self) -> None:
        workload = self._workload
        workload.begun += 1
        (history,) = self._rng.choices(workload.histories, workload.weights)
        (kind,) = self._rng.choices(self._kinds, self._mix)
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
        self._payloads += 1
        payload = f"{self._client.name}-{self._payloads}".encode()
        return payload.ljust(self._rng.choice((0, 0, 0, 100, 600)), b".")
