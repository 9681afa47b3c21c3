"""The rules of one decision, one by one."""

from dynamo.membership.paxos import (
    NO_BALLOT,
    Accept,
    Accepted,
    Acceptor,
    Ballot,
    Decided,
    Outbid,
    Prepare,
    Promise,
    Proposer,
    Voter,
)
from dynamo.types import NodeId

VOTERS = tuple(Voter(NodeId(f"n{number}"), "a") for number in (1, 2, 3))
LOW, HIGH = Ballot(1, NodeId("n1"), "a"), Ballot(1, NodeId("n2"), "a")


def promise(voter: int, ballot: Ballot = LOW, accepted: Ballot = NO_BALLOT) -> Promise:
    value = b"" if accepted == NO_BALLOT else str(accepted.counter).encode()
    return Promise(2, ballot, accepted, value, (VOTERS[voter],))


def test_an_acceptor_promises_and_takes_nothing_lower() -> None:
    promised, answer = Acceptor().prepare(Prepare(2, HIGH), VOTERS[:1])
    assert answer == Promise(2, HIGH, NO_BALLOT, b"", VOTERS[:1])
    assert promised.prepare(Prepare(2, LOW), VOTERS[:1]) == (promised, Outbid(2, LOW, HIGH))
    assert promised.accept(Accept(2, LOW, b"x"), VOTERS[:1]) == (promised, Outbid(2, LOW, HIGH))


def test_an_acceptor_repeats_what_it_accepted() -> None:
    accepted, answer = Acceptor().accept(Accept(2, LOW, b"x"), VOTERS[:1])
    assert answer == Accepted(2, LOW, VOTERS[:1])
    _, promised = accepted.prepare(Prepare(2, HIGH), VOTERS[:1])
    assert promised == Promise(2, HIGH, LOW, b"x", VOTERS[:1])


def test_a_question_asked_twice_is_answered_alike() -> None:
    once, answer = Acceptor().prepare(Prepare(2, HIGH), VOTERS[:1])
    assert once.prepare(Prepare(2, HIGH), VOTERS[:1]) == (once, answer)


def test_a_proposer_asks_for_votes_at_a_majority_and_once() -> None:
    proposer = Proposer(2, LOW, b"mine", VOTERS)
    assert proposer.promised(promise(0)) is None
    assert proposer.promised(promise(0)) is None, "one voter counts once"
    assert proposer.promised(promise(1)) == Accept(2, LOW, b"mine")
    assert proposer.promised(promise(2)) is None


def test_a_value_that_may_be_decided_is_taken_over() -> None:
    """Of several, that of the highest ballot."""
    proposer = Proposer(2, Ballot(9, NodeId("n1"), "a"), b"mine", VOTERS)
    higher = promise(0, proposer.ballot, Ballot(5, NodeId("n2"), "a"))
    lower = promise(1, proposer.ballot, Ballot(4, NodeId("n3"), "a"))
    assert proposer.promised(higher) is None
    assert proposer.promised(lower) == Accept(2, proposer.ballot, b"5")


def test_a_majority_of_votes_decides_once() -> None:
    proposer = Proposer(2, LOW, b"mine", VOTERS)
    assert proposer.accepted(Accepted(2, LOW, VOTERS[:1])) is None
    assert proposer.accepted(Accepted(2, HIGH, VOTERS[1:2])) is None, "of another attempt"
    assert proposer.accepted(Accepted(2, LOW, VOTERS[2:])) == Decided(2, b"mine")
    assert proposer.accepted(Accepted(2, LOW, VOTERS[1:2])) is None


def test_who_is_no_voter_in_this_life_does_not_count() -> None:
    proposer = Proposer(2, LOW, b"mine", VOTERS)
    stranger = Voter(NodeId("n2"), "b")
    assert proposer.promised(promise(0)) is None
    assert proposer.promised(Promise(2, LOW, NO_BALLOT, b"", (stranger,))) is None
    assert proposer.accepted(Accepted(2, LOW, (stranger,))) is None


def test_a_founder_votes_in_its_first_life() -> None:
    """Its voters are named by cluster.yml, which knows no incarnation."""
    founders = tuple(Voter(NodeId(f"n{number}"), "") for number in (1, 2, 3))
    proposer = Proposer(2, LOW, b"mine", founders)
    for number in (0, 1):
        lives = (VOTERS[number], founders[number])
        asked = proposer.promised(Promise(2, LOW, NO_BALLOT, b"", lives))
    assert asked == Accept(2, LOW, b"mine")
