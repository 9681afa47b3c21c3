"""What a client knows of a node that takes no writes."""

from dynamo.types import NodeId
from dynamo_client.peer import REFUSES_MS, Peer

LONG_MS = 3 * REFUSES_MS


def test_a_refusal_holds_as_long_as_the_node_said_and_a_while_at_least() -> None:
    peer = Peer(NodeId("n1"))
    assert not peer.refuses(1000)
    for said_ms, holds_ms in ((LONG_MS, LONG_MS), (1, REFUSES_MS), (0, REFUSES_MS)):
        peer.refused_write(1000, said_ms)
        ends_ms = 1000 + holds_ms
        assert [peer.refuses(at) for at in (1000, ends_ms - 1, ends_ms)] == [True, True, False]


def test_after_a_refusal_one_write_finds_out_and_the_others_go_elsewhere() -> None:
    peer = Peer(NodeId("n1"))
    peer.refused_write(1000, LONG_MS)
    over_ms = 1000 + LONG_MS
    peer.asked_to_write(over_ms)
    assert peer.refuses(over_ms + 10)
    peer.took_write()
    assert not peer.refuses(over_ms + 10)
    peer.asked_to_write(over_ms + 20)
    assert not peer.refuses(over_ms + 20)
