"""Send responses: event streams, JSON arrays and JSON objects, with faults on request."""

import asyncio
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
from aiohttp import web

from . import errors
from .call import Call
from .faults import DELTAS_BEFORE_BREAK, Wire

_BOM = b"\xef\xbb\xbf"
_PING = b": PING"
_ERROR_TEXT = "The model is overloaded. Please try again later."
_WRITES_PER_TURN = 16
"""Writes between two iterations of the event loop, which detects a lost client."""
_SPLIT_PAUSE_SECONDS = 0.002
_GZIP = 31


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a stream, before it is encoded."""

    kind: Literal["open", "delta", "finish", "usage"]
    body: dict[str, Any]


class Framing(Protocol):
    """Encodes the events of a surface."""

    content_type: str
    newline: bytes
    closing: bytes
    comments: bool

    def encode(self, body: Any) -> bytes:
        """Encode an event."""

    def failure(self) -> bytes:
        """Encode an error in mid-stream."""

    def broken(self) -> bytes:
        """Return a malformed event."""


class ChatFraming:
    """Encodes server-sent events in OpenAI's style."""

    content_type = "text/event-stream"
    newline = b"\n"
    comments = True

    def __init__(self, *, done: bool) -> None:
        self.closing = b"data: [DONE]\n\n" if done else b""

    def encode(self, body: Any) -> bytes:
        """Encode a chunk."""
        return b"data: " + msgspec.json.encode(body) + b"\n\n"

    def failure(self) -> bytes:
        """Encode an error in mid-stream, which ends the stream."""
        self.closing = b""
        return self.encode(
            {
                "error": {
                    "message": "upstream closed",
                    "type": "upstream_error",
                    "param": "",
                    "code": "bad_response",
                }
            }
        )

    def broken(self) -> bytes:
        """Return a malformed event."""
        return b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"b"\n\n'


class GoogleFraming:
    """Encodes server-sent events in Google's style: data lines only, ended by CRLF CRLF."""

    content_type = "text/event-stream"
    newline = b"\r\n"
    comments = False
    closing = b""

    def encode(self, body: Any) -> bytes:
        """Encode a response."""
        return b"data: " + encode_google(body) + b"\r\n\r\n"

    def failure(self) -> bytes:
        """Encode an error in mid-stream as bare JSON, on which every client raises."""
        body = errors.GoogleError(503, _ERROR_TEXT).body("")
        return msgspec.json.format(encode_google(body), indent=2) + b"\n"

    def broken(self) -> bytes:
        """Return a malformed event."""
        return b'data: {"candidates":[{"content":{"parts":[{"text":"b"\r\n\r\n'


class ArrayFraming:
    """Encodes one JSON array, element by element; no byte follows its end."""

    content_type = errors.JSON_UTF8
    newline = b"\n"
    comments = False

    def __init__(self) -> None:
        self.closing = b"]"
        self._separator = b"["

    def encode(self, body: Any) -> bytes:
        """Encode an element with the separator before it."""
        separator, self._separator = self._separator, b"\n,\r\n"
        return separator + msgspec.json.format(encode_google(body), indent=2)

    def failure(self) -> bytes:
        """Encode an error in mid-stream as the last element."""
        return self.encode(errors.GoogleError(503, _ERROR_TEXT).body(""))

    def broken(self) -> bytes:
        """Return a malformed element."""
        self.closing = b""
        return b'\n,\r\n{"candidates": [{"content"\n'


def encode_google(body: Any) -> bytes:
    """Encode JSON as Google does, with Unicode line separators escaped."""
    return (
        msgspec.json.encode(body)
        .replace(b"\xe2\x80\xa8", b"\\u2028")
        .replace(b"\xe2\x80\xa9", b"\\u2029")
        .replace(b"\xc2\x85", b"\\u0085")
    )


async def send_stream(
    call: Call,
    framing: Framing,
    events: Iterable[Event],
    wire: Wire,
    on_complete: Callable[[], None],
) -> web.StreamResponse:
    """Send events as fast as the client reads; call `on_complete` just before the last byte."""
    stream = await _Stream.open(call, framing, wire)
    held: list[bytes] = []
    deltas = 0
    for event in events:
        if wire.breaks and (deltas == DELTAS_BEFORE_BREAK or event.kind in ("finish", "usage")):
            await stream.write(held)
            return await stream.break_off(wire)
        deltas += event.kind == "delta"
        if len(held) >= call.config.events_per_write:
            await stream.write(held)
            held = []
        held.append(framing.encode(event.body))
    if wire.pace_seconds:
        await asyncio.sleep(wire.pace_seconds)
    on_complete()
    return await stream.end([*held, framing.closing])


