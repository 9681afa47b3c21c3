"""P1 with real processes: an acknowledged write survives `kill -9` of any number of nodes.

(The same under power loss, torn writes and lost disks is the simulator's to show, by the thousand.)
"""

import shutil
from pathlib import Path

import pytest
from cluster_process import ClusterProcess, until
from remembering import Remembering, serves_all

from dynamo_client import connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ALL = ("n1", "n2", "n3")


async def test_kill_9_of_one_two_and_all_nodes_under_load(tmp_path: Path) -> None:
    """`up` starts them again each time; the clients never stop writing."""
    async with ClusterProcess(tmp_path / "data") as cluster, Remembering(cluster.seeds) as load:
        for victims in (("n1",), ("n2", "n3"), ALL):
            await load.progress(150)
            killed = cluster.kill(*victims)
            await cluster.until_serving(not_by=killed)
        await load.progress(150)
        await load.stop()
        async with connect(cluster.seeds) as db:
            keys = await load.verify(db)
        starts = [event for event in cluster.events("n3") if event["event"] == "store opened"]
        assert [start["clean"] for start in starts[1:]] == [False, False]
        print(f"{load.acknowledged} acknowledged writes on {keys} keys, {dict(load.failures)}")


async def test_kill_9_without_restart_then_by_hand(tmp_path: Path) -> None:
    """One after the other goes and stays away; what was acknowledged comes back with them."""
    async with (
        ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster,
        Remembering(cluster.seeds) as load,
    ):
        await load.progress(150)
        cluster.kill("n2")
        await load.progress(150)  # two of three are a quorum
        cluster.kill("n1", "n3")
        await load.stop()
        assert load.failures, "with no node left, writes fail"
        await cluster.run_by_hand(*ALL)
        await serves_all(cluster.seeds, 3)
        async with connect(cluster.seeds) as db:
            keys = await load.verify(db)
            await load.verify(db, r=3)
        print(f"{load.acknowledged} acknowledged writes on {keys} keys, {dict(load.failures)}")


async def test_two_disks_lost_one_after_the_other_under_load(tmp_path: Path) -> None:
    """W-1 disks at a time: what was acknowledged before and meanwhile is on the others."""
    async with (
        ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster,
        Remembering(cluster.seeds, timeout_ms=5000) as load,
    ):
        for victim in ("n2", "n3"):
            await load.progress(150)
            (pid,) = cluster.kill(victim)
            await until(lambda p=pid: not Path(f"/proc/{p}").exists(), "it is gone")
            shutil.rmtree(cluster.data / victim)
            await cluster.run_by_hand(victim)
            await serves_all(cluster.seeds, 3)
        await load.progress(150)
        await load.stop()
        assert not load.failures, dict(load.failures)
        async with connect(cluster.seeds) as db:
            keys = await load.verify(db)
        print(f"{load.acknowledged} acknowledged writes on {keys} keys, two disks lost")
