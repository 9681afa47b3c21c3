"""The commands against real clusters: they work; what they measure is nobody's business here."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dynamo_bench.cluster import Cluster
from dynamo_bench.retail import SAMPLE

pytestmark = [pytest.mark.slow, pytest.mark.integration]

LINES = 300


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as started:
        yield started


async def bench(*arguments: str) -> tuple[int | None, Any, str]:
    """(exit status, the JSON, standard error) of `dynamo-bench ARGUMENTS --json`."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("dynamo-bench")),
        *(*arguments, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, json.loads(out or b"null"), err.decode()


@pytest.mark.parametrize("reads", ["client", "server"])
async def test_run_prints_what_scripts_rely_on(cluster: Cluster, reads: str) -> None:
    options = ["--duration", "0.2", "--keys", "100", "--concurrency", "8", "--reads", reads]
    status, measured, err = await bench("run", "--seeds", cluster.seeds, *options)
    assert status == 0, err
    assert measured["ops_per_s"] > 0
    assert measured["errors"] == {}
    assert {"p50_ms", "p99_ms", "p999_ms"} <= set(measured)


async def test_a_replay_is_exact_once_and_refused_twice(cluster: Cluster) -> None:
    arguments = ["replay", str(SAMPLE), "--seeds", cluster.seeds, "--lines", str(LINES)]
    status, replayed, err = await bench(*arguments)
    assert status == 0, err
    assert (replayed["lines"], replayed["missing"], replayed["twice"]) == (LINES, 0, 0)
    assert replayed["lines_per_s"] > 0
    assert (await bench(*arguments))[0] == 1
    assert (await bench(*arguments, "--verify-only"))[1]["exact"]


async def test_a_replay_of_what_is_not_there_is_missing(cluster: Cluster) -> None:
    arguments = ["replay", str(SAMPLE), "--seeds", cluster.seeds, "--lines", str(LINES)]
    status, compared, _ = await bench(*arguments, "--verify-only")
    assert (status, compared["missing"]) == (1, LINES)


async def test_compare_measures_both_sides_and_leaves_nothing_behind(tmp_path: Path) -> None:
    options = ["--rounds", "1", "--seconds", "0.1", "--settle", "0", "--keys", "300"]
    status, compared, err = await bench("compare", *options, "--dir", str(tmp_path))
    assert status == 0, err
    assert len(compared["rows"]) == 8
    assert all(row["ratio"] > 0 for row in compared["rows"])
    assert compared["errors"] == {}
    assert "durable puts, 64 in flight" in err
    assert os.listdir(tmp_path) == []
