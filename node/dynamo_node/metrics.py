"""A node's numbers as Prometheus sees them, read when Prometheus asks.

    Meters (the kernel's) --.
    NodeState, EngineState, |--> NodeCollector.collect() at scrape time --> families of samples
    LinkState (callables) --'

The hot path never meets a label or a lock: what is counted there are plain integers. Names are
part of the public surface and listed in docs/metrics.md; a test keeps the two equal.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dynamo.membership.claims import STATUS_NAMES
from dynamo.meters import Histogram, Meters
from dynamo_node.mending import Mending

MS_PER_S = 1000


class NodeState(NamedTuple):
    """What the kernel has in hand now."""

    operations_in_flight: int = 0
    repairs_queued: int = 0
    partitions: int = 0
    partitions_missing: int = 0
    trees_growing: int = 0
    in_sync_age_seconds: float = 0.0
    tombstones_waiting: int = 0
    background_share: tuple[tuple[str, float], ...] = ()
    hints: int = 0
    hints_bytes: int = 0


class EngineState(NamedTuple):
    """What the engine has in hand now; the last two are counted from the start."""

    memory_table_bytes: int = 0
    memory_table_bytes_max: int = 0
    log_bytes: int = 0
    log_segments: int = 0
    checkpoint_running: bool = False
    disk_free_bytes: int = 0
    refusing: bool = False
    damaged_keys: int = 0
    checkpoints: int = 0
    checkpoint_ms: float = 0.0


class LinkState(NamedTuple):
    """One open connection. `peer` is a member's name; empty for a client."""

    peer: str
    queued_bytes: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class MemberState(NamedTuple):
    """What this node thinks of another one."""

    peer: str
    state: str
    answers: bool


class Sources(NamedTuple):
    """Where a collector reads; each is called once per scrape and must be quick."""

    node: Callable[[], NodeState] = NodeState
    engine: Callable[[], EngineState] = EngineState
    links: Callable[[], Iterable[LinkState]] = tuple
    members: Callable[[], Iterable[MemberState]] = tuple


class NodeCollector(Collector):
    """Renders one node."""

    def __init__(self, meters: Meters, sources: Sources) -> None:
        self._meters, self._sources = meters, sources
        self._mending = Mending(meters)

    def collect(self) -> Iterator[Metric]:
        """All families, in a fixed order."""
        yield from _histograms(self._meters)
        for attribute, text in COUNTERS.items():
            value = getattr(self._meters, attribute)
            yield CounterMetricFamily(f"dynamo_{attribute}", text, value=value)
        node = self._sources.node()
        yield from _gauges(NODE_GAUGES, node)
        text = "What the governor gives to a kind of background work, of what it could take."
        shares = GaugeMetricFamily("dynamo_background_share", text, labels=["kind"])
        for kind, share in node.background_share:
            shares.add_metric([kind], share)
        yield shares
        share, alarm = self._mending.lately()
        text = "Hints and repairs per record served, over the last minute."
        yield GaugeMetricFamily("dynamo_mended_share", text, value=share)
        text = "1 while that is above 0.001: some node is away, slow or overloaded."
        yield GaugeMetricFamily("dynamo_mended_alarm", text, value=float(alarm))
        engine = self._sources.engine()
        yield from _gauges(ENGINE_GAUGES, engine)
        text = "Checkpoints completed."
        yield CounterMetricFamily("dynamo_checkpoints", text, value=engine.checkpoints)
        text = "Time spent in checkpoints."
        seconds = engine.checkpoint_ms / MS_PER_S
        yield CounterMetricFamily("dynamo_checkpoint_seconds", text, value=seconds)
        yield from _links(list(self._sources.links()))
        yield from _members(list(self._sources.members()))


COUNTERS = {
    "hedges": "Reads that asked one replica more because the first were slow.",
    "read_repairs": "Items whose replicas were found to differ and repaired.",
    "repairs_dropped": "Repairs not done because their queue was full.",
    "forwards": "Requests passed on to an owner of the item.",
    "coordinated_away": "Puts coordinated here, by no owner, because none was reached.",
    "too_many_siblings": "Puts refused because the item had its maximum of siblings.",
    "overloaded": "Operations refused because a bound was reached.",
    "too_late": "Operations refused because they arrived after their deadline.",
    "corrupt_records": "Records found damaged on this node's disk.",
    "rebuilt_partitions": "Partitions copied back from their co-owners.",
    "rebuilt_records": "Records copied back from co-owners.",
    "exchanges": "Comparisons with co-owners that this node began and went through.",
    "keys_compared": "Keys of differing leaves that were compared one by one.",
    "keys_repaired": "Records that a comparison brought here or pushed to the other side.",
    "exchange_bytes": "Bytes of the records that comparisons moved.",
    "suspicions": "Times that a member became suspect here.",
    "refutations": "Times that this node denied what was said of it.",
    "probes": "Questions to silent members, and to others about them.",
    "flaps": "Returns of members that had come and gone too often to be believed.",
    "tombstones_removed": "Tombstones removed after all owners had had them.",
    "strays_dropped": "Records of partitions owned once, dropped when a present owner had them.",
    "hints_kept": "Records taken in for owners that were away.",
    "hints_delivered": "Hints handed over: their owners have them durably.",
    "hints_lost": "Hints that were damaged on this disk: copies lost before they were handed over.",
    "hints_refused": "Hints not kept for want of room; the next fallback was asked.",
}
"""Attribute of `Meters` -> HELP; the metric is `dynamo_ATTRIBUTE_total`."""

