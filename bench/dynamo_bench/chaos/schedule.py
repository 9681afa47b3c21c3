"""Which fault, when, on which node: drawn from the seed before anything begins.

    calm ██ kill n2 ██ calm ██ one-way n1 ██ calm ██ wipe n3 ██ calm …     one fault at a time

One node at a time is hurt (or one zone), so that of three copies two are well and nothing need
fail; only `crash` takes all at once. Between two faults there is calm in which the cluster must
become whole again. `kill` comes first, the rest in the seed's order, again and again for as long as
the load lasts.
"""

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

KINDS = (
    *("kill", "stop", "partition", "one-way", "flapping"),
    *("slow", "full", "wipe", "crash", "zone"),
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
"""
TAKES_ALL = "crash"
"""The kind that hurts all copies of a key, so that operations may fail meanwhile."""
ZONES = 3

CALM_S = 5.0
"""Before the first fault and after each: a figure's window has so much. In a short run less."""
LASTS_S = {"kill": 12.0, "zone": 12.0, "wipe": 4.0, "crash": 1.0}
"""The other kinds last `OTHERS_S`. `kill`: two whole windows after the first five seconds."""
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

    def sentence(self) -> str:
        """For people."""
        until = self.at_s + self.lasts_s
        return f"{self.at_s:6.1f} s to {until:6.1f} s  {self.name}{self.detail}"

    @property
    def name(self) -> str:
        """What happens to whom."""
        if self.kind == TAKES_ALL:
            return f"{self.kind} of all"
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
    """The schedule of a seed. Raises ValueError for a kind that is none."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"no such fault: {', '.join(unknown) or 'none'}; {', '.join(KINDS)}")
    rng = Random(seed)
    shrunk = max(SHRINK_MIN, min(1.0, seconds / length_s(kinds)))
    calm_s = CALM_S * shrunk
    full = rng.choice(nodes)
    faults: list[Fault] = []
    at_s = calm_s * FIRST_CALM
    for kind in _endless(rng, kinds):
        lasts_s = LASTS_S.get(kind, OTHERS_S) * shrunk
        if at_s + lasts_s + calm_s > seconds + ROUNDING_S:
            break
        node = full if kind == "full" else rng.choice(nodes)
        faults.append(Fault(kind, node, round(at_s, 1), round(lasts_s, 1), rng.randrange(1 << 16)))
        at_s += lasts_s + calm_s
    return Schedule(seed, seconds, calm_s, tuple(faults))


def usual(nodes: int) -> tuple[str, ...]:
    """All kinds, unless a zone is the same as a node."""
    return KINDS if nodes > ZONES else tuple(kind for kind in KINDS if kind != "zone")


def length_s(kinds: Iterable[str]) -> float:
    """What every kind takes once, with the calm around."""
    lasts_s = (LASTS_S.get(kind, OTHERS_S) for kind in set(kinds))
    return CALM_S * FIRST_CALM + sum(each_s + CALM_S for each_s in lasts_s)


def _endless(rng: Random, kinds: Sequence[str]) -> Iterator[str]:
    """Every kind once in each round; `kill` leads the first."""
    first = True
    while True:
        round_ = list(dict.fromkeys(kinds))
        rng.shuffle(round_)
        if first and "kill" in round_:
            round_.remove("kill")
            round_.insert(0, "kill")
        first = False
        yield from round_
