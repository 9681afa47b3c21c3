"""What a peer is blamed for, what excuses it, and who is told."""

from dynamo.limits import Timing
from dynamo.membership.claims import ALIVE, DEAD, LEFT, SUSPECT, Claim, Claims
from dynamo.membership.detector import ERRANDS_MAX, QUESTIONS_PER_LOOK, RELAYS, Detector
from dynamo.membership.dice import Dice
from dynamo.membership.watch import Signs
from dynamo.messages import Send
from dynamo.messages_detection import (
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

N1, N2, N3, N4, N5, N6 = (NodeId(f"n{number}") for number in range(1, 7))
PEERS = [N2, N3, N4, N5, N6]
TIMING = Timing(
    probe_interval_ms=100,
    patience_ms_min=100,
    patience_ms_max=300,
    suspicion_ms=1000,
    hold_ms_max=2000,
)
LOOK_MS = 20.0


class Eye:
    """The detector of n1, its peers played by the test; by default all but n2 talk all the time."""

    def __init__(self, quiet: NodeId = N2) -> None:
        self.claims = Claims([N1, *PEERS])
        self.signs = Signs(set(), set(), set())
        self.meters = Meters()
        self.detector = Detector(N1, self.claims, self.signs, TIMING, Dice(1), self.meters, 100)
        self.quiet = {quiet}
        self.now_ms = 1000.0
        for peer in PEERS:
            self.detector.linked(peer, self.now_ms)
        assert self.pass_ms(LOOK_MS) == []

    def pass_ms(self, ms: float) -> list[Send]:
        """Time passes; what was sent."""
        sent: list[Send] = []
        until = self.now_ms + ms
        while self.now_ms < until:
            self.now_ms += LOOK_MS
            for peer in PEERS:
                if peer not in self.quiet:
                    self.word(peer)
            sent += self.detector.advance(self.now_ms)
            self.detector.validate()
        return sent

    def word(self, peer: NodeId) -> None:
        """As the kernel's peers note it."""
        self.signs.words.add(peer)
        self.signs.silent.discard(peer)

    def answer(self, probe: Send) -> None:
        """The peer answers a question at once."""
        assert isinstance(probe.message, Probe)
        peer = NodeId(str(probe.to))
        self.word(peer)
        done = ProbeDone(PROBE_DONE, probe.message.id, 1)
        self.detector.answered(peer, done, self.now_ms)

    def make_patient(self) -> None:
        """n2 has always answered at once."""
        for _ in range(30):
            self.detector.learn(N2, 1.0)

    def state(self, peer: NodeId = N2) -> tuple[str, bool]:
        view = self.detector.views()[peer]
        return view.state, view.reached


def probes(sent: list[Send]) -> list[Send]:
    return [effect for effect in sent if isinstance(effect.message, Probe)]


def errands(sent: list[Send]) -> list[Send]:
    return [effect for effect in sent if isinstance(effect.message, ProbeFor)]


def test_who_talks_is_never_asked() -> None:
    eye = Eye()
    eye.quiet.clear()
    assert eye.pass_ms(5000) == []
    assert eye.meters.probes == 0


def test_who_is_silent_for_an_interval_is_asked_once() -> None:
    eye = Eye()
    (probe,) = eye.pass_ms(200)
    assert probe.to == N2
    assert isinstance(probe.message, Probe)
    assert eye.state() == ("alive", True), "silence is no fault, only a question not answered"
    eye.answer(probe)
    assert probes(eye.pass_ms(60)) == []
    assert eye.state() == ("alive", True)


def test_who_does_not_answer_within_its_patience_is_suspect_and_others_ask_for_us() -> None:
    eye = Eye()
    eye.make_patient()
    sent = eye.pass_ms(260)
    assert eye.state() == ("suspect", False)
    assert eye.signs.silent == {N2}
    relays = [effect.to for effect in errands(sent)]
    assert len(relays) == len(set(relays)) == RELAYS
    assert N2 not in relays
    assert eye.meters.suspicions == 1
    assert eye.claims.of(N2).status == ALIVE, "nobody is told yet"


def test_the_more_its_answers_differ_the_longer_it_is_waited_for() -> None:
    steady, unsteady = Eye(), Eye()
    for number in range(30):
        steady.detector.learn(N2, 10.0)
        unsteady.detector.learn(N2, 10.0 if number % 2 else 70.0)
    for eye in (steady, unsteady):
        eye.pass_ms(300)
    assert steady.state() == ("suspect", False)
    assert unsteady.state() == ("alive", True)


def test_its_first_word_ends_the_suspicion_before_any_look() -> None:
    eye = Eye()
    eye.make_patient()
    eye.pass_ms(260)
    eye.word(N2)
    assert not eye.signs.silent
    eye.detector.validate()
    eye.pass_ms(LOOK_MS)
    assert eye.state() == ("alive", True)


def test_who_answers_another_is_alive_but_still_asked_last() -> None:
    eye = Eye()
    eye.make_patient()
    (errand, *_) = errands(eye.pass_ms(260))
    assert isinstance(errand.message, ProbeFor)
    eye.detector.vouched(ProbedFor(PROBED_FOR, errand.message.id, N2, 5), eye.now_ms)
    assert eye.state() == ("alive", False)
    assert eye.signs.silent == {N2}
    eye.pass_ms(200)
    assert eye.state() == ("alive", False)
    eye.pass_ms(400)
    assert eye.state() == ("suspect", False), "nobody has reached it for a while"


def test_a_suspicion_hardens_is_told_and_ends_in_death() -> None:
    eye = Eye()
    eye.make_patient()
    eye.pass_ms(260 + 160)
    assert eye.claims.of(N2).status == ALIVE
    eye.pass_ms(60)
    assert eye.claims.of(N2).status == SUSPECT
    eye.pass_ms(900)
    assert eye.state() == ("suspect", False)
    eye.pass_ms(200)
    assert eye.state() == ("dead", False)
    assert eye.claims.of(N2).status == DEAD
    assert errands(eye.pass_ms(500)) == [], "nobody is sent to the dead"


def test_the_question_tells_the_suspicion_and_the_answer_refutes_it() -> None:
    eye = Eye()
    eye.make_patient()
    sent = probes(eye.pass_ms(700))
    told = sent[-1].message
    assert isinstance(told, Probe)
    assert told.status == SUSPECT
    subject_claims = Claims([N1, N2])
    meters = Meters()
    signs = Signs(set(), set(), set())
    subject = Detector(N2, subject_claims, signs, TIMING, Dice(2), meters)
    (answer,) = subject.probed(N1, told)
    assert meters.refutations == 1
    assert isinstance(answer.message, ProbeDone)
    eye.word(N2)
    eye.detector.answered(N2, answer.message, eye.now_ms)
    eye.pass_ms(LOOK_MS)
    assert eye.claims.of(N2) == Claim(told.incarnation + 1, ALIVE)
    assert eye.state() == ("alive", True)


def test_a_lost_link_is_an_answer_that_will_not_come() -> None:
    eye = Eye()
    eye.detector.lost(N2, eye.now_ms)
    sent = eye.pass_ms(2 * LOOK_MS)
    assert eye.state() == ("suspect", False)
    assert probes(sent) == [], "there is no way to ask it"
    assert len(errands(sent)) == RELAYS


def test_a_last_word_before_its_link_is_lost_does_not_end_the_suspicion() -> None:
    eye = Eye()
    eye.make_patient()
    eye.pass_ms(260)
    eye.word(N2)
    eye.detector.lost(N2, eye.now_ms)
    eye.detector.validate()
    assert eye.signs.silent == {N2}
    eye.pass_ms(LOOK_MS)
    assert eye.state() == ("suspect", False)


def test_a_link_that_is_replaced_at_once_is_no_fault() -> None:
    eye = Eye()
    eye.pass_ms(40)
    eye.detector.lost(N2, eye.now_ms)
    eye.detector.linked(N2, eye.now_ms)
    eye.pass_ms(2 * LOOK_MS)
    assert eye.state() == ("alive", True)
    assert eye.meters.suspicions == 0


def test_a_peer_that_was_never_linked_is_given_time() -> None:
    eye = Eye()
    eye.detector.lost(N2, eye.now_ms)
    eye.pass_ms(200)
    fresh = Eye()
    fresh.detector = Detector(N1, fresh.claims, fresh.signs, TIMING, Dice(1), fresh.meters)
    fresh.signs.words.clear()
    fresh.quiet = {N2}
    fresh.pass_ms(200)
    assert (eye.state()[0], fresh.state()[0]) == ("suspect", "alive")
    fresh.pass_ms(300)
    assert fresh.state() == ("suspect", False)


def test_who_slept_itself_blames_nobody() -> None:
    eye = Eye()
    eye.make_patient()
    eye.quiet = set(PEERS)
    eye.pass_ms(140)
    eye.now_ms += 60_000
    eye.pass_ms(LOOK_MS)
    assert {eye.state(peer) for peer in PEERS} == {("alive", True)}
    assert eye.meters.suspicions == 0
    eye.pass_ms(800)
    assert {eye.state(peer)[0] for peer in PEERS} == {"suspect"}, "from then on as ever"


def test_a_rumour_is_verified_and_not_believed() -> None:
    eye = Eye()
    eye.quiet.clear()
    eye.pass_ms(100)
    eye.quiet.add(N2)
    claim = Claim(0, DEAD)
    eye.claims.merge(N2, claim)
    eye.detector.rumour(N2, claim, eye.now_ms)
    (probe,) = eye.pass_ms(LOOK_MS)
    assert probe.to == N2
    assert isinstance(probe.message, Probe)
    assert probe.message.status == DEAD, "its subject hears of it first"
    assert eye.state() == ("alive", True)


def test_leaving_is_believed_and_ends_only_with_a_new_start() -> None:
    eye = Eye()
    eye.quiet.clear()
    eye.pass_ms(100)
    eye.claims.merge(N2, Claim(3, LEFT))
    eye.detector.rumour(N2, Claim(3, LEFT), eye.now_ms)
    assert eye.pass_ms(2000) == [], "its last words do not bring it back, and it is not asked"
    assert eye.state() == ("left", False)
    assert N2 in eye.signs.held
    eye.detector.lost(N2, eye.now_ms)
    eye.detector.linked(N2, eye.now_ms)
    eye.pass_ms(LOOK_MS)
    assert eye.state() == ("alive", True)
    assert not eye.signs.held


def test_a_node_denies_what_is_not_so_but_not_what_was_said_of_an_earlier_life() -> None:
    eye = Eye()
    eye.claims.merge(N1, Claim(10, ALIVE))
    eye.detector.rumour(N1, Claim(9, DEAD), 0.0)
    assert eye.claims.of(N1) == Claim(10, ALIVE)
    eye.detector.rumour(N1, Claim(10, SUSPECT), 0.0)
    assert eye.claims.of(N1) == Claim(11, ALIVE)
    eye.detector.rumour(N1, Claim(40, LEFT), 0.0)
    assert eye.claims.of(N1) == Claim(41, ALIVE), "an earlier disk had come that far"
    assert eye.meters.refutations == 2
    eye.detector.validate()


def test_who_leaves_does_not_deny_it() -> None:
    eye = Eye()
    eye.claims.merge(N1, Claim(10, ALIVE))
    eye.detector.leave()
    eye.detector.rumour(N1, Claim(10, LEFT), 0.0)
    assert eye.claims.of(N1) == Claim(10, LEFT)
    assert eye.meters.refutations == 0
    eye.detector.validate()


def test_who_asks_for_another_is_told_when_it_answers() -> None:
    eye = Eye()
    (probe,) = eye.detector.asked_for(N3, ProbeFor(PROBE_FOR, 7, N2))
    assert probe.to == N2
    assert isinstance(probe.message, Probe)
    done = ProbeDone(PROBE_DONE, probe.message.id, 4)
    assert eye.detector.answered(N2, done, 0.0) == [Send(N3, ProbedFor(PROBED_FOR, 7, N2, 4))]
    assert eye.detector.answered(N2, done, 0.0) == [], "once"


def test_nobody_is_asked_that_this_node_cannot_ask() -> None:
    eye = Eye()
    eye.detector.lost(N2, 0.0)
    assert eye.detector.asked_for(N3, ProbeFor(PROBE_FOR, 7, N2)) == []
    assert eye.detector.asked_for(N3, ProbeFor(PROBE_FOR, 7, N1)) == []
    assert eye.detector.asked_for(N3, ProbeFor(PROBE_FOR, 7, N3)) == []
    assert eye.detector.asked_for(N3, ProbeFor(PROBE_FOR, 7, NodeId("nobody"))) == []


def test_errands_are_bounded() -> None:
    eye = Eye()
    sent = [
        effect
        for number in range(ERRANDS_MAX + 10)
        for effect in eye.detector.asked_for(N3, ProbeFor(PROBE_FOR, number, N2))
    ]
    eye.detector.validate()
    answers = []
    for probe in sent:
        assert isinstance(probe.message, Probe)
        done = ProbeDone(PROBE_DONE, probe.message.id, 1)
        answers += eye.detector.answered(N2, done, 0.0)
    assert len(answers) == ERRANDS_MAX, "the oldest were given up"


def come_and_go(eye: Eye) -> None:
    eye.quiet.add(N2)
    eye.pass_ms(700)
    eye.quiet.discard(N2)
    eye.pass_ms(LOOK_MS)


def held_for(eye: Eye) -> float:
    """How long it stays suspect although it talks."""
    began_ms = eye.now_ms
    while eye.state() == ("suspect", True):
        assert N2 in eye.signs.held
        eye.pass_ms(LOOK_MS)
    assert N2 not in eye.signs.held
    return eye.now_ms - began_ms


def test_who_comes_and_goes_is_held_suspect_for_longer_each_time_within_a_bound() -> None:
    eye = Eye()
    held: list[float] = []
    for _ in range(8):
        come_and_go(eye)
        held.append(held_for(eye))
    assert held[0] == held[1] == 0.0, "a hiccup or two are nobody's fault"
    assert held[2] > 400.0
    assert held[3] > 1.5 * held[2]
    assert held[-1] <= TIMING.hold_ms_max + LOOK_MS
    assert eye.meters.flaps == 6
    eye.now_ms += 300_000
    come_and_go(eye)
    assert held_for(eye) == 0.0, "after five quiet minutes it is forgiven"


def test_a_single_node_has_nobody_to_look_after() -> None:
    claims, signs = Claims([N1]), Signs(set(), set(), set())
    alone = Detector(N1, claims, signs, TIMING, Dice(1), Meters())
    assert alone.deadline() is None
    assert alone.advance(5.0) == []


def test_new_members_are_watched_and_old_ones_are_not() -> None:
    eye = Eye()
    eye.make_patient()
    eye.pass_ms(400)
    eye.claims.merge(N4, Claim(3, LEFT))
    eye.detector.rumour(N4, Claim(3, LEFT), eye.now_ms)
    assert (eye.signs.silent, eye.signs.held) == ({N2}, {N4})
    eye.claims.keep([N1, N3, NodeId("n7")])
    eye.quiet.clear()
    eye.pass_ms(LOOK_MS)
    assert set(eye.detector.views()) == {N3, NodeId("n7")}
    assert not eye.signs.silent
    assert not eye.signs.held


def test_in_a_large_cluster_the_silent_are_asked_in_turn_the_longest_silent_first() -> None:
    peers = [NodeId(f"p{number:02}") for number in range(3 * QUESTIONS_PER_LOOK)]
    detector = Detector(
        N1, Claims([N1, *peers]), Signs(set(), set(), set()), TIMING, Dice(1), Meters()
    )
    for peer in peers:
        detector.linked(peer, 1000.0)
    for look in range(5):
        assert detector.advance(1000.0 + look * LOOK_MS) == []
    asked: list[NodeId] = []
    for look in range(4):
        probes = detector.advance(1100.0 + look * LOOK_MS)
        assert len(probes) == (QUESTIONS_PER_LOOK if look < 3 else 0)
        asked += [NodeId(str(probe.to)) for probe in probes]
    assert asked == peers
