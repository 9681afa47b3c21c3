"""Each verdict can be yes, and can be no."""

from collections import Counter

import pytest

from dynamo_bench.chaos.faults import Happened
from dynamo_bench.chaos.items import Found
from dynamo_bench.chaos.judging import Judgement
from dynamo_bench.chaos.members import Change
from dynamo_bench.chaos.schedule import Fault
from dynamo_bench.chaos.verdicts import End, Verdict, verdicts
from dynamo_bench.chaos.windows import Around, Fates, Measured, Window
from dynamo_bench.measure import Figures

GOOD = Judgement(100, 50, 20, 60, [], 0)
WELL = End(0, 0, 0, 0, 3.0, [0, 0, 0])
NONE_FAILED = Fates(9, Counter(), Counter(), Counter())


def measured(begins: float, p99_ms: float, failed: int = 0, seconds: float = 5.0) -> Window:
    errors = {"overloaded": failed} if failed else {}
    return Window(begins, begins + seconds, Figures(100, seconds, 1.0, p99_ms, p99_ms, errors))


def killed(during: list[Window], kind: str = "kill") -> Around:
    happened = Happened(Fault(kind, "n2", 10, 12, 0), 10, 22)
    return Around(happened, 10, 22, measured(5, 8.0), during, measured(22, 8.0), 1.0)


def one(claim: str, found: list[Verdict]) -> Verdict:
    (verdict,) = [each for each in found if claim in each.claim]
    return verdict


FINE = killed([measured(10, 300.0), measured(15, 15.0)])


def test_all_is_well() -> None:
    found = verdicts(GOOD, [FINE, killed([], "wipe")], NONE_FAILED, WELL)
    assert [verdict.holds for verdict in found] == [True] * 8


@pytest.mark.parametrize(
    ("claim", "judgement", "fault", "end"),
    [
        ("nothing acknowledged", GOOD._replace(violations=["k1 is lost"]), FINE, WELL),
        ("can be asked", GOOD, FINE, WELL._replace(unknown=1)),
        ("become alike", GOOD, FINE, WELL._replace(alike_after_s=None, differing=3)),
        ("hints are handed over", GOOD, FINE, WELL._replace(hints=2)),
        ("every item", GOOD, FINE, WELL._replace(items=Found(50, 49, ["ledger/i7 is not there"]))),
        ("lost its disk", GOOD._replace(denied_what_was_there=1), killed([], "wipe"), WELL),
        ("kill n2 under load", GOOD, killed([measured(10, 9.0, failed=1)]), WELL),
        ("kill n2 under load", GOOD, killed([measured(10, 9.0), measured(15, 17.0)]), WELL),
        ("stop cleanly", GOOD, FINE, WELL._replace(statuses=[0, -9, 0])),
    ],
)
def test_what_is_broken_is_a_no(claim: str, judgement: Judgement, fault: Around, end: End) -> None:
    assert one(claim, verdicts(judgement, [fault], NONE_FAILED, end)).holds is False


def test_the_first_seconds_of_a_death_may_be_slow() -> None:
    assert one("kill n2", verdicts(GOOD, [FINE], NONE_FAILED, WELL)).holds is True


def test_a_run_too_short_to_tell_says_so() -> None:
    short = killed([measured(10, 300.0, seconds=4.0)])
    assert one("kill n2", verdicts(GOOD, [short], NONE_FAILED, WELL)).holds is None
    unwatched = GOOD._replace(watched=0)
    assert (
        one("lost its disk", verdicts(unwatched, [killed([], "wipe")], NONE_FAILED, WELL)).holds
        is None
    )


def test_an_operation_that_failed_is_a_no_unless_all_nodes_were_dead() -> None:
    def available(fates: Fates) -> Verdict:
        return one("no operation fails", verdicts(GOOD, [], fates, WELL))

    assert (
        available(Fates(9, Counter(), Counter({"quorum not reached": 7}), Counter())).holds is True
    )
    refused = available(Fates(9, Counter({"overloaded": 48}), Counter(), Counter()))
    assert (refused.holds, refused.because) == (False, "48 failed (overloaded: 48)")


