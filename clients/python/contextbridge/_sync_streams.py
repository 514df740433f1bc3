"""The blocking streams: an answer on its way, and its whole."""

import copy
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import grpc

from contextbridge import v1 as pb
from contextbridge._channel import Deadline, Timeout
from contextbridge._errors import ContextBridgeError, cancelled, incomplete
from contextbridge._fold import Fold
from contextbridge._resume import Resuming, broke
from contextbridge._sync_transport import Transport

if TYPE_CHECKING:
    from grpc import _CallIterator  # Of the type hints alone: grpc does not name it.

_RequestT = TypeVar("_RequestT", bound=pb.ChatWithContextRequest | pb.GenerateContentRequest)
_EventT = TypeVar("_EventT")
_AnswerT = TypeVar("_AnswerT")


class Stream(Generic[_RequestT, _EventT, _AnswerT]):
    """An answer on its way: an iterator over its events, as the server sends them.

    The call begins with the first event asked for, or on entering `with`. Leaving that, or calling
    `close`, before the end cancels it, and upstream's work with it, unless other calls share that
    (`response_cache`) or it is kept to be resumed (`idempotency_key`). A stream that is dropped
    before its end is cancelled too, with a ResourceWarning.

    Iterating raises ContextBridgeError where the call fails, and where it ends well without its
    last event; ContextBridgeError with code CANCELLED once it was cancelled. One thread reads a
    stream at a time; any thread may cancel it.
    """

    def __init__(
        self,
        transport: Transport,
        method: "grpc.UnaryStreamMultiCallable[_RequestT, _EventT]",
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
        self._call: _CallIterator[_EventT] | None = None
        self._events: Iterator[_EventT] | None = None
        self._failure: ContextBridgeError | None = None
        self._left = threading.Event()
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

    def _begin(self) -> Iterator[_EventT]:
        if self._left.is_set():
            raise cancelled()
        if self._events is None:
            self._call = self._transport.open(self._method, self._rest(), self._begun)
            self._events = iter(self._call)
            if self._left.is_set():  # By another thread, which did not see the call yet.
                self._call.cancel()
        return self._events

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _EventT:
        if self._failure is not None:
            raise self._failure
        while not self._ended:
            try:
                event = next(self._begin())
            except StopIteration:
                self._end()
            except grpc.RpcError as error:
                self._get_over(error)
            except BaseException:  # Ctrl-C above all: nobody will read on.
                self.cancel()
                raise
            else:
                self._attempts.begin_again()
                self._fold.add(event)
                return event
        raise StopIteration

    def _end(self) -> None:
        self._ended = True
        # A caller that has the last event asks for what follows it, which is nothing.
        if self._fold.complete or not (self._fold.whole or self._fold.sequence):
            return
        self._failure = incomplete(self._fold.last_event)
        raise self._failure from None

    def _get_over(self, error: grpc.RpcError) -> None:
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
        self._left.wait(pause)

    def text(self, index: int = 0) -> Iterator[str]:
        """Iterates over the pieces of one choice's text, none of them empty, thoughts left out.

        It reads the stream's own events: what it has read, the stream does not give again.

        Args:
            index: The choice or candidate, from 0.
        """
        for event in self:
            if piece := self._fold.text(event, index):
                yield piece

    def answer(self) -> _AnswerT:
        """Reads to the end and returns the whole answer, events that were read before included.

        Raises ContextBridgeError as iterating does, and ValueError on a stream that was begun with
        `resume_after`, because its beginning is not here.
        """
        if not self._fold.whole:
            msg = "a stream begun with resume_after has no whole answer; use resume()"
            raise ValueError(msg)
        for _ in self:
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

    def close(self) -> None:
        """Cancels the call where it has not ended."""
        self.cancel()

    def __enter__(self) -> Self:
        if not self._ended:
            self._begin()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is None or self._left.is_set() or self._ended or self._failure is not None:
            return
        call.cancel()
        if not self._fold.complete:
            warnings.warn(f"unclosed stream {self!r}", ResourceWarning, source=self, stacklevel=2)


class ChatStream(
    Stream[
        pb.ChatWithContextRequest, pb.ChatWithContextResponse, pb.CompleteChatWithContextResponse
    ]
):
    """A chat's answer on its way: `started`, its pieces, `completed`."""


class ContentStream(
    Stream[pb.GenerateContentRequest, pb.GenerateContentResponse, pb.GenerateContentResponse]
):
    """A Gemini answer on its way, piece by piece."""
