"""What a seed draws before its run begins: a swarm of runs that are unlike each other.

A run in which everything may happen hides what needs many of one thing and none of another: a
queue that only fills while nobody crashes, a read that is stale only where W is N. So each seed
leaves out some kinds of faults and of operations altogether, and draws the size and the options of
its cluster (Groce and others, "Swarm Testing", 2012). One seed in four has every kind of fault.

What is drawn is a `Shape`; nothing of the run itself is.
"""

from dataclasses import replace
from random import Random

from dynamo.config import TableConfig
from dynamo.limits import Limits, NodeLimits, Timing
from dynamo.storage.port import EngineOptions
from dynamo.testing.disk_faults import LOSES_DISKS, NEEDS_FSYNC
from dynamo.testing.faults import KINDS
from dynamo.testing.scenario import DEFAULT, TABLES, TIMING, Shape
from dynamo.testing.store import OPTIONS
from dynamo.testing.workload import DEFAULT_MIX, Mix

ALL_KINDS = 0.25
"""Share of seeds with every kind of fault."""
KINDS_MIN = 4
QUORUMS = ((3, 2, 2), (3, 2, 2), (3, 1, 3), (3, 2, 3), (3, 3, 2), (2, 1, 2), (4, 3, 2), (5, 3, 3))
"""N, R, W with R + W > N, so that reads see every acknowledged write; W > 1, so that a disk may be
lost."""


def drawn(seed: int, base: Shape = DEFAULT) -> Shape:
    """The shape of a seed's run; what `base` sets otherwise than the default stays."""
    rng = Random(f"{seed} swarm")
    nodes = rng.choice((3, 3, 3, 4, 4, 6))
    interval = rng.random() < 0.1
    fresh = Shape(
        operations=base.operations,
        clients=rng.choice((8, 12, 12, 20)),
        keys=rng.choice((4, 12, 20, 20)),
        nodes=nodes,
        tracks=rng.choice((3, 3, 4, 6)),
        gap_ms=rng.choice((10.0, 20.0, 60.0, 60.0)),
        hasty=rng.choice((0.0, 0.05, 0.05, 0.3)),
        kinds=_kinds(rng, interval),
        mix=_mix(rng),
        tables=_tables(rng, nodes),
        partitions=rng.choice((32, 64)),
        limits=_limits(rng),
        node_limits=_node_limits(rng),
        timing=_timing(rng),
        options=_options(rng, interval),
    )
    kept = {
        name: value for name, value in base._asdict().items() if value != getattr(DEFAULT, name)
    }
    return fresh._replace(**kept)


def described(shape: Shape) -> str:
    """A shape in one line, for people."""
    tables = ", ".join(f"{t.name} {t.n}/{t.r}/{t.w}" for t in shape.tables)
    return (
        f"{shape.nodes} nodes, {shape.clients} clients, {shape.keys} keys, {tables}, "
        f"{shape.options.durability}; {shape.tracks} tracks of {', '.join(shape.kinds)}"
    )


def _kinds(rng: Random, interval: bool) -> tuple[str, ...]:
    """Some of the kinds, and at least three that can always go on."""
    possible = [kind for kind in KINDS if not (interval and kind in NEEDS_FSYNC)]
    if rng.random() < ALL_KINDS:
        return tuple(possible)
    share = rng.choice((0.3, 0.5, 0.8))
    chosen = [kind for kind in possible if rng.random() < share]
    steady = [kind for kind in possible if kind not in LOSES_DISKS and kind not in chosen]
    chosen += rng.sample(steady, min(len(steady), max(0, KINDS_MIN - len(chosen))))
    return tuple(chosen)


def _mix(rng: Random) -> Mix:
    """Some kinds of operations more, others less or not at all."""
    weights = [weight * rng.choice((0.0, 0.5, 1.0, 1.0, 3.0)) for weight in DEFAULT_MIX]
    weights[0] = DEFAULT_MIX.get
    return Mix(*weights)


def _tables(rng: Random, nodes: int) -> tuple[TableConfig, ...]:
    possible = [quorum for quorum in QUORUMS if quorum[0] <= nodes]
    drawn_tables = []
    for table in TABLES:
        n, r, w = rng.choice(possible)
        drawn_tables.append(replace(table, n=n, r=r, w=w))
    return tuple(drawn_tables)


def _limits(rng: Random) -> Limits:
    return Limits(
        operations_max=rng.choice((12, 64, 64)),
        retry_window_ms=rng.choice((2_000, 10_000)),
        siblings_max=rng.choice((4, 100, 100)),
    )


def _node_limits(rng: Random) -> NodeLimits:
    return NodeLimits(
        operations_in_flight_max=rng.choice((4, 4096)),
        operations_per_client_max=rng.choice((1, 4)),
        repairs_queued_max=rng.choice((3, 1000)),
        forwards_max=rng.choice((1, 1024)),
    )


def _timing(rng: Random) -> Timing:
    return replace(
        TIMING,
        repair_delay_ms=rng.choice((5, 20, 100)),
        hedge_delay_ms_max=rng.choice((10, 50)),
        reconnect_delay_ms_max=rng.choice((50, 200)),
        **rng.choice(({}, {"exchange_interval_ms": 200, "tombstone_age_ms": 300})),
    )


def _options(rng: Random, interval: bool) -> EngineOptions:
    return OPTIONS._replace(
        durability="interval" if interval else "fsync",
        log_bytes_max=rng.choice((24 << 10, 96 << 10, 96 << 10)),
        slice_bytes=rng.choice((1 << 10, 8 << 10)),
        group_bytes_max=rng.choice((2 << 10, 64 << 10)),
    )
