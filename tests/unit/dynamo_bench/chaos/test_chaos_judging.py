"""The judge finds every planted lie, and finds nothing in a true history."""

from collections.abc import Mapping, Sequence

from dynamo.siblings.codec import encode_record
from dynamo.siblings.record import NOTHING, UNSEEN, Value, Window, operation_id, written
from dynamo.types import Actor, Stamp
from dynamo_bench.chaos.journal import Kind, Status, Step
from dynamo_bench.chaos.judging import Judge, Judgement, Said

TABLE, SLOPPY, KEY = "ledger", "basket", b"k1"


def step(
    number: int,
    kind: Kind,
    at: float,
    *payloads: bytes,
    after: int = 0,
    status: Status = "ok",
    took: float = 0.01,
    table: str = TABLE,
) -> Step:
    return Step(number, kind, table, KEY, at, at + took, status, payloads, after, "")


def judged(
    *steps: Step,
    watched: Sequence[Said] = (),
    final: Mapping[str, bytes | None] | None = None,
    moments: Sequence[float] = (),
) -> Judgement:
    ends = {(TABLE, KEY): final} if final is not None else {}
    return Judge([SLOPPY], moments).judge(steps, watched, ends)


def record(*payloads: bytes) -> bytes:
    """A replica's record with these siblings, as the store makes it."""
    made = NOTHING
    for number, payload in enumerate(payloads, 1):
        value = Value(Actor(f"n{number}"), 1, Stamp(1), operation_id(1, 1, number), payload)
        made = written(made, UNSEEN, value, "siblings", Window(64, 10_000))
    return encode_record(made)


A = step(1, "write", 1.0, b"a")
READ_A = step(2, "read", 2.0, b"a")
B_OVER_A = step(3, "write", 3.0, b"b", after=2)
"""`b` replaces `a`: its writer had read it."""


def test_a_true_history_holds() -> None:
    found = judged(
        *(A, READ_A, B_OVER_A, step(4, "read", 4.0, b"b")),
        final={node: record(b"b") for node in ("n1", "n2", "n3")},
    )
    assert found.holds
    assert (found.reads, found.writes, found.replicas) == (2, 2, 3)


def test_a_read_that_misses_an_acknowledged_write_is_found() -> None:
    (violation,) = judged(A, step(2, "read", 2.0)).violations
    assert "does not show acknowledged <ledger/k1 #0 a acknowledged 1.0>" in violation


def test_a_lost_write_is_found_at_the_end() -> None:
    found = judged(A, final={"n1": record(b"a"), "n2": None})
    assert "n2 at the end" in found.violations[0]


def test_a_replaced_value_that_comes_back_is_found() -> None:
    assert "replaced by" in judged(A, READ_A, B_OVER_A, step(4, "read", 4.0, b"a")).violations[0]
    back = judged(A, READ_A, B_OVER_A, final={"n1": record(b"a", b"b")})
    assert back.violations


def test_a_write_told_to_be_not_applied_must_not_be_seen() -> None:
    denied = step(1, "write", 1.0, b"a", status="not applied")
    assert "told not to be applied" in judged(denied, step(2, "read", 2.0, b"a")).violations[0]


def test_what_nobody_wrote_is_found() -> None:
    assert "which nobody wrote" in judged(A, step(2, "read", 2.0, b"a", b"x")).violations[0]


def test_one_value_shown_twice_is_found() -> None:
    assert "twice" in judged(A, step(2, "read", 2.0, b"a", b"a")).violations[0]


def test_concurrent_writes_are_both_right_and_neither_may_be_missing() -> None:
    both = (step(1, "write", 1.0, b"a"), step(2, "write", 1.001, b"b"))
    assert judged(*both, step(3, "read", 2.0, b"a", b"b")).holds
    assert not judged(*both, step(3, "read", 2.0, b"b")).holds


def test_a_read_under_way_may_show_a_write_or_not() -> None:
    for shown in ((), (b"a",)):
        assert judged(A, step(2, "read", 0.9, *shown, took=0.5)).holds


def test_an_unknown_write_may_be_there_or_not_until_the_cluster_has_said() -> None:
    unknown = step(1, "write", 1.0, b"a", status="unknown")
    missed, shown = step(3, "read", 9.0), step(3, "read", 9.0, b"a")
    assert judged(unknown, missed).holds
    assert judged(unknown, shown).holds
    applied = step(2, "outcome", 5.0, b"a", after=1, status="ok")
    assert judged(unknown, applied, shown).holds
    assert not judged(unknown, applied, missed).holds
    denied = step(2, "outcome", 5.0, b"a", after=1, status="not applied")
    assert judged(unknown, denied, missed).holds
    assert not judged(unknown, denied, shown).holds


def test_a_delete_explains_what_is_missing_and_only_that() -> None:
    delete = step(3, "write", 3.0, after=2)
    assert judged(A, READ_A, delete, step(4, "read", 4.0)).holds
    later = step(5, "write", 3.5, b"c")
    assert not judged(A, READ_A, delete, later, step(6, "read", 5.0)).holds


def test_a_sloppy_read_may_be_behind_but_not_false_and_the_end_is_for_all() -> None:
    write = step(1, "write", 1.0, b"a", table=SLOPPY)
    behind = step(2, "read", 2.0, table=SLOPPY)
    assert judged(write, behind).holds
    assert not judged(write, step(2, "read", 2.0, b"x", table=SLOPPY)).holds
    lost = Judge([SLOPPY], []).judge([write, behind], [], {(SLOPPY, KEY): {"n1": None}})
    assert not lost.holds


def test_a_write_that_may_have_been_sent_twice_may_show_up_beside_its_successor() -> None:
    read = step(4, "read", 4.0, b"a", b"b")
    slow = A._replace(ended=1.5)
    assert not judged(A, READ_A, B_OVER_A, read).holds
    assert judged(slow, READ_A, B_OVER_A, read).holds
    assert judged(A, READ_A, B_OVER_A, read, moments=[1.1]).holds
    assert not judged(slow, READ_A, B_OVER_A, final={"n1": record(b"a", b"b")}).holds


def test_a_node_that_lost_its_disk_must_not_deny_what_was_acknowledged_before() -> None:
    said = Said("n2", (TABLE, KEY), None, since=2.0, answered=3.0)
    found = judged(A, watched=[said])
    assert found.denied_what_was_there == 1
    assert "n2, which had lost its disk" in found.violations[0]
    assert judged(A, watched=[said._replace(record=record(b"a"))]).holds
    assert judged(A, watched=[said._replace(since=0.5)]).holds


def test_a_key_is_told_once_and_many_keys_are_counted() -> None:
    lies = [step(number, "read", 2.0 + number) for number in range(2, 9)]
    assert len(judged(A, *lies).violations) == 1
