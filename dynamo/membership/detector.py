"""Which peers answer: one node's own opinion, from real traffic and a few questions.

    silent for an interval ──▶ asked ──▶ no word within its patience ──▶ SUSPECT
                                                                           │ k others ask for us
      word from it ◀── ALIVE ◀── "it answers us" (its requests still go ───┤
                                  elsewhere: it does not answer *us*)      ▼
                          DEAD ◀── suspicion_ms without a word ◀── hardened: told to all

The paper's section 4.8.3 with SWIM's vocabulary: a local opinion suffices, it decides where
requests go and never moves data. Any message is a word; who talks is never asked. What a peer is
blamed for is a question that it did not answer, never mere silence; and a node that has itself
slept excuses everybody for as long as it slept. A question carries what the asker believes of
its subject, so that whoever is wrongly suspected hears of it first and refutes it in its answer.

Who keeps coming and going is held suspect at each return for twice as long, within a bound.

Invariants: who does not answer this node is in `signs.silent` until it says a word; a node never
believes itself suspect or dead; between two looks a word costs no more than being noted.
"""

from heapq import nsmallest
from math import inf

from dynamo.limits import Timing
from dynamo.membership.claims import ALIVE, DEAD, LEFT, SUSPECT, Claim, Claims, is_claim
from dynamo.membership.dice import Dice
from dynamo.membership.patience import Patience
from dynamo.membership.watch import Signs, View, Watch
from dynamo.messages import Send
from dynamo.messages_detection import (
    PROBE,
    PROBE_DONE,
    PROBE_FOR,
    PROBED_FOR,
    Probe,
    ProbedFor,
    ProbeDone,
    ProbeFor,
)
from dynamo.meters import Meters
from dynamo.types import NodeId

LOOKS_PER_INTERVAL = 5
"""Looks at all peers within one probe interval. Raising it: earlier suspicion, more wake-ups of an
idle node; lowering it: the reverse."""
QUESTIONS_PER_LOOK = 8
"""Peers that are asked at one look because they are silent, the longest silent first. Raising it:
where more than five times as many are silent (a large idle cluster), each is asked more often;
lowering it: less chatter there."""
RELAYS = 3
"""How many others ask a silent peer for us. Raising it: fewer false suspicions where the network
loses much, more messages; lowering it: the reverse."""
ERRANDS_MAX = 256
"""Questions asked for others that wait for their answer; the oldest is given up."""
FLAPS_FREE = 2.5
"""Suspicions within about a minute that are not held against a peer that returns. Raising it: a
peer that comes and goes is asked first for longer; lowering it: two hiccups cost a good peer."""
SLEPT_LOOKS = 3.0
"""A look that comes so many looks too late means that this node slept."""


