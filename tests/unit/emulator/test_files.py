import base64
import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

STATUS = "x-goog-upload-status"


async def begin(
    caller: Any, file: Any = None, path: str = "/upload/v1beta/files", **headers: str
) -> Any:
    sent = {
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return await caller.post(path, {} if file is None else {"file": file}, headers=sent)


async def push(
    caller: Any, started: Any, data: bytes, command: str = "upload, finalize", offset: int = 0
) -> Any:
    url = urlsplit(started.headers["x-goog-upload-url"])
    headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
    # Go says so of any bytes.
    headers["Content-Type"] = "application/json"
    return await caller.send("POST", f"{url.path}?{url.query}", data=data, key="", headers=headers)


async def upload(caller: Any, data: bytes, mime_type: str, **file: Any) -> Any:
    started = await begin(caller, {"mimeType": mime_type, **file})
    return (await push(caller, started, data)).json["file"]


@pytest.mark.parametrize(
    "path", ["/upload/v1beta/files", "/upload/v1/files", "/v1/upload/v1beta/files"]
)
@pytest.mark.parametrize(
    "file",
    [
        {"display_name": "dn", "mime_type": "text/plain", "size_bytes": 11},
        {"displayName": "dn", "mimeType": "text/plain", "sizeBytes": "11"},
    ],
)
async def test_an_upload_starts_and_finishes(caller: Any, path: str, file: Any) -> None:
    started = await begin(caller, file, path, X_Goog_Upload_Header_Content_Length="11")
    assert (started.status, started.headers[STATUS], started.raw) == (200, "active", b"")
    assert started.headers["x-goog-upload-url"].startswith(
        f"{caller.emulator.url}{path}?upload_id="
    )
    assert started.headers["x-goog-upload-chunk-granularity"] == "8388608"
    finished = await push(caller, started, b"hello world")
    assert (finished.status, finished.headers[STATUS]) == (200, "final")
    shown = finished.json["file"]
    digest = hashlib.sha256(b"hello world").hexdigest()
    version = "v1" if path == "/upload/v1/files" else "v1beta"
    assert shown == {
        "name": shown["name"],
        "displayName": "dn",
        "mimeType": "text/plain",
        "sizeBytes": "11",
        "createTime": shown["createTime"],
        "updateTime": shown["createTime"],
        "expirationTime": shown["expirationTime"],
        "sha256Hash": base64.b64encode(digest.encode()).decode(),
        "uri": f"{caller.emulator.url}/{version}/{shown['name']}",
        "state": "ACTIVE",
        "source": "UPLOADED",
    }
    assert (await caller.get(f"/v1beta/{shown['name']}")).json == shown


async def test_the_upload_address_names_the_host_that_was_asked(caller: Any) -> None:
    started = await begin(caller, Host="gateway.example:81")
    assert started.headers["x-goog-upload-url"].startswith("http://gateway.example:81/upload/")


async def test_chunks_arrive_in_order_and_progress_can_be_asked(caller: Any) -> None:
    started = await begin(caller, {"mime_type": "text/plain"})
    first = await push(caller, started, b"hello ", "upload")
    assert (first.status, first.headers[STATUS]) == (200, "active")
    asked = await push(caller, started, b"", "query")
    assert asked.headers["x-goog-upload-size-received"] == "6"
    wrong = await push(caller, started, b"world", "upload", offset=3)
    assert (wrong.status, wrong.headers[STATUS]) == (400, "active")
    await push(caller, started, b"world", "upload", offset=6)
    # Go ends an upload of whole chunks with an empty one.
    finished = await push(caller, started, b"", offset=11)
    assert finished.json["file"]["sizeBytes"] == "11"
    again = await push(caller, started, b"")
    assert (again.status, again.headers[STATUS]) == (404, "final")


async def test_an_upload_can_be_cancelled(caller: Any) -> None:
    started = await begin(caller)
    assert (await push(caller, started, b"", "cancel")).headers[STATUS] == "cancelled"
    assert (await push(caller, started, b"")).status == 404


async def test_an_upload_must_hold_what_it_announced(caller: Any) -> None:
    started = await begin(caller, X_Goog_Upload_Header_Content_Length="11")
    short = await push(caller, started, b"hello")
    assert (short.status, short.headers[STATUS]) == (400, "active")
    assert (await push(caller, started, b"", "dance")).status == 400


@pytest.mark.parametrize(
    "file,headers,status",
    [
        (None, {"X-Goog-Upload-Protocol": "multipart"}, 400),
        (None, {"X-Goog-Upload-Command": "upload"}, 400),
        ({"name": "files/UPPER"}, {}, 400),
        ({"colour": 1}, {}, 400),
        (None, {"X-Goog-Upload-Header-Content-Length": "9" * 12}, 400),
    ],
)
async def test_faulty_starts_are_refused(caller: Any, file: Any, headers: Any, status: int) -> None:
    assert (await begin(caller, file, **headers)).status == status


async def test_a_caller_may_choose_the_name_once(caller: Any) -> None:
    assert (await upload(caller, b"x", "text/plain", name="my-file"))["name"] == "files/my-file"
    refusal = await begin(caller, {"name": "files/my-file"})
    assert (refusal.status, refusal.json["error"]["status"]) == (409, "ALREADY_EXISTS")


async def test_files_are_listed_page_by_page(caller: Any) -> None:
    assert (await caller.get("/v1beta/files")).json == {}
    names = sorted([(await upload(caller, b"x", "text/plain"))["name"] for _ in range(3)])
    first = (await caller.get("/v1/files?pageSize=2")).json
    second = (await caller.get(f"/v1/files?pageSize=2&pageToken={first['nextPageToken']}")).json
    assert [file["name"] for file in first["files"] + second["files"]] == names
    assert "nextPageToken" not in second
    assert (await caller.get("/v1/files?pageToken=x")).status == 400


async def test_a_missing_file_is_forbidden(caller: Any, another: Callable[[], Any]) -> None:
    name = (await upload(caller, b"x", "text/plain"))["name"]
    short = name.removeprefix("files/")
    text = f"You do not have permission to access the File {short} or it may not exist."
    refusal = await another().get(f"/v1beta/{name}")
    assert (refusal.status, refusal.message) == (403, text)
    assert (await caller.send("DELETE", f"/v1beta/{name}", {})).json == {}
    for gone in (
        await caller.get(f"/v1beta/{name}"),
        await caller.send("DELETE", f"/v1beta/{name}"),
        await use(caller, f"https://host/v1beta/{name}"),
    ):
        assert (gone.status, gone.message) == (403, text)


async def use(caller: Any, uri: str) -> Any:
    body = {"contents": [{"parts": [{"fileData": {"fileUri": uri}}, {"text": "say: seen"}]}]}
    return await caller.post("/v1beta/models/gemini-2.0-flash:generateContent", body)


async def test_a_text_file_counts_by_its_words(caller: Any) -> None:
    file = await upload(caller, b"one two three", "text/plain")
    usage = (await use(caller, file["uri"])).json["usageMetadata"]
    assert usage["promptTokenCount"] == 3 + 3


async def test_a_video_is_processed_before_it_can_be_used(start: Callable[..., Any]) -> None:
    async with start(file_processing=timedelta(hours=1)) as caller:
        file = await upload(caller, b"\0", "video/mp4")
        assert file["state"] == "PROCESSING"
        refusal = await use(caller, file["uri"])
        assert refusal.status == 400
        assert refusal.json["error"]["status"] == "FAILED_PRECONDITION"
        short = file["name"].removeprefix("files/")
        assert (
            refusal.message
            == f"The File {short} is not in an ACTIVE state and usage is not allowed."
        )


async def test_a_video_becomes_active_by_the_clock(caller: Any) -> None:
    file = await upload(caller, b"\0", "video/mp4")
    deadline = time.monotonic() + 10
    while (shown := (await caller.get(f"/v1beta/{file['name']}")).json)["state"] == "PROCESSING":
        assert time.monotonic() < deadline
    assert shown["videoMetadata"] == {"videoDuration": "1s"}
    usage = (await use(caller, file["uri"])).json["usageMetadata"]
    assert {"modality": "VIDEO", "tokenCount": 263} in usage["promptTokensDetails"]


async def test_bounds_on_files_are_kept(start: Callable[..., Any]) -> None:
    async with start(max_file_bytes=10, max_stored_bytes=15, max_entries_per_account=2) as caller:
        large = await push(caller, await begin(caller), b"x" * 11)
        assert (large.status, large.headers[STATUS]) == (400, "active")
        await upload(caller, b"x" * 10, "text/plain")
        full = await push(caller, await begin(caller, {"mimeType": "text/plain"}), b"x" * 6)
        assert full.status == 429
        await upload(caller, b"x", "image/png")
        many = await push(caller, await begin(caller), b"x")
        assert many.status == 429
