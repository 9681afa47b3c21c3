"""The ring as a value: its lists, its form on the wire, and what is refused."""

from typing import Any

import pytest

from dynamo.errors import InvalidRequest
from dynamo.ring.ring import Member, Move, Ring
from dynamo.types import NodeId, PartitionId

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")


def member(node: str, weight: float = 1.0, zone: str = "z") -> Member:
    return Member(NodeId(node), f"host-{node}", zone, weight)


def ring(**changes: Any) -> Ring:
    fields: dict[str, Any] = {
        "epoch": 3,
        "partitions": 2,
        "members": (member("a"), member("b"), member("c")),
        "owners": ((A, B, C), (C, A, B)),
        "n_max": 2,
    }
    return Ring(**(fields | changes))


def test_primaries_are_a_prefix_and_fallbacks_the_rest() -> None:
    assert ring().preference_list(PartitionId(1), 2) == (C, A)
    assert ring().fallbacks(PartitionId(1), 2) == (B,)
    assert ring().preference_list(PartitionId(1), 1) == (C,)
    assert ring().fallbacks(PartitionId(1), 1) == (A, B)
    assert ring().primaries_of(B, 2) == (0,)
    assert ring().primaries_of(A, 2) == (0, 1)


def test_a_drained_member_is_a_fallback_only() -> None:
    drained = ring(members=(member("a"), member("b", 0), member("c")), n_max=3)
    drained = ring(members=drained.members, owners=((A, C, B), (C, A, B)), n_max=3)
    drained.validate()
    assert drained.preference_list(PartitionId(0), 3) == (A, C)
    assert drained.fallbacks(PartitionId(0), 3) == (B,)


def test_the_value_survives_a_round_trip_as_tuples_and_as_lists() -> None:
    def listed(value: object) -> object:
        return [listed(part) for part in value] if isinstance(value, tuple) else value

    assert Ring.from_value(ring().as_value()) == ring()
    assert Ring.from_value(listed(ring().as_value())) == ring()


def test_the_digest_tells_contents_apart() -> None:
    variants = [
        ring(),
        ring(epoch=4),
        ring(n_max=1),
        ring(owners=((B, A, C), (C, A, B))),
        ring(members=(member("a", 2), member("b"), member("c"))),
        ring(members=(member("a"), member("b", zone="y"), member("c"))),
    ]
    assert ring().digest() == ring().digest()
    assert len({variant.digest() for variant in variants}) == len(variants)


def test_a_weight_written_as_a_whole_number_is_the_same_ring() -> None:
    whole = ring(members=tuple(Member(m.node, m.host, m.zone, 1) for m in ring().members))
    assert whole.digest() == ring().digest()
    assert Ring.from_value(whole.as_value()) == ring()


def test_gains_name_what_must_be_copied() -> None:
    after = ring(owners=((A, C, B), (A, C, B)))
    assert after.gains(ring(), 2) == (Move(PartitionId(0), C),)
    assert after.gains(ring(), 1) == (Move(PartitionId(1), A),)
    assert ring().gains(ring(), 2) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epoch": 0}, "epoch"),
        ({"partitions": 3}, "power of two"),
        ({"partitions": 4}, "owner lists"),
        ({"n_max": 0}, "n_max"),
        ({"owners": ((A, B, B), (C, A, B))}, "every member once"),
        ({"owners": ((A, B), (C, A, B))}, "every member once"),
        ({"members": (member("a"), member("b"), member("b"))}, "one name"),
        ({"members": (member("a"), member("b", 0), member("c"))}, "weight 0"),
        ({"members": (member("a"), member("b", -1), member("c"))}, "weight"),
        ({"members": (member("a"), member("b", float("nan")), member("c"))}, "weight"),
    ],
)
def test_an_illegal_ring_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        ring(**changes).validate()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "ring!!",
        [9, 3, 2, 2, [], []],
        [1, 3, 2, 2, None, []],
        [1, 3, 2, 2, [["a", "h", "z"]], [[0], [0]]],
        [1, 3, 2, 1, [["a", "h", "z", 1.0]], [[0], [5]]],
        [1, 3, 2, 1, [["a", "h", "z", 1.0]], [[0], [[]]]],
        [1, 3, 2, 1, [["a", "h", "z", 1.0]], [[0], 0]],
        [1, 3, 2, 10**9, [["a", "h", "z", 1.0]], [[0], [0]]],
        [1, 3, 10**9, 1, [["a", "h", "z", 1.0]], [[0], [0]]],
    ],
)
def test_a_value_that_is_no_ring_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest):
        Ring.from_value(value)
