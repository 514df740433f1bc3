"""A proxy that breaks the connections through it after so many events."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, Self

from http2_frames import message_ends_by_stream

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Stands between a client and a bridge, and breaks one connection for each of its cuts.

    A cut is an object of the suite: `after_events` says how many events a stream on the connection
    has had, `bytes` how much more of what follows has passed, `how` whether the connection is
    closed or reset. Connections after the last cut pass whole.
    """

    def __init__(self, target: str, cuts: list[dict[str, Any]]) -> None:
        self.address = ""
        self.cuts_left = list(cuts)
        self._host, _, self._port = target.rpartition(":")
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        upwards = asyncio.create_task(_copy(reader, up_writer))
        try:
            await self._copy_down(up_reader, writer)
        finally:
            upwards.cancel()
            up_writer.transport.abort()
            writer.close()

    async def _copy_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire, sent = b"", 0
        with suppress(OSError):
            while data := await reader.read(65_536):
                wire += data
                end = self._place(wire)
                writer.write(wire[sent:end])
                sent = len(wire)
                await writer.drain()
                if end is not None:
                    if self.cuts_left.pop(0).get("how") == "reset":
                        _reset_on_close(writer)
                    return

    def _place(self, wire: bytes) -> int | None:
        """Return where the next cut is on a connection; None where it has not been reached."""
        if not self.cuts_left:
            return None
        cut = self.cuts_left[0]
        for ends in message_ends_by_stream(wire).values():
            if len(ends) >= cut["after_events"]:
                place = ends[cut["after_events"] - 1] + cut.get("bytes", 0)
                return place if place <= len(wire) else None
        return None


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
