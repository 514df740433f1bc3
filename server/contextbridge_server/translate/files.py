"""Files: requests as upstream's, answers as ours (wire.md D)."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from contextbridge import v1 as pb

from ..errors import malformed
from ..upstream.interface import Surface, UpstreamRequest
from .json_values import Json, encode
from .violations import Violations

COLLECTION = "files"
MAX_PAGE_SIZE = 100
MAX_FILE_BYTES = 2 * 1024**3
MAX_DISPLAY_NAME_CHARACTERS = 512
NAME = re.compile(r"files/[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def start_upload_request(metadata: pb.UploadFileMetadata) -> UpstreamRequest:
    """Return the request to upstream that begins a resumable upload.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    violations.require("metadata.mime_type", metadata.mime_type)
    violations.within("metadata.size_bytes", metadata.size_bytes, 1, MAX_FILE_BYTES)
    violations.length("metadata.display_name", metadata.display_name, MAX_DISPLAY_NAME_CHARACTERS)
    if metadata.name and not NAME.fullmatch(metadata.name):
        violations.add("metadata.name", "Must be files/ and a valid id.")
    if not metadata.mime_type.isascii() or not metadata.mime_type.isprintable():
        violations.add("metadata.mime_type", "Must be an IANA media type.")
    violations.raise_if_any()
    file: Json = {"mimeType": metadata.mime_type, "sizeBytes": str(metadata.size_bytes)}
    file |= {"displayName": metadata.display_name} if metadata.display_name else {}
    file |= {"name": metadata.name} if metadata.name else {}
    headers = (
        ("X-Goog-Upload-Protocol", "resumable"),
        ("X-Goog-Upload-Command", "start"),
        ("X-Goog-Upload-Header-Content-Length", str(metadata.size_bytes)),
        ("X-Goog-Upload-Header-Content-Type", metadata.mime_type),
        ("Content-Type", "application/json"),
    )
    return UpstreamRequest(
        Surface.UPLOAD, "POST", f"/{COLLECTION}", encode({"file": file}), headers=headers
    )


def upload_location(headers: Mapping[str, str], prefix: str) -> tuple[str, str]:
    """Return where an upload's bytes go: the path below the prefix, and the query.

    Only path and query of the address that upstream gives are taken; the host stays ours, so that
    upstream cannot send the server elsewhere.

    Raises:
        BridgeError: Upstream gave no address below the prefix.
    """
    try:
        address = urlsplit(headers.get("x-goog-upload-url", ""))
    except ValueError as error:
        raise malformed("an upload was begun at no valid address") from error
    place = address.path.find(f"{prefix}/")
    if place < 0:
        raise malformed("an upload was begun without an address")
    return address.path[place + len(prefix) :], address.query


def upload_chunk_request(
    path: str, query: str, chunk: bytes, offset: int, *, last: bool
) -> UpstreamRequest:
    """Return the request to upstream that brings the next bytes of an upload."""
    headers = (
        ("X-Goog-Upload-Command", "upload, finalize" if last else "upload"),
        ("X-Goog-Upload-Offset", str(offset)),
        ("Content-Type", "application/octet-stream"),
    )
    return UpstreamRequest(Surface.UPLOAD, "POST", path, chunk, query, headers)
