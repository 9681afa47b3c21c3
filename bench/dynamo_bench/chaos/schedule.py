"""Which fault, when, on which node: drawn from the seed before anything begins.

    calm ██ kill n2 ██ calm ██ one-way n1 ██ calm ██ wipe n3 ██ calm …     one fault at a time

One node at a time is hurt (or one zone), so that of three copies two are well and nothing need
fail; only `crash` takes all at once, and `two` two copies of some items. Between two faults there
is calm in which the cluster must become whole again. `kill` comes first, the rest in the seed's
order, again and again for as long as the load lasts; `members` once.

`members` hurts nobody: three nodes join, and then of each zone one leaves, perhaps one that just
came. Whoever is hurt later is one of those who stayed.
"""

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

KINDS = (
    *("kill", "stop", "partition", "one-way", "flapping"),
    *("slow", "full", "wipe", "crash", "zone", "two", "members"),
)
"""
kill       kill -9, started again at the end
stop       SIGSTOP, SIGCONT at the end
partition  the node and all other nodes do not hear each other
one-way    the node hears nobody, or nobody hears it
flapping   a partition from clients too that comes and goes, connections breaking each time
slow       everything to and from the node is late and narrow
full       the node's disk has no room beyond its reserve
wipe       kill -9 and the directory gone; started again empty
crash      kill -9 of all nodes at once; started again
zone       kill -9 of all nodes of a zone at once, started again at the end
two        kill -9 of two nodes of different zones at once, started again at the end
members    three new nodes join one after the other, then of each zone one leaves
"""
TAKES_ALL = "crash"
"""The kind that hurts all copies of a key, so that operations may fail meanwhile."""
TWO, MEMBERS = "two", "members"
ONCE = (MEMBERS,)
"""Kinds that a run has once: it is over half a minute, and needs nodes that are not there yet."""
ZONES = 3
NEWCOMERS = ZONES
"""One of each zone, so that whoever leaves leaves no zone empty."""
NODES_MIN = {TWO: 5}
"""Of two dead nodes among fewer too little is left to take writes."""

CALM_S = 5.0
"""Before the first fault and after each: a figure's window has so much. In a short run less."""
LASTS_S = {"kill": 12.0, "zone": 12.0, "two": 12.0, "wipe": 4.0, "crash": 1.0, "members": 45.0}
"""The other kinds last `OTHERS_S`. `kill`: two whole windows after the first five seconds.
`members` takes what it takes; so much is kept free for it."""
OTHERS_S = 7.0
SHRINK_MIN = 0.25
"""A run too short for every kind at full length has them shorter, but not below this share."""
FIRST_CALM = 2
"""Times `CALM_S`: the figures before the first fault are what later ones are held against."""
ROUNDING_S = 0.01


class Fault(NamedTuple):
    """One fault: what, on whom, from when to when."""

    kind: str
    node: str
    at_s: float
    lasts_s: float
    variant: int
    """Which of several ways, for the kinds that have some."""
    also: str = ""
    """Who is killed with the node, for `two`."""
    joining: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    """For `members`, in this order."""

    def sentence(self) -> str:
        """For people."""
        until = self.at_s + self.lasts_s
        return f"{self.at_s:6.1f} s to {until:6.1f} s  {self.name}{self.detail}"

    @property
    def name(self) -> str:
        """What happens to whom."""
        if self.kind == TAKES_ALL:
            return f"{self.kind} of all"
        if self.kind == TWO:
            return f"kill {self.node} and {self.also}"
        if self.kind == MEMBERS:
            return f"join {', '.join(self.joining)}, leave {', '.join(self.leaving)}"
        return f"{self.kind} of {self.node}" if self.kind == "zone" else f"{self.kind} {self.node}"

    @property
    def detail(self) -> str:
        """What the variant means."""
        if self.kind == "one-way":
            return " (hears nobody)" if self.variant % 2 else " (is heard by nobody)"
        if self.kind == "partition":
            return " (from clients too)" if self.variant % 2 else " (clients reach it)"
        return ""


