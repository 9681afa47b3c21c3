"""Before a tombstone goes all other members say that nothing is left where no owner looks.

    an owner ─▶ all other members: "what of these partitions is left with you?"
    nothing: no hint, and with who owns nothing of it no record ─▶ "nothing; my dots went so far"

A tombstone may go once every owner has had it (dynamo.repair.settled). An older value can still be
where no owner looks: with a former owner, or as a hint, which an owner keeps as well if it became
one since. And an owner can vouch for its own dots only; those of a former owner, or of a stand-in,
nobody would. So before owners compare what they have taken in, everybody must have nothing left:
what was once written there is with an owner then, or nowhere, and the comparison after that shows
that all owners have it.

Who answers goes by the same ring as who asks, and its word holds until the next one: a hint that it
takes in later, or makes itself while it reaches no owner, speaks of newer dots.
Who is no member any more has nothing that comes back: it joins anew, as somebody else
(`dynamo.brain.JoinsAnew`), so all its dots are known then.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dynamo.config import TableConfig
from dynamo.keys import table_bounds
from dynamo.messages import Send
from dynamo.messages_exchange import ASK_LEFT, LEFT_IS, PLACES_AT_ONCE_MAX, AskLeft, LeftIs
from dynamo.repair.hints import Hints
from dynamo.repair.knowledge import Writer
from dynamo.repair.settled import FOREVER, Taken
from dynamo.repair.trees import TreeName, Trees
from dynamo.ring.joint import Rings
from dynamo.types import Actor, NodeId, PartitionId, TableId

Words: TypeAlias = dict[NodeId, Taken]
"""By who has nothing left: its dots."""


class Bystanders:
    """Who else may keep something of a partition, and what they have said."""

    def __init__(
        self,
        me: Writer,
        rings: Rings,
        trees: Trees,
        hints: Hints,
        tables: Mapping[TableId, TableConfig],
    ) -> None:
        self._me, self._rings, self._trees, self._hints = me, rings, trees, hints
        self._sloppy = {table.n for table in tables.values() if table.sloppy}
        self._words: dict[TreeName, Words] = {}

    def of(self, name: TreeName) -> list[NodeId]:
        """All other members, where anybody can ever have kept anything for an owner."""
        rings, others = self._rings, self._rings.fallbacks(*name)
        if rings.never_changed and not (others and name[1] in self._sloppy):
            return []
        return [node for node in rings.members if node != self._me.node]

    def ask(
        self, names: Mapping[TreeName, Iterable[Actor]], up: set[NodeId], round: int
    ) -> list[Send]:
        """Questions about partitions and the writers of whom one wants to hear; what was said
        before of any is forgotten."""
        self._words = {}
        asked: dict[NodeId, list[tuple[int, int, tuple[Actor, ...]]]] = {}
        for (partition, n), writers in names.items():
            for node in self.of((partition, n)):
                asked.setdefault(node, []).append((partition, n, tuple(writers)))
        return [
            Send(node, AskLeft(ASK_LEFT, round, self._rings.epoch, tuple(places[first:end])))
            for node, places in sorted(asked.items())
            if node in up
            for first, end in _parts(len(places))
        ]

    def asked(self, source: NodeId, message: AskLeft) -> list[Send]:
        """An owner asks: of which partitions is nothing left here?"""
        nothing: list[tuple[int, int, dict[Actor, int]]] = []
        if message.epoch == self._rings.epoch and self._rings.target is None:
            for partition, n, writers in message.places:
                name = PartitionId(partition), n
                owners = self._owners(name)
                if owners and not self._keeps(name, owners):
                    own = {} if self._me.node in owners else self._dots(name, writers)
                    nothing.append((*name, own))
        return [Send(source, LeftIs(LEFT_IS, message.id, tuple(nothing)))]

    def told(self, source: NodeId, message: LeftIs) -> None:
        """A member has nothing left of these."""
        for partition, n, dots in message.places:
            name = PartitionId(partition), n
            if source in self.of(name):
                self._words.setdefault(name, {})[source] = dots

    def cleared(self) -> dict[TreeName, Taken]:
        """The partitions of which nobody has anything left, this node included, and the dots that
        went there from who owns nothing of them."""
        return {
            name: {actor: at for dots in words.values() for actor, at in dots.items()}
            for name, words in self._words.items()
            if set(words) == set(self.of(name)) and not self._keeps_hints(name)
        }

    def gone(self, writers: Iterable[Actor]) -> dict[Actor, int]:
        """The dots of those writers that are no members any more: all."""
        members = set(self._rings.members)
        return {writer: FOREVER for writer in writers if node_of(writer) not in members}

    def _owners(self, name: TreeName) -> tuple[NodeId, ...]:
        """Those of a partition; none if there is no such partition."""
        partition, n = name
        known = 0 <= partition < self._rings.ring.partitions and n in self._trees.copies.values()
        return self._rings.owners(partition, n) if known else ()

    def _keeps_hints(self, name: TreeName) -> bool:
        return self._hints.misaddressed() or self._hints.keeps_of(name[0])

    def _keeps(self, name: TreeName, owners: tuple[NodeId, ...]) -> bool:
        """Whether anything of a partition is here where no owner looks; what is damaged may be."""
        if self._keeps_hints(name):
            return True
        if self._me.node in owners:
            return False
        partition, n = name
        for table, copies in self._trees.copies.items():
            if copies == n:
                first, until = table_bounds(partition, table)
                if self._trees.scan(first, until, 1):
                    return True
                if any(first < key < until for key in self._trees.damaged_keys):
                    return True
        return False

    def _dots(self, name: TreeName, writers: Iterable[Actor]) -> dict[Actor, int]:
        """Of this life those that it has issued, of former ones all."""
        former = {writer: FOREVER for writer in writers if node_of(writer) == self._me.node}
        return {**former, self._me.actor: self._me.issued(name[0])}


def node_of(writer: Actor) -> str:
    """Whose life it is."""
    return writer.partition("/")[0]


def _parts(length: int) -> list[tuple[int, int]]:
    step = PLACES_AT_ONCE_MAX
    return [(first, first + step) for first in range(0, length, step)]
