"""A simulated cluster that has started, with nobody working and nothing wrong yet."""

from collections.abc import Callable

from dynamo.testing.history import BLIND
from dynamo.testing.scenario import Scenario, Shape

STEP_MS = 50.0


class QuietRun:
    """A scenario's cluster, for tests that befall it with one fault at a time."""

    def __init__(self, seed: int) -> None:
        self.scenario = Scenario(seed, Shape(operations=0, spares=0))
        self.cluster, self.world = self.scenario.cluster, self.scenario.world
        for machine in self.cluster.machines.values():
            machine.start()
        self.settle()
        self.names = sorted(self.cluster.machines)

    def settle(self) -> None:
        """Pass time until all are linked and nothing is under way."""
        self.pass_until(self.cluster.is_quiet)

    def pass_until(self, happened: Callable[[], bool]) -> None:
        """Pass time until something is so."""
        for _ in range(200):
            self.world.run_until(self.world.now + STEP_MS)
            if happened():
                return
        raise AssertionError("it never happens")

    def write(self, number: int, payload: bytes) -> None:
        """A client writes one of the items, again until it is told that it has."""
        told: list[object] = [None]
        history = self.scenario.histories[number]
        while told[-1] is None:
            tries = len(told)
            again = payload + b" " * tries
            self.scenario.clients[0].write(history, again, BLIND, told.append)
            self.pass_until(lambda tries=tries: len(told) > tries)  # type: ignore[misc]