def test_replicas_that_say_nothing_at_the_end_have_not_shown_that_nothing_is_lost() -> None:
    silent = WELL._replace(silent=3, alike_after_s=None)
    assert one("nothing acknowledged", verdicts(GOOD, [], NONE_FAILED, silent)).holds is None
    unheard = silent._replace(unheard=1)
    assert one("nothing acknowledged", verdicts(GOOD, [], NONE_FAILED, unheard)).holds is False
    lost = GOOD._replace(violations=["k1 is lost"])
    assert one("nothing acknowledged", verdicts(lost, [], NONE_FAILED, silent)).holds is False


def test_the_seconds_in_which_it_starts_again_are_not_those_of_its_death() -> None:
    starting = [measured(10, 300.0), measured(15, 9.0), measured(20, 90.0)]
    assert one("kill n2", verdicts(GOOD, [killed(starting)], NONE_FAILED, WELL)).holds is True


def test_a_node_that_does_not_say_what_it_keeps_has_not_shown_that_it_keeps_nothing() -> None:
    silent = WELL._replace(hints=None)
    assert one("hints are handed over", verdicts(GOOD, [], NONE_FAILED, silent)).holds is None


def test_items_that_nobody_touched_are_all_there_or_the_missing_are_named() -> None:
    def untouched(items: Found) -> Verdict:
        return one("every item", verdicts(GOOD, [], NONE_FAILED, WELL._replace(items=items)))

    assert untouched(Found(50_000, 50_000, [])).holds is True
    missing = untouched(Found(50_000, 49_999, ["ledger/i7 is not there"]))
    assert missing.holds is False
    assert "49,999 of 50,000" in missing.because
    assert "ledger/i7 is not there" in missing.because


def test_two_dead_nodes_are_no_reason_for_a_sloppy_put_to_fail() -> None:
    def goes_on(succeeded: int, failed: int) -> Verdict:
        happened = Happened(Fault("two", "n2", 10, 12, 0, "n4"), 10, 22)
        fault = killed([measured(10, 9.0)])._replace(happened=happened, sloppy=(succeeded, failed))
        return one("kill n2 and n4", verdicts(GOOD, [fault], NONE_FAILED, WELL))

    assert goes_on(100, 0).holds is True
    assert goes_on(100, 1).holds is False
    assert goes_on(0, 0).holds is None


JOINED = Change("join n4", 10.0, 14.0, 128, {"n4": 128}, {"n4": 128}, 128)
LEFT = Change("leave n1", 16.0, 19.0, 128, {"n4": 128}, {}, 128)


def walked(*changes: Change, failed: int = 0, was_under_load: bool = True) -> list[Verdict]:
    happened = Happened(Fault("members", "n1", 10, 20, 0, "", ("n4",), ("n1",)), 9, 20)
    fault = killed([measured(10, 9.0, failed)])._replace(
        happened=happened,
        changes=[Measured(change, measured(10, 9.0), was_under_load) for change in changes],
    )
    return verdicts(GOOD, [fault], NONE_FAILED, WELL)


def test_members_come_and_go_and_nothing_fails() -> None:
    fine = one("every change ends", walked(JOINED, LEFT))
    assert (fine.holds, fine.because) == (True, "2 changes in 9.0 s, nothing failed")
    assert one("every change ends", walked(JOINED, LEFT, failed=1)).holds is False
    idle = one("every change ends", walked(JOINED, LEFT, was_under_load=False))
    assert idle.holds is None


def test_a_change_that_does_not_end_is_a_no() -> None:
    stuck = one("every change ends", walked(JOINED, LEFT._replace(failure="busy: not now")))
    assert (stuck.holds, stuck.because) == (
        False,
        "1 of 2 changes came to their end; busy: not now",
    )
    assert one("every change ends", walked(JOINED)).holds is False


def test_what_moves_is_the_plans_and_no_more() -> None:
    fine = one("moves what was planned", walked(JOINED, LEFT))
    assert (fine.holds, fine.because) == (True, "256 copies of partitions in 2 changes")
    more = LEFT._replace(gained={"n4": 128, "n2": 1})
    wrong = one("moves what was planned", walked(JOINED, more))
    assert wrong.holds is False
    assert "leave n1 was planned to move 128" in wrong.because
    assert "differ by 129" in wrong.because
    assert one("moves what was planned", walked()).holds is None
