"""One start of a simulated node: the real kernel and engine in a shell of simulated time.

    connection ─ messages ─▶ kernel.handle ─▶ effects ─▶ connections
                                  ▲ │
                        Persisted │ ▼ writes
                                 store

It mirrors the daemon: one link per pair of nodes, dialed by the lower name; a new link takes the
place of the old one, from which nothing arrives any more; the start's number is checked at the
handshake; who it is (dynamo.repair.boot) is durable before it says a word.
"""

from collections.abc import Callable
from typing import Any, Protocol

from dynamo.brain import Brain, JoinsAnew, founders, recalled
from dynamo.coordination.identity import Identity
from dynamo.coordination.outcomes import APPLIED, NOT_APPLIED
from dynamo.errors import StorageFailed
from dynamo.kernel import Kernel
from dynamo.membership.epochs import STATE
from dynamo.membership.topology import Topology
from dynamo.messages import (
    ASK_OUTCOME,
    FAILED,
    OUTCOME_DONE,
    PUT,
    PUT_DONE,
    AskOutcome,
    Broadcast,
    Disconnect,
    Effect,
    Event,
    Persisted,
    Put,
    Received,
    Send,
    Source,
    Tick,
)
from dynamo.meters import Meters
from dynamo.repair.boot import FORGOT, IDENTITY, ROLLED_BACK, Boot, Found, boot
from dynamo.repair.rebuild import MISSING
from dynamo.ring.joint import Rings
from dynamo.ring.ring import Ring
from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import supersedes
from dynamo.storage.files import DiskFull
from dynamo.testing.links import Links, Neighbours
from dynamo.testing.network import Connection, Messages
from dynamo.testing.store import Disk, Store, Violation
from dynamo.testing.world import WallClock
from dynamo.types import ItemKey, NodeId

TICK_MS = 5.0
VALIDATED_EVERY, BACKGROUND_VALIDATED_EVERY = 6, 24
"""Of so many events one is followed by a look at the kernel's invariants: what breaks one leaves it
broken, and looking each time would be a tenth of a run."""
JOINS_ANEW = "joins anew"
"""Why a process ended whose disk is from a membership that ended."""
PART_AFTER_MS = 2000.0
"""How long links to who is no member any more are kept."""


class Watcher(Protocol):
    """Who is told when a node says what became of a write."""

    def told(self, node: NodeId, asked: Put | AskOutcome, applied: bool, rings: Rings) -> None:
        """Raise Violation unless enough disks hold durably what makes it true, by the rings that
        the node went by."""


class Surroundings(Neighbours, Protocol):
    """What a process needs of the cluster around it."""

    ring: Ring
    watcher: Watcher

    def adopted(self, topology: Topology) -> None:
        """A node has adopted an epoch. Raise Violation if another has it otherwise."""


