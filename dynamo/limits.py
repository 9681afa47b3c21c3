"""How much and how long: every bound and every delay, as values that validate themselves.

`Limits` must be equal on all nodes of a cluster and is part of its fingerprint. `NodeLimits` and
`Timing` may differ from node to node. A wrong value is refused with the path of its field and a
sentence, so that whoever reads a file can add the line.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

KIB = 1024
MIB = 1024 * KIB

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class ConfigError(ValueError):
    """A configuration that cannot be, as a `path` (`tables.cart.w`) and a `sentence`."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}" if path else sentence)
        self.path = path
        self.sentence = sentence


@dataclass(frozen=True)
class Limits:
    """What every node must bound alike, because records travel between them. Sizes in bytes."""

    key_bytes_max: int = KIB
    """Longest partition key. Raising it: larger indexes; lowering it: existing keys unwritable."""
    sort_key_bytes_max: int = KIB
    """Longest sort key; may be 0, then only the empty sort key is legal. As `key_bytes_max`."""
    value_bytes_max: int = MIB
    """Longest value of one put. Raising it: longer pauses per frame and fsync; lowering it: puts
    that worked are refused, values already stored stay readable."""
    siblings_max: int = 100
    """Values one record may hold before a put must merge. Raising it: heavier reads of contested
    keys; lowering it: writers who never read are refused sooner."""
    record_bytes_max: int = 8 * MIB
    """Largest record that a put may make, all siblings together. Raising it needs larger frames;
    lowering it refuses puts to keys with many siblings. Merging never refuses."""
    operations_max: int = 64
    """Operation ids that a record remembers. Raising it: each record grows by about 30 bytes per
    id; lowering it: retries to a busy key sooner get `unknown`."""
    retry_window_ms: int = 10_000
    """How long a retry of a write is recognised. Raising it: ids are kept longer on hot keys;
    lowering it: a slow client's retry is answered `unknown`."""
    frame_bytes_max: int = 24 * MIB
    """Largest frame, at least 2 x `record_bytes_max`. Raising it: a bad peer may make a node set
    more memory aside; lowering it: merged records may not fit and their repair stalls."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self, path: str = "limits") -> None:
        """Raise ConfigError if a limit is out of range or too small for another."""
        _integers(self, path, zero_allowed=("sort_key_bytes_max",))
        for name in ("key_bytes_max", "sort_key_bytes_max"):
            check_integer(f"{path}.{name}", getattr(self, name), 0, 16 * KIB)
        if self.record_bytes_max < self.value_bytes_max + 64 * KIB:
            raise ConfigError(
                f"{path}.record_bytes_max",
                f"{self.record_bytes_max} is too small for one value of {self.value_bytes_max} "
                "bytes and 64 KiB of versions; such a value could never be written",
            )
        if self.frame_bytes_max < 2 * self.record_bytes_max:
            raise ConfigError(
                f"{path}.frame_bytes_max",
                f"{self.frame_bytes_max} is below 2 x record_bytes_max "
                f"({2 * self.record_bytes_max}); a merged record might not fit into a frame",
            )


@dataclass(frozen=True)
class NodeLimits:
    """What one node sets aside, each with what happens at the bound."""

    operations_in_flight_max: int = 4096
    """Client operations a node works on at once; then `Overloaded`. Raising it: more memory and
    longer queues; lowering it: bursts are shed sooner."""
    operations_per_client_max: int = 1024
    """The same for one connection. Raising it: one client can starve others; lowering it: a single
    busy client is slowed."""
    clients_max: int = 1024
    """Client connections; the next one is refused. Raising it costs a few KiB each."""
    link_bytes_max: int = 32 * MIB
    """Unsent bytes per connection; then a peer counts as failed, a client is cut off. Raising it:
    more memory behind a stalled peer; lowering it: bursts of large values break links."""
    clients_bytes_max: int = 256 * MIB
    """Unsent answers and unfinished frames of all clients together; then the client that holds most
    is cut off. Raising it: more memory; lowering it: bursts of many clients break links."""
    memory_table_bytes_max: int = 128 * MIB
    """Records not yet checkpointed, two tables together; then acknowledgements wait, then puts are
    shed. Raising it: fewer, longer checkpoints and slower starts; lowering it: more disk writes."""
    disk_reserve_bytes: int = 256 * MIB
    """Free space kept for checkpoints and deletes; below it client puts are refused. Raising it:
    less room for data; lowering it (0: no reserve): a checkpoint may find the disk full."""
    repairs_queued_max: int = 1000
    """Read repairs waiting; then new ones are dropped (a later read finds the difference again).
    Raising it: more memory; lowering it: slower convergence under load."""
    forwards_max: int = 1024
    """Requests in flight that this node passes on to an owner; then `Overloaded`. Raising it: more
    memory held for others; lowering it: clients that do not know the ring are shed sooner."""
    hints_bytes_max: int = 256 * MIB
    """What is kept for owners that are away; then hints are refused and the next fallback is asked.
    Raising it: longer absences are bridged, on more disk; lowering it: more is left to repair."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self, path: str = "limits") -> None:
        """Raise ConfigError if a bound is out of range."""
        _integers(self, path, zero_allowed=("disk_reserve_bytes",))
        if self.operations_per_client_max > self.operations_in_flight_max:
            raise ConfigError(
                f"{path}.operations_per_client_max",
                f"{self.operations_per_client_max} for one client is above the node's "
                f"operations_in_flight_max={self.operations_in_flight_max}",
            )
        if self.clients_bytes_max < self.link_bytes_max:
            raise ConfigError(
                f"{path}.clients_bytes_max",
                f"{self.clients_bytes_max} for all clients is below link_bytes_max="
                f"{self.link_bytes_max} for each",
            )


