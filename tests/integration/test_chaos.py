"""A short chaos on real processes: faults under load, and every promise checked afterwards; and a
cluster that loses acknowledged writes, to see that chaos finds out."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dynamo_bench.chaos.nodes import Daemon
from dynamo_bench.commands import app

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
COMMON = ("--network", "proxy", "--keys", "60", "--rate", "250")
PATIENCE_S = 240.0
SPEED = "p99 is back"
"""A claim that a busy machine may break without any fault of the cluster."""


async def chaos(directory: Path, *options: str) -> tuple[int | None, dict[str, Any], str]:
    """(exit status, the JSON, standard error) of `dynamo-bench chaos`."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("dynamo-bench")),
        *("chaos", "--json", "--dir", str(directory), *COMMON, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, json.loads(out or b"{}"), err.decode()


def broken(told: dict[str, Any]) -> list[str]:
    """The claims that do not hold."""
    return [verdict["claim"] for verdict in told["verdicts"] if verdict["holds"] is False]


async def test_promises_are_kept_while_a_node_is_killed_stopped_and_cut_off(
    tmp_path: Path,
) -> None:
    options = ("--seconds", "24", "--seed", "1", "--faults", "kill,stop,partition")
    status, told, err = await chaos(tmp_path, *options)
    assert told, err
    assert told["violations"] == []
    assert [claim for claim in broken(told) if SPEED not in claim] == [], told
    assert status == (1 if broken(told) else 0)
    assert len(told["faults"]) + len(told["left_out"]) == 3
    assert len(told["faults"]) >= 2
    assert told["checked"]["reads"] > 1000
    assert told["checked"]["replica_records"] == 3 * 2 * 60
    assert not os.listdir(tmp_path)


async def test_members_join_and_leave_and_every_item_is_still_there(tmp_path: Path) -> None:
    options = ("--seconds", "16", "--seed", "3", "--faults", "members", "--items", "400")
    options += ("--rate", "80")
    status, told, err = await chaos(tmp_path, *options)
    assert told, err
    assert told["violations"] == []
    assert (status, broken(told)) == (0, []), told
    changes = told["faults"][0]["changes"]
    assert [each["what"].split()[0] for each in changes] == ["join"] * 3 + ["leave"] * 3
    assert all(each["slots_moved"] == each["slots_planned"] == 128 for each in changes)
    assert all(each["was_under_load"] for each in changes)
    assert told["items"] == {"written": 400, "right": 400, "examples": []}
    assert told["hints_left"] == 0


async def test_puts_go_on_while_two_of_five_are_dead(tmp_path: Path) -> None:
    options = ("--nodes", "5", "--seconds", "12", "--seed", "4", "--faults", "two")
    status, told, err = await chaos(tmp_path, *options)
    assert told, err
    assert told["violations"] == []
    assert (status, broken(told)) == (0, []), told
    assert told["hints_left"] == 0
    assert told["checked"]["replica_records"] == 3 * 2 * 60


def test_a_cluster_that_denies_what_it_has_lost_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes that keep their data in memory are killed at once and started as if the cluster were
    new: each takes part in reads as one that never held anything."""
    start = Daemon.start

    async def forgetful(self: Daemon, *, bootstrap: bool = False) -> float:
        return await start(self, bootstrap=True)

    monkeypatch.setattr(Daemon, "start", forgetful)
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    options = ("--seconds", "6", "--seed", "1", "--faults", "crash", "--durability", "memory")
    options += ("--items", "50")
    result = CliRunner().invoke(app, ["chaos", *COMMON, "--dir", str(tmp_path), *options])
    assert result.exit_code == 1, result.output
    assert "NO  nothing acknowledged is lost" in result.output
    assert re.search(r"violation .*does not show acknowledged", result.output)
    assert "NO  every item that was written before the load is there at the end" in result.output
    assert re.search(r"(ledger|basket)/i\d+ is not there", result.output)
