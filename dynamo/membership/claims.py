"""What is said of a member, and which of two sayings holds.

    alive(0) < suspect(0) < dead(0) < left(0) < alive(1) < suspect(1) < …

A claim is a pair (incarnation, status) in exactly this order, and two claims merge to the greater:
a join semilattice, so that all who have heard the same claims, in whatever order and however often,
believe the same. From the order follow SWIM's rules (Das, Gupta and Motivala, 2002, section 4.2):

    suspect(i) ∨ alive(i)   = suspect(i)      a suspicion is not talked away by an old word
    suspect(i) ∨ alive(i+1) = alive(i+1)      but its subject refutes it, by a new incarnation
    left(i)    ∨ x(i)       = left(i)         who left in an incarnation never returns in it

Only a member itself raises its incarnation. One start of a node begins above all of the starts
before it, so nobody needs to refute what was said of an earlier life.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import mmh3

from dynamo.messages_detection import INCARNATION_LIMIT
from dynamo.types import NodeId

ALIVE: Final = 0
SUSPECT: Final = 1
DEAD: Final = 2
LEFT: Final = 3
STATUS_NAMES: Final = ("alive", "suspect", "dead", "left")
"""The words for people, by status."""

REFUTATION_BITS: Final = 24
"""Below the number of the start: sixteen million refutations before one could meet the next."""


class Claim(NamedTuple):
    """A saying about one member."""

    incarnation: int
    status: int

    def merge(self, other: "Claim") -> "Claim":
        """Which of the two holds."""
        return max(self, other)

    def refuted(self) -> "Claim":
        """What its subject says to the contrary."""
        return Claim(self.incarnation + 1, ALIVE)


UNHEARD_OF: Final = Claim(0, ALIVE)
"""Of a member of whom nothing was said yet."""


def first_incarnation(start: int) -> int:
    """Where a node begins to count at its start number `start`."""
    return start << REFUTATION_BITS


def is_claim(incarnation: int, status: int) -> bool:
    """Whether this can be said in a message."""
    return 0 <= incarnation < INCARNATION_LIMIT and ALIVE <= status <= LEFT


class Claims:
    """Of every member the greatest claim met so far, and what of it is news.

    Bounded by the members: a claim about anybody else is not kept.
    """

    def __init__(self, members: Iterable[NodeId]) -> None:
        self._claims: dict[NodeId, Claim] = dict.fromkeys(members, UNHEARD_OF)
        self.digest = 0
        """Equal on two sides that believe the same; the exclusive-or of a hash of each claim."""
        self.news: dict[NodeId, int] = {}
        """How often each change was passed on, the latest change last."""
        for node, claim in self._claims.items():
            self.digest ^= _hash(node, claim)

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, node: object) -> bool:
        return node in self._claims

    def of(self, node: NodeId) -> Claim:
        """What holds of a member."""
        return self._claims.get(node, UNHEARD_OF)

    def items(self) -> Iterable[tuple[NodeId, Claim]]:
        """Everything, in the order of the members."""
        return self._claims.items()

    def members(self) -> list[NodeId]:
        """Of whom claims are kept."""
        return list(self._claims)

    def merge(self, node: NodeId, claim: Claim) -> bool:
        """Take a claim in, unless it could not be refuted; whether it changed anything."""
        known = self._claims.get(node)
        if known is None or claim <= known or not is_claim(*claim.refuted()):
            return False
        self._claims[node] = claim
        self.digest ^= _hash(node, known) ^ _hash(node, claim)
        self.news.pop(node, None)
        self.news[node] = 0
        return True

    def keep(self, members: Iterable[NodeId]) -> None:
        """The ring has changed: forget who is no member, begin with those who are new."""
        self._claims = {node: self.of(node) for node in members}
        self.news = {node: times for node, times in self.news.items() if node in self._claims}
        self.digest = self.recount()

    def recount(self) -> int:
        """The digest, by the slow way."""
        digest = 0
        for node, claim in self._claims.items():
            digest ^= _hash(node, claim)
        return digest

    def validate(self) -> None:
        """Assert that the digest is that of the claims, and that news are of members."""
        assert self.digest == self.recount(), "the digest lost count"
        assert self.news.keys() <= self._claims.keys(), "news of a stranger"


def _hash(node: NodeId, claim: Claim) -> int:
    text = f"{node} {claim.incarnation} {claim.status}"
    return mmh3.hash64(text, signed=False)[0]
