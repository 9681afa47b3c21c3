"""Rounds, bytes and what is said first."""

from math import log2

import pytest
from msgpack import packb

from dynamo.membership.claims import ALIVE, DEAD, SUSPECT, Claim, Claims
from dynamo.membership.dice import Dice
from dynamo.membership.gossip import NEWS_BYTES_MAX, Gossip
from dynamo.messages_detection import GOSSIP_PUSH, GossipPull, GossipPush
from dynamo.testing.gossip import quiet_bytes, spread
from dynamo.types import NodeId

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")


def member(name: NodeId, *others: NodeId, epoch: int = 1) -> tuple[Claims, Gossip]:
    claims = Claims([name, *others])
    return claims, Gossip(name, claims, epoch, Dice(1), 100.0)


def push(gossip: Gossip, to: NodeId, now_ms: float) -> GossipPush:
    (effect,) = gossip.advance(now_ms, [to])
    assert isinstance(effect.message, GossipPush)
    return effect.message


def pull(gossip: Gossip, source: NodeId, message: GossipPush) -> GossipPull:
    (effect,) = gossip.handle(source, message, 0.0).effects
    assert isinstance(effect.message, GossipPull)
    return effect.message


def test_once_in_an_interval_one_peer_is_told() -> None:
    _, gossip = member(N1, N2, N3)
    assert gossip.deadline() == 0.0
    assert len(gossip.advance(10.0, [N2, N3])) == 1
    assert gossip.advance(100.0, [N2, N3]) == []
    assert gossip.deadline() == 110.0
    assert gossip.advance(110.0, []) == [], "nobody is there to talk to"


def test_among_fewer_members_news_is_told_less_often() -> None:
    """Found by seed 2 of a swarm of joins and leaves: told as often as five members need it, a
    change was told too often for three."""
    claims, gossip = member(N1, N2, N3, NodeId("n4"), NodeId("n5"))
    claims.merge(N2, Claim(1, ALIVE))
    for number in range(7):
        push(gossip, NodeId("n5"), 100.0 * number)
    assert claims.news == {N2: 7}
    claims.keep([N1, N2, N3])
    gossip.ring_changed(4)
    gossip.validate()
    assert claims.news == {}
    assert (gossip.ring_epoch, gossip.newest) == (4, (4, N1))


def test_both_sides_learn_from_one_exchange() -> None:
    mine, one = member(N1, N2, N3)
    theirs, other = member(N2, N1, N3)
    mine.merge(N3, Claim(4, SUSPECT))
    theirs.merge(N1, Claim(7, ALIVE))
    answer = pull(other, N1, push(one, N2, 0.0))
    heard = one.handle(N2, answer, 3.0)
    assert heard.changed == [(N1, Claim(7, ALIVE))]
    assert heard.took_ms == 3.0
    assert mine.digest == theirs.digest


def test_what_the_other_has_wrong_is_put_right_at_once() -> None:
    theirs, other = member(N2, N1, N3)
    theirs.merge(N3, Claim(5, ALIVE))
    theirs.news.clear()
    stale = GossipPush(GOSSIP_PUSH, 1, 0, ((N3, 4, DEAD),))
    assert pull(other, N1, stale).news == ((N3, 5, ALIVE),)


def test_who_missed_a_rumour_hears_it_when_the_digests_differ() -> None:
    mine, one = member(N1, N2, N3)
    theirs, other = member(N2, N1, N3)
    theirs.merge(N3, Claim(5, DEAD))
    theirs.news.clear()
    one.handle(N2, pull(other, N1, push(one, N2, 0.0)), 0.0)
    assert mine.of(N3) == Claim(5, DEAD)
    mine.news.clear()
    last = push(one, N2, 200.0)
    one.handle(N2, pull(other, N1, last), 200.0)
    assert push(one, N2, 400.0).news == (), "they agree, and say no more than that"


def test_the_least_told_goes_first_the_latest_of_these_and_each_so_many_times() -> None:
    claims, gossip = member(N1, N2, N3)
    claims.merge(N2, Claim(1, SUSPECT))
    claims.merge(N3, Claim(1, SUSPECT))
    first = push(gossip, N2, 0.0)
    assert [rumour[0] for rumour in first.news] == [N3, N2]
    told = 1
    while push(gossip, N2, told * 100.0).news:
        told += 1
    assert told == gossip.tellings() == 6
    gossip.validate()


def test_a_message_is_bounded_whatever_happens_at_once() -> None:
    names = [NodeId(f"a-node-with-quite-a-long-name-{number:04}") for number in range(500)]
    claims = Claims(names)
    gossip = Gossip(names[0], claims, 1, Dice(1), 100.0)
    for name in names:
        claims.merge(name, Claim((1 << 62) - 2, DEAD))
    seen: set[str] = set()
    for turn in range(600):
        message = push(gossip, names[1], turn * 100.0)
        assert len(packb(message)) <= NEWS_BYTES_MAX + 32
        seen |= {rumour[0] for rumour in message.news}
    assert seen == set(names), "the others went with later ones"


def test_a_newer_ring_is_noticed_with_who_has_it() -> None:
    _, one = member(N1, N2)
    _, other = member(N2, N1, epoch=7)
    assert one.newest == (1, N1)
    one.handle(N2, pull(other, N1, push(one, N2, 0.0)), 0.0)
    assert one.newest == (7, N2)


def test_an_answer_that_got_lost_with_its_link_is_not_awaited() -> None:
    _, one = member(N1, N2)
    _, other = member(N2, N1)
    answer = pull(other, N1, push(one, N2, 0.0))
    one.lost(N2)
    assert one.handle(N2, answer, 900.0).took_ms is None


@pytest.mark.parametrize("members", [2, 10, 100])
def test_a_change_reaches_all_in_a_few_rounds_per_doubling(members: int) -> None:
    worst = max(spread(members, 1, seed).rounds for seed in range(3))
    assert worst <= 2 * log2(members) + 2


@pytest.mark.slow
def test_a_thousand_members_hear_of_a_change_and_of_a_whole_zone() -> None:
    one = spread(1000, 1, 1)
    assert one.rounds <= 2 * log2(1000)
    assert one.bytes_per_member_round < 400
    zone = spread(1000, 200, 1)
    assert zone.rounds <= 5 * log2(1000)
    assert zone.message_bytes_max <= NEWS_BYTES_MAX + 32
    assert zone.bytes_per_member_round <= 4 * (NEWS_BYTES_MAX + 32)


def test_members_that_agree_say_almost_nothing() -> None:
    assert quiet_bytes(100, 1) < 100
