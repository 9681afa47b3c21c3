"""The same client without await: a thread of its own runs the loop.

    with connect("127.0.0.1:7400") as db:
        cart = db.table("cart")
        cart.update("alice", lambda values: [*sum(values, []), "apples"])

One database serves any number of threads. It must not be used from the loop's own thread, nor in a
process forked after it was opened; both are told at once instead of hanging.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from dynamo.errors import (
    CorruptData,
    DeadlineExceeded,
    DynamoError,
    IncompatiblePeer,
    InvalidContext,
    InvalidQuorum,
    InvalidRequest,
    KeyTooLarge,
    Overloaded,
    ProtocolViolation,
    QuorumNotReached,
    TooManySiblings,
    Unavailable,
    UnknownTable,
    ValueTooLarge,
    WrongCluster,
)
from dynamo.ring import Ring
from dynamo_client import database as asynchronous
from dynamo_client import session as asynchronous_session
from dynamo_client import table as asynchronous_table
from dynamo_client.codecs import JSON, MSGPACK, RAW, Codec
from dynamo_client.errors import (
    CannotDecode,
    CannotEncode,
    Closed,
    NoNodeAnswered,
    NotFound,
    OutcomeUnknown,
    Siblings,
)
from dynamo_client.item import Item
from dynamo_client.operations import Reads
from dynamo_client.table import Key

__all__ = [
    "JSON",
    "MSGPACK",
    "RAW",
    "CannotDecode",
    "CannotEncode",
    "Closed",
    "Codec",
    "CorruptData",
    "Database",
    "DeadlineExceeded",
    "DynamoError",
    "IncompatiblePeer",
    "InvalidContext",
    "InvalidQuorum",
    "InvalidRequest",
    "Item",
    "KeyTooLarge",
    "NoNodeAnswered",
    "NotFound",
    "OutcomeUnknown",
    "Overloaded",
    "ProtocolViolation",
    "QuorumNotReached",
    "Session",
    "Siblings",
    "Table",
    "TooManySiblings",
    "Unavailable",
    "UnknownTable",
    "ValueTooLarge",
    "WrongCluster",
    "connect",
]

T = TypeVar("T")


def connect(
    *seeds: str,
    reads: Reads = "client",
    timeout_ms: float = 1000,
    codec: Codec = MSGPACK,
    cluster: str | bytes | None = None,
    connect_timeout_ms: int = 3000,
) -> "Database":
    """A database to be opened with `with`. Arguments and errors as in `dynamo_client.connect`."""
    return Database(
        asynchronous.connect(
            *seeds,
            reads=reads,
            timeout_ms=timeout_ms,
            codec=codec,
            cluster=cluster,
            connect_timeout_ms=connect_timeout_ms,
        )
    )


class Database:
    """One client of one cluster, for any number of threads."""

    def __init__(self, database: asynchronous.Database) -> None:
        self._database = database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing: asyncio.Event | None = None
        self._pid = os.getpid()
        self._closing_lock = threading.Lock()
        """What is submitted is in the loop's queue before the word to close, or not at all: in a
        loop that is past its last step it would wait for ever."""

    def __enter__(self) -> "Database":
        if self._thread is not None:
            raise Closed("this database was opened already; call connect again")
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(opened)), name="dynamo-client", daemon=True
        )
        self._thread.start()
        opened.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pid != os.getpid() or self._thread is None:
            return  # the loop runs in the parent
        with self._closing_lock:
            loop, closing, self._loop = self._loop, self._closing, None
            if loop is not None and closing is not None:
                loop.call_soon_threadsafe(closing.set)
        self._thread.join()

    def table(self, name: str, codec: Codec | None = None, *, strict: bool = False) -> "Table":
        """A table by its name; `strict`: as of the other client. Raises UnknownTable."""
        self._check()
        return Table(self, self._database.table(name, codec, strict=strict))

    def session(self, token: bytes = b"") -> "Session":
        """Tables that read their own writes; as of the other client. Raises InvalidRequest."""
        self._check()
        return Session(self, self._database.session(token))

    def outcome(self, operation_id: str, *, timeout_ms: float | None = None) -> str:
        """What became of a write: `applied`, `not applied` or `unknown`."""
        return self.wait(lambda: self._database.outcome(operation_id, timeout_ms=timeout_ms))

    def status(self, *, timeout_ms: float | None = None) -> dict[str, Any]:
        """The cluster in plain words and numbers."""
        return self.wait(lambda: self._database.status(timeout_ms=timeout_ms))

    def repair(self, *, timeout_ms: float | None = None) -> dict[str, Any]:
        """Ask every node to compare itself with all its co-owners now."""
        return self.wait(lambda: self._database.repair(timeout_ms=timeout_ms))

    def ring(self) -> Ring:
        """Who holds what, as last learned."""
        self._check()
        return self._database.ring()

    def wait(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in the loop's thread; an interrupt here cancels it there."""
        return result_of(self.submit(make))

    def submit(self, make: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Start a coroutine in the loop's thread. Raises Closed."""
        self._check()
        coroutine = make()
        try:
            with self._closing_lock:
                return asyncio.run_coroutine_threadsafe(coroutine, self._check())
        except (RuntimeError, Closed):
            coroutine.close()
            raise Closed("the database was closed") from None

    def _check(self) -> asyncio.AbstractEventLoop:
        """The loop, if this thread of this process may use it."""
        if self._pid != os.getpid():
            raise Closed("the database was opened before a fork; open one in this process")
        if self._loop is None:
            told = "was closed" if self._thread else "is not open; use `with connect(...) as db`"
            raise Closed(f"the database {told}")
        if threading.current_thread() is self._thread:
            raise Closed("the synchronous client was called from its own loop's thread")
        return self._loop

    async def _serve(self, opened: "Future[None]") -> None:
        """The thread's life: open, tell, wait for the end."""
        closing = asyncio.Event()
        try:
            async with self._database:
                self._loop, self._closing = asyncio.get_running_loop(), closing
                opened.set_result(None)
                await closing.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)


