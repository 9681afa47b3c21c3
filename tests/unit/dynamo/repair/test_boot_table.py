"""One test per row of the table in `dynamo.repair.boot`, and what follows from it."""

import msgpack
import pytest

from dynamo.coordination.identity import Identity
from dynamo.repair.boot import IDENTITY, ROLLED_BACK, Boot, Found, boot
from dynamo.repair.rebuild import MISSING, decode_partitions, encode_partitions
from dynamo.types import NodeId, PartitionId

MINE = tuple(PartitionId(number) for number in (0, 3, 7))
ALL = frozenset(MINE)
BIRTH_MS, NOW_MS = 1_700_000_000_000, 1_700_000_100_000

FIRST = boot(Found(True, True, False, None, None, False), MINE, True, BIRTH_MS)


def found(
    before: Boot = FIRST,
    *,
    fresh: bool = False,
    clean: bool = False,
    damaged: bool = False,
    rolled_back: bool = False,
) -> Found:
    """What a store finds after that start."""
    meta = before.meta()
    return Found(fresh, clean, damaged, meta[IDENTITY], meta[MISSING], rolled_back)


def test_a_new_directory_at_bootstrap_counts_at_once() -> None:
    assert len(FIRST.incarnation) == 9
    assert FIRST[1:4] == (1, 0, frozenset())


def test_a_new_directory_later_rebuilds_everything() -> None:
    made = boot(Found(True, True, False, None, None, False), MINE, False, NOW_MS)
    assert made.incarnation > FIRST.incarnation
    assert made[1:4] == (1, 0, ALL)


@pytest.mark.parametrize("cause", ["damaged", "rolled_back"])
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_a_damaged_or_old_disk_is_a_new_life_that_rebuilds(
    cause: str, clean: bool, bootstrap: bool
) -> None:
    made = boot(found(clean=clean, **{cause: True}), MINE, bootstrap, NOW_MS)
    assert made.incarnation > FIRST.incarnation
    assert made[1:4] == (2, 0, ALL)


def test_an_unclean_stop_may_have_forgotten_all_up_to_here() -> None:
    assert boot(found(), MINE, False, NOW_MS)[:4] == (FIRST.incarnation, 2, 2, frozenset())


def test_a_clean_stop_forgets_no_more_than_before() -> None:
    unclean = boot(found(), MINE, False, NOW_MS)
    clean = boot(found(unclean, clean=True), MINE, False, NOW_MS)
    assert clean[:4] == (FIRST.incarnation, 3, 2, frozenset())
    assert boot(found(clean=True), MINE, False, NOW_MS).unclean_epoch == 0


def test_a_store_without_an_identity_is_a_new_life() -> None:
    """It was cut off before its first start was durable: nothing was said under that name."""
    made = boot(Found(False, False, False, None, None, False), MINE, False, NOW_MS)
    assert made[1:4] == (1, 0, ALL)


@pytest.mark.parametrize("clean", [True, False])
def test_an_unfinished_rebuild_goes_on(clean: bool) -> None:
    new = boot(Found(True, True, False, None, None, False), MINE, False, NOW_MS)
    partly = new._replace(missing=frozenset({PartitionId(3)}))
    assert boot(found(partly, clean=clean), MINE, False, NOW_MS).missing == {PartitionId(3)}


def test_the_number_rises_with_every_start_and_no_two_starts_share_one() -> None:
    starts, made = [FIRST], FIRST
    for number in range(3):
        made = boot(found(made, clean=bool(number)), MINE, False, NOW_MS - number)
        starts.append(made)
    starts.append(boot(found(made, damaged=True), MINE, False, NOW_MS))
    numbers = [each.number for each in starts]
    assert numbers == sorted(set(numbers))
    again = boot(found(starts[-2], damaged=True), MINE, False, NOW_MS + 1)
    assert again.number != starts[-1].number, "an old copy that starts like the disk it replaced"


def test_no_dot_of_one_start_is_issued_by_another() -> None:
    one = boot(found(), MINE, False, NOW_MS)
    other = boot(found(one), MINE, False, NOW_MS)
    assert highest(one) < lowest(other)
    assert identity(other).forgotten_up_to(PartitionId(0)) >= highest(one)


def test_what_is_durable_says_the_same_again() -> None:
    made = boot(found(damaged=True), MINE, False, NOW_MS)
    meta = made.meta()
    assert msgpack.unpackb(meta[IDENTITY]) == [made.incarnation, 2, 0]
    assert decode_partitions(meta[MISSING]) == ALL
    assert meta[ROLLED_BACK] == b"", "a rolled back disk is one no more"
    assert decode_partitions(encode_partitions(())) == frozenset()


def identity(made: Boot) -> Identity:
    return Identity(NodeId("n1"), made.incarnation, made.epoch, made.unclean_epoch, 8)


def lowest(made: Boot) -> int:
    return identity(made).next_dot(PartitionId(3)).counter


def highest(made: Boot) -> int:
    """After a million writes."""
    return lowest(made) + 1_000_000
