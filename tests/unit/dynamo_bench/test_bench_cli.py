"""What may be said to `dynamo-bench`, and its exit statuses."""

import json
from pathlib import Path

import pytest

from dynamo_bench import cli
from dynamo_bench.retail import SAMPLE


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run", "--reads"),
        ("shop", "--address"),
        ("replay", "--verify-only"),
        ("compare", "--rounds"),
        ("yardstick", "--fdatasync"),
        ("data", "--from"),
    ],
)
def test_every_command_has_help(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(command, "--help") == 0
    assert option in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--workload", "delete"),
        ("run", "--concurrency", "65", "--keys", "64"),
        ("run", "--reads", "nobody"),
        ("shop", "--workload", "sell"),
        ("yardstick", "--concurrency", "1,many"),
        ("replay", "no such file"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_done(arguments: tuple[str, ...]) -> None:
    assert status(*arguments) == 2


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "hdrh" else name)
    assert status("run") == 1
    assert "hdrh not installed; pip install 'dynamo-kv[bench]'" in capsys.readouterr().err


def test_data_that_is_not_the_data_set_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("data", "--from", str(SAMPLE), "--to", str(tmp_path / "x.csv.gz")) == 1
    assert "expected 541909 rows" in capsys.readouterr().err


def test_no_cluster_is_an_error_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("run", "--seeds", "127.0.0.1:1", "--duration", "0.1", "--keys", "64") == 1
    assert capsys.readouterr().err.startswith("dynamo-bench: ")


@pytest.mark.slow
@pytest.mark.integration
def test_the_yardstick_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--concurrency", "4", "--seconds", "0.1", "--dir", str(tmp_path), "--json"]
    assert status("yardstick", *options) == 0
    measured = json.loads(capsys.readouterr().out)
    assert set(measured) == {"put × 4", "get × 4"}
    assert measured["put × 4"]["ops_per_s"] > 0
