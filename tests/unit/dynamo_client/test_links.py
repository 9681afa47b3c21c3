"""What a client believes of a node between two links."""

import pytest
from cluster_process import until

from dynamo_client.calls import Calls
from dynamo_client.links import Links
from dynamo_client.seeds import parse_seeds
from dynamo_node import LocalCluster


@pytest.mark.slow
async def test_a_dial_given_up_while_connecting_is_no_verdict() -> None:
    """`connect` cancels greetings once one seed has answered, perhaps in the moment in which
    another link opens. That node is dialed at once: whoever asks for it meanwhile must wait."""
    async with LocalCluster(nodes=1) as cluster:
        (seed,) = parse_seeds(cluster.seeds)
        async with Links(Calls(), b"", 3000) as links:
            peer = await links.greet(seed)
            assert peer.link is not None
            peer.link.abort("dialing was given up")
            await until(lambda: peer.link is None, "the link is gone")
            links.keep(peer.node, (seed.host, seed.port))
            assert peer.is_undecided
            await links.decided(peer)
            assert peer.link is not None
