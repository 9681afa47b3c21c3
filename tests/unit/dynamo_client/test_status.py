"""What `status` says of nodes that a client has only begun to reach."""

import pytest

from dynamo_client import connect, welcome
from dynamo_node import LocalCluster


@pytest.mark.slow
async def test_a_node_that_is_being_dialed_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the first links come later than `connect` waits for them."""
    monkeypatch.setattr(welcome, "SETTLE_S", 0.0)
    async with LocalCluster(nodes=3) as cluster, connect(cluster.seeds.split(",")[0]) as db:
        nodes = (await db.status())["nodes"]
    assert {name: node["state"] for name, node in nodes.items()} == dict.fromkeys(
        ("n1", "n2", "n3"), "serving"
    )
