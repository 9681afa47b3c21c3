"""How fast a change gets around, and what it costs: `python -m dynamo.testing.gossip`.

One member of n changes its incarnation; each round every member talks to one other, push and pull,
as `dynamo.membership.gossip` does it. Counted: rounds until all know, and the bytes that a member
sends in a round, both directions of its exchanges, packed as on the wire; then a whole zone dies at
once and as many claims change as there is room for and more.
"""

from random import Random
from typing import Annotated, Any, NamedTuple

import typer
from msgpack import packb

from dynamo.membership.claims import ALIVE, DEAD, Claim, Claims
from dynamo.membership.dice import Dice
from dynamo.membership.gossip import Gossip
from dynamo.types import NodeId

ROUNDS_MAX = 500


class Spread(NamedTuple):
    """What one change took."""

    members: int
    changes: int
    rounds: int
    bytes_per_member_round: float
    """Sent, on the average of the rounds until all knew."""
    message_bytes_max: int


class Crowd:
    """Members that only gossip."""

    def __init__(self, members: int, seed: int) -> None:
        self.names = [NodeId(f"n{number + 1}") for number in range(members)]
        self.claims = {name: Claims(self.names) for name in self.names}
        self.gossips = {
            name: Gossip(name, self.claims[name], 1, Dice(seed << 32 | number), 1.0)
            for number, name in enumerate(self.names)
        }
        self._others = {
            name: [other for other in self.names if other != name] for name in self.names
        }
        self._order = list(self.names)
        self._rng = Random(seed)
        self.round = 0
        self.bytes = self.message_bytes_max = 0

    def pass_round(self) -> None:
        """Everybody talks to somebody, in any order."""
        self.round += 1
        self._rng.shuffle(self._order)
        for name in self._order:
            gossip = self.gossips[name]
            for push in gossip.advance(float(self.round), self._others[name]):
                peer = NodeId(str(push.to))
                heard = self.gossips[peer].handle(name, self._carried(push.message), self.round)
                for pull in heard.effects:
                    gossip.handle(peer, self._carried(pull.message), self.round)

    def agree(self) -> bool:
        """Whether all believe the same."""
        return len({claims.digest for claims in self.claims.values()}) == 1

    def _carried(self, message: Any) -> Any:
        size = len(packb(message))
        self.bytes += size
        self.message_bytes_max = max(self.message_bytes_max, size)
        return message


def spread(members: int, changes: int, seed: int) -> Spread:
    """So many claims change at one member; until all know."""
    crowd = Crowd(members, seed)
    origin = crowd.claims[crowd.names[0]]
    for name in crowd.names[:changes]:
        origin.merge(name, Claim(1 << 24, ALIVE if changes == 1 else DEAD))
    while not crowd.agree() and crowd.round < ROUNDS_MAX:
        crowd.pass_round()
    sent = crowd.bytes / members / max(crowd.round, 1)
    return Spread(members, changes, crowd.round, sent, crowd.message_bytes_max)


def quiet_bytes(members: int, seed: int) -> float:
    """What a member sends in a round when there is nothing new."""
    crowd = Crowd(members, seed)
    for _ in range(5):
        crowd.pass_round()
    return crowd.bytes / members / 5


def report(seeds: Annotated[int, typer.Option(help="Runs of each line.")] = 5) -> None:
    """Print rounds and bytes for 10, 100 and 1,000 members."""
    typer.echo("members  changes  rounds (worst)  bytes/member/round  longest message  quiet bytes")
    for members in (10, 100, 1000):
        for changes in (1, members // 5):
            runs = [spread(members, changes, seed) for seed in range(seeds)]
            rounds = sorted(run.rounds for run in runs)
            sent = sum(run.bytes_per_member_round for run in runs) / len(runs)
            longest = max(run.message_bytes_max for run in runs)
            typer.echo(
                f"{members:7}  {changes:7}  {rounds[len(rounds) // 2]:6} ({rounds[-1]:5})"
                f"  {sent:18.0f}  {longest:15}  {quiet_bytes(members, 0):11.0f}"
            )


if __name__ == "__main__":
    typer.run(report)
