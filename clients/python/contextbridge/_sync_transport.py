"""The blocking channel and its stubs: connecting, calling, failing."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from contextbridge import v1 as pb
from contextbridge._channel import Connection, Deadline, Timeout
from contextbridge._errors import ContextBridgeError
from contextbridge._resume import Resuming
from contextbridge._uploads import Upload

if TYPE_CHECKING:
    from grpc import _CallIterator  # Of the type hints alone: grpc does not name it.

_RequestT = TypeVar("_RequestT")
_ResponseT = TypeVar("_ResponseT")


@dataclass(frozen=True, slots=True)
class Stubs:
    """The generated stubs on a client's channel.

    Pass `metadata=client.metadata()` to each call, and read its error with
    `ContextBridgeError.from_rpc_error`.
    """

    contexts: pb.ContextServiceStub
    gemini: pb.GeminiServiceStub
    cached_contents: pb.CachedContentServiceStub
    files: pb.FileServiceStub
    response_cache: pb.ResponseCacheServiceStub


class Transport:
    """One channel, and what goes with every call on it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.channel = (
            grpc.insecure_channel(connection.target, connection.options)
            if connection.credentials is None
            else grpc.secure_channel(connection.target, connection.credentials, connection.options)
        )
        self.stubs = Stubs(
            contexts=pb.ContextServiceStub(self.channel),
            gemini=pb.GeminiServiceStub(self.channel),
            cached_contents=pb.CachedContentServiceStub(self.channel),
            files=pb.FileServiceStub(self.channel),
            response_cache=pb.ResponseCacheServiceStub(self.channel),
        )
        # Waits for a connection, and costs nothing; any answer will do. gRPC's own way to wait
        # leaves a thread behind, which fails aloud when the channel is closed soon after.
        self._probe: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check"
        )
        self._connected = False

    def close(self) -> None:
        """Ends the calls that are open and closes the channel."""
        self.channel.close()

    def ready(self, deadline: Deadline) -> None:
        """Waits for a connection, within a call's deadline.

        Without one in time the call goes ahead: its error then says why there is none.
        """
        if not self._connected:
            try:
                self._probe(b"", timeout=deadline.for_connecting(), wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    return
            self._connected = True

    def failed(self, error: grpc.RpcError) -> ContextBridgeError:
        """Reads the error of a call."""
        failure = ContextBridgeError.from_rpc_error(error)
        if failure.code is grpc.StatusCode.UNAVAILABLE:
            self._connected = False
        return failure

    def unary(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Any, _ResponseT]",
        request: Any,
        timeout: Timeout,
        resume: Resuming = None,
    ) -> _ResponseT:
        """Makes a call with one answer; sends it again after a break where it has a name."""
        deadline = self.connection.deadline(timeout)
        named = bool(getattr(request, "idempotency_key", ""))
        attempts = self.connection.attempts(resume, named=named)
        while True:
            self.ready(deadline)
            try:
                return method(
                    request, timeout=deadline.remaining(), metadata=self.connection.metadata()
                )
            except grpc.RpcError as error:
                failure = self.failed(error)
                pause = attempts.pause_after(failure, deadline.remaining())
                if pause is None:
                    raise failure from error
            time.sleep(pause)

    def open(
        self,
        method: "grpc.UnaryStreamMultiCallable[_RequestT, _ResponseT]",
        request: _RequestT,
        deadline: Deadline,
    ) -> "_CallIterator[_ResponseT]":
        """Begins a call with a stream of answers."""
        self.ready(deadline)
        return method(request, timeout=deadline.remaining(), metadata=self.connection.metadata())

    def upload(self, opening: AbstractContextManager[Upload], timeout: Timeout) -> pb.File:
        """Makes the call that uploads a file."""
        deadline = self.connection.deadline(timeout)
        self.ready(deadline)
        with opening as upload:
            messages = _Readable(upload)
            try:
                response = self.stubs.files.UploadFile(
                    iter(messages),
                    timeout=deadline.remaining(),
                    metadata=self.connection.metadata(),
                )
            except grpc.RpcError as error:
                if messages.failure is not None:
                    raise messages.failure from None
                raise self.failed(error) from error
            finally:
                messages.over.set()
        return response.file


class _Readable:
    """The messages of an upload. A thread of gRPC's reads them and would hide why that failed."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.failure: Exception | None = None
        self.over = threading.Event()

    def __iter__(self) -> Iterator[pb.UploadFileRequest]:
        try:
            yield from self.upload.messages()
        except Exception as error:
            if not self.over.is_set():  # Else the call has ended early, and the file is closed.
                self.failure = error
                raise
