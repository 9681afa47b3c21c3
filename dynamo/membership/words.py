"""The words of `dynamo.membership.paxos` as numbers and tuples, and back, for the wire.

A word is (number, fields); what anybody may have sent is checked here, type by type, so that the
machines meet no shape that they do not expect.
"""

from typing import Any

from dynamo.errors import InvalidRequest
from dynamo.membership.paxos import (
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
from dynamo.types import NodeId


def word_from(step: int, fields: Any) -> Word:
    """The word in a decoded array of the wire. Raises InvalidRequest for any other shape."""
    if not 0 <= step < len(_WORDS):
        raise InvalidRequest(f"no word of epochs has the number {step}")
    try:
        return _WORDS[step](fields)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"no word of epochs: {error}") from error


def as_fields(word: Word) -> tuple[int, tuple[Any, ...]]:
    """The inverse: the word's number and its fields, for the wire."""
    return _NUMBERS[type(word)], _plain(word)


def _plain(fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same as tuples of no name, all the way down: what a decoded frame has."""
    return tuple(_plain(field) if isinstance(field, tuple) else field for field in fields)


def _ballot(fields: Any) -> Ballot:
    counter, node, incarnation = fields
    if type(counter) is not int or type(node) is not str or type(incarnation) is not str:
        raise TypeError("a ballot is a number, a name and an incarnation")
    return Ballot(counter, NodeId(node), incarnation)


def _voters(fields: Any) -> tuple[Voter, ...]:
    return tuple(Voter(NodeId(str(node)), str(life)) for node, life in fields)


def _exactly(fields: Any, *types: type) -> tuple[Any, ...]:
    if tuple(map(type, fields)) != types:
        raise TypeError("the fields are of other types")
    return tuple(fields)


def _prepare(fields: Any) -> Word:
    epoch, ballot = _exactly(fields, int, tuple)
    return Prepare(epoch, _ballot(ballot))


def _promise(fields: Any) -> Word:
    epoch, ballot, accepted, value, voters = _exactly(fields, int, tuple, tuple, bytes, tuple)
    return Promise(epoch, _ballot(ballot), _ballot(accepted), value, _voters(voters))


def _accept(fields: Any) -> Word:
    epoch, ballot, value = _exactly(fields, int, tuple, bytes)
    return Accept(epoch, _ballot(ballot), value)


def _accepted(fields: Any) -> Word:
    epoch, ballot, voters = _exactly(fields, int, tuple, tuple)
    return Accepted(epoch, _ballot(ballot), _voters(voters))


def _outbid(fields: Any) -> Word:
    epoch, ballot, promised = _exactly(fields, int, tuple, tuple)
    return Outbid(epoch, _ballot(ballot), _ballot(promised))


def _decided(fields: Any) -> Word:
    epoch, value = _exactly(fields, int, bytes)
    return Decided(epoch, value)


def _holds(fields: Any) -> Word:
    (epoch,) = _exactly(fields, int)
    return Holds(epoch)


_WORDS = (_prepare, _promise, _accept, _accepted, _outbid, _decided, _holds)
_NUMBERS: dict[type, int] = {
    kind: number
    for number, kind in enumerate((Prepare, Promise, Accept, Accepted, Outbid, Decided, Holds))
}
