"""Claims about members are a join semilattice, and SWIM's rules follow from its order."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dynamo.membership.claims import ALIVE, LEFT, SUSPECT, Claim, Claims
from dynamo.types import NodeId

NAMES = [NodeId("a"), NodeId("b"), NodeId("c")]
claims = st.builds(Claim, st.integers(0, 4), st.integers(ALIVE, LEFT))
sayings = st.lists(st.tuples(st.sampled_from([*NAMES, NodeId("stranger")]), claims), max_size=20)


@given(claims, claims, claims)
def test_merging_is_a_join(a: Claim, b: Claim, c: Claim) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(a) == a
    assert a.merge(b) in (a, b)


@given(st.integers(0, 9), st.integers(ALIVE, LEFT))
def test_left_is_final_in_its_incarnation(incarnation: int, status: int) -> None:
    gone = Claim(incarnation, LEFT)
    assert gone.merge(Claim(incarnation, status)) == gone
    assert gone.merge(gone.refuted()) == Claim(incarnation + 1, ALIVE), "but not for the next one"


@given(claims)
def test_a_refutation_beats_all_that_was_said_before_it(claim: Claim) -> None:
    assert claim.merge(claim.refuted()) == claim.refuted()


@given(st.integers(0, 9))
def test_a_suspicion_is_not_talked_away_by_an_old_word(incarnation: int) -> None:
    suspicion = Claim(incarnation, SUSPECT)
    assert suspicion.merge(Claim(incarnation, ALIVE)) == suspicion


def told(said: list[tuple[NodeId, Claim]]) -> Claims:
    believed = Claims(NAMES)
    for node, claim in said:
        believed.merge(node, claim)
        believed.validate()
    return believed


@given(sayings, st.randoms(use_true_random=False), st.integers(0, 3))
def test_who_has_heard_the_same_believes_the_same(
    said: list[tuple[NodeId, Claim]], chance: Random, again: int
) -> None:
    """In whatever order, however often; the digests are equal just then."""
    other = said * (1 + again)
    chance.shuffle(other)
    one, two = told(said), told(other)
    assert dict(one.items()) == dict(two.items())
    assert one.digest == two.digest


@given(sayings, sayings)
def test_digests_differ_where_beliefs_do(
    one: list[tuple[NodeId, Claim]], other: list[tuple[NodeId, Claim]]
) -> None:
    left, right = told(one), told(other)
    assert (left.digest == right.digest) == (dict(left.items()) == dict(right.items()))


@given(sayings)
def test_news_are_what_changed_the_latest_last(said: list[tuple[NodeId, Claim]]) -> None:
    believed, changed = Claims(NAMES), []
    for node, claim in said:
        if believed.merge(node, claim):
            changed = [other for other in changed if other != node] + [node]
    assert list(believed.news) == changed