NODE_GAUGES = {
    "operations_in_flight": "Client operations not yet answered.",
    "repairs_queued": "Repairs that wait for their turn.",
    "partitions": "Partitions of which this node is a primary.",
    "partitions_missing": "Partitions being rebuilt, which do not count yet.",
    "trees_growing": "Partitions whose hash trees are still to be made from the store.",
    "tombstones_waiting": "Tombstones old enough to go that some owner has not had yet.",
    "in_sync_age_seconds": "Since when some partition was not found equal on all its owners.",
    "hints": "Hints kept now, one for each owner and item.",
    "hints_bytes": "Their keys and records.",
}
ENGINE_GAUGES = {
    "memory_table_bytes": "Records not yet in a checkpoint.",
    "memory_table_bytes_max": "Bound of dynamo_memory_table_bytes; at it puts are refused.",
    "log_bytes": "Log that a start would replay.",
    "log_segments": "Segments of the log that hold groups.",
    "checkpoint_running": "1 while a checkpoint is written.",
    "disk_free_bytes": "Free room where the data directory is.",
    "refusing": "1 while memory or disk is full, so that client puts are refused.",
    "damaged_keys": "Records found damaged and not repaired yet.",
}
"""Field of the state -> HELP; the metric is `dynamo_FIELD`."""


def registry_of(meters: Meters, sources: Sources) -> CollectorRegistry:
    """What a scrape shows: the node's own numbers, and its process's memory, CPU and files."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(meters, sources))
    ProcessCollector(registry=registry)
    return registry


def _histograms(meters: Meters) -> Iterator[Metric]:
    family = HistogramMetricFamily(
        "dynamo_operation_seconds",
        "Time to answer; failed: nothing was changed, unknown: a replica may hold the write.",
        labels=["operation", "outcome"],
    )
    for operation, outcome, histogram in meters.operations():
        _add(family, [operation, outcome], histogram, MS_PER_S)
    yield family
    others: tuple[tuple[str, str, Histogram, int], ...] = (
        ("fsync_seconds", "Time to make one group durable.", meters.fsync_ms, MS_PER_S),
        ("commit_group_writes", "Writes made durable by one sync.", meters.commit_group, 1),
        ("get_siblings", "Values that a get returned; 0: not found.", meters.siblings, 1),
    )
    for name, text, data, unit in others:
        family = HistogramMetricFamily(f"dynamo_{name}", text)
        _add(family, [], data, unit)
        yield family


def _add(family: HistogramMetricFamily, labels: list[str], data: Histogram, unit: int) -> None:
    buckets = [
        ("+Inf" if bound is None else repr(bound / unit), count)
        for bound, count in data.cumulative()
    ]
    family.add_metric(labels, buckets, data.sum / unit)


def _gauges(helps: dict[str, str], state: NodeState | EngineState) -> Iterator[Metric]:
    for field, text in helps.items():
        yield GaugeMetricFamily(f"dynamo_{field}", text, value=float(getattr(state, field)))


def _links(links: list[LinkState]) -> Iterator[Metric]:
    """Peers by name. Clients come and go, so only what is true now is told of them: a counter
    summed over open connections would fall when one leaves."""
    clients = [link for link in links if not link.peer]
    waiting = sum(link.queued_bytes for link in clients)
    yield GaugeMetricFamily("dynamo_clients", "Client connections.", value=len(clients))
    text = "Bytes that wait to be sent to clients."
    yield GaugeMetricFamily("dynamo_client_queued_bytes", text, value=waiting)
    up = GaugeMetricFamily("dynamo_link_up", "1 for each member linked.", labels=["peer"])
    text = "Bytes that wait to be sent to a member."
    queued = GaugeMetricFamily("dynamo_link_queued_bytes", text, labels=["peer"])
    labels, text = ["peer", "direction"], "Messages since the link opened."
    messages = CounterMetricFamily("dynamo_link_messages", text, labels=labels)
    text = "Bytes since the link opened."
    moved = CounterMetricFamily("dynamo_link_bytes", text, labels=labels)
    for link in links:
        if link.peer:
            up.add_metric([link.peer], 1)
            queued.add_metric([link.peer], link.queued_bytes)
            messages.add_metric([link.peer, "in"], link.messages_in)
            messages.add_metric([link.peer, "out"], link.messages_out)
            moved.add_metric([link.peer, "in"], link.bytes_in)
            moved.add_metric([link.peer, "out"], link.bytes_out)
    yield from (up, queued, messages, moved)


def _members(members: list[MemberState]) -> Iterator[Metric]:
    """One sample per member and state, so that a graph shows when it changed."""
    labels, text = ["peer", "state"], "1 for the state that a member is in here."
    states = GaugeMetricFamily("dynamo_member_state", text, labels=labels)
    for member in members:
        for state in STATUS_NAMES:
            states.add_metric([member.peer, state], member.state == state)
    yield states
    unreached = sum(not member.answers for member in members)
    text = "Members that do not answer this node."
    yield GaugeMetricFamily("dynamo_members_silent", text, value=unreached)
    unsteady = sum(member.answers and member.state == "suspect" for member in members)
    text = "Members that answer but come and go too often to be trusted."
    yield GaugeMetricFamily("dynamo_members_unsteady", text, value=unsteady)
