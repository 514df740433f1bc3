"""The interceptors around every call, unary and streaming alike."""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import grpc
import structlog

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..request_context import Caller, RequestContext
from ..telemetry import names
from ..telemetry.faults import log_fault
from .status import STATUSES

Proceed = Callable[[], Awaitable[None]]

BEARER = re.compile(r"Bearer +(\S+) *", re.IGNORECASE)

log = structlog.get_logger()


class Interceptor(Protocol):
    """Something that is done around a ctx."""

    async def intercept(self, ctx: RequestContext, proceed: Proceed) -> None:
        """Let the call proceed, or raise a BridgeError instead."""
        ...


class CanonicalLog:
    """Writes one line for each ctx, when it has ended, however it ended."""

    async def intercept(self, ctx: RequestContext, proceed: Proceed) -> None:
        """Let the call proceed and write its line."""
        code = "OK"
        try:
            await proceed()
        except BridgeError as error:
            code = STATUSES[error.reason].code.name
            _note_failure(ctx, error)
            raise
        except grpc.aio.AbortError:
            code = ctx.aborted_with
            raise
        except asyncio.CancelledError:
            code = _code_of_cancelled(ctx)
            raise
        finally:
            # Probes come every few seconds and say nothing new.
            write = log.debug if ctx.is_exempt and code == "OK" else log.info
            write(
                names.CALL,
                **{
                    names.METHOD: ctx.method.removeprefix("/"),
                    names.STATUS_CODE: code,
                    names.DURATION_MS: _milliseconds(ctx.started, time.perf_counter()),
                    names.REQUEST_ID: ctx.request_id,
                    names.PEER: ctx.peer,
                    names.CALLER: ctx.caller.name,
                    names.TENANT: ctx.caller.tenant,
                    names.MESSAGES_SENT: ctx.messages_sent,
                },
                **_first_message(ctx),
                **ctx.log_fields,
            )


def _note_failure(ctx: RequestContext, error: BridgeError) -> None:
    fields = {
        names.REASON: pb.ErrorReason.Name(error.reason),
        names.HTTP_STATUS: error.http_status,
        names.UPSTREAM_CODE: error.metadata.get("upstreamCode"),
        names.UPSTREAM_REQUEST_ID: error.metadata.get("upstreamRequestId"),
    }
    ctx.log_fields.update({name: value for name, value in fields.items() if value is not None})


def _code_of_cancelled(ctx: RequestContext) -> str:
    """Tell the two reasons apart for which gRPC cancels a call; the clock knows."""
    late = ctx.deadline is not None and asyncio.get_running_loop().time() >= ctx.deadline
    return "DEADLINE_EXCEEDED" if late else "CANCELLED"


def _first_message(ctx: RequestContext) -> dict[str, float]:
    if ctx.first_message is None:
        return {}
    return {names.FIRST_MESSAGE_MS: _milliseconds(ctx.started, ctx.first_message)}


def _milliseconds(start: float, end: float) -> float:
    return round((end - start) * 1000, 2)


class FaultBarrier:
    """Turns a fault of our own into INTERNAL, and keeps its text from the caller and the log."""

    async def intercept(self, ctx: RequestContext, proceed: Proceed) -> None:
        """Let the call proceed."""
        try:
            await proceed()
        except (BridgeError, grpc.aio.AbortError):
            raise
        except Exception as error:
            log_fault(error, ctx.request_id, ctx.method)
            raise BridgeError(
                pb.ERROR_REASON_INTERNAL, "The server failed within itself."
            ) from error


class Redaction:
    """Takes upstream's keys out of errors, where upstream echoes them.

    Args:
        server_key: The server's own key; None where it has none.
    """

    def __init__(self, server_key: str | None) -> None:
        self._server_key = server_key

    async def intercept(self, ctx: RequestContext, proceed: Proceed) -> None:
        """Let the call proceed."""
        try:
            await proceed()
        except BridgeError as error:
            for key in (self._server_key, ctx.upstream_key):
                if key:
                    error.redact(key)
            raise


class Admission:
    """Bounds the calls that are open at once; past the bound they are refused at once.

    Args:
        max_calls: Calls open at once, health and reflection not counted.
    """

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self.open = 0
        """Calls that are open."""

    async def intercept(self, ctx: RequestContext, proceed: Proceed) -> None:
        """Let the call proceed if there is room."""
        if ctx.is_exempt:
            await proceed()
            return
        if self.open >= self._max_calls:
            raise BridgeError(
                pb.ERROR_REASON_OVERLOADED,
                f"The server has {self._max_calls} calls open, which is its limit.",
                metadata={"maxConcurrentCalls": str(self._max_calls)},
            )
        self.open += 1
        try:
            await proceed()
        finally:
            self.open -= 1


class Authentication:
    """Lets in the callers that the callers file names, by their tokens.

    Args:
        callers: The callers by the SHA-256 of their token, in hexadecimal.
    """

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = callers

    async def intercept(self, ctx: RequestContext, proceed: Proceed) -> None:
        """Let the call proceed if its token is known."""
        if not ctx.is_exempt:
            ctx.caller = self._caller(ctx)
        await proceed()

    def _caller(self, ctx: RequestContext) -> Caller:
        found = BEARER.fullmatch(str(ctx.metadata.get("authorization", "")))
        if found is None:
            raise BridgeError(pb.ERROR_REASON_TOKEN_MISSING, "The call has no bearer token.")
        # The lookup is by a digest, so its timing says nothing about a token.
        caller = self._callers.get(hashlib.sha256(found[1].encode()).hexdigest())
        if caller is None:
            raise BridgeError(pb.ERROR_REASON_TOKEN_INVALID, "The bearer token is not known.")
        return caller


class PassedThroughKeys:
    """Takes each call's upstream key from its metadata (`x-upstream-api-key`)."""

    async def intercept(self, ctx: RequestContext, proceed: Proceed) -> None:
        """Let the call proceed if it brings a key."""
        if not ctx.is_exempt:
            key = str(ctx.metadata.get("x-upstream-api-key", ""))
            if not key.isascii() or not key.isprintable() or not key:
                raise BridgeError(
                    pb.ERROR_REASON_UPSTREAM_KEY_MISSING, "The call brings no upstream key."
                )
            ctx.use_upstream_key(key)
        await proceed()
