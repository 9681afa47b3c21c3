"""Carts and sessions are join semilattices; a cart keeps every addition that no change saw.

The naive oracle keeps every change ever made with the set of changes that its author had seen.
"""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from dynamo_shop.cart import (
    EMPTY,
    Cart,
    Mark,
    added,
    as_value,
    from_value,
    line_removed,
    lines,
    merged,
    quantity_set,
)
from dynamo_shop.session import Session, State, revoked, touched
from dynamo_shop.session import merged as merged_sessions

IDS = st.sampled_from([f"r{i}" for i in range(6)])
PRODUCTS = st.sampled_from(["apple", "pear"])
MARKS = st.builds(Mark, PRODUCTS, st.integers(1, 9), st.booleans(), st.integers(0, 5))
SITES = 3


@st.composite
def any_cart(draw: st.DrawFn) -> Cart:
    removed = draw(st.dictionaries(IDS, st.integers(0, 9)))
    marks = draw(st.dictionaries(IDS, MARKS))
    return Cart({id: mark for id, mark in marks.items() if id not in removed}, removed)


SESSIONS = st.builds(
    Session,
    st.sampled_from(["alice", "bob"]),
    st.integers(0, 9),
    st.integers(1, 9),
    st.integers(0, 99),
    st.booleans(),
)


@given(any_cart(), any_cart(), any_cart())
def test_carts_are_a_semilattice(a: Cart, b: Cart, c: Cart) -> None:
    assert a.merged(b) == b.merged(a)
    assert a.merged(b).merged(c) == a.merged(b.merged(c))
    assert a.merged(a) == a == a.merged(EMPTY)
    assert a.merged(b).merged(a) == a.merged(b)
    assert not set(a.merged(b).marks) & set(a.merged(b).removed)


@given(any_cart(), any_cart())
def test_a_cart_reads_back_and_shows_the_same_lines_in_any_order(a: Cart, b: Cart) -> None:
    assert from_value(as_value(a)) == a
    assert lines(a.merged(b)) == lines(b.merged(a))


@given(SESSIONS, SESSIONS, SESSIONS)
def test_sessions_are_a_semilattice(a: Session, b: Session, c: Session) -> None:
    assert a.merged(b) == b.merged(a)
    assert a.merged(b).merged(c) == a.merged(b.merged(c))
    assert a.merged(a) == a


@given(SESSIONS, st.lists(SESSIONS, max_size=4), st.data())
def test_a_revoked_session_stays_so_whatever_is_merged(
    session: Session, others: list[Session], data: st.DataObject
) -> None:
    order = data.draw(st.permutations([revoked(session), *others]))
    assert merged_sessions(order).state(0) is State.REVOKED


@given(SESSIONS, st.integers(0, 99), st.integers(0, 99))
def test_no_touch_is_lost(session: Session, here_ms: int, there_ms: int) -> None:
    session = session._replace(revoked=False, expires_ms=100)
    here, there = touched(session, here_ms), touched(session, there_ms)
    both = here.merged(there)
    assert both.expires_ms == max(here.expires_ms, there.expires_ms) >= session.expires_ms


class Change(NamedTuple):
    """One change of the oracle's; its stamp is its number."""

    kind: str
    product_id: str
    quantity: int


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "set", "remove", "retry", "sync"]),
        st.integers(0, SITES - 1),
        PRODUCTS,
        st.integers(1, 9),
        st.integers(0, 99),
    ),
    max_size=25,
)


class History:
    """Sites that change and merge carts, beside the sets of what each has seen."""

    def __init__(self) -> None:
        self.carts = [EMPTY] * SITES
        self.seen: list[set[int]] = [set() for _ in range(SITES)]
        self.changes: list[Change] = []
        self.over: set[int] = set()
        """Changes that a removal or a set of their line saw."""

    def step(self, kind: str, site: int, product_id: str, quantity: int, which: int) -> None:
        if kind == "sync":
            other = which % SITES
            self.carts[site] = self.carts[site].merged(self.carts[other])
            self.seen[site] |= self.seen[other]
        elif kind == "retry":
            if self.changes:
                self.make(which % len(self.changes), site)
        else:
            self.changes.append(Change(kind, product_id, quantity))
            self.make(len(self.changes) - 1, site)

    def make(self, number: int, site: int) -> None:
        """A change reaches a site, for the first time or again."""
        kind, product_id, quantity = self.changes[number]
        cart, request_id = self.carts[site], f"r{number}"
        if kind == "remove":
            self.carts[site] = line_removed(cart, product_id, request_id, number)
        else:
            alter = added if kind == "add" else quantity_set
            self.carts[site] = alter(cart, product_id, quantity, request_id, number)
        seen = self.seen[site]
        if number not in seen and kind != "add":
            self.over |= {seen_one for seen_one in seen if self.is_of(seen_one, product_id)}
        seen.add(number)

    def is_of(self, number: int, product_id: str) -> bool:
        return self.changes[number].product_id == product_id

    def wanted(self) -> list[tuple[str, int]]:
        """The lines once everybody has heard of everything."""
        found: dict[str, int] = {}
        for product_id in ("apple", "pear"):
            live = [
                (n, change)
                for n, change in enumerate(self.changes)
                if n not in self.over and change.product_id == product_id
            ]
            total = sum(change.quantity for _, change in live if change.kind == "add")
            sets = [change.quantity for _, change in live if change.kind == "set"]
            if total + sum(sets[-1:]):
                found[product_id] = total + sum(sets[-1:])
        return sorted(found.items())


@given(STEPS)
def test_nothing_added_is_lost_or_counted_twice(
    steps: list[tuple[str, int, str, int, int]],
) -> None:
    history = History()
    for step in steps:
        history.step(*step)
    assert lines(merged(history.carts)) == history.wanted()
