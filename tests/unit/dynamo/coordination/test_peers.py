"""Who is asked first, who is suspect, and how often one more is asked."""

from dynamo.coordination.peers import HEDGE_BURST, SUSPECT_AFTER_MS, Peers
from dynamo.types import NodeId

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")
ALL = [N1, N2, N3]


def linked(share: float = 0.05) -> Peers:
    peers = Peers(2.0, 200.0, share)
    for node in ALL:
        peers.linked(node)
    return peers


def test_only_linked_peers_are_asked_the_faster_first() -> None:
    peers = linked()
    for _ in range(20):
        peers.answered(N1, 30.0)
        peers.answered(N2, 10.0)
        peers.answered(N3, 20.0)
    assert peers.by_preference(ALL, 0.0) == [N2, N3, N1]
    peers.lost(N2)
    assert peers.by_preference(ALL, 0.0) == [N3, N1]


def test_equal_peers_keep_the_order_of_the_preference_list() -> None:
    assert linked().by_preference([N3, N1, N2], 0.0) == [N3, N1, N2]


def test_who_owes_a_word_for_too_long_is_suspect_and_asked_last() -> None:
    peers = linked()
    peers.asked(N1, 100.0)
    peers.asked(N1, 240.0)
    assert not peers.is_suspect(N1, 100.0 + SUSPECT_AFTER_MS)
    late = 101.0 + SUSPECT_AFTER_MS
    assert peers.is_suspect(N1, late), "since the first question, not since the newest"
    assert peers.by_preference(ALL, late) == [N2, N3, N1]


def test_any_word_ends_a_suspicion_and_so_does_a_new_link() -> None:
    peers = linked()
    for redeem in (peers.heard, peers.lost, peers.linked):
        peers.asked(N1, 0.0)
        assert peers.is_suspect(N1, 1000.0)
        redeem(N1)
        assert not peers.is_suspect(N1, 1000.0)


def test_whom_the_detector_found_silent_is_asked_last_until_its_first_word() -> None:
    peers = linked()
    peers.silent.add(N1)
    peers.held.add(N2)
    assert peers.by_preference(ALL, 0.0) == [N3, N1, N2]
    peers.heard(N1)
    peers.heard(N2)
    assert peers.by_preference(ALL, 0.0) == [N1, N3, N2], "who is held is not believed yet"
    assert peers.is_suspect(N2, 0.0)
    assert not peers.owes_a_word(N2, 0.0), "but it answers"
    assert peers.words >= {N1, N2}


def test_the_hedge_delay_goes_to_where_one_answer_in_twenty_is_slower() -> None:
    peers = linked()
    for number in range(4000):
        peers.answered(N1, 50.0 if number % 20 == 0 else 10.0)
    assert 9.0 < peers.hedge_delay_ms() < 55.0
    for _ in range(4000):
        peers.answered(N1, 0.01)
    assert peers.hedge_delay_ms() == 2.0
    for _ in range(4000):
        peers.answered(N1, 5000.0)
    assert peers.hedge_delay_ms() == 200.0


def test_hedges_are_a_share_of_reads_and_a_burst_that_was_saved() -> None:
    peers = linked(share=0.05)
    burst = 0
    while peers.may_hedge():
        burst += 1
    assert burst == HEDGE_BURST
    hedges = 0
    for _ in range(1000):
        peers.earn()
        hedges += peers.may_hedge()
    assert 49 <= hedges <= 50


def test_savings_are_bounded() -> None:
    peers = linked(share=0.05)
    for _ in range(10_000):
        peers.earn()
    burst = 0
    while peers.may_hedge():
        burst += 1
    assert burst <= HEDGE_BURST + 1


def test_without_a_share_there_are_no_hedges() -> None:
    peers = linked(share=0.0)
    peers.earn()
    assert not peers.may_hedge()
