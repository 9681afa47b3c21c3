"""Requests that are no messages at all: refused with a status like any other wrong request.

bytes -> message -----> the method
     '-> DecodeError -> INVALID_ARGUMENT        (gRPC alone would say UNKNOWN, without a reason)
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from dynamo_shop.errors import Refused
from dynamo_shop.failures import status_of

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class Parsing(grpc.aio.ServerInterceptor):
    """Stands before all methods with one request and one answer."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The method's handler, with its parsing inside of the method."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method, parse = handler.unary_unary, handler.request_deserializer
        assert parse is not None, "generated code has one"

        async def parsed(data: bytes, context: Any) -> Any:
            try:
                request = parse(data)
            except DecodeError as error:
                refused = Refused("", f"the request cannot be parsed: {error}")
                await context.abort_with_status(status_of(refused, writes=False))
            return await method(request, context)

        return grpc.unary_unary_rpc_method_handler(
            parsed, response_serializer=handler.response_serializer
        )
