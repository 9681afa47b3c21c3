"""Words of epochs on the wire."""

import pytest

from dynamo.errors import InvalidRequest
from dynamo.membership.paxos import (
    NO_BALLOT,
    Accept,
    Accepted,
    Ballot,
    Decided,
    Holds,
    Outbid,
    Prepare,
    Promise,
    Voter,
    Word,
)
from dynamo.membership.words import as_fields, word_from
from dynamo.types import NodeId

BALLOT = Ballot(3, NodeId("n1"), "k2")
VOTERS = (Voter(NodeId("n1"), "k2"), Voter(NodeId("n1"), ""))
WORDS: list[Word] = [
    Prepare(2, BALLOT),
    Promise(2, BALLOT, NO_BALLOT, b"", VOTERS),
    Accept(2, BALLOT, b"value"),
    Accepted(2, BALLOT, VOTERS),
    Outbid(2, BALLOT, BALLOT),
    Decided(2, b"value"),
    Holds(2),
]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_there_and_back(word: Word) -> None:
    assert word_from(*as_fields(word)) == word


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_any_field_of_another_type_is_refused(word: Word) -> None:
    number, fields = as_fields(word)
    for place in range(len(fields)):
        broken = (*fields[:place], 1.5, *fields[place + 1 :])
        with pytest.raises(InvalidRequest):
            word_from(number, broken)
    with pytest.raises(InvalidRequest):
        word_from(number, (*fields, 1))
    with pytest.raises(InvalidRequest):
        word_from(number, fields[:-1])


def test_there_are_no_other_words() -> None:
    for number in (-1, len(WORDS)):
        with pytest.raises(InvalidRequest):
            word_from(number, (2,))