class Process:
    """The daemon from one start to its end."""

    def __init__(
        self,
        around: Surroundings,
        name: NodeId,
        disk: Disk,
        clock: WallClock,
        ended: Callable[["Process", str], None],
    ) -> None:
        self.around, self.name, self.disk, self.clock = around, name, disk, clock
        self.world = around.world
        self._ended = ended
        self.alive = True
        self.draining = False
        self.paused = False
        self._backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.store = Store(disk, self.post, self._persisted, self._storage_failed)
        self.brain: Brain | None = None
        """None until the node has started."""
        self._epoch = 0
        self._rings = Rings(around.ring)
        self.boot: Boot | None = None
        self.links = Links(around, self, self.world.rng(f"links {name} {self.world.now}"))
        self._asked: dict[tuple[Source, int], Put | AskOutcome] = {}
        self._ticking = False
        self._alarm_ms: float | None = None
        self._events = 0

    @property
    def kernel(self) -> Kernel | None:
        """That of the present epoch."""
        return None if self.brain is None else self.brain.kernel

    def knows(self, name: NodeId) -> bool:
        """Whether another is a member, as far as this node knows."""
        return self.brain is not None and name in self.brain.topology.members

    # life

    def start(self, bootstrap: bool) -> None:
        """Recover, decide who starts, make that durable, and serve."""
        around, engine = self.around, self.store.engine
        recovery = self.store.open()
        self._check_promises()
        found = Found(
            recovery.fresh,
            recovery.clean and not engine.get_meta(FORGOT),
            recovery.damaged,
            engine.get_meta(IDENTITY),
            engine.get_meta(MISSING),
            bool(engine.get_meta(ROLLED_BACK)),
        )
        lost = found.damaged or found.rolled_back
        first = founders(around.ring, around.config)
        known = recalled(engine.get_meta, first, bootstrap or not (found.fresh or lost))
        ring = known.state.topology.ring
        mine = ring.primaries_of(self.name, ring.n_max)
        self.boot = decided = boot(found, mine, bootstrap, self.clock.wall_ms())
        if lost:
            known = known.in_another_life()
        for name, value in {**decided.meta(), STATE: known.state.encoded()}.items():
            engine.put_meta(name, value)
        self.store.write_through()
        self.disk.is_old &= not found.rolled_back
        identity = Identity(
            self.name,
            decided.incarnation,
            decided.epoch,
            decided.unclean_epoch,
            around.ring.partitions,
        )
        self.brain = Brain(around.config, identity, engine, Meters(), known, decided.missing)
        self._look_at_ring()

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Run a call in this process's loop: later if it is paused, never if it is gone."""
        if self.paused:
            self._backlog.append((call, arguments))
        elif self.alive:
            call(*arguments)

    def resume(self) -> None:
        """Go on after a pause, with everything that has waited."""
        self.paused = False
        backlog, self._backlog = self._backlog, []
        for call, arguments in backlog:
            self.post(call, *arguments)

    def drain(self) -> None:
        """SIGTERM: take no new connections, finish what runs, then stop cleanly."""
        self.draining = True
        self._drained(self.world.now + self.around.config.timing.drain_timeout_ms)

    def _drained(self, latest_ms: float) -> None:
        busy = self.kernel is not None and self.kernel.in_flight() > 0
        if busy and self.world.now < latest_ms:
            self.world.at(TICK_MS, self.post, self._drained, latest_ms)
            return
        self.links.close(f"{self.name} is stopping")
        self._close_store()

    def _close_store(self) -> None:
        """When the jobs under way are done: a last checkpoint."""
        if not self.store.idle():
            self.world.at(TICK_MS, self.post, self._close_store)
            return
        try:
            self.store.write_through()
            self.store.engine.real.close_clean()
        except DiskFull:
            self._ended(self, "stopped with a full disk")
            return
        except StorageFailed as error:
            self._storage_failed(str(error))
            return
        self._ended(self, "stopped")

    def _storage_failed(self, reason: str) -> None:
        self._ended(self, f"failed sync: {reason}")

    def _check_promises(self) -> None:
        """What the disk had promised must be there; what else is there counts from now on."""
        engine, promised = self.store.engine, self.disk.promised
        for key, record in promised.items():
            if isinstance(key, str) or record is None:
                continue
            found = engine.get(ItemKey(key))
            if found == record or key in self.disk.dropping:
                continue
            if found is None and self.disk.removing.get(key) == record:
                continue
            if found is None or not supersedes(decode_record(found), decode_record(record)):
                raise Violation(f"{self.name}: a durable record of {key!r} was lost in a crash")
        for key in self.disk.dropping:
            promised[key] = engine.get(key)
        self.disk.dropping.clear()
        for key, record in engine.scan(ItemKey(b"\x00"), ItemKey(b"\xff" * 9), 1 << 20):
            promised[key] = record
        for key, record in self.disk.removing.items():
            if engine.get(key) is None:
                promised[key], self.disk.removed[key] = None, record
        self.disk.removing.clear()

    # links

    def accepts(self) -> bool:
        """Whether new connections are answered now."""
        return self.alive and not self.paused and not self.draining and self.kernel is not None

    def received(self, connection: Connection, messages: Messages, sent_ms: float) -> None:
        """From a link or a client."""
        self.post(self._received, connection, messages, sent_ms)

    def lost(self, connection: Connection, reason: str) -> None:
        """A link or a client is gone."""
        self.post(self.links.lost, connection, reason)

    def _received(self, connection: Connection, messages: Messages, sent_ms: float) -> None:
        source = self.links.source(connection)
        if source is None:
            self.links.hello_answered(connection, messages)
            return
        for message in messages:
            if message[0] == PUT:
                self._asked[source, message[1]] = Put._make(message)
            elif message[0] == ASK_OUTCOME:
                self._asked[source, message[1]] = AskOutcome._make(message)
        self.feed(Received(source, messages, self.world.now - sent_ms))

    # events and effects

    def feed(self, event: Event) -> None:
        """Hand an event to the kernel and perform what it wants."""
        brain = self.brain
        assert brain is not None, "events come to started nodes"
        self.world.note(self.name, "<-", event)
        try:
            effects = brain.handle(event, self.clock.instant())
        except JoinsAnew:
            self._ended(self, JOINS_ANEW)
            return
        self._perform(effects)
        if brain.topology.epoch != self._epoch:
            self._look_at_ring()
            self.world.at(PART_AFTER_MS, self.post, self.links.part_with_strangers)
        self._events += 1
        if self._events % VALIDATED_EVERY == 0:
            brain.kernel.validate()
        if self._events % BACKGROUND_VALIDATED_EVERY == 0:
            brain.kernel.validate_background()
        self.store.kick()
        if not self._ticking:
            self._ticking = True
            self.world.at(TICK_MS, self.post, self._tick)

    def _look_at_ring(self) -> None:
        """Another epoch is in force."""
        assert self.brain is not None, "a started node"
        self._epoch, self._rings = self.brain.topology.epoch, self.brain.kernel.scope.rings
        self.world.note(f"{self.name} holds epoch {self._epoch}: {self.brain.topology.change}")
        self.around.adopted(self.brain.topology)
        self.links.seek_all()

    def _persisted(self, tokens: list[Any]) -> None:
        self.feed(Persisted(tokens))

    def _tick(self) -> None:
        """Time passes, as long as somebody waits for it; an idle node sleeps until then."""
        assert self.kernel is not None, "ticks come to started nodes"
        self._ticking = False
        deadline = self.kernel.deadline()
        if deadline is None:
            return
        if deadline <= self.world.now:
            self.feed(Tick())
        elif self._alarm_ms is None or deadline < self._alarm_ms:
            self._alarm_ms = deadline
            self.world.at(max(TICK_MS, deadline - self.world.now), self.post, self._woken)

    def _woken(self) -> None:
        self._alarm_ms = None
        if not self._ticking:
            self._tick()

    def _perform(self, effects: list[Effect]) -> None:
        """What goes to one link in one tick travels together."""
        outbox: dict[Source, list[Any]] = {}
        for effect in effects:
            if type(effect) is Send:
                message = effect.message
                if message.kind in (PUT_DONE, OUTCOME_DONE, FAILED):
                    self._check_answer(effect.to, message)
                outbox.setdefault(effect.to, []).append(message)
            elif type(effect) is Broadcast:
                for peer in effect.to:
                    outbox.setdefault(peer, []).append(effect.message)
            else:
                assert type(effect) is Disconnect, f"an unknown effect {effect}"
                raise Violation(f"{self.name} cuts {effect.to} off: {effect.reason}")
        for to, messages in outbox.items():
            self.links.send(to, tuple(messages))

    def _check_answer(self, to: Source, answer: Any) -> None:
        asked = self._asked.pop((to, answer.id), None)
        if asked is None or answer.kind == FAILED:
            return
        applied = answer.kind == PUT_DONE or answer.state == APPLIED
        if applied or answer.state == NOT_APPLIED:
            self.around.watcher.told(self.name, asked, applied, self._rings)
