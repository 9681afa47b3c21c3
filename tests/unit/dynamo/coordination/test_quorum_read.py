"""One quorum read as verbs: who counts, when it is enough, who is behind."""

import pytest

from dynamo.coordination.reading import Read
from dynamo.errors import CorruptData
from dynamo.siblings.codec import DIGEST_BYTES, encode_record
from dynamo.siblings.record import (
    NOTHING,
    UNSEEN,
    Record,
    Value,
    Window,
    operation_id,
    seen_by_reader,
    written,
)
from dynamo.types import Actor, NodeId, Stamp

WINDOW = Window(64, 10_000)
N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")


def wrote(record: Record, name: str, counter: int, *, blind: bool = False) -> Record:
    stamp = 1000 + counter << 16
    operation = operation_id(stamp, ord(name), counter)
    value = Value(Actor(name), counter, Stamp(stamp), operation, f"{name}{counter}".encode())
    seen = UNSEEN if blind else seen_by_reader(record)
    return written(record, seen, value, "siblings", WINDOW)


OLD = wrote(NOTHING, "a", 1)
NEW = wrote(OLD, "a", 2)
BESIDE = wrote(OLD, "b", 1)


def asked(needed: int, *nodes: NodeId) -> Read:
    read = Read(needed)
    for node in nodes:
        read.ask(node)
    return read


def test_the_answer_that_completes_the_quorum_says_so_once() -> None:
    read = asked(2, N1, N2, N3)
    assert read.answer(N1, None) is False
    assert not read.reached
    assert read.answer(N2, None) is True
    assert read.reached
    assert read.answer(N3, None) is False


def test_nobody_counts_twice_or_unasked() -> None:
    read = asked(2, N1)
    read.answer(N1, None)
    assert read.answer(N1, None) is False
    assert read.answer(N2, None) is False
    assert len(read.answers) == 1


def test_a_refusal_leaves_the_read_short() -> None:
    read = asked(2, N1, N2)
    assert read.short_by == 0
    assert read.refuse(N1, "rebuilding") is True
    assert read.refuse(N1, "rebuilding") is False
    assert read.short_by == 1
    assert read.causes == [(N1, "rebuilding")]
    read.ask(N3)
    assert read.short_by == 0


def test_an_answer_before_a_refusal_counts() -> None:
    read = asked(1, N1)
    read.answer(N1, None)
    assert read.refuse(N1, "link lost") is False
    assert read.reached


def digest(record: Record) -> bytes:
    return encode_record(record)[:DIGEST_BYTES]


def test_a_digest_counts_for_the_record_that_it_is_of() -> None:
    read = asked(2, N1, N2)
    assert read.answer_digest(N2, digest(NEW)) is False
    assert read.answer(N1, encode_record(NEW)) is True
    assert read.settle() == []
    assert read.reached
    assert read.answers == [(N1, encode_record(NEW)), (N2, encode_record(NEW))]


def test_nothing_has_a_digest_too() -> None:
    read = asked(2, N1, N2)
    read.answer(N1, None)
    read.answer_digest(N2, None)
    assert read.settle() == []
    assert read.reached


@pytest.mark.parametrize("other", [None, digest(OLD)], ids=["nothing", "older"])
def test_who_has_another_digest_is_waited_for_again(other: bytes | None) -> None:
    read = asked(2, N1, N2, N3)
    read.answer(N1, encode_record(NEW))
    assert read.answer_digest(N2, other) is True
    assert read.settle() == [N2]
    assert not read.reached
    assert read.pending == [N3, N2]
    assert read.short_by == -1, "two are waited for and one would do"
    assert read.answer(N2, encode_record(OLD)) is True
    assert read.merged("siblings", WINDOW).behind == (N2,)


def test_a_digest_counts_once_and_only_of_who_was_asked() -> None:
    read = asked(3, N1)
    assert read.answer_digest(N2, None) is False
    read.answer_digest(N1, None)
    assert read.answer_digest(N1, None) is False
    assert read.short_by == 2


def merged(*records: Record | None) -> tuple[set[bytes | None], list[str]]:
    nodes = [N1, N2, N3][: len(records)]
    read = asked(len(records), *nodes)
    for node, record in zip(nodes, records, strict=True):
        read.answer(node, None if record is None else encode_record(record))
    result = read.merged("siblings", WINDOW)
    return {value.payload for value in result.record.values}, sorted(result.behind)


def test_equal_answers_are_decoded_once_and_nobody_is_behind() -> None:
    assert merged(NEW, NEW, NEW) == ({b"a2"}, [])
    assert merged(None, None) == (set(), [])


def test_the_newer_wins_and_the_older_is_behind() -> None:
    assert merged(NEW, OLD, NEW) == ({b"a2"}, ["n2"])


def test_who_has_nothing_is_behind() -> None:
    assert merged(None, OLD, OLD) == ({b"a1"}, ["n1"])


def test_concurrent_records_are_joined_and_all_are_behind() -> None:
    assert merged(NEW, BESIDE, OLD) == ({b"a2", b"b1"}, ["n1", "n2", "n3"])


def test_other_bytes_for_the_same_record_are_no_difference() -> None:
    read = asked(2, N1, N2)
    two = wrote(wrote(NOTHING, "b", 1, blind=True), "a", 1, blind=True)
    vector = dict(sorted(two.history.vector.items()))
    other = two._replace(history=two.history._replace(vector=vector))
    assert encode_record(two) != encode_record(other)
    read.answer(N1, encode_record(two))
    read.answer(N2, encode_record(other))
    assert read.merged("siblings", WINDOW).behind == ()


def test_a_record_that_is_none_is_told() -> None:
    read = asked(2, N1, N2)
    read.answer(N1, encode_record(OLD))
    read.answer(N2, b"garbage!garbage!")
    with pytest.raises(CorruptData):
        read.merged("siblings", WINDOW)
