"""Admission counts operations in and out, in all and per client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.coordination.gate import Gate
from dynamo.errors import Code, Overloaded
from dynamo.types import NodeId


def test_at_the_nodes_bound_everybody_is_refused() -> None:
    gate = Gate(3, 2)
    assert gate.enter(1) is None
    assert gate.enter(1) is None
    assert gate.enter(2) is None
    failure = gate.enter(3)
    assert failure is not None
    assert failure.code == Code.OVERLOADED
    assert failure.retry_after_ms > 0
    assert not failure.unknown, "nothing was done"
    assert isinstance(failure.error(), Overloaded)


def test_at_a_clients_bound_others_go_on() -> None:
    gate = Gate(10, 2)
    gate.enter(1)
    gate.enter(1)
    refused = gate.enter(1)
    assert refused is not None
    assert "this client" in refused.sentence()
    assert gate.enter(NodeId("n2")) is None


def test_who_leaves_makes_room() -> None:
    gate = Gate(1, 1)
    gate.enter(1)
    assert gate.enter(2) is not None
    gate.leave(1)
    assert gate.enter(2) is None


def test_leaving_without_having_entered_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        Gate(1, 1).leave(5)


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_it_holds_what_a_list_of_those_inside_holds(moves: list[tuple[bool, int]]) -> None:
    gate, inside = Gate(6, 3), list[int]()
    for enters, client in moves:
        if enters:
            admitted = gate.enter(client) is None
            assert admitted == (len(inside) < 6 and inside.count(client) < 3)
            inside += [client] * admitted
        elif client in inside:
            gate.leave(client)
            inside.remove(client)
        assert gate.inside == len(inside)
    assert len(gate._of) == len(set(inside)), "clients that are gone leave nothing behind"
