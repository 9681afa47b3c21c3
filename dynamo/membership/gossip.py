"""How claims and the ring's epoch get around: push-pull with one random peer each interval.

    n1 ── epoch, digest, its news ──▶ n7        news: what changed lately, the least told first,
       ◀── epoch, digest, its news ──           each change told about 3 x log2(n) times

A change reaches n members in O(log n) rounds (Demers and others, 1987; SWIM section 4.1), and no
message is longer than `NEWS_BYTES_MAX` and a few bytes, whatever happens at once: what finds no
room goes with the next one. If the digests of two sides differ and there are no news (a node has
just come, or missed a rumour), the room is filled with claims in turn, so sides that differ agree
in the end, however news were lost. Two sides that agree exchange some thirty bytes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from dynamo.membership.claims import Claim, Claims
from dynamo.membership.dice import Dice
from dynamo.messages import Send
from dynamo.messages_detection import GOSSIP_PULL, GOSSIP_PUSH, GossipPull, GossipPush, Rumour
from dynamo.types import NodeId

NEWS_BYTES_MAX = 1024
"""Claims in one message. Raising it: many changes at once spread faster; lowering it: smaller
messages. 13 claims of the longest names fit, about 60 of short ones."""
CLAIM_BYTES: Final = 14
"""What a claim takes beside its name, at most: its frame, a 64-bit incarnation, a status."""
TELLINGS_PER_DOUBLING: Final = 3
"""Times each change is told per doubling of the members. Raising it: fewer members are left to the
slower comparison of digests; lowering it: smaller messages after a change."""


class Heard(NamedTuple):
    """What a message of gossip led to."""

    effects: list[Send]
    changed: list[tuple[NodeId, Claim]]
    """What is now believed that was not before."""
    took_ms: float | None
    """If it was an answer: how long it took."""


class Gossip:
    """One member's part in it."""

    def __init__(
        self, me: NodeId, claims: Claims, ring_epoch: int, dice: Dice, interval_ms: float
    ) -> None:
        self._me, self._claims, self._dice = me, claims, dice
        self._interval_ms = interval_ms
        self._due_ms = 0.0
        self._differs = False
        self._turn = 0
        self._pushed: dict[NodeId, float] = {}
        self.ring_epoch = ring_epoch
        """That of this node's ring."""
        self.newest: tuple[int, NodeId] = (ring_epoch, me)
        """The highest epoch that was heard of, and who has it."""

    def advance(self, now_ms: float, peers: Sequence[NodeId]) -> list[Send]:
        """Once in an interval, talk to one of `peers`."""
        if now_ms < self._due_ms:
            return []
        self._due_ms = now_ms + self._interval_ms
        if not peers:
            return []
        return [self._push(self._dice.one_of(peers), now_ms)]

    def tell_all(self, now_ms: float, peers: Sequence[NodeId]) -> list[Send]:
        """Talk to all at once: this node is about to go."""
        return [self._push(peer, now_ms) for peer in peers]

    def handle(self, source: NodeId, message: GossipPush | GossipPull, now_ms: float) -> Heard:
        """Take in what another believes; answer a push with what it lacks."""
        changed: list[tuple[NodeId, Claim]] = []
        stale: list[NodeId] = []
        for name, incarnation, status in message.news:
            node, claim = NodeId(name), Claim(incarnation, status)
            if self._claims.merge(node, claim):
                changed.append((node, claim))
            elif claim < self._claims.of(node):
                stale.append(node)
        if message.ring_epoch > self.newest[0]:
            self.newest = (message.ring_epoch, source)
        self._differs = message.digest != self._claims.digest
        if type(message) is GossipPull:
            began_ms = self._pushed.pop(source, None)
            return Heard([], changed, None if began_ms is None else now_ms - began_ms)
        news = self._news(stale, {node for node, _ in changed})
        pull = GossipPull(GOSSIP_PULL, self.ring_epoch, self._claims.digest, news)
        return Heard([Send(source, pull)], changed, None)

    def ring_changed(self, ring_epoch: int) -> None:
        """The claims are now those of other members: of fewer, each is told less often."""
        self.ring_epoch = ring_epoch
        self.newest = max(self.newest, (ring_epoch, self._me))
        news, most = self._claims.news, self.tellings()
        for node in [node for node, times in news.items() if times >= most]:
            del news[node]
        for node in [node for node in self._pushed if node not in self._claims]:
            del self._pushed[node]

    def lost(self, node: NodeId) -> None:
        """The link is gone, and an answer with it."""
        self._pushed.pop(node, None)

    def deadline(self) -> float | None:
        """When `advance` has something to say."""
        return self._due_ms if len(self._claims) > 1 else None

    def tellings(self) -> int:
        """How often each change is told."""
        return TELLINGS_PER_DOUBLING * len(self._claims).bit_length()

    def validate(self) -> None:
        """Assert that nothing grows beyond the members and nothing is told for ever."""
        assert len(self._pushed) <= len(self._claims), "more answers are awaited than peers"
        most = self.tellings()
        assert all(times < most for times in self._claims.news.values()), "told too often"

    def _push(self, peer: NodeId, now_ms: float) -> Send:
        if peer in self._claims:
            self._pushed.setdefault(peer, now_ms)
        news = self._news([], set())
        push = GossipPush(GOSSIP_PUSH, self.ring_epoch, self._claims.digest, news)
        return Send(peer, push)

    def _news(self, first: list[NodeId], known: set[NodeId]) -> tuple[Rumour, ...]:
        """What to tell: what the other has wrong, then news, the least told first and the latest
        of these; without any, if the sides differ, all claims in turn."""
        news, room = self._claims.news, NEWS_BYTES_MAX
        latest_first = list(reversed(news))
        fresh = sorted(latest_first, key=news.__getitem__)
        chosen: dict[NodeId, None] = {}
        for node in (*first, *fresh):
            if node in known or node in chosen:
                continue
            room -= len(node.encode()) + CLAIM_BYTES
            if room < 0:
                break
            chosen[node] = None
        for node in chosen:
            self._told(node)
        if self._differs and not chosen:
            self._fill(chosen, room)
        return tuple((node, *self._claims.of(node)) for node in chosen)

    def _told(self, node: NodeId) -> None:
        times = self._claims.news.get(node)
        if times is None:
            return
        if times + 1 < self.tellings():
            self._claims.news[node] = times + 1
        else:
            del self._claims.news[node]

    def _fill(self, chosen: dict[NodeId, None], room: int) -> None:
        """Claims in turn, from where the last message ended."""
        members = self._claims.members()
        for _ in members:
            node = members[self._turn % len(members)]
            room -= len(node.encode()) + CLAIM_BYTES
            if room < 0:
                return
            self._turn = (self._turn + 1) % len(members)
            chosen[node] = None
