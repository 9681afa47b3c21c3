"""What `dynamo-node` answers to right and wrong usage, and how it logs."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from dynamo.config import builtin
from dynamo_node import logs
from dynamo_node.cli import main
from dynamo_node.cluster_directory import ClusterDirectory
from dynamo_node.config_file import parse

Answer = tuple[int, str, str]
Command = Callable[..., Answer]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `dynamo-node`; (status, stdout, stderr)."""

    def run(*arguments: str) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err  # type: ignore[return-value]

    return run


def test_help_everywhere(command: Command) -> None:
    for arguments in (["--help"], ["up", "--help"], ["run", "--help"]):
        status, out, _ = command(*arguments)
        assert status == 0
        assert "--help" in out


def test_print_config(command: Command) -> None:
    assert command("up", "--print-config")[:2] == (0, CLUSTER_YML.read_text(encoding="utf-8"))
    _, text, _ = command("up", "--print-config", "--nodes", "5", "--port", "8000", "--data", "d")
    assert parse(text) == builtin(5, "d", 8000)


CLUSTER_YML = Path(__file__).resolve().parents[3] / "cluster.yml"

WRONG = [
    [],
    ["down"],
    ["up", "--nodes", "0"],
    ["up", "--nodes", "101"],
    ["up", "--port", "http"],
    ["up", "--port", "65500", "--print-config"],
    ["up", "--config", str(CLUSTER_YML), "--nodes", "3"],
    ["up", "--config", "/nowhere/cluster.yml"],
    ["run", "--name", "n1"],
    ["run", "--config", str(CLUSTER_YML), "--name", "n1", "--log-format", "xml"],
    ["run", "--config", str(CLUSTER_YML), "--name", "n1", "--log-level", "all"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_status_2(command: Command, arguments: list[str]) -> None:
    status, out, err = command(*arguments)
    assert status == 2
    assert out + err


def test_a_wrong_file_is_one_sentence(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yml"
    file.write_text(CLUSTER_YML.read_text(encoding="utf-8").replace("w: 2", "w: 4", 1))
    status, _, err = command("up", "--config", str(file))
    assert status == 2
    assert err.count("\n") == 1
    assert f"{file}:35: tables.cart.w: W=4 is above N=3" in err


def test_a_directory_that_cannot_be_made_is_one_sentence(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    data = str(tmp_path / "file" / "data" / "n1")
    arguments = ("run", "--config", str(CLUSTER_YML), "--name", "n1", "--data", data)
    status, _, err = command(*arguments)
    assert (status, err.count("\n")) == (1, 1)
    assert "cannot be used: Not a directory" in err


def test_a_directory_that_is_run_already_is_one_sentence(command: Command, tmp_path: Path) -> None:
    with ClusterDirectory(tmp_path).lock():
        status, _, err = command("up", "--data", str(tmp_path))
    assert status == 1
    assert err.count("\n") == 1
    assert err.startswith(f"dynamo-node: {tmp_path} is already run by another `dynamo-node up`")


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.usefixtures("_logging_restored")
def test_logs_are_json_lines_with_the_nodes_name(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("n7")
    structlog.get_logger().info("synced", groups=3, key=b"k")
    structlog.get_logger().debug("not shown")
    logging.getLogger("grpc").warning("slow %s", "peer")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["groups"], ours["node"]) == ("synced", 3, "n7")
    assert (ours["level"], theirs["level"]) == ("info", "warning")
    assert (theirs["event"], theirs["logger"], theirs["node"]) == ("slow peer", "grpc", "n7")


def test_an_event_that_repeats_itself_is_logged_so_often_and_then_counted() -> None:
    now_s = 100.0
    limited = logs.Repetitions(lambda: now_s)

    def passed(event: str) -> dict[str, object] | None:
        with suppress(structlog.DropEvent):
            return dict(limited(None, "warning", {"event": event}))
        return None

    through = [passed("protocol violation") for _ in range(logs.SAME_MAX + 30)]
    assert [*map(bool, through)] == [True] * logs.SAME_MAX + [False] * 30
    assert passed("peer lost") == {"event": "peer lost"}
    now_s += logs.PERIOD_S
    assert passed("protocol violation") == {"event": "protocol violation", "left_out_before": 30}
    assert passed("protocol violation") == {"event": "protocol violation"}


def test_no_more_kinds_of_events_are_counted_than_that() -> None:
    limited = logs.Repetitions()
    for kind in range(logs.KINDS_MAX * 2):
        assert limited(None, "info", {"event": f"event {kind}"})
        assert len(limited._seen) <= logs.KINDS_MAX


@pytest.mark.usefixtures("_logging_restored")
def test_logs_for_people_have_no_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("n7", "text")
    structlog.get_logger().info("synced", groups=3)
    said = capsys.readouterr().err
    assert "groups=3" in said
    assert "\x1b" not in said
