"""Chance that follows from a seed."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dynamo.membership.dice import Dice


@given(st.integers(), st.integers(1, 1000))
def test_the_same_seed_makes_the_same_choices(seed: int, bound: int) -> None:
    one, other = Dice(seed), Dice(seed)
    rolls = [one.below(bound) for _ in range(20)]
    assert rolls == [other.below(bound) for _ in range(20)]
    assert all(0 <= roll < bound for roll in rolls)


def test_every_choice_is_about_as_likely() -> None:
    dice = Dice(1)
    counts = Counter(dice.below(10) for _ in range(10_000))
    assert len(counts) == 10
    assert 850 < min(counts.values()) <= max(counts.values()) < 1150


def test_neighbouring_seeds_do_not_choose_alike() -> None:
    firsts = {Dice(seed).below(1 << 32) for seed in range(100)}
    assert len(firsts) == 100


@given(st.lists(st.integers(), unique=True), st.integers(0, 5))
def test_some_of_them_are_different_ones(choices: list[int], count: int) -> None:
    some = Dice(3).some_of(choices, count)
    assert len(some) == len(set(some)) == min(count, len(choices))
    assert set(some) <= set(choices)
