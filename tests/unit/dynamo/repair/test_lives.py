"""What peers remember of a node's starts, and which starts are those of an old copy of its disk."""

from dynamo.repair.lives import FORMER_MAX, Lives, decode_lives, encode_lives, start_number
from dynamo.repair.lives import met as met_number

NOW_MS = 1_700_000_000_000


def met(known: Lives | None, incarnation: str, epoch: int, wall_ms: int = NOW_MS) -> Lives | None:
    """By epochs."""
    return met_number(known, incarnation, start_number(epoch, wall_ms))


def after(incarnation: str, epoch: int, former: tuple[str, ...] = ()) -> Lives:
    return Lives(incarnation, start_number(epoch, NOW_MS), former)


def lives(*starts: tuple[str, int]) -> Lives:
    """A peer's memory after these starts."""
    known = None
    for incarnation, number in starts:
        known = met(known, incarnation, number)
        assert known is not None
    assert known is not None
    return known


def test_starts_of_one_disk_rise() -> None:
    assert lives(("a", 1), ("a", 2)) == after("a", 2)
    assert lives(("a", 2), ("a", 2)) == after("a", 2)


def test_an_earlier_start_of_the_same_disk_is_an_old_copy() -> None:
    assert met(lives(("a", 5)), "a", 4) is None


def test_a_copy_from_before_the_last_start_is_an_old_copy_with_the_same_epoch() -> None:
    """Copied while it was down, started, written, and the copy put back: both are start 5."""
    assert met(lives(("a", 5)), "a", 5, NOW_MS + 1) is None
    assert met(lives(("a", 5)), "a", 5, NOW_MS - 1) is None
    assert met(lives(("a", 5)), "a", 6, NOW_MS - 1) is not None


def test_the_disk_that_was_replaced_is_an_old_copy_however_late_it_starts() -> None:
    assert met(lives(("a", 5), ("b", 6)), "a", 9) is None


def test_a_new_disk_is_welcome_although_its_clock_is_behind() -> None:
    """The simulator's seed 285: two disks lost, and the clock set back before the second."""
    known = lives(("b", 900))
    assert met(known, "a", 100) == after("a", 100, ("b",))


def test_only_so_many_lost_disks_are_remembered() -> None:
    known = lives(*((f"life {n}", n) for n in range(FORMER_MAX + 5)))
    assert len(known.former) == FORMER_MAX
    assert not known.shows_old_copy("life 0", 1)
    assert known.shows_old_copy("life 10", 1)


def test_lives_come_back_from_their_bytes() -> None:
    known = {"n1": Lives("a", 1), "n2": lives(("a", 1), ("b", 2))}
    assert decode_lives(encode_lives(known)) == known
    assert decode_lives(None) == {}
