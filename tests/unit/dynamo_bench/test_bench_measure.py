"""What a closed loop measured, and the shape in which it is printed."""

import asyncio
from collections import Counter

import pytest

from dynamo.errors import Code, Failure, Overloaded
from dynamo_bench.in_flight import for_each
from dynamo_bench.measure import closed_loop, figures


def test_percentiles_are_those_of_the_latencies() -> None:
    found = figures([n / 1000 for n in range(1, 1001)], 2.0, Counter())
    assert found.ops_per_s == 500
    assert found.p50_ms == pytest.approx(500, rel=0.001)
    assert found.p99_ms == pytest.approx(990, rel=0.001)
    assert found.p999_ms == pytest.approx(999, rel=0.001)


def test_json_has_what_scripts_rely_on() -> None:
    json = figures([0.001, 0.002], 1.0, Counter({"overloaded": 3})).as_json()
    assert json["ops_per_s"] == 2.0
    assert json["errors"] == {"overloaded": 3}
    assert {"p50_ms", "p99_ms", "p999_ms"} <= set(json)


def test_nothing_measured_is_zero() -> None:
    assert figures([], 0.0, Counter()).as_json()["ops_per_s"] == 0.0


async def test_every_worker_runs_and_failures_count_by_kind() -> None:
    done: Counter[str] = Counter()

    async def good() -> None:
        done["good"] += 1
        await asyncio.sleep(0)

    async def bad() -> None:
        done["bad"] += 1
        raise Overloaded(Failure(Code.OVERLOADED))

    found = await closed_loop([good, good, bad], 0.02)
    assert found.operations == done["good"] > 0
    assert found.errors == {"overloaded": done["bad"]}


async def test_a_defect_in_the_bench_is_an_error_too() -> None:
    async def broken() -> None:
        raise KeyError("k")

    found = await closed_loop([broken], 0.001)
    assert set(found.errors) == {"KeyError"}


async def test_for_each_keeps_the_bound_and_raises_the_first_error_itself() -> None:
    running, most = 0, 0

    async def do(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if number == 50:
            raise ValueError("fifty")

    await for_each(range(50), do, in_flight=7)
    assert most == 7
    with pytest.raises(ValueError, match="fifty"):
        await for_each(range(100), do, in_flight=7)
