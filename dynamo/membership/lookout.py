"""Detector and gossip as one background part of a node (dynamo.background).

    words of peers ──▶ Detector ──▶ signs: whom coordinators ask last
                          ▲ │ claims
                 rumours  │ ▼
                         Gossip ◀──▶ one random peer per interval, which is also how long it takes

A claim that a link brings is never taken for granted: see `Detector.rumour`.
"""

from collections.abc import Sequence
from typing import Any

from dynamo.background import Handler, Part
from dynamo.limits import Timing
from dynamo.membership.claims import ALIVE, Claim, Claims, first_incarnation
from dynamo.membership.detector import Detector
from dynamo.membership.dice import Dice
from dynamo.membership.gossip import Gossip
from dynamo.membership.watch import Signs, View
from dynamo.messages import Send
from dynamo.messages_detection import (
    GossipPull,
    GossipPush,
    Probe,
    ProbedFor,
    ProbeDone,
    ProbeFor,
)
from dynamo.meters import Meters
from dynamo.types import Instant, NodeId

MS_PER_S = 1000


class Lookout(Part):
    """One node's eyes on the others."""

    def __init__(
        self,
        me: NodeId,
        members: Sequence[NodeId],
        ring_epoch: int,
        start: int,
        seed: int,
        signs: Signs,
        timing: Timing,
        meters: Meters,
    ) -> None:
        """`start`: the number of this start; `seed`: what chance and request ids follow from."""
        self._me = me
        claims, dice = Claims(members), Dice(seed)
        claims.merge(me, Claim(first_incarnation(start), ALIVE))
        interval_ms = float(timing.probe_interval_ms)
        self._claims = claims
        self._detector = Detector(me, claims, signs, timing, dice, meters, first_id=seed)
        self._gossip = Gossip(me, claims, ring_epoch, dice, interval_ms)
        self._up: set[NodeId] = set()
        self._now_ms = 0.0
        self._leaving = False

    def handlers(self) -> dict[type[Any], Handler]:
        """The messages of detection and gossip."""
        return {
            Probe: lambda source, message, _: self._detector.probed(source, message),
            ProbeFor: lambda source, message, _: self._detector.asked_for(source, message),
            ProbeDone: self._probe_done,
            ProbedFor: self._probed_for,
            GossipPush: self._heard_gossip,
            GossipPull: self._heard_gossip,
        }

    def advance(self, up: set[NodeId], now_ms: float) -> list[Any]:
        """Look, ask, gossip; first of all, who is linked now that was not."""
        self._now_ms = now_ms
        for node in self._claims.members():
            if node in up and node not in self._up:
                self._up.add(node)
                self._detector.linked(node, now_ms)
        effects: list[Any] = list(self._detector.advance(now_ms))
        peers = self._detector.reachable()
        if self._leaving:
            self._leaving = False
            return effects + self._gossip.tell_all(now_ms, peers)
        return effects + self._gossip.advance(now_ms, peers)

    def lost(self, node: NodeId, reason: str, now_ms: float) -> list[Any]:
        """A peer's link is gone."""
        self._up.discard(node)
        self._detector.lost(node, now_ms)
        self._gossip.lost(node)
        return []

    def leave(self) -> None:
        """This node goes, on purpose; the others hear of it at the next Tick."""
        self._detector.leave()
        self._leaving = True

    def ring_changed(self, members: Sequence[NodeId], ring_epoch: int) -> None:
        """Others are members now, under a newer ring."""
        self._claims.keep(members)
        self._gossip.ring_changed(ring_epoch)

    def deadline(self) -> float | None:
        """When there is something to look at or to say."""
        looking, gossiping = self._detector.deadline(), self._gossip.deadline()
        if looking is None or gossiping is None:
            return None
        return self._now_ms if self._leaving else min(looking, gossiping)

    def validate(self) -> None:
        """Assert the invariants of both."""
        self._detector.validate()
        self._gossip.validate()

    def views(self) -> dict[NodeId, View]:
        """How this node sees each peer."""
        return self._detector.views()

    def newest_ring(self) -> tuple[int, NodeId]:
        """The highest ring epoch that anybody was heard to have, and who has it."""
        return self._gossip.newest

    def status(self, now_ms: float) -> dict[str, Any]:
        """Each peer's state, for how many seconds, and whether it answers this node."""
        members = {
            node: {
                "state": view.state,
                "for_s": round(max(now_ms - view.since_ms, 0.0) / MS_PER_S, 1),
                "answers": view.reached,
            }
            for node, view in self._detector.views().items()
        }
        return {"members": members, "ring_epoch_newest": self._gossip.newest[0]}

    def _probe_done(self, source: NodeId, message: ProbeDone, now: Instant) -> list[Send]:
        return self._detector.answered(source, message, now.monotonic_ms)

    def _probed_for(self, source: NodeId, message: ProbedFor, now: Instant) -> list[Send]:
        self._detector.vouched(message, now.monotonic_ms)
        return []

    def _heard_gossip(
        self, source: NodeId, message: GossipPush | GossipPull, now: Instant
    ) -> list[Send]:
        heard = self._gossip.handle(source, message, now.monotonic_ms)
        if heard.took_ms is not None:
            self._detector.learn(source, heard.took_ms)
        for node, claim in heard.changed:
            self._detector.rumour(node, claim, now.monotonic_ms)
        return heard.effects
