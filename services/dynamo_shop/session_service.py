"""The methods of `shop.v1.SessionService`: parse, read or change the item, render. No rule is here.

A session's id leaves this file only in answers to whoever has it or has just made it.
"""

import secrets
from collections.abc import Callable
from functools import partial

from dynamo_client import Table
from dynamo_protos import shop_pb2, shop_pb2_grpc
from dynamo_shop.calls import Calls, Context, WallClock
from dynamo_shop.ids import check_id
from dynamo_shop.joined import Joined
from dynamo_shop.session import (
    ID_BYTES,
    Session,
    State,
    as_value,
    created,
    from_value,
    merged,
    revoked,
    store_key,
    touched,
)

_STATES = {
    State.ACTIVE: shop_pb2.SESSION_STATE_ACTIVE,
    State.EXPIRED: shop_pb2.SESSION_STATE_EXPIRED,
    State.REVOKED: shop_pb2.SESSION_STATE_REVOKED,
}


class SessionService(shop_pb2_grpc.SessionServiceServicer):
    """The servicer."""

    def __init__(self, calls: Calls, table: Table, wall_ms: WallClock) -> None:
        self._calls, self._table, self._wall_ms = calls, table, wall_ms
        self._sessions = Joined(table, lambda values: merged(map(from_value, values)), as_value)

    async def Create(
        self,
        request: shop_pb2.CreateSessionRequest,
        context: Context[shop_pb2.CreateSessionRequest, shop_pb2.Session],
    ) -> shop_pb2.Session:
        """A session with a new id."""
        session_id = secrets.token_hex(ID_BYTES)
        act = partial(self._created, session_id, request.user_id, request.ttl_ms)
        session = await self._calls.answer(context, act, writes=True)
        return self._rendered(session_id, session)

    async def Get(
        self,
        request: shop_pb2.GetSessionRequest,
        context: Context[shop_pb2.GetSessionRequest, shop_pb2.Session],
    ) -> shop_pb2.Session:
        """What all siblings know."""
        act = partial(self._read, request.session_id)
        session = await self._calls.answer(context, act, writes=False)
        return self._rendered(request.session_id, session)

    async def Touch(
        self,
        request: shop_pb2.TouchSessionRequest,
        context: Context[shop_pb2.TouchSessionRequest, shop_pb2.Session],
    ) -> shop_pb2.Session:
        """A longer life."""
        now_ms = self._wall_ms()
        act = partial(self._changed, request.session_id, lambda seen: touched(seen, now_ms))
        session = await self._calls.answer(context, act, writes=True)
        return self._rendered(request.session_id, session)

    async def Revoke(
        self,
        request: shop_pb2.RevokeSessionRequest,
        context: Context[shop_pb2.RevokeSessionRequest, shop_pb2.Session],
    ) -> shop_pb2.Session:
        """The end."""
        act = partial(self._changed, request.session_id, revoked)
        session = await self._calls.answer(context, act, writes=True)
        return self._rendered(request.session_id, session)

    async def _created(
        self, session_id: str, user_id: str, ttl_ms: int, timeout_ms: float
    ) -> Session:
        check_id("user_id", user_id)
        session = created(user_id, ttl_ms, self._wall_ms())
        key = store_key(session_id)
        await self._table.put(key, as_value(session), timeout_ms=timeout_ms)
        return session

    async def _read(self, session_id: str, timeout_ms: float) -> Session:
        return await self._sessions.read(store_key(session_id), timeout_ms)

    async def _changed(
        self, session_id: str, change: Callable[[Session], Session], timeout_ms: float
    ) -> Session:
        return await self._sessions.changed(store_key(session_id), change, timeout_ms)

    def _rendered(self, session_id: str, session: Session) -> shop_pb2.Session:
        return shop_pb2.Session(
            session_id=session_id,
            user_id=session.user_id,
            state=_STATES[session.state(self._wall_ms())],
            created_ms=session.created_ms,
            expires_ms=session.expires_ms,
        )
