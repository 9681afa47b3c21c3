"""The door between the gRPC edge and its node: messages in, answers out, nothing of gRPC.

The daemon implements it by acting as one of its own clients; a test may put anything behind it.
"""

from typing import Protocol, TypeAlias

from dynamo.config import TableConfig
from dynamo.messages import AskOutcome, Failed, Get, GetDone, OutcomeDone, Put, PutDone

Request: TypeAlias = Put | Get | AskOutcome
Answer: TypeAlias = PutDone | GetDone | OutcomeDone | Failed


class Door(Protocol):
    """What an edge needs of a node."""

    async def call(self, message: Request, deadline_ms: int) -> Answer:
        """The node's answer, also where it is `Failed`; whoever implements it fills in the id.

        `deadline_ms` is the caller's remaining time, and stands in the message too. The edge gives
        up a little after it. The call may be cancelled at any time, because its client left; what
        the node has begun then goes on, and its answer is dropped.
        """

    def table_by_name(self, name: str) -> TableConfig | None:
        """The table called `name`, if any."""
