"""What a change moved is read off the rings, and who went over to which epoch is seen."""

import asyncio
from collections.abc import Iterator
from itertools import chain, pairwise, repeat
from typing import Any, cast

import pytest

from dynamo.membership.plan import Join, Leave, plan_of
from dynamo.ring import Ring
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.types import NodeId
from dynamo_bench.chaos import members
from dynamo_bench.chaos.audit import Auditor
from dynamo_bench.chaos.judging import MOMENT_S
from dynamo_bench.chaos.members import Change, Look, gained, least, moments
from dynamo_bench.chaos.operator import Refused
from dynamo_bench.chaos.schedule import zone_of

WALK = Change("join n4", 0.0, 1.0, 128, {"n4": 128}, {"n4": 128}, 128)


def node(name: str) -> Member:
    return Member(NodeId(name), name, zone_of(name), 1.0)


def ring(*names: str) -> Ring:
    return plan([node(name) for name in names], 64, 3).ring


def test_the_planner_moves_the_least_when_one_comes_and_one_goes() -> None:
    three = ring("n1", "n2", "n3")
    four = plan_of(Join(node("n4")), three)
    assert sum(gained(three, four.target).values()) == four.copies == least(three, four.target)
    assert set(gained(three, four.target)) == {"n4"}
    again = plan_of(Leave(NodeId("n1")), four.target)
    assert sum(gained(four.target, again.target).values()) == again.copies
    assert again.copies == least(four.target, again.target)


def test_a_ring_made_anew_moves_more_than_the_least() -> None:
    """The same shares, and other places."""
    three = ring("n1", "n2", "n3")
    fresh, planned = ring("n1", "n2", "n3", "n4", "n5"), three
    for name in ("n4", "n5"):
        planned = plan_of(Join(node(name)), planned).target
    moved = sum(gained(planned, fresh).values())
    assert moved > least(planned, fresh) == 0


def test_a_change_is_the_least_if_plan_rings_and_nodes_agree_on_it() -> None:
    assert WALK.is_least
    assert WALK._replace(told={}).is_least, "nobody was seen while it copied"
    assert not WALK._replace(planned=127).is_least
    assert not WALK._replace(gained={"n4": 128, "n1": 1}).is_least
    assert not WALK._replace(told={"n4": 129}).is_least
    assert not WALK._replace(told={"n1": 3, "n4": 128}).is_least
    more = {"n4": 130}
    assert not WALK._replace(planned=130, gained=more, told=more).is_least


def test_moments_leave_no_gap() -> None:
    found = moments(10.0, 11.0)
    assert (found[0], found[-1]) == (10.0, 11.0)
    assert all(0 <= after - before <= MOMENT_S + 1e-9 for before, after in pairwise(found))


class FakeAuditor:
    """Nodes that say, one look after the other, in which epoch they are."""

    def __init__(self, **epochs: list[int]) -> None:
        self._epochs: dict[str, Iterator[int]] = {
            name: chain(said, repeat(said[-1])) for name, said in epochs.items()
        }

    async def status_at(self, name: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        epoch = next(self._epochs[name])
        if not epoch:
            return {}
        copies = {"transfers": {"copied": 1, "of": 64}} if (name, epoch) == ("n2", 2) else {}
        return {"ring_epoch": epoch, **copies}


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "LOOK_S", 0)
    monkeypatch.setattr(members, "FINAL_S", 0.05)


def look_at(**epochs: list[int]) -> Look:
    look = Look(cast(Auditor, FakeAuditor(**epochs)), list(epochs), list(epochs))
    look.epoch = 1
    return look


@pytest.mark.usefixtures("looking")
async def test_a_change_is_over_when_every_member_holds_the_final_ring() -> None:
    look = look_at(n1=[1, 2, 3], n2=[1, 1, 2, 2, 3])
    await look.during(asyncio.sleep(0))
    assert look.told == {"n2": 64}
    assert len(look.moments) >= 4, "each time that somebody went over"


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("behind", [[1, 2], [1, 0]])
async def test_a_member_that_stays_behind_or_says_nothing_is_told(behind: list[int]) -> None:
    with pytest.raises(Refused, match="not every member held the final ring"):
        await look_at(n1=[1, 2, 3], n2=behind).during(asyncio.sleep(0))


@pytest.mark.usefixtures("looking")
async def test_what_the_operator_is_refused_ends_the_look() -> None:
    async def refused() -> None:
        raise Refused("busy")

    with pytest.raises(Refused, match="busy"):
        await look_at(n1=[1]).during(refused())
