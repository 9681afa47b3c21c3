"""The sentence with which a simulation ends."""

from dynamo.testing.runs import Summary
from dynamo.testing.scenario import Result


def result(seed: int, violation: str = "") -> Result:
    faults = {"crash": 2, "loss": 1}
    return Result(seed, violation, 10, faults, 3, {"get ok": 10}, 100, 1000.0)


def test_all_is_well() -> None:
    summary = Summary()
    for seed in range(2):
        summary.add(result(seed))
    assert summary.verdict() == "In 2 simulated clusters with 6 faults no promise was broken."


def test_what_is_broken_is_said_last_and_can_be_repeated() -> None:
    summary = Summary()
    summary.add(result(0))
    summary.add(result(1, "P1: lost"))
    *_, failed, repeat, shorten, verdict = summary.lines()
    assert failed == "FAILED seed 1: P1: lost"
    assert repeat.endswith("--seed 1 --trace")
    assert shorten.endswith("--seed 1 --shrink")
    assert verdict == "In 2 simulated clusters with 6 faults promises were broken in 1 of them."
