"""A connection to a cluster, for the application.

async with connect("127.0.0.1:7400") as db:
    cart = db.table("cart")
    context = await cart.put("alice", ["apples"])
"""

import asyncio
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any

from dynamo.errors import Code, Failure, InvalidRequest
from dynamo.messages import ASK_STATUS, STATUS_IS
from dynamo.messages_exchange import ASK_EXCHANGE
from dynamo.messages_members import ASK_CHANGE, CHANGE_IS, ChangeIs
from dynamo.ring import Ring
from dynamo.siblings.operation_token import decode_operation
from dynamo_client.calls import CLOSED, Calls
from dynamo_client.clock import ClusterClock
from dynamo_client.codecs import MSGPACK, Codec
from dynamo_client.errors import Closed
from dynamo_client.links import Links
from dynamo_client.operations import READS, Operations, Reads
from dynamo_client.peer import Peer
from dynamo_client.router import Router
from dynamo_client.seeds import Seed, parse_seeds
from dynamo_client.session import Session
from dynamo_client.single import Single
from dynamo_client.table import ItemOperations, Table
from dynamo_client.welcome import first_view, settled


def connect(
    *seeds: str,
    reads: Reads = "client",
    timeout_ms: float = 1000,
    codec: Codec = MSGPACK,
    cluster: str | bytes | None = None,
    connect_timeout_ms: int = 3000,
) -> "Database":
    """A database to be opened with `async with`. One answering seed is enough.

    `seeds`: HOST:PORT, several, or several in one string separated by commas.
    `reads`: who asks the replicas for a get, the client (fewer hops) or a coordinating node.
    `timeout_ms`: an operation without its own timeout ends after this.
    `codec`: of tables that name none.
    `cluster`: the fingerprint (as `status` tells it) of the only cluster to talk to.

    Opening raises NoNodeAnswered, WrongCluster, IncompatiblePeer.
    """
    if reads not in READS:
        raise InvalidRequest(f"reads={reads!r} must be 'client' or 'server'")
    return Database(
        parse_seeds(*seeds), reads, timeout_ms, codec, _fingerprint(cluster), connect_timeout_ms
    )