class Schedule(NamedTuple):
    """All faults of a run, by time."""

    seed: int
    seconds: float
    calm_s: float
    """Between faults, at least."""
    faults: tuple[Fault, ...]

    def lines(self) -> list[str]:
        """For people, so that a run can be told and repeated."""
        return [f"seed {self.seed}, {self.seconds:g} s of load", *map(Fault.sentence, self.faults)]


def draw(seed: int, seconds: float, nodes: Sequence[str], kinds: Sequence[str]) -> Schedule:
    """The schedule of a seed. Raises ValueError for a kind that cannot be."""
    _check(kinds, len(nodes))
    rng = Random(seed)
    shrunk = max(SHRINK_MIN, min(1.0, seconds / length_s(kinds)))
    calm_s = CALM_S * shrunk
    full, members = rng.choice(nodes), list(nodes)
    faults: list[Fault] = []
    at_s = calm_s * FIRST_CALM
    for kind in _endless(rng, kinds):
        lasts_s = LASTS_S.get(kind, OTHERS_S) * shrunk
        if at_s + lasts_s + calm_s > seconds + ROUNDING_S:
            break
        node = full if kind == "full" else rng.choice(members)
        fault = Fault(kind, node, round(at_s, 1), round(lasts_s, 1), rng.randrange(1 << 16))
        if kind == TWO:
            fault = fault._replace(also=_of_another_zone(rng, node, members))
        elif kind == MEMBERS:
            joining = newcomers(len(nodes))
            fault = fault._replace(joining=joining, leaving=_leaving(rng, [*nodes, *joining], full))
            members = [each for each in (*nodes, *joining) if each not in fault.leaving]
        faults.append(fault)
        at_s += lasts_s + calm_s
    return Schedule(seed, seconds, calm_s, tuple(faults))


def usual(nodes: int) -> tuple[str, ...]:
    """All kinds for so many nodes: a zone must be more than a node."""
    least = {"zone": ZONES + 1, **NODES_MIN}
    return tuple(kind for kind in KINDS if nodes >= least.get(kind, 0))


def named(nodes: int) -> list[str]:
    """The nodes of a cluster of so many."""
    return [f"n{number}" for number in range(1, nodes + 1)]


def newcomers(nodes: int) -> tuple[str, ...]:
    """Who joins a cluster of so many."""
    return tuple(named(nodes + NEWCOMERS)[nodes:])


def zone_of(name: str) -> str:
    """Where a node stands: the zones take turns."""
    return f"z{(int(name[1:]) - 1) % ZONES + 1}"


def length_s(kinds: Iterable[str]) -> float:
    """What every kind takes once, with the calm around."""
    lasts_s = (LASTS_S.get(kind, OTHERS_S) for kind in set(kinds))
    return CALM_S * FIRST_CALM + sum(each_s + CALM_S for each_s in lasts_s)


def _endless(rng: Random, kinds: Sequence[str]) -> Iterator[str]:
    """Every kind once in each round; `kill` leads the first."""
    first = True
    while True:
        round_ = [kind for kind in dict.fromkeys(kinds) if first or kind not in ONCE]
        if not round_:
            return
        rng.shuffle(round_)
        if first and "kill" in round_:
            round_.remove("kill")
            round_.insert(0, "kill")
        first = False
        yield from round_


def _check(kinds: Sequence[str], nodes: int) -> None:
    """Raise ValueError unless these kinds can be done to so many nodes."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"no such fault: {', '.join(unknown) or 'none'}; {', '.join(KINDS)}")
    for kind in kinds:
        if nodes < NODES_MIN.get(kind, 0):
            raise ValueError(f"{kind} needs {NODES_MIN[kind]} nodes or more, not {nodes}")


def _of_another_zone(rng: Random, node: str, members: Sequence[str]) -> str:
    """Items have copies in each zone, so that some lose two of them."""
    return rng.choice([other for other in members if zone_of(other) != zone_of(node)])


def _leaving(rng: Random, everyone: Sequence[str], full: str) -> tuple[str, ...]:
    """Of each zone one, in any order; not the node that has the small disk."""
    zones = sorted({zone_of(name) for name in everyone})
    found = [
        rng.choice([name for name in everyone if zone_of(name) == zone and name != full])
        for zone in zones
    ]
    rng.shuffle(found)
    return tuple(found)
