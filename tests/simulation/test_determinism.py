"""The same seed gives the same run, event by event, in this process and in any other."""

import os
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import pytest

from dynamo.testing.scenario import Scenario, Shape

SHAPE = Shape(operations=500)
ROOT = Path(__file__).parents[2]

TRACE = """
from hashlib import blake2b
from dynamo.testing.scenario import Scenario, Shape
digest = blake2b()
Scenario({seed}, Shape(operations=500), lambda line: digest.update(line.encode())).run()
print(digest.hexdigest())
"""


def digest_of(seed: int) -> str:
    digest = blake2b()
    result = Scenario(seed, SHAPE, lambda line: digest.update(line.encode())).run()
    assert not result.violation
    return digest.hexdigest()


def digest_elsewhere(seed: int, hash_seed: str) -> str:
    """The same in another process, where strings hash differently."""
    run = subprocess.run(
        [sys.executable, "-c", TRACE.format(seed=seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_repeats_its_run_exactly(seed: int) -> None:
    once = digest_of(seed)
    assert digest_of(seed) == once
    assert digest_elsewhere(seed, "1") == once
    assert digest_elsewhere(seed, "4242") == once


@pytest.mark.slow
def test_another_seed_is_another_run() -> None:
    assert digest_of(1) != digest_of(2)
