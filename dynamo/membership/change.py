"""A change under way: what still keeps its final epoch from being decided, partition by partition.

Law:      the final epoch is proposed only when, for every moving partition and every table's N/R/W,
          N - min(R, W) + 1 old owners hold the joint epoch durably, so that no quorum of the old
          owners alone is reached any more (N - W + 1 where R + W <= N, for reads of such tables
          may miss writes anyway: one R = 1 among the tables need not keep a dead node from being
          replaced), and every new owner has copied what N - W + 1 old
          owners held after that, so that the new owners know every write acknowledged before; and
          when nobody who leaves keeps a hint any more, which may be one of the W copies of a write.

Picture:  epoch e        e + 1 joint                               e + 2 final
          old ring ──▶   holding ──▶ copying ──▶ ready (all) ──▶   the new owners
                            └───────────┴── cancel ──────────▶     the old owners again
                            └───────────┴── other target ────▶     e + 2 joint, to a live one

Any member may watch a change and propose its end: the proposals are equal, or one of them wins
(`dynamo.membership.epochs`). What is known here comes from the members' own `Report`s.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from dynamo.membership.paxos import Voter
from dynamo.membership.topology import Topology, final, forced
from dynamo.ring.joint import leaving
from dynamo.types import NodeId, PartitionId

Phase: TypeAlias = Literal["holding", "copying", "ready"]


class Quorum(NamedTuple):
    """N, R and W of some tables."""

    n: int
    r: int
    w: int

    @property
    def least(self) -> int:
        """So many of the old owners alone could still break a promise."""
        return min(self.r, self.w) if self.r + self.w > self.n else self.w


class Report(NamedTuple):
    """What a member says of itself."""

    epoch: int
    """The epoch that it holds durably."""
    incarnation: str
    lacking: Mapping[PartitionId, str]
    """Partitions that it must still copy, and why each one waits."""
    hints: int = 0
    """How many it keeps for others."""


class Standing(NamedTuple):
    """Where one moving partition stands."""

    phase: Phase
    reason: str
    """Why it is not ready; empty if it is."""


class Forced(NamedTuple):
    """An end without the proof that nothing is lost."""

    topology: Topology
    losses: tuple[str, ...]
    """What it may lose, one sentence each; empty: nothing."""


class Change:
    """One joint epoch on its way to the final one."""

    __slots__ = ("_leaving", "_moving", "_quorums", "_reports", "topology")

    def __init__(self, topology: Topology, quorums: Sequence[Quorum]) -> None:
        assert topology.is_joint, "no change is under way"
        self.topology = topology
        self._quorums = tuple(sorted(set(quorums)))
        self._reports: dict[NodeId, Report] = {}
        self._leaving = leaving(topology.ring, topology.target)
        self._moving = tuple(
            PartitionId(partition)
            for partition in range(topology.ring.partitions)
            if any(True for _ in self._sides(partition))
        )

    def heard(self, node: NodeId, report: Report) -> None:
        """A member's word; only what it says of this epoch counts as copied."""
        self._reports[node] = report

    def moving(self) -> tuple[PartitionId, ...]:
        """The partitions that have other owners in some table afterwards."""
        return self._moving

    def standing(self, partition: PartitionId) -> Standing:
        """Where a moving partition stands, and why it waits."""
        for old, _, quorum in self._sides(partition):
            if (reason := self._not_held(old, quorum)) is not None:
                return Standing("holding", reason)
        for old, new, _ in self._sides(partition):
            for node in sorted(new - old):
                if (reason := self._not_copied(node, partition)) is not None:
                    return Standing("copying", reason)
        return Standing("ready", "")

    def is_ready(self, up: Collection[NodeId] = ()) -> bool:
        """Whether the final epoch may be proposed. Who is not `up` and has not reported is dead:
        what it keeps is not waited for."""
        if any(node in up and not self._holds(node) for node in self._leaving):
            return False
        return not any(self._keeping()) and all(
            self.standing(partition).phase == "ready" for partition in self._moving
        )

    def finished(self) -> Topology:
        """The final epoch, to be proposed once all are ready."""
        assert self.is_ready(), "a change was finished before it was ready"
        return final(self.topology, self.lives())

    def forced(self, lost: frozenset[NodeId], asked: Voter) -> Forced:
        """The final epoch without waiting, and without the votes of the `lost` nodes, made by the
        member that is `asked`. Until every other member has taken it over, P10 does not hold.
        """
        topology = forced(final(self.topology, self.lives()), lost, asked)
        return Forced(topology, tuple(self._losses(lost)))

    def lives(self) -> dict[NodeId, str]:
        """The incarnations of all that have reported."""
        return {node: report.incarnation for node, report in sorted(self._reports.items())}

    def show(self) -> list[str]:
        """The change as lines for a person: how far it is, and what waits for what."""
        figures = self.figures()
        return [
            f"epoch {self.topology.epoch}, {self.topology.change}: "
            f"{figures['ready']} of {figures['partitions']} partitions are ready",
            *(f"  {count} wait: {reason}" for reason, count in figures["waiting"].items()),
        ]

    def figures(self) -> dict[str, Any]:
        """The same as numbers: partitions that move, those ready, and how many wait for what."""
        standings = [self.standing(partition) for partition in self._moving]
        waiting: dict[str, int] = {}
        for standing in standings:
            if standing.reason:
                waiting[standing.reason] = waiting.get(standing.reason, 0) + 1
        waiting |= {f"{node} leaves and hands over its hints": n for node, n in self._keeping()}
        ready = sum(standing.phase == "ready" for standing in standings)
        return {"partitions": len(standings), "ready": ready, "waiting": waiting}

    def _keeping(self) -> Iterator[tuple[NodeId, int]]:
        """Who leaves and still keeps hints, and how many."""
        for node in self._leaving:
            if self._holds(node) and self._reports[node].hints:
                yield node, self._reports[node].hints

    def _sides(
        self, partition: int
    ) -> Iterator[tuple[frozenset[NodeId], frozenset[NodeId], Quorum]]:
        """Old and new owners of a partition for the tables of each N/R/W, where they differ."""
        for quorum in self._quorums:
            old, new = self.topology.owners(partition, quorum.n)
            if set(old) != set(new):
                yield frozenset(old), frozenset(new), quorum

    def _not_held(self, old: frozenset[NodeId], quorum: Quorum) -> str | None:
        """Why a quorum of the old owners alone may still be reached, or None."""
        needed = max(len(old) - quorum.least + 1, 1)
        missing = sorted(node for node in old if not self._holds(node))
        short = needed - (len(old) - len(missing))
        if short <= 0:
            return None
        return f"{short} more of {', '.join(missing)} must hold epoch {self.topology.epoch}"

    def _not_copied(self, node: NodeId, partition: PartitionId) -> str | None:
        """Why a new owner does not know all that was acknowledged, or None."""
        report = self._reports.get(node)
        if report is None or not self._holds(node):
            return f"{node} has not reported that it holds epoch {self.topology.epoch}"
        reason = report.lacking.get(partition)
        return None if reason is None else f"{node}: {reason}"

    def _holds(self, node: NodeId) -> bool:
        report = self._reports.get(node)
        return report is not None and report.epoch == self.topology.epoch

    def _losses(self, lost: frozenset[NodeId]) -> Iterator[str]:
        standings = [self.standing(partition) for partition in self._moving]
        for phase, what in (
            ("holding", "a coordinator that has not heard of the change may still read or write"),
            ("copying", "a new owner lacks what it has not copied; writes may be lost"),
        ):
            count = sum(standing.phase == phase for standing in standings)
            if count:
                yield f"{count} partitions are {phase}: {what}"
        for node, hints in self._keeping():
            yield f"{node} leaves and keeps {hints} hints: writes may have fewer than W copies"
        for node in sorted(lost):
            yield f"{node} loses its vote; what only its disk held is given up"
