"""The asyncio streams: an answer on its way, and its whole."""

import asyncio
import contextlib
import copy
import warnings
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import grpc
import grpc.aio

from contextbridge import v1 as pb
from contextbridge._aio_transport import AsyncTransport
from contextbridge._channel import Deadline, Timeout
from contextbridge._errors import ContextBridgeError, incomplete
from contextbridge._fold import Fold
from contextbridge._resume import Resuming, broke

_RequestT = TypeVar("_RequestT", bound=pb.ChatWithContextRequest | pb.GenerateContentRequest)
_EventT = TypeVar("_EventT")
_AnswerT = TypeVar("_AnswerT")


class AsyncStream(Generic[_RequestT, _EventT, _AnswerT]):
    """An answer on its way: an async iterator over its events, as the server sends them.

    The call begins with the first event asked for, or on entering `async with`. Leaving that, or
    calling `aclose`, before the end cancels it, and upstream's work with it, unless other calls
    share that (`response_cache`) or it is kept to be resumed (`idempotency_key`). A stream that is
    dropped before its end is cancelled too, with a ResourceWarning.

    Iterating raises ContextBridgeError where the call fails, and where it ends well without its
    last event; asyncio.CancelledError once it was cancelled. One task reads a stream at a time.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        method: "grpc.aio.UnaryStreamMultiCallable[_RequestT, _EventT]",
        request: _RequestT,
        fold: Fold[_EventT, _AnswerT],
        *,
        timeout: Timeout,
        resume: Resuming,
    ) -> None:
        self._transport = transport
        self._method = method
        self._request = request
        self._fold = fold
        self._timeout = timeout
        self._resume = resume
        self._attempts = transport.connection.attempts(resume, named=bool(request.idempotency_key))
        self._deadline: Deadline | None = None
        # Events before the first one asked for are not here: there is no whole answer to fold.
        if request.resume_after > fold.sequence:
            fold.whole = False
        self._call: grpc.aio.UnaryStreamCall[_RequestT, _EventT] | None = None
        self._events: AsyncIterator[_EventT] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: ContextBridgeError | None = None
        self._left = asyncio.Event()
        self._ended = fold.complete  # Then nothing is left to ask for.

    @property
    def sequence(self) -> int:
        """The place of the newest event in its generation, from 1. 0 before the first."""
        return self._fold.sequence

    @property
    def _begun(self) -> Deadline:
        """The deadline of the whole: it runs from when the first call began."""
        if self._deadline is None:
            self._deadline = self._transport.connection.deadline(self._timeout)
        return self._deadline

    def _rest(self) -> _RequestT:
        """The request for what follows the newest event."""
        if self.sequence <= self._request.resume_after:
            return self._request
        request = copy.deepcopy(self._request)
        request.resume_after = self.sequence
        return request

    async def _begin(self) -> AsyncIterator[_EventT]:
        if self._left.is_set():
            raise asyncio.CancelledError
        if self._events is None:
            self._loop = asyncio.get_running_loop()
            self._call = await self._transport.open(self._method, self._rest(), self._begun)
            self._events = aiter(self._call)
            if self._left.is_set():  # By another task, during the wait for a connection.
                self._call.cancel()
        return self._events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _EventT:
        if self._failure is not None:
            raise self._failure
        while not self._ended:
            try:
                event = await anext(await self._begin())
            except StopAsyncIteration:
                self._end()
            except grpc.RpcError as error:
                await self._get_over(error)
            except BaseException:  # Cancellation above all: nobody will read on.
                self.cancel()
                raise
            else:
                self._attempts.begin_again()
                self._fold.add(event)
                return event
        raise StopAsyncIteration

    def _end(self) -> None:
        self._ended = True
        # A caller that has the last event asks for what follows it, which is nothing.
        if self._fold.complete or not (self._fold.whole or self._fold.sequence):
            return
        self._failure = incomplete(self._fold.last_event)
        raise self._failure from None

    async def _get_over(self, error: grpc.RpcError) -> None:
        """Waits until the rest may be asked for, where it may; else the failure is the stream's."""
        failure = self._transport.failed(error)
        if self._fold.complete and broke(failure):
            self._ended = True  # Nothing was lost but the word that all is well.
            return
        pause = self._attempts.pause_after(failure, self._begun.remaining())
        if pause is None or not self._fold.resumable:
            self._failure = failure
            raise failure from error
        self._call = self._events = None
        await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._left.wait(), seconds)

    def text(self, index: int = 0) -> AsyncIterator[str]:
        """Iterates over the pieces of one choice's text, none of them empty, thoughts left out.

        It reads the stream's own events: what it has read, the stream does not give again.

        Args:
            index: The choice or candidate, from 0.
        """
        return _AsyncText(self, self._fold, index)

    async def answer(self) -> _AnswerT:
        """Reads to the end and returns the whole answer, events that were read before included.

        Raises ContextBridgeError as iterating does, and ValueError on a stream that was begun with
        `resume_after`, because its beginning is not here.
        """
        if not self._fold.whole:
            msg = "a stream begun with resume_after has no whole answer; use resume()"
            raise ValueError(msg)
        async for _ in self:
            pass
        return self._fold.answer()

    def resume(self, *, timeout: Timeout = None) -> Self:
        """Returns a stream that goes on after the newest event; this one is cancelled.

        Its `answer` holds the events of both. While the server keeps the generation, that costs
        nothing. Raises ValueError where the call had no `idempotency_key`. Reading raises
        ContextBridgeError with `ERROR_REASON_NOT_RESUMABLE` where the generation is not kept (where
        no event had arrived it is begun again), and with `ERROR_REASON_GENERATION_ABANDONED` where
        the server that made it died.

        Args:
            timeout: The deadline of what is left; None means the client's.
        """
        if not self._request.idempotency_key:
            msg = "only a call with an idempotency_key can be resumed"
            raise ValueError(msg)
        self.cancel()
        return type(self)(
            self._transport,
            self._method,
            self._rest(),
            self._fold,
            timeout=timeout,
            resume=self._resume,
        )

    def cancel(self) -> None:
        """Ends the call, as leaving it early does. Does nothing after the end."""
        if self._ended or self._failure is not None:
            return
        self._left.set()
        if self._call is not None:
            self._call.cancel()

    async def aclose(self) -> None:
        """Cancels the call where it has not ended."""
        self.cancel()

    async def __aenter__(self) -> Self:
        if not self._ended:
            await self._begin()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # grpc.aio keeps every call that is open: dropping this object alone would end nothing.
        call, loop = getattr(self, "_call", None), getattr(self, "_loop", None)
        if call is None or loop is None or self._left.is_set() or call.done():
            return
        if not loop.is_closed():
            loop.call_soon_threadsafe(call.cancel)
        if not self._fold.complete:
            warnings.warn(f"unclosed stream {self!r}", ResourceWarning, source=self, stacklevel=2)


class _AsyncText(Generic[_EventT]):
    """The text of a stream. No generator: one that is dropped is closed at the loop's leisure."""

    def __init__(
        self, events: AsyncIterator[_EventT], fold: Fold[_EventT, object], index: int
    ) -> None:
        self._events = events
        self._fold = fold
        self._index = index

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        async for event in self._events:
            if piece := self._fold.text(event, self._index):
                return piece
        raise StopAsyncIteration


class AsyncChatStream(
    AsyncStream[
        pb.ChatWithContextRequest, pb.ChatWithContextResponse, pb.CompleteChatWithContextResponse
    ]
):
    """A chat's answer on its way: `started`, its pieces, `completed`."""


class AsyncContentStream(
    AsyncStream[pb.GenerateContentRequest, pb.GenerateContentResponse, pb.GenerateContentResponse]
):
    """A Gemini answer on its way, piece by piece."""
