"""The cheapest flow against graphs small enough to solve by hand, and against brute force."""

from itertools import permutations
from random import Random

from dynamo.ring.flow import Network


def test_the_cheap_path_is_filled_before_the_dear_one() -> None:
    net = Network()
    source, cheap, dear, sink = (net.add_node() for _ in range(4))
    net.add_arc(source, cheap, 2)
    net.add_arc(source, dear, 2)
    via_cheap = net.add_arc(cheap, sink, 2, 1)
    via_dear = net.add_arc(dear, sink, 1, 5)
    assert net.fill(source, sink) == 3
    assert (net.flow(via_cheap), net.flow(via_dear)) == (2, 1)


def test_an_earlier_choice_is_taken_back_when_a_later_one_needs_it() -> None:
    net = Network()
    source, one, two, left, right, sink = (net.add_node() for _ in range(6))
    for worker in (one, two):
        net.add_arc(source, worker, 1)
    for job in (left, right):
        net.add_arc(job, sink, 1)
    one_left = net.add_arc(one, left, 1, 1)
    one_right = net.add_arc(one, right, 1, 2)
    two_left = net.add_arc(two, left, 1, 4)
    assert net.fill(source, sink) == 2
    assert [net.flow(arc) for arc in (one_left, one_right, two_left)] == [0, 1, 1]


def test_a_sink_out_of_reach_gets_nothing() -> None:
    net = Network()
    source, sink = net.add_node(), net.add_node()
    assert net.fill(source, sink) == 0


def test_assignments_cost_what_brute_force_finds() -> None:
    random = Random(1)
    for _ in range(50):
        costs = [[random.randrange(10) for _ in range(4)] for _ in range(4)]
        best = min(sum(costs[i][j] for i, j in enumerate(p)) for p in permutations(range(4)))
        assert _assignment_cost(costs) == best


def _assignment_cost(costs: list[list[int]]) -> int:
    net = Network()
    source, sink = net.add_node(), net.add_node()
    workers = [net.add_node() for _ in costs]
    jobs = [net.add_node() for _ in costs]
    for worker, job in zip(workers, jobs, strict=True):
        net.add_arc(source, worker, 1)
        net.add_arc(job, sink, 1)
    arcs = {
        net.add_arc(workers[i], jobs[j], 1, cost): cost
        for i, row in enumerate(costs)
        for j, cost in enumerate(row)
    }
    assert net.fill(source, sink) == len(costs)
    return sum(cost * net.flow(arc) for arc, cost in arcs.items())
