"""What is said about the members of a cluster (dynamo.membership).

node -> node     EpochWord, EpochReport
client -> node   ClientEpoch (not answered), AskChange, AskTopology
answers          ChangeIs, TopologyIs
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

EPOCH_WORD, EPOCH_REPORT, CLIENT_EPOCH, ASK_CHANGE, CHANGE_IS = range(53, 58)
ASK_TOPOLOGY, TOPOLOGY_IS = range(58, 60)

EPOCH_LIMIT = 1 << 62


class EpochWord(NamedTuple):
    """A word of deciding an epoch: its number and fields (dynamo.membership.words)."""

    kind: int
    step: int
    fields: tuple[Any, ...]


class EpochReport(NamedTuple):
    """While a change is under way: the epoch that this node holds durably, its life, and what it
    must still copy: a reason and the partitions that wait for it, two bytes each; and how many
    hints it keeps."""

    kind: int
    epoch: int
    incarnation: str
    lacking: tuple[tuple[str, bytes], ...]
    hints: int


class ClientEpoch(NamedTuple):
    """From now on I read replicas by the ring of this epoch."""

    kind: int
    epoch: int


class AskChange(NamedTuple):
    """Carry this out on the ring of that epoch. The fields depend on the action:

    join     node, host, zone, weight, address, port
    leave    node
    replace  dead node, then as for join
    weight   node, weight
    cancel
    force    nodes that are lost for ever
    """

    kind: int
    id: int
    action: str
    epoch: int
    fields: tuple[Any, ...]


class ChangeIs(NamedTuple):
    """What became of it: `won`, `lost`, `open`, `busy` or `refused`; the epoch in force and a
    sentence."""

    kind: int
    id: int
    verdict: str
    epoch: int
    text: str


class AskTopology(NamedTuple):
    """Which members and rings are in force?"""

    kind: int
    id: int


class TopologyIs(NamedTuple):
    """The present epoch (dynamo.membership.topology)."""

    kind: int
    id: int
    topology: bytes


MembersMessage: TypeAlias = (
    EpochWord | EpochReport | ClientEpoch | AskChange | ChangeIs | AskTopology | TopologyIs
)


def _is_epoch(raw: tuple[Any, ...]) -> bool:
    return bool(0 <= raw[1] < EPOCH_LIMIT)


def _holds_reasons(raw: tuple[Any, ...]) -> bool:
    return _is_epoch(raw) and all(
        type(reason) is tuple
        and tuple(map(type, reason)) == (str, bytes)
        and len(reason[1]) % 2 == 0
        for reason in raw[3]
    )


MEMBERS: tuple[
    tuple[int, type[MembersMessage], tuple[type, ...], Callable[[tuple[Any, ...]], bool] | None],
    ...,
] = (
    (EPOCH_WORD, EpochWord, (int, tuple), None),
    (EPOCH_REPORT, EpochReport, (int, str, tuple, int), _holds_reasons),
    (CLIENT_EPOCH, ClientEpoch, (int,), _is_epoch),
    (ASK_CHANGE, AskChange, (int, str, int, tuple), None),
    (CHANGE_IS, ChangeIs, (int, str, int, str), None),
    (ASK_TOPOLOGY, AskTopology, (int,), None),
    (TOPOLOGY_IS, TopologyIs, (int, bytes), None),
)
"""(kind, class, types of its fields after the kind, what types alone do not say)."""
