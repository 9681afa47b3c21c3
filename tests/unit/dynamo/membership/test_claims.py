"""Whom claims are kept of, and where incarnations begin."""

from dynamo.membership.claims import (
    ALIVE,
    DEAD,
    LEFT,
    STATUS_NAMES,
    UNHEARD_OF,
    Claim,
    Claims,
    first_incarnation,
    is_claim,
)
from dynamo.types import NodeId

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")


def test_the_words_are_those_of_swim() -> None:
    assert STATUS_NAMES == ("alive", "suspect", "dead", "left")
    assert STATUS_NAMES[LEFT] == "left"


def test_a_claim_about_a_stranger_is_not_kept() -> None:
    claims = Claims([N1, N2])
    assert not claims.merge(N3, Claim(9, DEAD))
    assert claims.of(N3) == UNHEARD_OF
    assert len(claims) == 2
    assert N3 not in claims


def test_a_new_ring_brings_strangers_in_and_lets_members_go() -> None:
    claims = Claims([N1, N2])
    claims.merge(N1, Claim(1, DEAD))
    claims.merge(N2, Claim(1, DEAD))
    claims.keep([N2, N3])
    claims.validate()
    assert dict(claims.items()) == {N2: Claim(1, DEAD), N3: UNHEARD_OF}
    assert list(claims.news) == [N2]


def test_a_start_begins_above_all_that_was_said_of_the_one_before() -> None:
    said = Claim(first_incarnation(1), DEAD)
    for _ in range(1000):
        said = Claim(said.refuted().incarnation, LEFT)
    assert said.merge(Claim(first_incarnation(2), ALIVE)).status == ALIVE


def test_what_no_message_may_say_is_no_claim() -> None:
    assert is_claim(0, ALIVE)
    assert not is_claim(-1, ALIVE)
    assert not is_claim(1 << 62, ALIVE)
    assert not is_claim(0, 4)
