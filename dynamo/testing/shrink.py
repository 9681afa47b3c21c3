"""Shortens a failing run: which clients, operations and faults does the failure need?

    the whole run, written down ─▶ without half of the clients? ─▶ without some operations, faults?
      ─▶ ... as long as the same check fails ─▶ nothing can be left out any more, or no patience

This is delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
2002): parts of a list are left out, larger ones first. A shorter run is another run, in which what
is left happens at the same times; it counts only if it fails in the same check.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from dynamo.testing.scenario import DEFAULT, Result, Scenario, Shape
from dynamo.testing.script import PlannedFault, PlannedOperation, Script
from dynamo.testing.world import Trace

RUNS_MAX = 400
"""How many shorter runs are tried."""

UNREMARKABLE = ("Tick()", "Persisted(tokens=[])")
"""Events that a transcript leaves out."""

Item = TypeVar("Item")


class Shrunk(NamedTuple):
    """The shortest run found that still fails."""

    shape: Shape
    script: Script
    result: Result
    runs: int
    """Tried on the way."""


class Shrinker:
    """One failing seed, and the shortest script of it that is known to fail."""

    def __init__(self, seed: int, shape: Shape, runs_max: int) -> None:
        self._seed, self._shape, self._left = seed, shape, runs_max
        self.runs = 0
        whole = self._run(shape)
        self.result, self.script = whole

    def shrink(self) -> None:
        """Leave out what can be, until nothing can or patience ends."""
        before = None
        while before != self.script and self._left > 0:
            before = self.script
            self._drop_clients()
            self._drop(self.script.faults, self._with_faults)
            self._drop(self.script.operations, self._with_operations)

    def _run(self, shape: Shape) -> tuple[Result, Script]:
        self.runs += 1
        scenario = Scenario(self._seed, shape)
        result = scenario.run()
        return result, scenario.script()

    def _still_fails(self, script: Script) -> bool:
        """Try a shorter script, and keep it if the same check fails."""
        if self._left <= 0:
            return False
        self._left -= 1
        result, begun = self._run(self._shape._replace(script=script))
        if result.check != self.result.check:
            return False
        self.result, self.script = result, begun
        return True

    def _drop_clients(self) -> None:
        clients = sorted({operation.client for operation in self.script.operations})

        def with_clients(kept: Sequence[int]) -> Script:
            operations = self.script.operations
            return self.script._replace(
                operations=tuple(planned for planned in operations if planned.client in kept)
            )

        self._drop(clients, with_clients)

    def _with_faults(self, kept: Sequence[PlannedFault]) -> Script:
        return self.script._replace(faults=tuple(kept))

    def _with_operations(self, kept: Sequence[PlannedOperation]) -> Script:
        return self.script._replace(operations=tuple(kept))

    def _drop(self, items: Sequence[Item], script_of: Callable[[Sequence[Item]], Script]) -> None:
        """Leave out parts of a list, halves first, then smaller and smaller ones."""
        kept = list(items)
        size = max(1, len(kept) // 2)
        while kept:
            for part in _parts(kept, size):
                fewer = [item for item in kept if item not in part]
                if self._still_fails(script_of(fewer)):
                    kept = fewer
            if size == 1:
                return
            size = max(1, size // 2)


def shrink(seed: int, shape: Shape = DEFAULT, runs_max: int = RUNS_MAX) -> Shrunk | None:
    """The shortest failing run of a seed that was found; None if the seed does not fail."""
    shrinker = Shrinker(seed, shape, runs_max)
    if not shrinker.result.violation:
        return None
    shrinker.shrink()
    script = shrinker.script
    return Shrunk(shape._replace(script=script), script, shrinker.result, shrinker.runs)


def transcript(seed: int, shrunk: Shrunk) -> Iterator[str]:
    """What happens in it, line by line, and the violation."""
    lines: list[str] = []
    trace: Trace = lines.append
    scenario = Scenario(seed, shrunk.shape, trace)
    result = scenario.run()
    assert result.check == shrunk.result.check, "a script repeats its run"
    yield from (line for line in lines if not line.endswith(UNREMARKABLE))
    faults, operations = len(shrunk.script.faults), len(shrunk.script.operations)
    yield f"seed {seed}: {faults} faults and {operations} operations are left ({shrunk.runs} runs)"
    yield result.violation


def _parts(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """From the last to the first: what follows a failure is not its cause."""
    for end in range(len(items), 0, -size):
        yield list(items[max(0, end - size) : end])
