"""Every method, of whichever kind, inside the same layers."""

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
from .call import OPEN_TO_ALL, Call, ServicerContext, current_call, deadline_of
from .interceptors import Interceptor, Proceed
from .status import trailers

Behaviour = Callable[[Any, ServicerContext], Awaitable[bytes | None]]
Handler = Any
"""A grpc.RpcMethodHandler; its published types know threads only, not coroutines."""

REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class InterceptedMethods(grpc.GenericRpcHandler):
    """Runs each call of a server's services inside the layers; makes a status of what they raise.

    Services are added to it as to a server. It is what the server is given instead: an interceptor
    could do the same, for the price of a coroutine and a search in each call.

    Requests are parsed and responses written here too: gRPC's own way of parsing answers bytes that
    are no message with UNKNOWN and an exception's text.

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
        """Leave what stubs register beside that: registered methods would pass the layers by."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Return a method's handler inside the layers; an unknown method gets one as well."""
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
        is_open = method.startswith(OPEN_TO_ALL)

        async def run(request: Any, context: ServicerContext) -> bytes | None:
            call = _call(method, is_open, context)
            current_call.set(call)
            context.set_trailing_metadata((("x-request-id", call.request_id),))
            response: bytes | None = None

            async def innermost() -> None:
                nonlocal response
                try:
                    response = await behaviour(request, context)
                except grpc.aio.AbortError:
                    call.aborted_with = context.code().name
                    raise

            proceed: Proceed = innermost
            for layer in reversed(self._interceptors):
                proceed = _around(layer, call, proceed)
            try:
                await proceed()
            except BridgeError as error:
                await context.abort(*trailers(error, call.request_id))
            return response

        return run


def _around(layer: Interceptor, call: Call, proceed: Proceed) -> Proceed:
    return lambda: layer.intercept(call, proceed)


def _call(method: str, is_open: bool, context: ServicerContext) -> Call:
    metadata = dict(context.invocation_metadata() or ())
    given = str(metadata.get("x-request-id", ""))
    return Call(
        method=method,
        is_open_to_all=is_open,
        # A caller's own id is kept, so that one id follows a request through every service.
        request_id=given if REQUEST_ID.fullmatch(given) else new_request_id(),
        peer=context.peer(),
        metadata=metadata,
        deadline=deadline_of(context),
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
        _count(current_call.get())
        # Bytes are a message that is serialized already.
        return response if isinstance(response, bytes) else serialize(response)

    return behaviour


def _streaming(
    method: Callable[[Any, ServicerContext], Any],
    deserialize: Callable[[bytes], Any],
    serialize: Callable[[Any], bytes],
) -> Behaviour:
    async def behaviour(request: Any, context: ServicerContext) -> None:
        writer: Any = _Writer(context, serialize, current_call.get())
        if isasyncgenfunction(method):
            async with aclosing(method(_parsed(request, deserialize), writer)) as messages:
                async for message in messages:
                    await writer.write(message)
        else:
            await method(_parsed(request, deserialize), writer)

    return behaviour


class _Writer:
    """A streaming method's context: its messages are serialized and counted here."""

    __slots__ = ("_call", "_context", "_serialize")

    def __init__(
        self, context: ServicerContext, serialize: Callable[[Any], bytes], call: Call
    ) -> None:
        self._context = context
        self._serialize = serialize
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Send a message; return when the transport has taken it, which paces the reader.

        Bytes are a message that is serialized already.
        """
        is_ready = isinstance(message, bytes)
        await self._context.write(message if is_ready else self._serialize(message))
        _count(self._call)


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


def _count(call: Call) -> None:
    call.messages_sent += 1
    if call.first_message is None:
        call.first_message = time.perf_counter()


KINDS: Mapping[
    tuple[bool, bool], tuple[str, Callable[..., Behaviour], Callable[[Any], Handler]]
] = {
    (False, False): ("unary_unary", _unary, grpc.unary_unary_rpc_method_handler),
    (True, False): ("stream_unary", _unary, grpc.stream_unary_rpc_method_handler),
    (False, True): ("unary_stream", _streaming, grpc.unary_stream_rpc_method_handler),
    (True, True): ("stream_stream", _streaming, grpc.stream_stream_rpc_method_handler),
}
"""By whether requests and responses stream: the attribute, how it is run, how it is made."""