class Database:
    """One client of one cluster. Not for several threads: see `dynamo_client.sync`."""

    def __init__(
        self,
        seeds: tuple[Seed, ...],
        reads: Reads,
        timeout_ms: float,
        codec: Codec,
        cluster: bytes,
        connect_timeout_ms: int,
    ) -> None:
        self._seeds, self._reads, self._codec, self._cluster = seeds, reads, codec, cluster
        self._timeout_ms, self._connect_timeout_ms = timeout_ms, connect_timeout_ms
        self._stack = AsyncExitStack()
        self._router: Router | None = None
        self._operations: Operations | None = None

    async def __aenter__(self) -> "Database":
        if self._router is not None:
            raise Closed("this database was opened already; call connect again")
        try:
            self._router = await self._opened()
        except BaseException:
            await self._stack.aclose()
            raise
        self._operations = Operations(self._router, self._reads)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def table(self, name: str, codec: Codec | None = None, *, strict: bool = False) -> Table:
        """A table by its name. `strict`: in these calls no other node stands in for an owner that
        cannot be reached, also where the table is sloppy. Raises UnknownTable."""
        self._opened_router()
        assert self._operations is not None, "the database is open"
        return self._table(self._operations, name, codec, strict)

    def session(self, token: bytes = b"") -> Session:
        """Tables that read their own writes, and never backwards, whatever R is; `token`: of a
        session that goes on here. Raises InvalidRequest if it is none."""
        self._opened_router()
        assert self._operations is not None, "the database is open"
        return Session(self._operations, self._table, token)

    async def outcome(self, operation_id: str, *, timeout_ms: float | None = None) -> str:
        """What became of a write: `applied`, `not applied` (and it never will be), or `unknown`
        (not all owners can be asked, or it is too long ago).

        Raises Unavailable if nobody could be asked, InvalidRequest for a wrong id.
        """
        view = self._opened_router().view
        assert self._operations is not None, "the database is open"
        if type(operation_id) is not str:
            raise InvalidRequest(f"an operation id is text, not {type(operation_id).__name__}")
        table, key, sort_key, operation = decode_operation(operation_id)
        if table not in view.tables:
            raise InvalidRequest("the operation id names a table that this cluster has not")
        place = self._operations.place(table, key, sort_key)
        deadline_ms = self._operations.deadline_ms(timeout_ms or self._timeout_ms)
        return await self._operations.outcome(place, operation, deadline_ms)

    async def status(self, *, timeout_ms: float | None = None) -> dict[str, Any]:
        """The cluster in plain words and numbers.

        {"cluster": fingerprint, "ring_epoch": …, "partitions": Q, "tables": {name: {"n": …, …}},
        "nodes": {name: {"address": …, "state": "serving" | "rebuilding" | "unreachable", …}}}
        """
        nodes = await self._ask_all(ASK_STATUS, timeout_ms)
        router = self._opened_router()
        view = router.view
        return {
            "cluster": router.links.cluster.hex(),
            "ring_epoch": view.ring.epoch,
            "partitions": view.ring.partitions,
            "tables": {
                table.name: {
                    "id": table.id,
                    "n": table.n,
                    "r": table.r,
                    "w": table.w,
                    "conflict_rule": table.conflict_rule,
                    "sloppy": table.sloppy,
                }
                for table in view.tables.values()
            },
            "nodes": nodes,
        }

    async def repair(self, *, timeout_ms: float | None = None) -> dict[str, Any]:
        """Ask every node to compare itself with all its co-owners now; returns at once.

        {name: {"in_sync": {co-owner: {"trees": …, "in_sync": …}}, …}}: the same as in `status`,
        which tells later how far that is; an unreachable node has `state` and `reason`.
        """
        return await self._ask_all(ASK_EXCHANGE, timeout_ms)

    async def change_members(
        self, action: str, *fields: object, epoch: int | None = None, timeout_ms: float = 5000
    ) -> ChangeIs:
        """Have a change of members carried out (dynamo.messages_members.AskChange): the verdict
        `won`, `lost`, `open`, `busy` or `refused`, the epoch in force, and a sentence.

        `epoch`: of the ring on which it was planned; by default the one last learned. `won` is the
        beginning: data moves, and `status` tells how far it is. Raises Unavailable.
        """
        router = self._opened_router()
        peer, now_ms = router.anyone(), router.calls.now_ms()
        if peer is None:
            raise Failure(Code.NOT_SERVING, "no node is linked").error()
        body = (action, epoch or router.view.ring.epoch, fields)
        deadline_ms = now_ms + timeout_ms
        question = Single(router.calls, peer, ASK_CHANGE, CHANGE_IS, deadline_ms, body)
        answer = await router.calls.run(question, now_ms, ahead=True)
        if isinstance(answer, Failure):
            raise answer.error()
        assert isinstance(answer, ChangeIs), "asked for a change"
        await router.refresh()
        return answer

    def ring(self) -> Ring:
        """Who holds what, as last learned."""
        return self._opened_router().view.ring

    def _table(
        self, operations: ItemOperations, name: str, codec: Codec | None, strict: bool
    ) -> Table:
        config = self._opened_router().view.table(name)
        codec, timeout_ms = codec or self._codec, self._timeout_ms
        if not isinstance(codec, Codec) or type(strict) is not bool:
            raise InvalidRequest("a codec is one of CODECS or a Codec, and `strict` True or False")
        return Table(operations, config.id, name, codec, timeout_ms, strict)

    async def _opened(self) -> Router:
        """Links, the first view, and whoever keeps both fresh."""
        calls, clock = Calls(), ClusterClock()
        links = Links(calls, self._cluster, self._connect_timeout_ms)
        await self._stack.enter_async_context(links)
        self._stack.callback(calls.stop, CLOSED)
        view = await first_view(self._seeds, links, calls, clock, self._connect_timeout_ms)
        router = Router(calls, links, clock, view)
        self._stack.push_async_callback(router.close)
        freshness = asyncio.get_running_loop().create_task(router.keep_fresh(), name="freshness")
        self._stack.push_async_callback(_cancelled, freshness)
        await settled(links)
        return router

    async def _ask_all(self, kind: int, timeout_ms: float | None) -> dict[str, Any]:
        """What every member answers to a question about itself, by name."""
        router = self._opened_router()
        view, peers = router.view, router.links.peers
        timeout_ms = timeout_ms or self._timeout_ms
        names = [node for node in view.rings.members if node in view.addresses]
        answers = await asyncio.gather(
            *(self._node_status(router, peers.get(name), kind, timeout_ms) for name in names)
        )
        return {
            name: {"address": "{}:{}".format(*view.addresses[name]), **answer}
            for name, answer in zip(names, answers, strict=True)
        }

    async def _node_status(
        self, router: Router, peer: Peer | None, kind: int, timeout_ms: float
    ) -> dict[str, Any]:
        if peer is not None and peer.is_undecided:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_ms / 1000):
                    await router.links.decided(peer)
        if peer is None or peer.link is None:
            reason = "not linked" if peer is None else peer.reason or "no link yet"
            return {"state": "unreachable", "reason": reason}
        now_ms = router.calls.now_ms()
        question = Single(router.calls, peer, kind, STATUS_IS, now_ms + timeout_ms)
        answer = await router.calls.run(question, now_ms, ahead=True)
        if isinstance(answer, Failure):
            return {"state": "unreachable", "reason": answer.message}
        status: dict[str, Any] = answer.status
        return status

    def _opened_router(self) -> Router:
        if self._router is None:
            raise Closed("the database is not open; use `async with connect(...) as db`")
        if self._router.calls.failure is not None:
            raise Closed("the database was closed")
        return self._router


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


def _fingerprint(cluster: str | bytes | None) -> bytes:
    if cluster is None:
        return b""
    try:
        return bytes.fromhex(cluster) if isinstance(cluster, str) else bytes(cluster)
    except ValueError:
        raise InvalidRequest(f"{cluster!r} is no fingerprint; `status` tells it") from None
