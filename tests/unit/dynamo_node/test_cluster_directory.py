"""What `up` keeps beside its nodes' directories, and what it refuses."""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo.config import ClusterConfig, ConfigError, builtin
from dynamo.types import TableId
from dynamo_node.announcer import Announcer
from dynamo_node.cluster_directory import ClusterDirectory
from dynamo_node.config_file import load
from dynamo_node.directory import CannotStart, cluster_id, locked, node_directory
from dynamo_node.ports import require_free


def adopted(path: Path, config: ClusterConfig | None = None) -> ClusterDirectory:
    directory = ClusterDirectory(path)
    directory.adopt(config or builtin())
    return directory


def serve_once(path: Path, *names: str) -> None:
    """As if these nodes had been started and had served."""
    directory = adopted(path)
    for name in names:
        (path / name).mkdir()
        directory.has_served(name)


def test_a_new_cluster_gets_an_id_that_stays(tmp_path: Path) -> None:
    first = ClusterDirectory(tmp_path).adopt(builtin())
    assert len(first.id) == 32
    assert load(tmp_path / "cluster.yml") == first
    assert [node.data for node in first.nodes] == [str(tmp_path / f"n{i}") for i in (1, 2, 3)]
    assert ClusterDirectory(tmp_path).adopt(builtin(port=8000)).id == first.id
    assert first.id != ClusterDirectory(tmp_path / "other").adopt(builtin()).id


def test_only_founders_that_have_not_served_bootstrap(tmp_path: Path) -> None:
    directory = adopted(tmp_path)
    assert all(directory.is_founder(name) for name in ("n1", "n2", "n3"))
    (tmp_path / "n1").mkdir()
    directory.has_served("n1")
    again = adopted(tmp_path)
    assert [again.is_founder(name) for name in ("n1", "n2", "n3")] == [False, True, True]


def test_a_lost_directory_is_no_founder(tmp_path: Path) -> None:
    serve_once(tmp_path, "n1", "n2", "n3")
    (tmp_path / "n2").rmdir()
    assert not adopted(tmp_path).is_founder("n2")


def test_nodes_run_by_hand_before_are_no_founders(tmp_path: Path) -> None:
    (tmp_path / "n1").mkdir()
    directory = adopted(tmp_path)
    assert not any(directory.is_founder(name) for name in ("n1", "n2", "n3"))


def test_nothing_to_rebuild_from_is_refused(tmp_path: Path) -> None:
    serve_once(tmp_path, "n1", "n2", "n3")
    for name in ("n1", "n2", "n3"):
        (tmp_path / name).rmdir()
    with pytest.raises(CannotStart, match="there is nothing to rebuild from"):
        adopted(tmp_path)


def test_another_cluster_in_the_directory_is_refused(tmp_path: Path) -> None:
    adopted(tmp_path)
    config = builtin()
    with pytest.raises(ConfigError, match=r"a cluster of n1, n2, n3, not of 5 nodes \(n1 … n5\)"):
        adopted(tmp_path, builtin(5))
    with pytest.raises(ConfigError, match="was created with Q=256"):
        adopted(tmp_path, replace(config, partitions=512))
    with pytest.raises(ConfigError, match="belongs to cluster"):
        adopted(tmp_path, builtin(id="0" * 16))


def test_a_table_keeps_its_id(tmp_path: Path) -> None:
    adopted(tmp_path)
    cart, session = builtin().tables[:2]
    with pytest.raises(ConfigError, match="1 is the id of cart in"):
        adopted(tmp_path, replace(builtin(), tables=(replace(cart, name="basket"),)))
    with pytest.raises(ConfigError, match="9 was 2 in"):
        adopted(tmp_path, replace(builtin(), tables=(replace(session, id=TableId(9)),)))
    adopted(tmp_path, replace(builtin(), tables=(session,)))


