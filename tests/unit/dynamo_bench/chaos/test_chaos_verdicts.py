"""Each verdict can be yes, and can be no."""

from collections import Counter

import pytest

from dynamo_bench.chaos.faults import Happened
from dynamo_bench.chaos.judging import Judgement
from dynamo_bench.chaos.schedule import Fault
from dynamo_bench.chaos.verdicts import End, Verdict, verdicts
from dynamo_bench.chaos.windows import Around, Fates, Window
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
    assert [verdict.holds for verdict in found] == [True] * 7


@pytest.mark.parametrize(
    ("claim", "judgement", "fault", "end"),
    [
        ("nothing acknowledged", GOOD._replace(violations=["k1 is lost"]), FINE, WELL),
        ("can be asked", GOOD, FINE, WELL._replace(unknown=1)),
        ("become alike", GOOD, FINE, WELL._replace(alike_after_s=None, differing=3)),
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