@dataclass(frozen=True)
class Timing:
    """Every delay of the protocol, in milliseconds; the defaults are the preset `lan`."""

    request_timeout_ms: int = 1000
    """A request without its own timeout ends after this. Raising it: callers wait longer on a sick
    cluster; lowering it: slow disks turn into `unknown` writes."""
    hedge_delay_ms_min: int = 2
    hedge_delay_ms_max: int = 200
    """A read asks one replica more after the adaptive delay, p95 of recent answers, kept between
    these two. Raising: longer tails; lowering: more extra reads, until the budget stops them."""
    hedge_budget: float = 0.05
    """Extra reads as a share of all reads. Raising it: more load for shorter tails; 0: no hedges,
    so that a dead replica costs a whole timeout."""
    repair_delay_ms: int = 100
    """How long after a reply late answers are awaited before read repair. Raising it: fewer
    needless repairs; lowering it: replicas agree sooner."""
    exchange_interval_ms: int = 10_000
    """How often each two owners compare the partitions that they have in common. Raising it: what
    no read repairs differs for longer; lowering it: more small messages, also when all is equal."""
    tombstone_age_ms: int = 86_400_000
    """A tombstone stays at least so long, and until all owners have had it. Raising it: more of
    them are kept; lowering it: `outcome` of a deleted item's writes and late retries are sooner
    answered `unknown`. It must exceed `retry_window_ms` and what clients' clocks differ by."""
    reconnect_delay_ms_min: int = 50
    reconnect_delay_ms_max: int = 2000
    """Backoff between attempts to reach a peer, doubling, with jitter. Raising: a returned node is
    found later; lowering: more attempts in vain."""
    handshake_timeout_ms: int = 2000
    """A new connection must introduce itself within this, or is closed. Raising it: slow-loris
    connections linger; lowering it: a busy host may fail to join."""
    ping_interval_ms: int = 500
    """A quiet link to a peer is probed this often. Raising it: a silent death is seen later;
    lowering it: more idle traffic."""
    idle_timeout_ms: int = 2000
    """A peer that has said nothing for this long has failed; at least 2 x `ping_interval_ms`.
    Raising it: a stopped peer costs hedges longer; lowering it: pauses look like deaths."""
    probe_interval_ms: int = 250
    """A peer not heard of for this long is asked whether it is there; gossip goes out as often. A
    stopped peer is suspect after about 1.2 x this + its patience. Raising it: suspected later;
    lowering it: more messages between idle nodes (2 per interval and pair, 2 per node)."""
    patience_ms_min: int = 250
    patience_ms_max: int = 1000
    """How long it may take to answer: mean + 6 x deviation of its earlier answers, kept between
    these two. Raising: suspected later; lowering: a pause of a busy node looks like its end."""
    suspicion_ms: int = 5000
    """A peer that nobody reached is dead after 2 x its patience + this. Raising it: it is called
    dead later; lowering it: it has less time to deny it. Nothing is moved for either."""
    hold_ms_max: int = 30_000
    """Who comes and goes is asked last for probe_interval_ms x 2^(suspicions in the last minute),
    at most this. Raising it: unsteady peers are avoided for longer; lowering it: they slow more
    requests down."""
    client_idle_timeout_ms: int = 300_000
    """A client connection with no request for this long is closed. Raising it: half-open
    connections hold their slots longer; lowering it: idle clients reconnect more often."""
    skew_ms_max: int = 500
    """How far ahead of the local clock a client's stamp may be. Raising it: one bad clock can win
    `lww` for longer; lowering it: honest clients with poor clocks are corrected more often."""
    drain_timeout_ms: int = 10_000
    """On SIGTERM, how long running requests may take. Raising it: slower restarts; lowering it:
    more requests end `unknown`."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self, path: str = "timing") -> None:
        """Raise ConfigError if a delay is out of range or contradicts another."""
        _integers(self, path, zero_allowed=("repair_delay_ms", "skew_ms_max", "drain_timeout_ms"))
        if not isinstance(self.hedge_budget, int | float) or not 0 <= self.hedge_budget <= 1:
            raise ConfigError(
                f"{path}.hedge_budget",
                f"{self.hedge_budget!r} must be a share of all reads, from 0 to 1",
            )
        for name in ("hedge_delay_ms", "reconnect_delay_ms", "patience_ms"):
            least, most = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
            if least > most:
                raise ConfigError(f"{path}.{name}_min", f"{least} is above {name}_max={most}")
        if self.idle_timeout_ms < 2 * self.ping_interval_ms:
            raise ConfigError(
                f"{path}.idle_timeout_ms",
                f"{self.idle_timeout_ms} is below 2 x ping_interval_ms={self.ping_interval_ms}; "
                "a peer would fail between two pings",
            )


def check_integer(path: str, value: object, least: int, most: int | None = None) -> None:
    """Raise ConfigError unless `value` is a whole number in least..most."""
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(path, f"{value!r} must be a whole number {bounds}")
    if value < least or (most is not None and value > most):
        raise ConfigError(path, f"{value} must be a whole number {bounds}")


def check_name(path: str, name: object) -> None:
    """Raise ConfigError unless `name` can be a word in paths, metrics and commands."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            path,
            f"{name!r} must be 1 to 63 letters, digits, `.`, `_` or `-`, and start with a letter "
            "or digit",
        )