class Detector:
    """One node's watch over all others."""

    def __init__(
        self,
        me: NodeId,
        claims: Claims,
        signs: Signs,
        timing: Timing,
        dice: Dice,
        meters: Meters,
        first_id: int = 0,
    ) -> None:
        self._me, self._claims, self._signs = me, claims, signs
        self._timing, self._dice, self._meters = timing, dice, meters
        self._interval_ms = float(timing.probe_interval_ms)
        self._look_ms = self._interval_ms / LOOKS_PER_INTERVAL
        self._members: list[NodeId] = []
        self._watches: dict[NodeId, Watch] = {}
        self._linked: set[NodeId] = set()
        self._errands: dict[int, tuple[NodeId, int]] = {}
        self._last_id = first_id
        self._due_ms = -inf
        self._leaving = False

    # what happens

    def linked(self, node: NodeId, now_ms: float) -> None:
        """A link to the peer is open: its introduction was a word, also of one that had left."""
        self._linked.add(node)
        self._signs.words.add(node)
        watch = self._watches.get(node)
        if watch is not None:
            watch.linked = True
            self._back(node, watch, now_ms)

    def lost(self, node: NodeId, now_ms: float) -> None:
        """The link is gone: an answer that will not come."""
        self._linked.discard(node)
        self._signs.words.discard(node)
        watch = self._watches.get(node)
        if watch is not None:
            watch.linked = False
            watch.probe_id = 0
            if watch.reached:
                watch.asked_ms = -inf
            elif watch.status != LEFT:
                self._signs.silent.add(node)

    def probed(self, source: NodeId, message: Probe) -> list[Send]:
        """Somebody asks whether this node is there, and says what it thinks."""
        self.refute(Claim(message.incarnation, message.status))
        mine = self._claims.of(self._me).incarnation
        return [Send(source, ProbeDone(PROBE_DONE, message.id, mine))]

    def answered(self, source: NodeId, message: ProbeDone, now_ms: float) -> list[Send]:
        """A peer is there; if somebody else wanted to know, tell."""
        self._claims.merge(source, Claim(message.incarnation, ALIVE))
        watch = self._watches.get(source)
        if watch is not None and watch.probe_id and watch.probe_id == message.id:
            watch.patience.learn(now_ms - watch.probe_ms)
            watch.probe_id = 0
        errand = self._errands.pop(message.id, None)
        if errand is None:
            return []
        asker, id = errand
        return [Send(asker, ProbedFor(PROBED_FOR, id, source, message.incarnation))]

    def asked_for(self, source: NodeId, message: ProbeFor) -> list[Send]:
        """A peer does not hear of another: ask in its place."""
        if message.target not in self._linked or message.target == source:
            return []
        if len(self._errands) >= ERRANDS_MAX:
            del self._errands[next(iter(self._errands))]
        id = self._next_id()
        self._errands[id] = (source, message.id)
        claim = self._claims.of(message.target)
        return [Send(message.target, Probe(PROBE, id, *claim))]

    def vouched(self, message: ProbedFor, now_ms: float) -> None:
        """Another peer has reached the one that does not answer this node."""
        self._claims.merge(message.target, Claim(message.incarnation, ALIVE))
        watch = self._watches.get(message.target)
        if watch is not None:
            self._vouch(message.target, watch, now_ms)

    def rumour(self, node: NodeId, claim: Claim, now_ms: float) -> None:
        """Gossip has changed what is said of a member: leaving and refuting are believed at once,
        of anything worse this node makes sure itself."""
        if node == self._me:
            self.refute(claim)
            return
        watch = self._watches.get(node)
        if watch is None:
            return
        if claim.status == LEFT:
            self._gone(node, watch, now_ms)
        elif claim.status == ALIVE:
            self._back(node, watch, now_ms)
            self._vouch(node, watch, now_ms)
        elif watch.reached and watch.asked_ms is None:
            watch.heard_ms = -inf

    def refute(self, claim: Claim) -> None:
        """Deny what is said of this node, unless it is so or was said of an earlier life."""
        mine = self._claims.of(self._me)
        if claim < mine or self._leaving:
            return
        if claim.status == ALIVE:
            self._claims.merge(self._me, claim)
        elif is_claim(*claim.refuted()):
            self._claims.merge(self._me, claim.refuted())
            self._meters.refutations += 1

    def leave(self) -> None:
        """This node goes, on purpose."""
        self._leaving = True
        self._claims.merge(self._me, Claim(self._claims.of(self._me).incarnation, LEFT))

    def learn(self, node: NodeId, took_ms: float) -> None:
        """A peer has answered something else than a probe, after so long."""
        watch = self._watches.get(node)
        if watch is not None:
            watch.patience.learn(took_ms)

    # time

    def advance(self, now_ms: float) -> list[Send]:
        """Look at every peer, if it is time to."""
        if now_ms < self._due_ms:
            return []
        self._keep_watches(now_ms)
        late_ms = now_ms - self._due_ms
        if self._due_ms > 0 and late_ms > SLEPT_LOOKS * self._look_ms:
            for watch in self._watches.values():
                watch.excuse(late_ms)
        self._due_ms = now_ms + self._look_ms
        effects: list[Send] = []
        quiet: list[tuple[float, NodeId]] = []
        for node, watch in self._watches.items():
            if node in self._signs.words:
                self._heard(node, watch, now_ms)
            if watch.status != LEFT:
                self._judge(node, watch, now_ms, quiet, effects)
        self._signs.words.clear()
        for _, node in nsmallest(QUESTIONS_PER_LOOK, quiet):
            self._watches[node].asked_ms = now_ms
            self._ask(node, self._watches[node], now_ms, effects)
        return effects

    def deadline(self) -> float | None:
        """When `advance` should look again."""
        return self._due_ms if len(self._claims) > 1 else None

    # what others see

    def views(self) -> dict[NodeId, View]:
        """Every peer, as this node sees it."""
        return {node: watch.view() for node, watch in self._watches.items()}

    def reachable(self) -> list[NodeId]:
        """The linked peers that answer, in the order of the members."""
        return [n for n, watch in self._watches.items() if watch.linked and watch.reached]

    def validate(self) -> None:
        """Assert the invariants."""
        self._claims.validate()
        words, silent, held = self._signs
        assert held <= self._watches.keys(), "a stranger is held"
        assert len(self._errands) <= ERRANDS_MAX, "too many errands"
        for node, watch in self._watches.items():
            assert watch.reached or watch.asked_ms is not None, "blamed without a question"
            if watch.status == LEFT:
                assert node in held, "who has left is asked"
                assert not watch.reached, "who has left answers"
            elif not watch.reached:
                assert node in silent or node in words, "who does not answer is asked"
            else:
                assert watch.status == ALIVE or node in held, "who answers is suspect"
        mine = self._claims.of(self._me).status
        assert mine == (LEFT if self._leaving else ALIVE), "a node believes itself gone"

    # judging

    def _keep_watches(self, now_ms: float) -> None:
        """Watch exactly the other members."""
        members = self._claims.members()
        if members == self._members:
            return
        old, self._watches, self._members = self._watches, {}, members
        for node in members:
            if node != self._me:
                self._watches[node] = old.get(node) or self._new_watch(node, now_ms)
        for node in old.keys() - self._watches.keys():
            self._signs.silent.discard(node)
            self._signs.held.discard(node)

    def _new_watch(self, node: NodeId, now_ms: float) -> Watch:
        timing = self._timing
        patience = Patience(timing.patience_ms_min, timing.patience_ms_max)
        return Watch(patience, now_ms, node in self._linked)

    def _heard(self, node: NodeId, watch: Watch, now_ms: float) -> None:
        """It has spoken since the last look."""
        if watch.status == LEFT:
            return
        watch.heard_ms, watch.asked_ms = now_ms, None
        if watch.reached:
            return
        watch.reached = True
        self._signs.silent.discard(node)
        hold_ms = self._hold_ms(watch, now_ms)
        if hold_ms:
            self._meters.flaps += 1
            self._signs.held.add(node)
            watch.held_until_ms = max(watch.held_until_ms, now_ms + hold_ms)
        watch.turn(SUSPECT if now_ms < watch.held_until_ms else ALIVE, now_ms)

    def _judge(
        self,
        node: NodeId,
        watch: Watch,
        now_ms: float,
        quiet: list[tuple[float, NodeId]],
        effects: list[Send],
    ) -> None:
        """One peer at one look; `quiet`: who should be asked, and since when it is silent."""
        if watch.reached and now_ms >= watch.held_until_ms:
            self._signs.held.discard(node)
            watch.turn(ALIVE, now_ms)
        if watch.asked_ms is None:
            doubted = self._claims.of(node).status != ALIVE
            if doubted or now_ms - watch.heard_ms >= self._interval_ms:
                quiet.append((-inf if doubted else watch.heard_ms, node))
        elif not watch.reached:
            self._pursue(node, watch, now_ms, effects)
        elif now_ms - watch.asked_ms > watch.patience.ms():
            self._suspect(node, watch, now_ms, effects)

    def _suspect(self, node: NodeId, watch: Watch, now_ms: float, effects: list[Send]) -> None:
        """It owes a word for too long."""
        self._meters.suspicions += 1
        self._signs.silent.add(node)
        watch.reached = False
        watch.doubted_ms = now_ms
        watch.count(now_ms)
        watch.turn(SUSPECT, now_ms)
        self._ask(node, watch, now_ms, effects)

    def _pursue(self, node: NodeId, watch: Watch, now_ms: float, effects: list[Send]) -> None:
        """It still does not answer: go on asking, and let the suspicion grow."""
        if now_ms - watch.probed_ms >= self._interval_ms:
            self._ask(node, watch, now_ms, effects)
        patience_ms = 2 * watch.patience.ms()
        incarnation = self._claims.of(node).incarnation
        if watch.status == ALIVE:
            if now_ms - watch.vouched_ms > patience_ms + self._interval_ms:
                watch.doubted_ms = now_ms
                watch.turn(SUSPECT, now_ms)
        elif now_ms - watch.doubted_ms > patience_ms + self._timing.suspicion_ms:
            self._claims.merge(node, Claim(incarnation, DEAD))
            watch.turn(DEAD, now_ms)
        elif now_ms - watch.doubted_ms > patience_ms:
            self._claims.merge(node, Claim(incarnation, SUSPECT))

    def _ask(self, node: NodeId, watch: Watch, now_ms: float, effects: list[Send]) -> None:
        """A question to the peer, and to others about it if it is suspect."""
        watch.probed_ms = now_ms
        if watch.linked:
            if not watch.probe_id:
                watch.probe_id, watch.probe_ms = self._next_id(), now_ms
            self._meters.probes += 1
            effects.append(Send(node, Probe(PROBE, watch.probe_id, *self._claims.of(node))))
        if watch.reached or watch.status == DEAD:
            return
        others = [other for other in self.reachable() if other != node]
        for other in self._dice.some_of(others, RELAYS):
            self._meters.probes += 1
            effects.append(Send(other, ProbeFor(PROBE_FOR, self._next_id(), node)))

    def _gone(self, node: NodeId, watch: Watch, now_ms: float) -> None:
        """It has left."""
        watch.turn(LEFT, now_ms)
        watch.reached = False
        watch.asked_ms = now_ms
        self._signs.held.add(node)

    def _back(self, node: NodeId, watch: Watch, now_ms: float) -> None:
        """If it had left, it has a new start."""
        if watch.status == LEFT:
            watch.turn(ALIVE, now_ms)
            watch.reached = node in self._signs.words
            watch.asked_ms = watch.vouched_ms = now_ms
            self._signs.held.discard(node)
            if not watch.reached:
                self._signs.silent.add(node)

    def _vouch(self, node: NodeId, watch: Watch, now_ms: float) -> None:
        """Another has reached it; its own word, if there is one, says more."""
        if not watch.reached and watch.status != LEFT and node not in self._signs.words:
            watch.vouched_ms = now_ms
            watch.turn(ALIVE, now_ms)

    def _hold_ms(self, watch: Watch, now_ms: float) -> float:
        """For how long its return is not believed: 0, or doubled with every suspicion."""
        score = watch.score(now_ms)
        if score <= FLAPS_FREE:
            return 0.0
        doubled: float = self._interval_ms * 2.0 ** min(score, 16.0)
        return min(doubled, float(self._timing.hold_ms_max))

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id
