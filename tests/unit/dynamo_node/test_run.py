"""`dynamo-node run` around a fake daemon: its directory, its id, its last words."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from dynamo.brain import JoinsAnew
from dynamo.config import ClusterConfig, ConfigError, builtin
from dynamo.errors import StorageFailed
from dynamo_node.directory import CannotStart, node_directory
from dynamo_node.run import RunOptions, resolved, run

ID = "ab" * 8


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Daemon:
    """Serves at once, looks around, and ends as told."""

    def __init__(self, end: Exception | None = None) -> None:
        self.end = end
        self.config: ClusterConfig | None = None
        self.bootstrap = False
        self.files: list[str] = []

    async def serve(
        self,
        config: ClusterConfig,
        name: str,
        *,
        bootstrap: bool,
        ready: Callable[[dict[str, Any]], None],
    ) -> None:
        self.config, self.bootstrap = config, bootstrap
        self.files = sorted(os.listdir(config.node(name).data))
        ready({"port": config.node(name).port})
        if self.end:
            raise self.end


def test_a_node_owns_its_directory_while_it_serves(tmp_path: Path) -> None:
    daemon, data = Daemon(), tmp_path / "n1"
    options = RunOptions(builtin(), "n1", bootstrap=True, data=data, cluster_id=ID)
    assert run(options, daemon.serve) == 0
    assert daemon.bootstrap
    assert daemon.files == ["node.lock", "node.pid", "owner"]
    assert sorted(os.listdir(data)) == ["node.lock", "owner"]
    assert daemon.config is not None
    assert daemon.config.id == ID


def test_two_daemons_on_one_directory(tmp_path: Path) -> None:
    options = RunOptions(builtin(), "n1", data=tmp_path / "n1", cluster_id=ID)
    with (
        node_directory(tmp_path / "n1"),
        pytest.raises(CannotStart, match="in use by another node"),
    ):
        run(options, Daemon().serve)


def test_the_data_of_another_node_or_cluster_is_refused(tmp_path: Path) -> None:
    data, daemon = tmp_path / "n1", Daemon()
    assert run(RunOptions(builtin(), "n1", data=data, cluster_id=ID), daemon.serve) == 0
    for name, id in (("n2", ID), ("n1", "cd" * 8)):
        with pytest.raises(ConfigError, match=f"holds the data of n1 of cluster {ID}, not of"):
            run(RunOptions(builtin(), name, data=data, cluster_id=id), daemon.serve)
    assert run(RunOptions(builtin(), "n1", data=data, cluster_id=ID), daemon.serve) == 0


def test_readiness_travels_over_the_lifeline(tmp_path: Path) -> None:
    heard, spoken = os.pipe()  # a pipe, not a socket pair: this process is nobody's orphan
    options = RunOptions(builtin(), "n2", data=tmp_path / "n2", cluster_id=ID, lifeline_fd=spoken)
    assert run(options, Daemon().serve) == 0
    os.close(spoken)
    with open(heard, encoding="utf-8") as lines:
        facts = json.load(lines)
    assert facts == {"name": "n2", "pid": os.getpid(), "port": 7401}


@pytest.mark.parametrize(
    "end", [StorageFailed("fsync: disk full"), ExceptionGroup("", [OSError("fsync: disk full")])]
)
def test_the_last_message_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], end: Exception
) -> None:
    options = RunOptions(builtin(), "n1", data=tmp_path / "n1", cluster_id=ID)
    assert run(options, Daemon(end).serve) == 1
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["event"], last["reason"]) == ("the node stops", "fsync: disk full")
    assert not (tmp_path / "n1" / "node.pid").exists()


def test_who_joins_again_is_started_once_more_and_founds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon, starts = Daemon(JoinsAnew("n1 is a member since epoch 6")), list[bool]()

    async def serve(config: ClusterConfig, name: str, **how: Any) -> None:
        starts.append(how["bootstrap"])
        daemon.end = daemon.end if len(starts) == 1 else None
        await daemon.serve(config, name, **how)

    options = RunOptions(builtin(), "n1", bootstrap=True, data=tmp_path / "n1", cluster_id=ID)
    assert run(options, serve) == 0
    assert starts == [True, False]
    told = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert told == ["serving", "starting again on an empty store", "serving"]


def test_our_own_mistakes_keep_their_traceback(tmp_path: Path) -> None:
    options = RunOptions(builtin(), "n1", data=tmp_path / "n1", cluster_id=ID)
    with pytest.raises(AssertionError, match="a law is broken"):
        run(options, Daemon(AssertionError("a law is broken")).serve)


def test_nodes_side_by_side_share_a_local_id(tmp_path: Path) -> None:
    ids = [resolved(RunOptions(builtin(), name, data=tmp_path / name)).id for name in ("n1", "n2")]
    assert ids[0] == ids[1] == (tmp_path / "cluster-id").read_text(encoding="ascii").strip()


def test_a_local_id_across_hosts_is_refused() -> None:
    nodes = tuple(replace(node, address=f"10.0.0.{node.port}") for node in builtin().nodes)
    spread = replace(builtin(), nodes=nodes)
    with pytest.raises(ConfigError, match=r"n1 is on 10\.0\.0\.7400; write an id"):
        resolved(RunOptions(spread, "n1"))
    assert resolved(RunOptions(replace(spread, id=ID), "n1")).id == ID


def test_only_the_own_directory_changes() -> None:
    config = resolved(RunOptions(builtin(), "n2", data=Path("elsewhere"), cluster_id=ID))
    assert [node.data for node in config.nodes] == ["data/n1", "elsewhere", "data/n3"]


def test_who_joins_the_wrong_cluster_or_none_leaves_nothing_behind(tmp_path: Path) -> None:
    data, nobody = tmp_path / "n4", "127.0.0.1:1"
    lacking = RunOptions(builtin(4), "n4", data=data, join=nobody)
    with pytest.raises(ConfigError, match="has no file cluster-id: put --data beside"):
        run(lacking, Daemon().serve)
    unreachable = RunOptions(
        builtin(4), "n4", data=data, cluster_id=ID, join=f"{nobody},127.0.0.1:2"
    )
    said = r"cannot be joined at 127\.0\.0\.1:1: .*; .* at 127\.0\.0\.1:2: "
    with pytest.raises(CannotStart, match=said):
        run(unreachable, Daemon().serve)
    assert [*tmp_path.iterdir()] == []


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="no node is called n9"):
        resolved(RunOptions(builtin(), "n9"))