def check_choice(path: str, value: object, choices: Iterable[str]) -> None:
    """Raise ConfigError unless `value` is one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        raise ConfigError(path, f"{value!r} must be {' or '.join(choices)}")


def check_boolean(path: str, value: object) -> None:
    """Raise ConfigError unless `value` is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(path, f"{value!r} must be true or false")


def _integers(
    value: Limits | NodeLimits | Timing, path: str, zero_allowed: tuple[str, ...]
) -> None:
    """Check every field that is declared an integer."""
    for field in fields(value):
        if field.type is int:
            least = 0 if field.name in zero_allowed else 1
            check_integer(f"{path}.{field.name}", getattr(value, field.name), least)


LAN = Timing()
WAN = replace(
    LAN,
    request_timeout_ms=5000,
    hedge_delay_ms_min=50,
    hedge_delay_ms_max=1000,
    repair_delay_ms=500,
    exchange_interval_ms=60_000,
    handshake_timeout_ms=10_000,
    ping_interval_ms=2000,
    idle_timeout_ms=10_000,
    probe_interval_ms=1000,
    patience_ms_min=1000,
    patience_ms_max=4000,
    suspicion_ms=20_000,
)
LOCAL = replace(LAN, reconnect_delay_ms_min=20, reconnect_delay_ms_max=500)
TEST = replace(
    LOCAL,
    repair_delay_ms=20,
    ping_interval_ms=100,
    idle_timeout_ms=1000,
    probe_interval_ms=100,
    patience_ms_min=100,
    patience_ms_max=400,
    suspicion_ms=1000,
    hold_ms_max=2000,
)

PRESETS: dict[str, Timing] = {"lan": LAN, "wan": WAN, "local": LOCAL, "test": TEST}
"""`lan`: one data centre. `wan`: zones far apart. `local`: one machine. `test`: impatient."""