class Session:
    """Tables whose reads show all that this session has written and read before."""

    def __init__(self, database: Database, session: asynchronous_session.Session) -> None:
        self._database, self._session = database, session

    def table(self, name: str, codec: Codec | None = None, *, strict: bool = False) -> "Table":
        """As `Database.table`. Raises UnknownTable."""
        return Table(self._database, self._session.table(name, codec, strict=strict))

    def token(self) -> bytes:
        """The session for another process (`db.session(token)`)."""

        async def said() -> bytes:
            return self._session.token()

        return self._database.wait(said)


class Table:
    """One table; arguments and errors as in the asynchronous one."""

    def __init__(self, database: Database, table: asynchronous_table.Table) -> None:
        self._database, self._table = database, table
        self.name, self.codec = table.name, table.codec

    def get(
        self,
        key: Key,
        *,
        sort_key: Key = b"",
        r: int | None = None,
        timeout_ms: float | None = None,
    ) -> Item:
        """All live values of an item."""
        table = self._table
        return self._database.wait(
            lambda: table.get(key, sort_key=sort_key, r=r, timeout_ms=timeout_ms)
        )

    def put(
        self,
        key: Key,
        value: Any,
        context: bytes | None = None,
        *,
        sort_key: Key = b"",
        w: int | None = None,
        timeout_ms: float | None = None,
    ) -> bytes:
        """Write a value; the context of this write."""
        table = self._table
        return self._database.wait(
            lambda: table.put(key, value, context, sort_key=sort_key, w=w, timeout_ms=timeout_ms)
        )

    def delete(
        self,
        key: Key,
        context: bytes | None = None,
        *,
        sort_key: Key = b"",
        w: int | None = None,
        timeout_ms: float | None = None,
    ) -> bytes:
        """Remove what the context covers; without one, what a read finds now."""
        table = self._table
        return self._database.wait(
            lambda: table.delete(key, context, sort_key=sort_key, w=w, timeout_ms=timeout_ms)
        )

    def update(
        self,
        key: Key,
        fn: Callable[[list[Any]], Any],
        *,
        sort_key: Key = b"",
        r: int | None = None,
        w: int | None = None,
        timeout_ms: float | None = None,
    ) -> Item:
        """Read, let `fn` make one value of all siblings, write it; `fn` runs in this thread."""
        questions: SimpleQueue[tuple[list[Any], asyncio.Future[Any]] | None] = SimpleQueue()

        async def ask(values: list[Any]) -> Any:
            answer = asyncio.get_running_loop().create_future()
            questions.put((values, answer))
            return await answer

        done = self._database.submit(
            lambda: self._table.update(key, ask, sort_key=sort_key, r=r, w=w, timeout_ms=timeout_ms)
        )
        done.add_done_callback(lambda _: questions.put(None))
        try:
            while (question := questions.get()) is not None:
                values, answer = question
                answer.get_loop().call_soon_threadsafe(_tell, answer, fn(values))
        except BaseException:
            done.cancel()
            raise
        return result_of(done)


def result_of(future: "Future[T]") -> T:
    """The future's result; it is cancelled if waiting is interrupted."""
    try:
        return future.result()
    except CancelledError:
        raise Closed("the database was closed") from None
    except KeyboardInterrupt:
        future.cancel()
        raise


def _tell(answer: "asyncio.Future[Any]", value: Any) -> None:
    if not answer.done():
        answer.set_result(value)
