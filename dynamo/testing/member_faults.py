"""What happens to the cluster itself: nodes join and leave, and changes are taken back.

An order goes to some member, as an operator's would, and nobody waits for its answer: another
change may be under way, the member may crash, no majority may be there.
"""

from random import Random
from typing import Any, ClassVar

from dynamo.messages import Received
from dynamo.messages_members import ASK_CHANGE, AskChange
from dynamo.testing.cluster import Cluster
from dynamo.testing.network_faults import Episode
from dynamo.testing.node import Process
from dynamo.types import NodeId

CHANGE_MS = (200.0, 1500.0)
CANCEL_MS = (5.0, 400.0)
OPERATOR = 0
"""The number of the operator's connection, over which no answer comes back."""


class MemberFaults:
    """Episodes of ring changes."""

    KINDS: ClassVar = ("join", "leave", "weight", "cancelled change")

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.rng: Random = cluster.world.rng("member faults")
        """Of the episode that begins."""
        self._orders = 0

    def join(self) -> Episode | None:
        """A node that is no member joins."""
        operator = self._operator()
        if operator is None or operator.brain is None:
            return None
        members = operator.brain.topology.members
        strangers = [name for name in self._cluster.machines if name not in members]
        if not strangers:
            return None
        newcomer = self.rng.choice(strangers)
        address = self._cluster.config.addresses()[newcomer]
        self._order(operator, "join", newcomer, "", "", 1.0, *address)
        return self.rng.uniform(*CHANGE_MS), lambda: None

    def leave(self) -> Episode | None:
        """A member leaves, if enough stay."""
        operator = self._operator()
        if operator is None or operator.brain is None:
            return None
        ring = operator.brain.topology.ring
        if ring.holders <= ring.n_max:
            return None
        self._order(operator, "leave", self.rng.choice(ring.members).node)
        return self.rng.uniform(*CHANGE_MS), lambda: None

    def weight(self) -> Episode | None:
        """A member's share becomes another."""
        operator = self._operator()
        if operator is None or operator.brain is None:
            return None
        member = self.rng.choice(operator.brain.topology.ring.members)
        weight = self.rng.choice([each for each in (0.5, 1.0, 2.0) if each != member.weight])
        self._order(operator, "weight", member.node, weight)
        return self.rng.uniform(*CHANGE_MS), lambda: None

    def cancelled_change(self) -> Episode | None:
        """A change begins, or one that is under way goes on; a little later it is taken back."""
        begun = self.rng.choice((self.join, self.leave, self.weight))()
        if begun is None:
            return None

        def cancel() -> None:
            operator = self._operator()
            if operator is not None:
                self._order(operator, "cancel")

        return self.rng.uniform(*CANCEL_MS), cancel

    def _operator(self) -> Process | None:
        """A running member that takes an order."""
        name: NodeId = self.rng.choice(self._cluster.topology.members)
        return self._cluster.accepting(name)

    def _order(self, operator: Process, action: str, *fields: Any) -> None:
        assert operator.brain is not None, "an operator talks to a started node"
        self._orders += 1
        epoch = operator.brain.topology.epoch
        order = AskChange(ASK_CHANGE, self._orders, action, epoch, fields)
        operator.post(operator.feed, Received(OPERATOR, (tuple(order),)))
