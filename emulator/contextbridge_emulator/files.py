"""Upload, get, list and delete files."""

import base64
import hashlib
import re
import secrets
import string
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from . import errors
from .caches import page_size
from .call import Call
from .protojson import format_timestamp, normalise
from .state import SECOND, StoredFile, Upload
from .streaming import send_json

_LIFE_NS = 48 * 3600 * SECOND
_GRANULARITY = 8 * 1024 * 1024
_DEFAULT_PAGE = 10
_MAX_PAGE = 100
_MICROSECOND = 1000
_NAME = re.compile(r"files/[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_ID_ALPHABET = string.ascii_lowercase + string.digits
_STATUS = "X-Goog-Upload-Status"


async def start(call: Call) -> web.StreamResponse:
    """Start a resumable upload; answer with its URL."""
    call.faults("", "manage")
    headers = call.request.headers
    if headers.get("X-Goog-Upload-Protocol", "").lower() != "resumable":
        raise errors.GoogleError(400, "Only the resumable upload protocol is supported.")
    if headers.get("X-Goog-Upload-Command", "").strip().lower() != "start":
        raise errors.GoogleError(400, "The first command of an upload must be start.")
    body = normalise("CreateFileRequest", await call.read_json())
    upload = _begin(call, body.get("file", {}))
    upload_id = secrets.token_urlsafe(24)
    call.state.uploads[upload_id] = upload
    url = f"{upload.base_url}{call.request.path}?upload_id={upload_id}&upload_protocol=resumable"
    return web.Response(
        headers={
            _STATUS: "active",
            "X-Goog-Upload-URL": url,
            "X-Goog-Upload-Control-URL": url,
            "X-Goog-Upload-Chunk-Granularity": str(_GRANULARITY),
        }
    )


async def proceed(call: Call) -> web.StreamResponse:
    """Receive bytes of an upload; the upload id alone authorizes it."""
    try:
        return await _proceed(call)
    except errors.GoogleError as error:
        # A client that finds no status in a response sleeps and sends its bytes again.
        error.headers.setdefault(_STATUS, "active")
        raise


async def _proceed(call: Call) -> web.StreamResponse:
    upload_id = call.request.query["upload_id"]
    upload = call.state.uploads.get(upload_id)
    if upload is None:
        gone = errors.GoogleError(404, "Upload session not found.")
        gone.headers[_STATUS] = "final"
        raise gone
    words = call.request.headers.get("X-Goog-Upload-Command", "").lower().split(",")
    commands = {word.strip() for word in words}
    if commands == {"query"}:
        return web.Response(
            headers={_STATUS: "active", "X-Goog-Upload-Size-Received": str(upload.received_bytes)}
        )
    if commands == {"cancel"}:
        del call.state.uploads[upload_id]
        return web.Response(headers={_STATUS: "cancelled"})
    if not commands or not commands <= {"upload", "finalize"}:
        raise errors.GoogleError(400, "Unknown upload command.")
    data = await call.read_bytes()
    if "upload" in commands:
        _receive(call, upload, data)
    if "finalize" not in commands:
        return web.Response(headers={_STATUS: "active"})
    file = _finish(call, upload)
    del call.state.uploads[upload_id]
    body = {"file": describe(file, call.arrived_ns)}
    return web.json_response(body, headers={_STATUS: "final"})


async def collection(call: Call) -> web.StreamResponse:
    """Answer GET files, page by page."""
    chosen = call.faults("", "manage")
    size = page_size(call.request, default=_DEFAULT_PAGE, most=_MAX_PAGE)
    call.account.purge(call.arrived_ns)
    names = sorted(call.account.files)
    after = _read_page_token(call.request.query.get("pageToken", ""))
    names = [name for name in names if name > after]
    page = [call.account.files[name] for name in names[:size]]
    body: dict[str, Any] = {}
    if page:
        body["files"] = [describe(file, call.arrived_ns) for file in page]
    if len(names) > size:
        body["nextPageToken"] = base64.urlsafe_b64encode(page[-1].name.encode()).decode()
    return await send_json(call, body, chosen.wire)


async def get(call: Call) -> web.StreamResponse:
    """Answer GET of one file."""
    chosen = call.faults("", "manage")
    file = _find(call)
    return await send_json(call, describe(file, call.arrived_ns), chosen.wire)


async def delete(call: Call) -> web.StreamResponse:
    """Answer DELETE of one file."""
    chosen = call.faults("", "manage")
    await call.read_bytes()
    file = _find(call)
    del call.account.files[file.name]
    return await send_json(call, {}, chosen.wire)


def describe(file: StoredFile, now_ns: int) -> dict[str, Any]:
    """Return the metadata of a file."""
    active = now_ns >= file.active_ns
    body: dict[str, Any] = {"name": file.name}
    if file.display_name is not None:
        body["displayName"] = file.display_name
    body |= {
        "mimeType": file.mime_type,
        "sizeBytes": str(file.size_bytes),
        "createTime": format_timestamp(file.created_ns),
        "updateTime": format_timestamp(file.created_ns),
        "expirationTime": format_timestamp(file.expires_ns),
        # Base64 of the digest's hexadecimal text: as the service sends it.
        "sha256Hash": base64.b64encode(file.sha256_hex.encode()).decode(),
        "uri": file.uri,
        "state": "ACTIVE" if active else "PROCESSING",
        "source": "UPLOADED",
    }
    if file.mime_type.startswith("video/") and active:
        body["videoMetadata"] = {"videoDuration": "1s"}
    return body


def _begin(call: Call, file: Mapping[str, Any]) -> Upload:
    headers = call.request.headers
    name = file.get("name")
    if name is not None:
        name = name if name.startswith("files/") else f"files/{name}"
        if not _NAME.fullmatch(name):
            raise errors.GoogleError(
                400, "* CreateFileRequest.file.name: lower-case letters, digits and dashes only\n"
            )
        if call.account.file(name, call.arrived_ns) is not None:
            raise errors.GoogleError(
                409, f"Requested entity already exists: {name}", status="ALREADY_EXISTS"
            )
    length = headers.get("X-Goog-Upload-Header-Content-Length", "")
    expected = int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None  # noqa: PLR2004 - far above any file.
    if expected is not None and expected > call.config.max_file_bytes:
        raise errors.GoogleError(400, "File size exceeds the limit.")
    return Upload(
        account=call.account,
        name=name,
        display_name=file.get("displayName"),
        mime_type=headers.get("X-Goog-Upload-Header-Content-Type")
        or file.get("mimeType")
        or "application/octet-stream",
        expected_bytes=expected,
        base_url=f"{call.request.scheme}://{call.request.host}",
        version=call.path["version"],
        created_ns=call.arrived_ns,
        digest=hashlib.sha256(),
    )


def _receive(call: Call, upload: Upload, data: bytes) -> None:
    offset = call.request.headers.get("X-Goog-Upload-Offset", "0")
    if offset != str(upload.received_bytes):
        problem = (
            f"Upload offset {offset} does not match the {upload.received_bytes} bytes received."
        )
        raise errors.GoogleError(400, problem)
    if upload.received_bytes + len(data) > call.config.max_file_bytes:
        raise errors.GoogleError(400, "File size exceeds the limit.")
    if _is_text(upload.mime_type):
        if call.state.stored_bytes() + len(data) > call.config.max_stored_bytes:
            raise errors.GoogleError(429, "Storage quota exceeded.")
        upload.kept += data
    upload.digest.update(data)
    upload.received_bytes += len(data)


def _finish(call: Call, upload: Upload) -> StoredFile:
    if upload.expected_bytes not in (None, upload.received_bytes):
        problem = (
            f"Upload has {upload.received_bytes} bytes, {upload.expected_bytes} were announced."
        )
        raise errors.GoogleError(400, problem)
    account = upload.account
    if not account.has_room(account.files, call.arrived_ns):
        raise errors.GoogleError(429, "Too many files in this project.")
    name = upload.name or f"files/{''.join(secrets.choice(_ID_ALPHABET) for _ in range(12))}"
    slow = upload.mime_type.startswith(("video/", "audio/"))
    wait_seconds = call.config.file_processing.total_seconds() if slow else 0
    file = StoredFile(
        name=name,
        mime_type=upload.mime_type,
        size_bytes=upload.received_bytes,
        sha256_hex=upload.digest.hexdigest(),
        created_ns=call.arrived_ns // _MICROSECOND * _MICROSECOND,
        active_ns=call.arrived_ns + int(wait_seconds * SECOND),
        expires_ns=(call.arrived_ns + _LIFE_NS) | 1,
        uri=f"{upload.base_url}/{upload.version}/{name}",
        display_name=upload.display_name,
        text=upload.kept.decode("utf-8", "replace") if _is_text(upload.mime_type) else None,
    )
    account.files[name] = file
    return file


def _is_text(mime_type: str) -> bool:
    return mime_type.startswith(("text/", "application/json"))


def _find(call: Call) -> StoredFile:
    name = f"files/{call.path['id']}"
    file = call.account.file(name, call.arrived_ns)
    if file is None:
        raise errors.file_forbidden(name)
    return file


def _read_page_token(token: str) -> str:
    try:
        name = base64.urlsafe_b64decode(token).decode()
    except ValueError:
        name = "?"
    if token and not _NAME.fullmatch(name):
        raise errors.bad_request(field="page_token", description="Invalid page token.")
    return name