class _Stream:
    """A streamed response, with its faults applied."""

    def __init__(self, call: Call, framing: Framing, wire: Wire) -> None:
        self.response = web.StreamResponse()
        self._call = call
        self._framing = framing
        self._wire = wire
        self._first = True
        self._writes = 0
        self._compress = zlib.compressobj(wbits=_GZIP) if wire.gzip else None

    @classmethod
    async def open(cls, call: Call, framing: Framing, wire: Wire) -> "_Stream":
        """Send the status and headers."""
        stream = cls(call, framing, wire)
        headers = stream.response.headers
        headers["Content-Type"] = framing.content_type
        if framing.content_type == "text/event-stream":
            headers["Cache-Control"] = "no-cache"
            headers["X-Accel-Buffering"] = "no"
        if wire.gzip:
            headers["Content-Encoding"] = "gzip"
        headers.update(request_id_headers(call))
        call.record.status = 200
        stream.response.enable_chunked_encoding()
        await stream.response.prepare(call.request)
        return stream

    async def write(self, events: list[bytes]) -> None:
        """Send events at the configured pace, with backpressure from the reader."""
        if not events:
            return
        if self._wire.pace_seconds:
            await asyncio.sleep(self._wire.pace_seconds)
        self._writes += 1
        if self._writes % _WRITES_PER_TURN == 0:
            await asyncio.sleep(0)
        data = self._dressed(events)
        if self._wire.split_utf8:
            data = await self._write_first_half(data)
        await self.response.write(self._packed(data))

    async def end(self, events: list[bytes]) -> web.StreamResponse:
        """Send the last events and the end of the body."""
        data = self._dressed([event for event in events if event])
        if self._wire.split_utf8:
            data = await self._write_first_half(data)
        data = self._packed(data)
        if self._compress:
            data += self._compress.flush()
        await self.response.write_eof(data)
        return self.response

    async def break_off(self, wire: Wire) -> web.StreamResponse:
        """End the stream as the fault specifies."""
        if wire.breaks == "stall":
            await asyncio.Event().wait()
        if wire.breaks == "cut":
            await cut(self._call)
        if wire.breaks == "truncate":
            return await self.end([])
        if wire.breaks == "malformed":
            return await self.end([self._framing.broken(), self._framing.closing])
        # Clients recognize a bare error object by its arrival in a network chunk of its own.
        await self.response.write(self._packed(self._framing.failure()))
        return await self.end([self._framing.closing])

    def _dressed(self, events: list[bytes]) -> bytes:
        newline = self._framing.newline
        if self._wire.comments and self._framing.comments:
            events = [_PING + 2 * newline + event for event in events]
        data = b"".join(events)
        if self._wire.cr_only and self._framing.content_type == "text/event-stream":
            data = data.replace(newline, b"\r")
        if self._wire.bom and self._first:
            data = _BOM + data
        self._first = False
        return data

    async def _write_first_half(self, data: bytes) -> bytes:
        inside = next((at + 1 for at, byte in enumerate(data) if byte > 0x7F), 0)  # noqa: PLR2004 - ASCII ends there.
        if inside:
            await self.response.write(self._packed(data[:inside]))
            await asyncio.sleep(_SPLIT_PAUSE_SECONDS)
        return data[inside:]

    def _packed(self, data: bytes) -> bytes:
        if self._compress is None:
            return data
        return self._compress.compress(data) + self._compress.flush(zlib.Z_SYNC_FLUSH)


async def cut(call: Call) -> None:
    """Close the connection; aiohttp then cancels the handler."""
    call.observations.close(call.record, "answered")
    if call.request.transport is not None:
        call.request.transport.close()
    await asyncio.Event().wait()


async def send_json(
    call: Call, body: Any, wire: Wire, on_complete: Callable[[], None] = lambda: None
) -> web.StreamResponse:
    """Send one JSON object."""
    data = encode_google(body) if call.surface == "google" else msgspec.json.encode(body)
    headers = {"Content-Type": errors.JSON_UTF8, **request_id_headers(call)}
    if wire.bom:
        data = _BOM + data
    if wire.breaks == "malformed":
        data = data[: len(data) // 2]
    if wire.gzip:
        data = zlib.compress(data, wbits=_GZIP)
        headers["Content-Encoding"] = "gzip"
    if wire.breaks in ("cut", "stall"):
        await _send_half(call, data, headers, wire)
    on_complete()
    return web.Response(body=data, headers=headers)


async def _send_half(call: Call, data: bytes, headers: dict[str, str], wire: Wire) -> None:
    response = web.StreamResponse(headers=headers)
    response.content_length = len(data)
    await response.prepare(call.request)
    await response.write(data[: len(data) // 2])
    if wire.breaks == "cut":
        await cut(call)
    await asyncio.Event().wait()


def request_id_headers(call: Call) -> dict[str, str]:
    """Return the headers with the request id, as the context paths have them."""
    if call.surface == "google":
        return {}
    return {"X-Request-Id": call.request_id, "X-Oneapi-Request-Id": call.request_id}