def test_the_id_is_what_the_directory_says(tmp_path: Path) -> None:
    id = cluster_id(tmp_path / "new")
    assert cluster_id(tmp_path / "new") == cluster_id(tmp_path / "new", id) == id
    assert cluster_id(tmp_path / "given", "ab" * 8) == "ab" * 8
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["cluster-id"]


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    with ClusterDirectory(tmp_path).lock():
        refusal = rf"is already run by another `dynamo-node up` \(pid {os.getpid()}\)"
        with pytest.raises(CannotStart, match=refusal), ClusterDirectory(tmp_path).lock():
            pass
    with ClusterDirectory(tmp_path).lock():
        pass


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="cannot be used"), locked(tmp_path / "file", "x", ""):
        pass


def test_a_node_writes_its_pid_and_takes_it_away(tmp_path: Path) -> None:
    pid = tmp_path / "n1" / "node.pid"
    with node_directory(tmp_path / "n1"):
        assert pid.read_text(encoding="ascii") == f"{os.getpid()}\n"
        refusal = "in use by another node"
        with pytest.raises(CannotStart, match=refusal), node_directory(tmp_path / "n1"):
            pass
        assert pid.exists()
    assert not pid.exists()


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = replace(builtin(1).nodes[0], grpc_port=port)
        said = rf"port {port} on 127.0.0.1, for gRPC of n1, is in use; .* with --port"
        with pytest.raises(CannotStart, match=said):
            require_free([node])


def test_an_address_of_another_machine_is_named() -> None:
    node = replace(builtin(1).nodes[0], address="192.0.2.1")
    with pytest.raises(CannotStart, match=r"192\.0\.2\.1 is no address of this machine"):
        require_free([node])


def test_free_ports_are_fine() -> None:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    frames, grpc, metrics = (listener.getsockname()[1] for listener in held)
    for listener in held:
        listener.close()
    node = replace(builtin(1).nodes[0], port=frames, grpc_port=grpc, metrics_port=metrics)
    require_free([node])


def test_the_ready_file_and_the_greeting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, ready = ClusterDirectory(tmp_path / "data"), tmp_path / "ready.json"
    config = directory.adopt(builtin(2, port=8000))
    ready.write_text("of an earlier run", encoding="ascii")
    announcer = Announcer(config, directory, ready)
    announcer.prepare()
    assert not ready.exists()
    announcer.all_serve({"n1": 11, "n2": 12})
    announcer.all_serve({"n1": 11, "n2": 13})
    facts = json.loads(ready.read_text(encoding="utf-8"))
    assert facts["seeds"] == ["127.0.0.1:8000", "127.0.0.1:8001"]
    assert (facts["cluster"], facts["id"], facts["pid"]) == ("local", config.id, os.getpid())
    assert facts["nodes"][1] == {
        "name": "n2",
        "address": "127.0.0.1",
        "port": 8001,
        "grpc_port": 8101,
        "metrics_port": 8201,
        "pid": 13,
        "data": str(tmp_path / "data" / "n2"),
    }
    said = capsys.readouterr().out
    assert said.count("serves; its data is in") == 1
    assert "--seeds 127.0.0.1:8000 put cart alice" in said
    assert "http://127.0.0.1:8200/metrics" in said
    assert "\x1b" not in said
    announcer.withdraw()
    assert not ready.exists()


def test_a_ready_file_that_cannot_be_written_is_refused_early(tmp_path: Path) -> None:
    directory = ClusterDirectory(tmp_path)
    announcer = Announcer(directory.adopt(builtin(1)), directory, tmp_path / "no" / "ready")
    with pytest.raises(CannotStart, match="is no directory"):
        announcer.prepare()


def test_a_node_that_comes_back_is_worth_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = ClusterDirectory(tmp_path)
    config = directory.adopt(builtin(1))
    announcer = Announcer(config, directory, None)
    announcer.serves(config.node("n1"))
    announcer.all_serve({"n1": 11})
    assert capsys.readouterr().err == ""
    announcer.serves(config.node("n1"))
    assert capsys.readouterr().err == "dynamo-node up: n1 serves again\n"


def test_lines_of_nodes_have_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = ClusterDirectory(tmp_path)
    announcer = Announcer(directory.adopt(builtin(1)), directory, None)
    announcer.line("n1", '{"event": "[bold]not markup[/bold]"} ' + "x" * 200)
    announcer.say("a word")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == 'n1 | {"event": "[bold]not markup[/bold]"} ' + "x" * 200
    assert lines[1] == "dynamo-node up: a word"
