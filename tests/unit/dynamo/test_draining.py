"""A node that stops says so in its very next Tick: there may be no other."""

import pytest
from kernel_cluster import KernelCluster

from dynamo.membership.claims import LEFT
from dynamo.messages import Send, Tick
from dynamo.messages_detection import GossipPush
from dynamo.types import Instant, NodeId


@pytest.mark.parametrize("quiet_ms", range(0, 40, 3))
def test_all_peers_are_told_at_the_next_tick(quiet_ms: int) -> None:
    cluster = KernelCluster()
    cluster.pass_ms(500 + quiet_ms)
    kernel = cluster.kernel("n1")
    kernel.deadline()
    kernel.drain()
    effects = kernel.handle(Tick(), Instant(cluster.now_ms, 0))
    told = {
        effect.to
        for effect in effects
        if isinstance(effect, Send)
        and isinstance(effect.message, GossipPush)
        and any(name == "n1" and status == LEFT for name, _, status in effect.message.news)
    }
    assert told == {NodeId("n2"), NodeId("n3")}
