"""Detector and gossip joined: what a node's status tells, and its last words."""

from dynamo.limits import PRESETS
from dynamo.membership.claims import LEFT
from dynamo.membership.lookout import Lookout
from dynamo.membership.watch import Signs
from dynamo.messages_detection import GOSSIP_PULL, GossipPull, GossipPush
from dynamo.meters import Meters
from dynamo.types import Instant, NodeId

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")
UP = {N2, N3}


def lookout() -> Lookout:
    signs = Signs(set(), set(), set())
    return Lookout(N1, [N1, N2, N3], 1, 1, 5, signs, PRESETS["lan"], Meters())


def test_a_status_says_each_peers_state_and_since_when() -> None:
    eyes = lookout()
    eyes.advance(UP, 1000.0)
    eyes.advance(UP, 3500.0)
    seen = {"state": "alive", "for_s": 2.5, "answers": True}
    assert eyes.status(3500.0) == {"members": {N2: seen, N3: seen}, "ring_epoch_newest": 1}
    assert {view.state for view in eyes.views().values()} == {"alive"}


def test_last_words_go_to_all_at_once() -> None:
    eyes = lookout()
    eyes.advance(UP, 1000.0)
    eyes.leave()
    due_ms = eyes.deadline()
    assert due_ms is not None
    assert due_ms <= 1000.0, "now, not at the next look"
    told = [effect for effect in eyes.advance(UP, 1001.0) if isinstance(effect.message, GossipPush)]
    assert {effect.to for effect in told} == UP
    assert all((N1, 1 << 24, LEFT) in effect.message.news for effect in told)
    eyes.validate()


def test_an_answer_to_gossip_tells_who_has_a_newer_ring() -> None:
    eyes = lookout()
    eyes.advance(UP, 1000.0)
    assert eyes.newest_ring() == (1, N1)
    answer = GossipPull(GOSSIP_PULL, 4, 0, ())
    assert eyes.handlers()[GossipPull](N3, answer, Instant(1001.0, 0)) == []
    assert eyes.newest_ring() == (4, N3)
    assert eyes.status(1001.0)["ring_epoch_newest"] == 4


def test_alone_there_is_nothing_to_do() -> None:
    signs = Signs(set(), set(), set())
    alone = Lookout(N1, [N1], 1, 1, 5, signs, PRESETS["lan"], Meters())
    assert alone.deadline() is None
    assert alone.advance(set(), 1.0) == []
    assert alone.status(1.0)["members"] == {}


def test_a_new_ring_changes_whom_it_looks_after() -> None:
    eyes, n4 = lookout(), NodeId("n4")
    eyes.advance(UP, 1000.0)
    eyes.ring_changed([N1, N3, n4], 2)
    eyes.advance({N3, n4}, 2000.0)
    assert set(eyes.views()) == {N3, n4}
    assert eyes.newest_ring() == (2, N1)
    eyes.validate()
