"""What nodes say to each other about who is there (dynamo.membership).

    node -> node     Probe, ProbeFor, GossipPush
    answers          ProbeDone, ProbedFor, GossipPull

`dynamo.messages` parses them like all others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from dynamo.types import NodeId

PROBE, PROBE_FOR, GOSSIP_PUSH = range(26, 29)
PROBE_DONE, PROBED_FOR, GOSSIP_PULL = range(50, 53)

INCARNATION_LIMIT = 1 << 62
STATUS_LIMIT = 4

Rumour: TypeAlias = tuple[NodeId, int, int]
"""A member, the incarnation and the status that are claimed of it."""


class Probe(NamedTuple):
    """Are you there? This is what I believe of you (dynamo.membership.claims)."""

    kind: int
    id: int
    incarnation: int
    status: int


class ProbeFor(NamedTuple):
    """I hear nothing of that member: ask it for me."""

    kind: int
    id: int
    target: NodeId


class GossipPush(NamedTuple):
    """My ring's epoch, a digest of all that I believe of members, and some of it."""

    kind: int
    ring_epoch: int
    digest: int
    news: tuple[Rumour, ...]


class ProbeDone(NamedTuple):
    """I am there, in this incarnation."""

    kind: int
    id: int
    incarnation: int


class ProbedFor(NamedTuple):
    """The member that you do not hear is there, in this incarnation."""

    kind: int
    id: int
    target: NodeId
    incarnation: int


class GossipPull(NamedTuple):
    """The same as GossipPush, in answer to one: what the other side lacks comes first."""

    kind: int
    ring_epoch: int
    digest: int
    news: tuple[Rumour, ...]


DetectionMessage: TypeAlias = Probe | ProbeFor | GossipPush | ProbeDone | ProbedFor | GossipPull


def _is_claim(incarnation: Any, status: Any) -> bool:
    return bool(0 <= incarnation < INCARNATION_LIMIT and 0 <= status < STATUS_LIMIT)


def _holds_rumours(raw: tuple[Any, ...]) -> bool:
    return all(
        type(rumour) is tuple
        and tuple(map(type, rumour)) == (str, int, int)
        and _is_claim(rumour[1], rumour[2])
        for rumour in raw[3]
    )


DETECTION: tuple[
    tuple[int, type[DetectionMessage], tuple[type, ...], Callable[[tuple[Any, ...]], bool] | None],
    ...,
] = (
    (PROBE, Probe, (int, int, int), lambda raw: _is_claim(raw[2], raw[3])),
    (PROBE_FOR, ProbeFor, (int, str), None),
    (GOSSIP_PUSH, GossipPush, (int, int, tuple), _holds_rumours),
    (PROBE_DONE, ProbeDone, (int, int), lambda raw: _is_claim(raw[2], 0)),
    (PROBED_FOR, ProbedFor, (int, str, int), lambda raw: _is_claim(raw[3], 0)),
    (GOSSIP_PULL, GossipPull, (int, int, tuple), _holds_rumours),
)
"""(kind, class, types of its fields after the kind, what types alone do not say)."""
