"""What every engine promises, whatever it stands on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamo.storage.engine import LogEngine
from dynamo.storage.files import OsFiles
from dynamo.storage.lmdb_table import LmdbTable
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.storage.port import Engine, EngineOptions
from dynamo.storage.tables import MemoryTable
from dynamo.testing.disk import SimulatedFiles
from dynamo.types import ItemKey

OPTIONS = EngineOptions(
    memory_bytes_max=100_000,
    segment_bytes=1 << 16,
    log_bytes_max=1 << 15,
    group_bytes_max=1 << 12,
    slice_bytes=2000,
    disk_reserve_bytes=0,
)
EVERYTHING = (ItemKey(b""), ItemKey(b"\xff" * 3000))


def on_simulated_disk(_: Path) -> Engine:
    return LogEngine(SimulatedFiles(), MemoryTable(), OPTIONS)


def on_real_disk(path: Path) -> Engine:
    return LogEngine(OsFiles(str(path)), LmdbTable(str(path / "table"), 1 << 30), OPTIONS)


def in_memory(_: Path) -> Engine:
    return MemoryEngine(OPTIONS)


ENGINES: list[Callable[[Path], Engine]] = [in_memory, on_simulated_disk, on_real_disk]


@pytest.fixture(params=ENGINES, ids=lambda make: make.__name__)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made: Engine = request.param(tmp_path)
    assert made.open().fresh
    yield made
    made.close()


def key(name: str) -> ItemKey:
    return ItemKey(name.encode())


def run_groups(engine: Engine) -> list[object]:
    tokens: list[object] = []
    while (group := engine.take_group()) is not None:
        group.run()
        tokens += engine.synced(group)
    return tokens


def run_checkpoint(engine: Engine) -> None:
    checkpoint = engine.begin_checkpoint()
    if checkpoint is not None:
        for step in checkpoint.slices():
            step()
        engine.checkpointed(checkpoint)


def test_a_put_is_visible_at_once_and_its_token_comes_back_once_durable(engine: Engine) -> None:
    engine.put(key("a"), b"1", "first")
    assert engine.get(key("a")) == b"1"
    group = engine.take_group()
    assert group is not None
    group.run()
    assert engine.synced(group) == ["first"]
    assert engine.take_group() is None


def test_writes_during_a_group_wait_for_the_next(engine: Engine) -> None:
    engine.put(key("a"), b"1", 1)
    group = engine.take_group()
    assert group is not None
    engine.put(key("a"), b"2", 2)
    engine.delete(key("b"), 3)
    assert engine.take_group() is None, "one is under way"
    group.run()
    assert engine.synced(group) == [1]
    assert run_groups(engine) == [2, 3]
    assert engine.get(key("a")) == b"2"


def test_a_group_has_a_bound_and_tokens_keep_their_order(engine: Engine) -> None:
    for number in range(50):
        engine.put(key(f"{number:03}"), bytes(1000), number)
    assert run_groups(engine) == list(range(50))


def test_an_empty_record_is_not_an_absent_one(engine: Engine) -> None:
    engine.put(key("a"), b"", 1)
    assert engine.get(key("a")) == b""
    run_groups(engine)
    run_checkpoint(engine)
    assert engine.get(key("a")) == b""
    assert engine.scan(*EVERYTHING, 9) == [(key("a"), b"")]


def test_a_removal_hides_what_lies_below(engine: Engine) -> None:
    engine.put(key("a"), b"1", 1)
    run_groups(engine)
    run_checkpoint(engine)
    engine.delete(key("a"), 2)
    assert engine.get(key("a")) is None
    assert engine.scan(*EVERYTHING, 9) == []
    run_groups(engine)
    run_checkpoint(engine)
    assert engine.get(key("a")) is None
    assert engine.scan(*EVERYTHING, 9) == []


def test_a_scan_excludes_both_bounds_and_fills_its_limit_past_removals(engine: Engine) -> None:
    for name in "abcdefgh":
        engine.put(key(name), name.encode(), name)
    run_groups(engine)
    run_checkpoint(engine)
    for name in "bcd":
        engine.delete(key(name), name)
    engine.put(key("e"), b"new", "e")
    assert engine.scan(key("a"), key("h"), 2) == [(key("e"), b"new"), (key("f"), b"f")]
    assert [k for k, _ in engine.scan(key("a"), key("h"), 9)] == [key(name) for name in "efg"]
    assert engine.scan(key("h"), key("a"), 9) == []


def test_states_of_the_node_are_apart_from_the_records(engine: Engine) -> None:
    assert engine.get_meta("boot") is None
    engine.put_meta("boot", b"7", "token")
    engine.put_meta("peers", b"")
    assert engine.get_meta("boot") == b"7"
    assert run_groups(engine) == ["token"], "a state without a token gives none back"
    run_checkpoint(engine)
    assert (engine.get_meta("boot"), engine.get_meta("peers")) == (b"7", b"")
    assert engine.get(key("boot")) is None
    assert engine.scan(*EVERYTHING, 9) == []


def test_reads_stay_right_through_every_slice_of_a_checkpoint(engine: Engine) -> None:
    for number in range(40):
        engine.put(key(f"{number:02}"), b"old" * 50, number)
    run_groups(engine)
    checkpoint = engine.begin_checkpoint()
    if checkpoint is None:
        pytest.skip("this engine has no checkpoints")
    expected = {key(f"{number:02}"): b"old" * 50 for number in range(40)}
    for number, step in enumerate(checkpoint.slices()):
        step()
        engine.put(key(f"{number:02}"), b"new", number)
        expected[key(f"{number:02}")] = b"new"
        assert dict(engine.scan(*EVERYTHING, 99)) == expected
        assert all(engine.get(each) == record for each, record in expected.items())
    engine.checkpointed(checkpoint)
    assert dict(engine.scan(*EVERYTHING, 99)) == expected
    run_groups(engine)
    run_checkpoint(engine)
    assert dict(engine.scan(*EVERYTHING, 99)) == expected


def test_full_memory_is_refused_until_a_checkpoint(engine: Engine) -> None:
    number = 0
    while engine.refusal() is None:
        engine.put(key(f"{number:05}"), bytes(1000), number)
        number += 1
    assert engine.refusal() == "memory full"
    assert 80 <= number <= 100, "the bound counts keys and records"
    run_groups(engine)
    if isinstance(engine, LogEngine):
        assert engine.checkpoint_due()
        run_checkpoint(engine)
        assert engine.refusal() is None
        assert not engine.checkpoint_due()


def test_a_clean_close_gives_back_the_tokens_that_waited(tmp_path: Path) -> None:
    for make in ENGINES:
        engine = make(tmp_path / make.__name__)
        engine.open()
        engine.put(key("a"), b"1", "a")
        engine.put_meta("boot", b"1")
        assert engine.close_clean() == ["a"]


KEYS = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.builds(lambda n, end: b"k" * n + end, st.sampled_from([508, 509, 510, 511, 1012, 2100]),
              st.binary(max_size=2)),
)  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.binary(max_size=12)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("group")),
    st.tuples(st.just("checkpoint")),
    st.tuples(st.just("scan"), KEYS, KEYS, st.integers(1, 5)),
)


@pytest.mark.slow
@pytest.mark.parametrize("make", ENGINES, ids=lambda make: make.__name__)
def test_every_engine_is_a_sorted_dict(
    make: Callable[[Path], Engine], tmp_path_factory: pytest.TempPathFactory
) -> None:
    @settings(max_examples=150, deadline=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.lists(STEPS, max_size=30))
    def check(steps: list[tuple[object, ...]]) -> None:
        engine = make(tmp_path_factory.mktemp("engine"))
        engine.open()
        expected: dict[bytes, bytes] = {}
        for step in steps:
            take(engine, expected, step)
        assert engine.scan(*EVERYTHING, 99) == sorted(expected.items())
        for name in {bytes(step[1]) for step in steps if step[0] in ("put", "delete")}:  # type: ignore[arg-type]
            record = expected.get(name)
            assert engine.get(ItemKey(name)) == record
            assert engine.head(ItemKey(name), 8) == (record and record[:8])
        engine.close()

    check()


def take(engine: Engine, expected: dict[bytes, bytes], step: tuple[object, ...]) -> None:
    match step:
        case ("put", bytes(name), bytes(record)):
            engine.put(ItemKey(name), record, 0)
            expected[name] = record
        case ("delete", bytes(name)):
            engine.delete(ItemKey(name), 0)
            expected.pop(name, None)
        case ("group",):
            run_groups(engine)
        case ("checkpoint",):
            run_groups(engine)
            run_checkpoint(engine)
        case ("scan", bytes(after), bytes(until), int(limit)):
            rows = sorted((k, v) for k, v in expected.items() if after < k < until)
            assert engine.scan(ItemKey(after), ItemKey(until), limit) == rows[:limit]
