"""The checkers accuse what breaks a promise and nothing else."""

import pytest

from dynamo.siblings.record import NOTHING, ConflictRule, operation_id
from dynamo.testing.checkers import check_final, check_read
from dynamo.testing.history import BLIND, Context, KeyHistory, Write
from dynamo.testing.store import Violation


class Story:
    """Writes and reads of one key, one after the other."""

    def __init__(self, rule: ConflictRule = "siblings") -> None:
        self.history = KeyHistory(1, rule, b"k")
        self.now = 0.0

    def begin(self, payload: bytes | None, context: Context = BLIND, stamp: int = 0) -> Write:
        self.now += 1
        number = len(self.history.writes)
        operation = operation_id(stamp or int(self.now) << 16, 1, number)
        return self.history.invoke(operation, payload, context, self.now)

    def put(self, payload: bytes | None, context: Context = BLIND, stamp: int = 0) -> Context:
        write = self.begin(payload, context, stamp)
        self.history.acknowledge(write, self.now)
        return Context(b"", write.replaces | write.bit, write.place[0])

    def read(self, *payloads: bytes, stamp: int = 0) -> Context:
        read = self.history.begin_read(self.now)
        found = check_read(self.history, read, payloads, stamp, "the read")
        return self.history.context_of_read(b"", found, read, stamp)


def test_a_read_must_show_what_was_acknowledged_before_it() -> None:
    story = Story()
    story.put(b"a")
    story.read(b"a")
    with pytest.raises(Violation, match="does not show acknowledged"):
        story.read()


def test_or_what_replaced_it_directly_or_through_others() -> None:
    story = Story()
    context = story.put(b"a")
    context = story.put(b"b", context)
    story.put(b"c", context)
    story.read(b"c")
    with pytest.raises(Violation, match="replaced by"):
        story.read(b"a", b"c")


def test_a_write_that_nobody_answered_may_be_shown_or_not() -> None:
    story = Story()
    context = story.put(b"a")
    story.begin(b"b", context)
    story.read(b"a")
    story.read(b"b")
    with pytest.raises(Violation, match="beside its successor"):
        story.read(b"a", b"b")


def test_concurrent_writes_are_all_shown() -> None:
    story = Story()
    story.put(b"a")
    story.put(b"b")
    story.read(b"a", b"b")
    with pytest.raises(Violation, match="does not show"):
        story.read(b"a")
    with pytest.raises(Violation, match="twice"):
        story.read(b"a", b"b", b"a")
    with pytest.raises(Violation, match="nobody wrote"):
        story.read(b"a", b"b", b"c")


def test_a_delete_replaces_and_may_be_the_reason_why_nothing_is_shown() -> None:
    story = Story()
    context = story.put(b"a")
    story.put(None, context)
    story.read()
    with pytest.raises(Violation, match="replaced by"):
        story.read(b"a")


def test_what_a_read_did_not_show_its_context_has_seen_replaced() -> None:
    story = Story()
    context = story.put(b"a")
    unknown = story.begin(b"b", context)
    story.put(b"c", story.read(b"b"))
    assert unknown.status == "open"
    story.read(b"c")


def test_what_was_told_not_to_be_applied_is_never_shown() -> None:
    story = Story()
    write = story.begin(b"a")
    story.read(b"a")
    story.history.deny(write, story.now)
    story.read()
    with pytest.raises(Violation, match="told not to be applied"):
        story.read(b"a")


def test_a_write_of_two_uncertain_attempts_may_return_for_a_while_but_not_for_ever() -> None:
    story = Story()
    write = story.begin(b"a")
    write.uncertain = 2
    story.put(b"b", story.read(b"a"))
    story.read(b"a", b"b")
    with pytest.raises(Violation, match="is back"):
        check_final(story.history, 0b11, NOTHING)


def test_a_retry_that_came_late_is_counted_instead() -> None:
    story = Story()
    write = story.begin(b"a")
    context = story.read(b"a")
    story.put(b"b", context)
    write.uncertain = 2
    forgotten = NOTHING._replace(floor=int(write.invoked_ms) << 16)
    late = forgotten._replace(retried=(write.operation,))
    for record in (NOTHING._replace(retried=(write.operation,)), forgotten):
        with pytest.raises(Violation, match="is back"):
            check_final(story.history, 0b11, record)
    assert check_final(story.history, 0b11, late) == 1
    assert check_final(story.history, 0b10, late) == 0


def test_under_lww_the_latest_is_shown_alone() -> None:
    story = Story("lww")
    story.put(b"a", stamp=5 << 16)
    story.put(b"b", stamp=4 << 16)
    story.read(b"a", stamp=5 << 16)
    with pytest.raises(Violation, match="does not show"):
        story.read(b"b", stamp=4 << 16)
    with pytest.raises(Violation, match="shows siblings"):
        story.read(b"a", b"b", stamp=5 << 16)


def test_under_lww_what_was_read_is_replaced_whatever_the_clock_says() -> None:
    story = Story("lww")
    context = story.put(b"a", stamp=9 << 16)
    story.put(b"b", context, stamp=4 << 16)
    story.read(b"b", stamp=(9 << 16) + 1)
    with pytest.raises(Violation, match="replaced by"):
        story.read(b"a", stamp=9 << 16)
