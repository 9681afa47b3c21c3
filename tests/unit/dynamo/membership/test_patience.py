"""How long an answer may take, after what earlier ones took."""

from hypothesis import given
from hypothesis import strategies as st

from dynamo.membership.patience import Patience


def taught(*answers: float, least: float = 10.0, most: float = 1000.0) -> Patience:
    patience = Patience(least, most)
    for took in answers:
        patience.learn(took)
    return patience


def test_whoever_is_unknown_is_given_the_most() -> None:
    assert taught().ms() == 1000.0


def test_even_answers_shrink_it_to_the_least() -> None:
    assert taught(*[1.0] * 50).ms() == 10.0


def test_it_grows_with_how_much_answers_differ() -> None:
    steady, unsteady = taught(*[50.0] * 40), taught(*[20.0, 80.0] * 20)
    assert steady.ms() < 60.0
    assert 150.0 < unsteady.ms() < 300.0


def test_one_late_answer_earns_time_that_fades() -> None:
    patience = taught(*[1.0] * 50, 500.0)
    after = patience.ms()
    assert after > 500.0, "the same pause would not be blamed again"
    for _ in range(30):
        patience.learn(1.0)
    assert patience.ms() < after / 4


@given(st.lists(st.floats(0, 1e9), max_size=30))
def test_it_stays_within_its_bounds(answers: list[float]) -> None:
    assert 10.0 <= taught(*answers).ms() <= 1000.0
