"""A simulated client's connections, and its requests until each is answered, lost or given up.

    call(node, message, then)  ─▶  then(answer)        it came in time
                               ─▶  then(LOST)          it may have been done, nobody says
                               ─▶  then(UNREACHABLE)   it was never sent

Law: `then` is called exactly once. What comes later than that is ignored, as by a client that has
gone on.
"""

from collections.abc import Callable
from typing import Any, Final

from dynamo.messages import Message, parse
from dynamo.messages_members import CLIENT_EPOCH, ClientEpoch
from dynamo.testing.cluster import Cluster
from dynamo.testing.network import DIALER, Connection, Messages
from dynamo.types import NodeId

LOST: Final = "lost"
UNREACHABLE: Final = "unreachable"

Then = Callable[[Any], None]
"""Takes a message, LOST or UNREACHABLE."""


class Calls:
    """One client's connections and open requests."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self.name = cluster, name
        self._world = cluster.world
        self._connections: dict[NodeId, Connection] = {}
        self._open: dict[int, tuple[Then, NodeId]] = {}
        self._epoch = 1
        self._last_id = 0

    def next_id(self) -> int:
        """An id for the next request."""
        self._last_id += 1
        return self._last_id

    def call(self, node: NodeId, message: Message, then: Then, patience_ms: float) -> None:
        """Send a request whose second field is its id; connect first if need be."""
        if node in self._connections:
            self._send(node, message, then, patience_ms)
            return
        network = self._cluster.network
        latency = 3 * network.latency_ms(network.route(self.name, node))
        self._world.at(latency, self._connect, node, message, then, patience_ms)

    def tell(self, node: NodeId, message: Message) -> None:
        """Send what is not answered, if a connection is open."""
        if (connection := self._connections.get(node)) is not None:
            connection.send(DIALER, (message,))

    def speak_for(self, epoch: int) -> None:
        """Say on every connection, now and when it is made, by which ring replicas are read."""
        self._epoch = epoch
        for connection in self._connections.values():
            connection.send(DIALER, (ClientEpoch(CLIENT_EPOCH, epoch),))

    def received(self, connection: Connection, messages: Messages, sent_ms: float) -> None:
        """Answers from a node."""
        for message in messages:
            found = self._open.pop(message[1], None)
            if found is not None:
                found[0](parse(message))

    def lost(self, connection: Connection, reason: str) -> None:
        """A connection is gone, with everything asked on it."""
        node = NodeId(connection.names[1])
        if self._connections.get(node) is connection:
            del self._connections[node]
            for id in [id for id, (_, asked) in self._open.items() if asked == node]:
                self._open.pop(id)[0](LOST)

    def _connect(self, node: NodeId, message: Message, then: Then, patience_ms: float) -> None:
        if node not in self._connections:
            process = self._cluster.accepting(node)
            if process is None or not self._cluster.network.reaches(self.name, node):
                then(UNREACHABLE)
                return
            connection = self._cluster.network.connect((self.name, node), (self, process))
            self._connections[node] = connection
            process.links.accept_client(connection)
            connection.send(DIALER, (ClientEpoch(CLIENT_EPOCH, self._epoch),))
        self._send(node, message, then, patience_ms)

    def _send(self, node: NodeId, message: Any, then: Then, patience_ms: float) -> None:
        self._open[message.id] = (then, node)
        self._connections[node].send(DIALER, (message,))
        self._world.at(patience_ms, self._give_up, message.id)

    def _give_up(self, id: int) -> None:
        found = self._open.pop(id, None)
        if found is not None:
            found[0](LOST)
