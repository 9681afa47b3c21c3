"""What `dynamo-node up` makes of its signals."""

from pathlib import Path

import pytest

from dynamo.config import builtin
from dynamo_node.announcer import Announcer
from dynamo_node.cluster_directory import ClusterDirectory
from dynamo_node.supervisor import Supervisor
from dynamo_node.up import SAME_SIGNAL_S, Stopper


class Stops(Supervisor):
    """Counts what it is asked."""

    count = 0

    def stop(self) -> None:
        self.count += 1


async def test_a_copy_of_a_signal_is_no_second_signal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = ClusterDirectory(tmp_path)
    announcer = Announcer(directory.adopt(builtin(1)), directory, None)
    supervisor = Stops([], lambda node, fd: [], announcer, None)
    now_s = 7.0
    stop = Stopper(supervisor, announcer, lambda: now_s)
    stop()
    stop()
    assert supervisor.count == 1
    now_s += SAME_SIGNAL_S
    stop()
    assert supervisor.count == 2
    assert [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "stopping; again to kill",
        "killing",
    ]
