import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contextbridge_emulator import serve

PATHS = st.sampled_from(
    [
        "/v1/context/create",
        "/v1/context/chat/completions",
        "/v1/chat/completions",
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        "/v1/models/m%3AcountTokens",
        "/v1beta/cachedContents",
        "/v1beta/cachedContents/x?updateMask=ttl",
        "/v1beta/projects/1/locations/x/cachedContents/2",
        "/upload/v1beta/files",
        "/v1/files?pageSize=1",
        "/_emulator/expire",
        "/\u00e9?%ff=%00",
    ]
)
NAMES = st.sampled_from(
    [
        "model",
        "messages",
        "content",
        "role",
        "contents",
        "parts",
        "text",
        "ttl",
        "stop",
        "n",
        "tools",
        "function",
        "name",
        "stream",
        "stream_options",
        "response_format",
        "generationConfig",
        "maxOutputTokens",
        "systemInstruction",
        "context_id",
        "truncation_strategy",
        "tool_choice",
        "id",
        "file",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "echo", "gemini-2.0-flash", "ctx-1", "count to 3"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
BODIES = JSON.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=40)
REQUESTS = st.tuples(st.sampled_from(["POST", "GET", "PATCH", "DELETE", "PUT"]), PATHS, BODIES)


async def exchange(host: str, port: int, method: str, path: str, body: bytes) -> bytes:
    """Send raw bytes, as clients libraries are too well behaved."""
    reader, writer = await asyncio.open_connection(host, port)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nx-goog-api-key: k\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(st.lists(REQUESTS, min_size=8, max_size=8))
def test_any_request_gets_an_answer_and_never_a_failure(requests: list[Any]) -> None:
    async def run() -> None:
        async with serve() as emulator:
            host, port = emulator.url.removeprefix("http://").split(":")
            for method, path, body in requests:
                answer = await exchange(host, int(port), method, path, body)
                assert answer.startswith(b"HTTP/1.")
                assert 200 <= int(answer.split()[1]) < 500, (method, path, body, answer)

    asyncio.run(run())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_get_an_http_status(data: bytes) -> None:
    async def run() -> None:
        async with serve() as emulator:
            host, port = emulator.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(data + b"\r\n\r\n")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert answer == b"" or answer.startswith(b"HTTP/1.")
            assert b"Traceback" not in answer

    asyncio.run(run())
