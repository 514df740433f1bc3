"""The methods of all services, each inside the same interceptors."""

import random
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..request_context import RequestContext
from .current import ServicerContext, current_request, deadline_of
from .interceptors import Interceptor, Proceed
from .status import trailers

Behaviour = Callable[[Any, ServicerContext], Awaitable[bytes | None]]
Handler = Any
"""A grpc.RpcMethodHandler; its published types know threads only, not coroutines."""

EXEMPT = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)
"""Services that need neither a token nor room: load balancers and people with grpcurl call them."""

REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class InterceptedMethods(grpc.GenericRpcHandler):
    """Runs every call inside the interceptors and turns a BridgeError into a status.

    Services are added to it as to a server, and the server gets this one handler: an interceptor of
    gRPC's own would cost each call another coroutine and another search.

    It parses requests and serializes responses too: gRPC's own parsing answers bytes that are no
    message with UNKNOWN and an exception's text.

    Args:
        interceptors: The interceptors, the outermost first.
    """

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = tuple(interceptors)
        self._services: list[grpc.GenericRpcHandler] = []
        self._known: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Take a service's methods, as its stubs give them to a server."""
        self._services.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Ignore registered methods, which gRPC calls without the interceptors."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Return a method's handler inside the interceptors; an unknown method gets one as well."""
        method = handler_call_details.method
        known = self._known.get(method)
        if known is not None:
            return known
        for service in self._services:
            handler = service.service(handler_call_details)
            if handler is not None:
                return self._known.setdefault(method, self._wrap(method, handler))
        # It is not kept: strangers may think of any number of names.
        return grpc.stream_stream_rpc_method_handler(self._inside(method, _unknown_method))

    def _wrap(self, method: str, handler: Handler) -> Handler:
        kind = (handler.request_streaming, handler.response_streaming)
        attribute, adapt, make = KINDS[kind]
        behaviour = adapt(
            getattr(handler, attribute), handler.request_deserializer, handler.response_serializer
        )
        return make(self._inside(method, behaviour))

    def _inside(self, method: str, behaviour: Behaviour) -> Any:
        is_exempt = method.startswith(EXEMPT)

        async def run(request: Any, context: ServicerContext) -> bytes | None:
            ctx = _request_context(method, is_exempt, context)
            current_request.set(ctx)
            context.set_trailing_metadata((("x-request-id", ctx.request_id),))
            response: bytes | None = None

            async def innermost() -> None:
                nonlocal response
                try:
                    response = await behaviour(request, context)
                except grpc.aio.AbortError:
                    ctx.aborted_with = context.code().name
                    raise

            proceed: Proceed = innermost
            for interceptor in reversed(self._interceptors):
                proceed = _bind(interceptor, ctx, proceed)
            try:
                await proceed()
            except BridgeError as error:
                await context.abort(*trailers(error, ctx.request_id))
            return response

        return run


def _bind(interceptor: Interceptor, ctx: RequestContext, proceed: Proceed) -> Proceed:
    return lambda: interceptor.intercept(ctx, proceed)


def _request_context(method: str, is_exempt: bool, context: ServicerContext) -> RequestContext:
    metadata = dict(context.invocation_metadata() or ())
    given = str(metadata.get("x-request-id", ""))
    return RequestContext(
        # The caller's own id is kept, so that one id follows a request through every service.
        request_id=given if REQUEST_ID.fullmatch(given) else new_request_id(),
        deadline=deadline_of(context),
        method=method,
        is_exempt=is_exempt,
        peer=context.peer(),
        metadata=metadata,
    )


_random = random.Random(secrets.randbits(128))  # noqa: S311 - no secrets are made of it


def new_request_id() -> str:
    """Return an id that no other call has; it is no secret, so the system is not asked for it."""
    return f"{_random.getrandbits(128):032x}"


def _unary(
    method: Callable[[Any, ServicerContext], Awaitable[Any]],
    deserialize: Callable[[bytes], Any],
    serialize: Callable[[Any], bytes],
) -> Behaviour:
    async def behaviour(request: Any, context: ServicerContext) -> bytes:
        response = await method(_parsed(request, deserialize), context)
        _count(current_request.get())
        # Bytes are a message that is serialized already.
        return response if isinstance(response, bytes) else serialize(response)

    return behaviour


def _streaming(
    method: Callable[[Any, ServicerContext], Any],
    deserialize: Callable[[bytes], Any],
    serialize: Callable[[Any], bytes],
) -> Behaviour:
    async def behaviour(request: Any, context: ServicerContext) -> None:
        writer: Any = _Writer(context, serialize, current_request.get())
        if isasyncgenfunction(method):
            async with aclosing(method(_parsed(request, deserialize), writer)) as messages:
                async for message in messages:
                    await writer.write(message)
        else:
            await method(_parsed(request, deserialize), writer)

    return behaviour


class _Writer:
    """A streaming method's context: its messages are serialized and counted here."""

    __slots__ = ("_context", "_ctx", "_serialize")

    def __init__(
        self, context: ServicerContext, serialize: Callable[[Any], bytes], ctx: RequestContext
    ) -> None:
        self._context = context
        self._serialize = serialize
        self._ctx = ctx

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Send a message; return when the transport has taken it, which paces the reader.

        Bytes are a message that is serialized already.
        """
        is_ready = isinstance(message, bytes)
        await self._context.write(message if is_ready else self._serialize(message))
        _count(self._ctx)


def _parsed(request: Any, deserialize: Callable[[bytes], Any]) -> Any:
    """Return the message that bytes hold, or an iterator over the messages of a stream."""
    return (
        _parse(request, deserialize) if isinstance(request, bytes) else _each(request, deserialize)
    )


async def _each(
    requests: AsyncIterator[bytes], deserialize: Callable[[bytes], Any]
) -> AsyncIterator[Any]:
    async for request in requests:
        yield _parse(request, deserialize)


def _parse(request: bytes, deserialize: Callable[[bytes], Any]) -> Any:
    try:
        return deserialize(request)
    except DecodeError as error:
        raise BridgeError(
            pb.ERROR_REASON_MESSAGE_MALFORMED, "The bytes are no message that the method takes."
        ) from error


async def _unknown_method(_request: Any, _context: ServicerContext) -> None:
    raise BridgeError(pb.ERROR_REASON_METHOD_UNKNOWN, "The server has no such method.")


def _count(ctx: RequestContext) -> None:
    ctx.messages_sent += 1
    if ctx.first_message is None:
        ctx.first_message = time.perf_counter()


KINDS: Mapping[
    tuple[bool, bool], tuple[str, Callable[..., Behaviour], Callable[[Any], Handler]]
] = {
    (False, False): ("unary_unary", _unary, grpc.unary_unary_rpc_method_handler),
    (True, False): ("stream_unary", _unary, grpc.stream_unary_rpc_method_handler),
    (False, True): ("unary_stream", _streaming, grpc.unary_stream_rpc_method_handler),
    (True, True): ("stream_stream", _streaming, grpc.stream_stream_rpc_method_handler),
}
"""By whether requests and responses stream: the attribute, how it is run, how it is made."""
