"""The asyncio channel and its stubs: connecting, calling, failing."""

# ruff: noqa: ASYNC109 - A gRPC deadline travels with the call; asyncio.timeout's would not.

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio

from contextbridge import v1 as pb
from contextbridge._channel import Connection, Deadline, Timeout
from contextbridge._errors import ContextBridgeError
from contextbridge._resume import Resuming
from contextbridge._uploads import Upload

if TYPE_CHECKING:
    from contextbridge.v1.cached_content_service_pb2_grpc import CachedContentServiceAsyncStub
    from contextbridge.v1.context_service_pb2_grpc import ContextServiceAsyncStub
    from contextbridge.v1.file_service_pb2_grpc import FileServiceAsyncStub
    from contextbridge.v1.gemini_service_pb2_grpc import GeminiServiceAsyncStub
    from contextbridge.v1.response_cache_service_pb2_grpc import ResponseCacheServiceAsyncStub

_RequestT = TypeVar("_RequestT")
_ResponseT = TypeVar("_ResponseT")


@dataclass(frozen=True, slots=True)
class AsyncStubs:
    """The generated stubs on a client's channel.

    Pass `metadata=client.metadata()` to each call, and read its error with
    `ContextBridgeError.from_rpc_error`.
    """

    contexts: "ContextServiceAsyncStub"
    gemini: "GeminiServiceAsyncStub"
    cached_contents: "CachedContentServiceAsyncStub"
    files: "FileServiceAsyncStub"
    response_cache: "ResponseCacheServiceAsyncStub"


class AsyncTransport:
    """One channel, and what goes with every call on it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._channel: grpc.aio.Channel | None = None
        self._stubs: AsyncStubs | None = None
        self._connected = False

    @property
    def channel(self) -> grpc.aio.Channel:
        """The gRPC channel, made on first use: a client may be made before there is a loop."""
        if self._channel is None:
            target, options = self.connection.target, self.connection.options
            credentials = self.connection.credentials
            self._channel = (
                grpc.aio.insecure_channel(target, options)
                if credentials is None
                else grpc.aio.secure_channel(target, credentials, options)
            )
        return self._channel

    @property
    def stubs(self) -> AsyncStubs:
        """The stubs on the channel."""
        if self._stubs is None:
            self._stubs = AsyncStubs(
                contexts=pb.ContextServiceStub(self.channel),
                gemini=pb.GeminiServiceStub(self.channel),
                cached_contents=pb.CachedContentServiceStub(self.channel),
                files=pb.FileServiceStub(self.channel),
                response_cache=pb.ResponseCacheServiceStub(self.channel),
            )
        return self._stubs

    async def close(self) -> None:
        """Ends the calls that are open and closes the channel."""
        if self._channel is not None:
            await self._channel.close()

    async def ready(self, deadline: Deadline) -> None:
        """Waits for a connection, within a call's deadline.

        Without one in time the call goes ahead: its error then says why there is none.
        """
        if not self._connected:
            try:
                await asyncio.wait_for(self.channel.channel_ready(), deadline.for_connecting())
                self._connected = True
            except TimeoutError:
                pass

    def failed(self, error: grpc.RpcError) -> ContextBridgeError:
        """Reads the error of a call."""
        failure = ContextBridgeError.from_rpc_error(error)
        if failure.code is grpc.StatusCode.UNAVAILABLE:
            self._connected = False
        return failure

    async def unary(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Any, _ResponseT]",
        request: Any,
        timeout: Timeout,
        resume: Resuming = None,
    ) -> _ResponseT:
        """Makes a call with one answer; sends it again after a break where it has a name."""
        deadline = self.connection.deadline(timeout)
        named = bool(getattr(request, "idempotency_key", ""))
        attempts = self.connection.attempts(resume, named=named)
        while True:
            await self.ready(deadline)
            try:
                return await method(
                    request, timeout=deadline.remaining(), metadata=self.connection.metadata()
                )
            except grpc.RpcError as error:
                failure = self.failed(error)
                pause = attempts.pause_after(failure, deadline.remaining())
                if pause is None:
                    raise failure from error
            await asyncio.sleep(pause)

    async def open(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[_RequestT, _ResponseT]",
        request: _RequestT,
        deadline: Deadline,
    ) -> "grpc.aio.UnaryStreamCall[_RequestT, _ResponseT]":
        """Begins a call with a stream of answers."""
        await self.ready(deadline)
        return method(request, timeout=deadline.remaining(), metadata=self.connection.metadata())

    async def upload(self, opening: AbstractContextManager[Upload], timeout: Timeout) -> pb.File:
        """Makes the call that uploads a file."""
        deadline = self.connection.deadline(timeout)
        await self.ready(deadline)
        with opening as upload:
            call = self.stubs.files.UploadFile(
                timeout=deadline.remaining(), metadata=self.connection.metadata()
            )
            writing = asyncio.create_task(_write(call, upload))

            def stop(_: object) -> None:
                # A write that fails would replace the status that ended the call by its own.
                writing.cancel()

            call.add_done_callback(stop)
            try:
                await asyncio.wait({writing})
                if not writing.cancelled() and (failure := writing.exception()):
                    raise failure
                response = await call
            except grpc.RpcError as error:
                raise self.failed(error) from error
            finally:
                call.cancel()
        return response.file


async def _write(
    call: "grpc.aio.StreamUnaryCall[pb.UploadFileRequest, pb.UploadFileResponse]", upload: Upload
) -> None:
    # Written here: gRPC would turn the OSError of an iterator into a cancellation.
    try:
        await call.write(upload.first())
        while message := await asyncio.to_thread(upload.next):
            await call.write(message)
        await call.done_writing()
    except (grpc.RpcError, asyncio.InvalidStateError):
        pass  # The call has ended early; its status says why.
