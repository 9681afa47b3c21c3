"""Holds all that clients and replicas said against the promises, with the simulator's checkers.

    journals + watches ─▶ one line of moments ─▶ KeyHistory per key ─▶ check_read, check_record, …

The moments of all processes are brought into one order. Where two coincide a beginning counts as
earlier than an end, so that nothing is asked of a read that it could not know.

A `sloppy` table promises less to a single read: it may miss, for a while, what fallbacks hold. So
there a read is asked only for what is false (denied, unwritten, doubled), and the end for all.

How often the client library sent a write is not told. It may have been more than once, and then
the write may have several dots (`Write.uncertain`), if a connection may have broken meanwhile, or
if it took so long that another node may have been asked.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import NOTHING, Record
from dynamo.testing.checkers import check_final, check_read, check_record
from dynamo.testing.history import BLIND, Context, KeyHistory, Read, Write
from dynamo.testing.store import Violation
from dynamo.types import OperationId
from dynamo_bench.chaos.journal import Place, Step

RETRY_AFTER_S = 0.1
"""A write that took longer may have been sent twice: the library waits 250 ms for a coordinator,
and loses patience with a connection of which it hears nothing else after 150 ms."""
MOMENT_S = 0.3
"""So near to the beginning or end of a fault a connection may have broken under a write."""

BEGIN, END = 0, 1
NO_OPERATION = OperationId(b"\0" * 20)


class Said(NamedTuple):
    """What a replica answered by itself."""

    node: str
    place: Place
    record: bytes | None
    since: float
    """It must know what was acknowledged before."""
    answered: float


class Judgement(NamedTuple):
    """What came out."""

    reads: int
    writes: int
    watched: int
    """Answers of replicas that were rebuilding."""
    replicas: int
    """Replicas that said at the end what they hold of a key."""
    violations: list[str]
    denied_what_was_there: int
    """Violations by a replica that had lost its disk."""

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations


class Judge:
    """The histories of all keys, and what was wrong in them."""

    def __init__(self, sloppy: Iterable[str], moments: Sequence[float]) -> None:
        self._sloppy, self._moments = frozenset(sloppy), sorted(moments)
        self._histories: dict[Place, KeyHistory] = {}
        self._contexts: dict[int, Context] = {}
        self._writes: dict[int, Write] = {}
        self._reads: dict[int, Read] = {}
        self._spoiled: set[Place] = set()
        self.violations: list[str] = []
        self.denied = 0

    def judge(
        self,
        steps: Sequence[Step],
        watched: Sequence[Said],
        final: Mapping[Place, Mapping[str, bytes | None]],
    ) -> Judgement:
        """Go through everything in order of time."""
        line: list[tuple[float, int, int, Callable[[], None]]] = []
        for number, step in enumerate(steps):
            for time, side, act in self._moments_of(step):
                line.append((time, side, number, act))
        for number, said in enumerate(watched, len(steps)):
            line.append((said.since, BEGIN, number, self._watch_begins(said, number)))
            line.append((said.answered, END, number, self._watch_ends(said, number)))
        for _, _, _, act in sorted(line, key=lambda moment: moment[:3]):
            act()
        self._check_end(final)
        return Judgement(
            reads=sum(step.kind == "read" for step in steps),
            writes=sum(step.kind == "write" for step in steps),
            watched=len(watched),
            replicas=sum(map(len, final.values())),
            violations=self.violations,
            denied_what_was_there=self.denied,
        )

    def _moments_of(self, step: Step) -> list[tuple[float, int, Callable[[], None]]]:
        if step.kind == "read":
            return [
                (step.began, BEGIN, lambda: self._read_begins(step)),
                (step.ended, END, lambda: self._read_ends(step)),
            ]
        if step.kind == "write":
            return [
                (step.began, BEGIN, lambda: self._write_begins(step)),
                (step.ended, END, lambda: self._write_ends(step, step.number)),
            ]
        return [(step.ended, END, lambda: self._write_ends(step, step.after))]

    def _read_begins(self, step: Step) -> None:
        self._reads[step.number] = self._begun(self._history(step), step.began)

    def _read_ends(self, step: Step) -> None:
        history, read = self._history(step), self._reads.pop(step.number)
        where = f"a read of {history.name} from {step.began:.3f} to {step.ended:.3f}"
        found = self._checked(
            step.place, lambda: check_read(history, read, step.payloads, 0, where)
        )
        self._contexts[step.number] = history.context_of_read(b"", found or 0, read, 0)

    def _write_begins(self, step: Step) -> None:
        history = self._history(step)
        context = self._contexts.get(step.after, BLIND)
        payload = step.payloads[0] if step.payloads else None
        write = history.invoke(NO_OPERATION, payload, context, step.began)
        write.uncertain = 2 if self._may_be_repeated(step) else 1
        self._writes[step.number] = write

    def _write_ends(self, step: Step, number: int) -> None:
        history, write = self._history(step), self._writes[number]
        if step.status == "ok":
            history.acknowledge(write, step.ended)
            self._contexts[number] = Context(b"", write.replaces | write.bit, 0)
        elif step.status == "not applied":
            history.deny(write, step.ended)
        else:
            history.doubt(write, step.ended)

    def _watch_begins(self, said: Said, number: int) -> Callable[[], None]:
        def begin() -> None:
            history = self._histories.get(said.place)
            if history is not None:
                self._reads[-number] = self._begun(history, said.since)

        return begin

    def _watch_ends(self, said: Said, number: int) -> Callable[[], None]:
        def end() -> None:
            read = self._reads.pop(-number, None)
            if read is None or said.place in self._spoiled:
                return
            history = self._histories[said.place]
            where = f"{said.node}, which had lost its disk, at {said.answered:.3f}"
            record = _decoded(said.record)
            found = self._checked(said.place, lambda: check_record(history, read, record, where))
            self.denied += found is None

        return end

    def _check_end(self, final: Mapping[Place, Mapping[str, bytes | None]]) -> None:
        for place, held in final.items():
            history = self._histories.get(place)
            for node, data in held.items():
                if history is not None:
                    self._check_replica(place, history, _decoded(data), f"{node} at the end")

    def _check_replica(self, place: Place, history: KeyHistory, record: Record, where: str) -> None:
        read = history.begin_read(0.0)

        def check() -> int:
            found = check_record(history, read, record, f"{where} ({history.name})")
            check_final(history, found)
            return found

        self._checked(place, check)

    def _checked(self, place: Place, check: Callable[[], int]) -> int | None:
        """What was found; None if it was wrong. A key is told once: one lie makes others."""
        if place in self._spoiled:
            return 0
        try:
            return check()
        except Violation as violation:
            self._spoiled.add(place)
            self.violations.append(str(violation))
            return None

    def _begun(self, history: KeyHistory, at: float) -> Read:
        read = history.begin_read(at)
        if self._table(history) in self._sloppy:
            return read._replace(acknowledged=0, forbidden=0)
        return read

    def _history(self, step: Step) -> KeyHistory:
        place = step.place
        history = self._histories.get(place)
        if history is None:
            history = self._histories[place] = KeyHistory(0, "siblings", step.key)
            history.name = f"{step.table}/{step.key.decode()}"
        return history

    def _table(self, history: KeyHistory) -> str:
        return history.name.partition("/")[0]

    def _may_be_repeated(self, step: Step) -> bool:
        if step.ended - step.began > RETRY_AFTER_S:
            return True
        near = bisect_left(self._moments, step.began - MOMENT_S)
        return near < len(self._moments) and self._moments[near] <= step.ended + MOMENT_S


def _decoded(record: bytes | None) -> Record:
    return NOTHING if record is None else decode_record(record)
