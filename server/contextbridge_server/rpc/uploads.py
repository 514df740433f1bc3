"""Uploads a file: the caller's messages in, upstream's resumable protocol out (wire.md D)."""

from collections.abc import AsyncIterator

from contextbridge import v1 as pb

from ..errors import BridgeError, Violation, malformed
from ..request_context import RequestContext
from ..translate.files import (
    start_upload_request,
    upload_chunk_request,
    upload_location,
)
from ..translate.gemini_json import from_json
from ..upstream.failures import decode_object
from ..upstream.interface import Upstream, UpstreamAnswer

CHUNK_BYTES = 8 * 1024**2
"""Upstream's granularity: every piece but the last is a multiple of it."""


class Uploads:
    """Uploads files to upstream, one piece in memory at a time.

    Args:
        upstream: The upstream that takes them.
        prefix: The path prefix of uploads.
    """

    def __init__(self, upstream: Upstream, prefix: str) -> None:
        self._upstream = upstream
        self._prefix = prefix

    async def upload(
        self, messages: AsyncIterator[pb.UploadFileRequest], ctx: RequestContext
    ) -> pb.File:
        """Upload the file that a stream of messages brings.

        Raises:
            BridgeError: REQUEST_INVALID where metadata is not first and only first, or the bytes
                are not as many as it says; or what upstream answers.
        """
        first = await anext(messages, None)
        if first is None or first.WhichOneof("payload") != "metadata":
            raise _invalid("metadata", "Required as the first message, and only there.")
        metadata = first.metadata
        begun = await self._upstream.send(start_upload_request(metadata), ctx)
        path, query = upload_location(begun.headers, self._prefix)
        offset, piece = 0, bytearray()
        async for message in messages:
            piece += _chunk(message)
            if offset + len(piece) > metadata.size_bytes:
                raise _wrong_size(metadata.size_bytes)
            # The last piece is kept back, since only the end of the messages tells that it is last.
            while len(piece) > CHUNK_BYTES:
                part = bytes(piece[:CHUNK_BYTES])
                request = upload_chunk_request(path, query, part, offset, last=False)
                await self._upstream.send(request, ctx)
                del piece[:CHUNK_BYTES]
                offset += len(part)
        if offset + len(piece) != metadata.size_bytes:
            raise _wrong_size(metadata.size_bytes)
        request = upload_chunk_request(path, query, bytes(piece), offset, last=True)
        return _file_of(await self._upstream.send(request, ctx))


def _chunk(message: pb.UploadFileRequest) -> bytes:
    if message.WhichOneof("payload") != "chunk":
        raise _invalid("chunk", "Required in every message after the first.")
    return message.chunk


def _file_of(answer: UpstreamAnswer) -> pb.File:
    if answer.headers.get("x-goog-upload-status") != "final":
        raise malformed("an upload was not finished by its last piece")
    file = decode_object(answer.body, answer.headers).get("file")
    if not isinstance(file, dict):
        raise malformed("a finished upload has no file")
    return from_json(file, pb.File)


def _wrong_size(size_bytes: int) -> BridgeError:
    return _invalid("chunk", f"The chunks must be {size_bytes} bytes together, as announced.")


def _invalid(field: str, description: str) -> BridgeError:
    return BridgeError(
        pb.ERROR_REASON_REQUEST_INVALID,
        f"{field}: {description}",
        violations=[Violation(field, description)],
    )
