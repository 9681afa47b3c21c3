"""When operations may have been denied on a node's word, and the slots of who owns nothing."""

from dynamo.coordination.away import DENIED_MAX, Denied, alone, is_old
from dynamo.siblings.record import operation_id
from dynamo.types import ItemKey, NodeId, OperationId

KEY, OTHER = ItemKey(b"one"), ItemKey(b"other")
SKEW_MS = 500
N1, N2, N3, N4, N5 = (NodeId(f"n{number}") for number in range(1, 6))


def made_at(ms: int) -> OperationId:
    return operation_id(ms << 16, 1, 1)


def test_what_was_made_before_the_start_may_have_been_denied_by_an_earlier_one() -> None:
    denied = Denied()
    denied.begin(10_000)
    denied.begin(90_000)
    assert denied.may_cover(KEY, made_at(10_000 + 2 * SKEW_MS), SKEW_MS)
    assert not denied.may_cover(KEY, made_at(10_001 + 2 * SKEW_MS), SKEW_MS)


def test_a_word_is_about_one_item() -> None:
    denied = Denied()
    denied.begin(10_000)
    denied.note(KEY, 20_000)
    denied.note(KEY, 30_000)
    assert denied.may_cover(KEY, made_at(30_000 + 2 * SKEW_MS), SKEW_MS)
    assert not denied.may_cover(KEY, made_at(30_001 + 2 * SKEW_MS), SKEW_MS)
    assert not denied.may_cover(OTHER, made_at(20_000), SKEW_MS)


def test_beyond_the_bound_a_word_is_taken_to_have_been_about_all() -> None:
    denied = Denied()
    denied.begin(10_000)
    denied.note(KEY, 20_000)
    for number in range(DENIED_MAX - 1):
        denied.note(ItemKey(b"%d" % number), 30_000)
    assert not denied.may_cover(OTHER, made_at(20_000), SKEW_MS)
    denied.note(KEY, 40_000)
    denied.note(ItemKey(b"one more"), 40_000)
    assert denied.may_cover(OTHER, made_at(30_000 + 2 * SKEW_MS), SKEW_MS), "the oldest word"
    assert not denied.may_cover(OTHER, made_at(30_001 + 2 * SKEW_MS), SKEW_MS)
    assert denied.may_cover(KEY, made_at(40_000), SKEW_MS), "the newest are known by item"


def test_a_clock_that_steps_back_takes_no_word_back() -> None:
    denied = Denied()
    denied.begin(10_000)
    denied.note(KEY, 30_000)
    denied.note(KEY, 20_000)
    assert denied.may_cover(KEY, made_at(30_000), SKEW_MS)
    denied.renew(50_000)
    denied.renew(40_000)
    assert denied.may_cover(OTHER, made_at(50_000), SKEW_MS), "fences were dropped since"


def test_age_is_by_the_operations_own_stamp() -> None:
    assert is_old(made_at(5000), 5000)
    assert not is_old(made_at(5001), 5000)


def test_a_node_takes_the_first_owners_slot_and_fallbacks_the_others() -> None:
    stand_ins = alone(N4, (N1, N2, N3), (N4, N5))
    assert stand_ins.slot(N4) == N1
    assert stand_ins.possible([N4], {N5}) == 2
    assert stand_ins.possible([N4], set()) == 1
    assert stand_ins.next({N5}, set()) == N5
