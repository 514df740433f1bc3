import asyncio
import gzip
import json
from typing import Any

import aiohttp
import pytest

from contextbridge_emulator import FAULTS
from contextbridge_emulator.faults import split_model

SSE = "streamGenerateContent?alt=sse"
NUMBERS = "1 2 3 4 5 6 7 8 9"
SILENT = {"stall", "stall-midstream"}
CUT = {"cut-midstream"}
REFUSALS = {
    # name: status on the context paths, status on Google's
    "rate-limited": (429, 429),
    "overloaded": (503, 503),
    "server-overloaded": (429, 503),
    "quota-exhausted": (402, 429),
    "overdue": (403, 400),
    "empty-429": (429, 429),
    "server-error": (500, 500),
    "bad-gateway": (502, 502),
    "gateway-timeout": (504, 504),
    "unauthorized": (401, 400),
    "not-found": (404, 404),
    "html": (200, 200),
    "empty": (200, 200),
    "bare-string": (503, 503),
    "error-in-200": (200, 200),
}
ONCE = {"rate-limited-once": 429, "overloaded-once": 503, "server-error-once": 500}


def content(reply: Any) -> str:
    chunks = [event for event in reply.events if event != "[DONE]"]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


@pytest.mark.parametrize("name", sorted(set(FAULTS) - SILENT - CUT - {"slow"}))
@pytest.mark.parametrize("surface", ["context", "google"])
@pytest.mark.parametrize("stream", [False, True])
async def test_every_fault_ends_in_an_answer(
    caller: Any, name: str, surface: str, stream: bool
) -> None:
    if surface == "context":
        reply = await caller.chat("count to 9", model=name, stream=stream)
    else:
        verb = SSE if stream else "generateContent"
        reply = await caller.generate("count to 9", model=f"gemini-2.0-flash+{name}", verb=verb)
    ark, google = REFUSALS.get(name, (ONCE.get(name, 200),) * 2)
    if name == "blocked":
        ark = 400
    assert reply.status == (ark if surface == "context" else google)


@pytest.mark.parametrize("name", sorted(ONCE))
async def test_a_passing_fault_hits_each_kind_of_request_once(caller: Any, name: str) -> None:
    statuses = [(await caller.chat("a", model=name)).status for _ in range(2)]
    assert statuses == [ONCE[name], 200]
    assert (await caller.chat("b", model=name)).status == ONCE[name]


async def test_a_rate_limit_says_when_to_come_back(caller: Any) -> None:
    ark = await caller.chat(model="rate-limited")
    assert ark.headers["retry-after"] == "1"
    assert ark.code == "RateLimitExceeded.EndpointRPMExceeded"
    google = await caller.generate(model="gemini-2.5-flash+rate-limited")
    details = {each["@type"].rsplit(".", 1)[-1]: each for each in google.json["error"]["details"]}
    assert details["RetryInfo"]["retryDelay"] == "1s"
    assert (
        details["QuotaFailure"]["violations"][0]["quotaDimensions"]["model"] == "gemini-2.5-flash"
    )
    assert "retry-after" not in google.headers


async def test_the_header_chooses_faults_too(caller: Any) -> None:
    headers = {"x-emulator-fault": "no-usage, max-tokens"}
    reply = (await caller.chat("count to 9", headers=headers)).json
    assert "usage" not in reply
    assert reply["choices"][0]["message"]["content"] == "1 2 3"
    assert reply["choices"][0]["finish_reason"] == "length"
    assert (
        await caller.get("/v1beta/cachedContents", headers={"x-emulator-fault": "overloaded"})
    ).status == 503


async def test_a_fault_can_be_limited_to_answers_or_to_creation(caller: Any) -> None:
    context_id = await caller.create("m+overloaded@answer")
    assert (await caller.chat(model="m+overloaded@answer", context_id=context_id)).status == 503
    assert (await caller.chat(model="m+overloaded@create", context_id=context_id)).status == 200


@pytest.mark.parametrize(
    "model,plain,asked",
    [
        ("gemini-2.5-flash", "gemini-2.5-flash", ()),
        ("gemini-2.5-flash+slow", "gemini-2.5-flash", ("slow",)),
        ("slow", "slow", ("slow",)),
        ("slow+gzip@answer", "slow", ("slow", "gzip@answer")),
        ("a+b", "a+b", ()),
        ("a+delay=0.5+pace=1", "a", ("delay=0.5", "pace=1")),
        ("a+delay=x", "a+delay=x", ()),
        ("", "", ()),
    ],
)
def test_model_names_are_taken_apart(model: str, plain: str, asked: tuple[str, ...]) -> None:
    assert split_model(model) == (plain, asked)


async def test_the_first_byte_of_slow_takes_two_seconds(caller: Any) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await caller.chat(model="slow")
    assert loop.time() - began >= 2


@pytest.mark.parametrize("how", ["model", "header"])
async def test_waits_can_be_set_for_one_request(caller: Any, how: str) -> None:
    model = "echo+delay=0.1+pace=0.02" if how == "model" else "echo"
    headers = {"x-emulator-delay": "0.1", "x-emulator-pace": "0.02"} if how == "header" else {}
    loop = asyncio.get_running_loop()
    began = loop.time()
    reply = await caller.chat("count to 3", model=model, stream=True, headers=headers)
    assert content(reply) == "1 2 3"
    assert loop.time() - began >= 0.1 + 5 * 0.02


async def receive(caller: Any, model: str, *, stream: bool, got: bytearray) -> None:
    """Collect what arrives until the answer ends, breaks off or falls silent."""
    silence = aiohttp.ClientTimeout(sock_read=2.0)
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "count to 9"}],
        "stream": stream,
    }
    url = f"{caller.emulator.url}/v1/chat/completions?key={caller.key}"
    async with caller.session.post(url, json=body, timeout=silence) as reply:
        async for data in reply.content.iter_any():
            got += data


@pytest.mark.parametrize(
    "name,stream,deltas",
    [
        ("stall", True, 0),
        ("stall", False, 0),
        ("stall-midstream", True, 3),
        ("stall-midstream", False, 0),
    ],
)
async def test_a_stalled_answer_says_nothing_more(
    caller: Any, name: str, stream: bool, deltas: int
) -> None:
    got = bytearray()
    with pytest.raises(aiohttp.SocketTimeoutError):
        await receive(caller, name, stream=stream, got=got)
    assert got.count(b'"delta":{"content":"') == deltas
    await caller.emulator.wait_for_open(0)
    assert caller.emulator.requests[-1].outcome == "closed-by-client"


@pytest.mark.parametrize("stream,deltas", [(True, 3), (False, 0)])
async def test_a_cut_answer_breaks_off_in_its_body(caller: Any, stream: bool, deltas: int) -> None:
    got = bytearray()
    with pytest.raises(aiohttp.ClientPayloadError):
        await receive(caller, "cut-midstream", stream=stream, got=got)
    assert got
    assert got.count(b'"delta":{"content":"') == deltas
    await caller.emulator.wait_for_open(0)
    assert caller.emulator.requests[-1].outcome == "answered"


async def test_a_truncated_stream_ends_cleanly_without_a_reason(caller: Any) -> None:
    reply = await caller.chat("count to 9", model="truncate-midstream", stream=True)
    assert content(reply) == "1 2 3"
    assert "[DONE]" not in reply.events
    assert all(not chunk["choices"][0]["finish_reason"] for chunk in reply.events)
    short = await caller.chat("say: a", model="truncate-midstream", stream=True)
    assert content(short) == "a"
    assert b'finish_reason":"' not in short.raw


async def test_an_error_in_mid_stream_takes_the_surfaces_form(caller: Any) -> None:
    chat = await caller.chat("count to 9", model="error-midstream", stream=True)
    assert chat.events[-1]["error"]["code"] == "bad_response"
    google = await caller.generate("count to 9", model="gemini-2.0-flash+error-midstream", verb=SSE)
    error = json.loads(google.raw.split(b"\r\n\r\n")[-1])
    assert error["error"]["code"] == 503


@pytest.mark.parametrize("verb", [SSE, "streamGenerateContent", "generateContent"])
async def test_malformed_json_does_not_parse(caller: Any, verb: str) -> None:
    reply = await caller.generate(
        "count to 9", model="gemini-2.0-flash+malformed-midstream", verb=verb
    )
    with pytest.raises(json.JSONDecodeError):
        _ = reply.events if verb == SSE else reply.json
    chat = await caller.chat("count to 9", model="malformed-midstream", stream=True)
    with pytest.raises(json.JSONDecodeError):
        _ = chat.events


async def test_usage_can_be_missing_or_ride_on_the_finish(caller: Any) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    missing = await caller.chat("count to 3", model="no-usage", **options)
    assert b'"usage"' not in missing.raw
    riding = await caller.chat("count to 3", model="usage-on-finish", **options)
    assert riding.events[-2]["choices"][0]["finish_reason"] == "stop"
    assert riding.events[-2]["usage"]["completion_tokens"] == 3
    google = await caller.generate("count to 3", model="gemini-2.0-flash+usage-on-finish", verb=SSE)
    assert ["usageMetadata" in event for event in google.events] == [False, False, True]
    none = await caller.generate("count to 3", model="gemini-2.0-flash+no-usage")
    assert "usageMetadata" not in none.json


async def test_a_stream_can_end_without_done(caller: Any) -> None:
    reply = await caller.chat("count to 3", model="no-done", stream=True)
    assert reply.events[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [True, False])
async def test_gzip_comes_unasked(caller: Any, stream: bool) -> None:
    body = {
        "model": "gzip",
        "messages": [{"role": "user", "content": "count to 9"}],
        "stream": stream,
    }
    url = f"{caller.emulator.url}/v1/chat/completions"
    headers = {"Authorization": f"Bearer {caller.key}", "Accept-Encoding": "identity"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(url, json=body, headers=headers) as reply,
    ):
        assert reply.headers["Content-Encoding"] == "gzip"
        assert b'"content":"' in gzip.decompress(await reply.read())


async def test_a_huge_event_is_one_event(caller: Any) -> None:
    reply = await caller.chat("say: x", model="huge-event", stream=True)
    assert max(map(len, reply.raw.split(b"\n\n"))) > 300_000
    whole = await caller.chat("say: x", model="huge-event")
    assert whole.json["choices"][0]["message"]["content"] == content(reply)


async def test_comments_and_separators_stay_on_the_context_paths(caller: Any) -> None:
    chat = await caller.chat("count to 3", model="comments+u2028", stream=True)
    assert chat.raw.startswith(b": PING\n\ndata: ")
    assert content(chat) == "a\u2028b\u2029c\u0085d 1 2 3"
    assert "\u2028" in chat.raw.decode()
    google = await caller.generate("count to 3", model="gemini-2.0-flash+comments+u2028", verb=SSE)
    assert b": PING" not in google.raw
    assert "\u2028" not in google.raw.decode()


async def test_bytes_can_be_marked_and_lines_end_in_bare_returns(caller: Any) -> None:
    reply = await caller.chat("count to 3", model="bom+cr-only", stream=True)
    assert reply.raw.startswith(b"\xef\xbb\xbfdata: ")
    assert b"\n" not in reply.raw
    assert reply.raw.endswith(b"data: [DONE]\r\r")
    assert (await caller.chat(model="bom")).raw.startswith(b"\xef\xbb\xbf{")


async def test_flushes_end_inside_a_character(caller: Any) -> None:
    body = {
        "model": "utf8-split",
        "messages": [{"role": "user", "content": "say: x"}],
        "stream": True,
    }
    url = f"{caller.emulator.url}/v1/chat/completions"
    headers = {"Authorization": f"Bearer {caller.key}"}
    async with caller.session.post(url, json=body, headers=headers) as reply:
        chunks = [data async for data, _ in reply.content.iter_chunks()]
    assert any(chunk[-1] >= 0xC0 for chunk in chunks)
    assert "Ça".encode() in b"".join(chunks)


async def test_a_json_array_comes_although_events_were_asked(caller: Any) -> None:
    reply = await caller.generate("count to 3", model="gemini-2.0-flash+ignore-alt", verb=SSE)
    assert len(reply.json) == 3


async def test_a_refusal_is_a_member_of_its_own(caller: Any) -> None:
    message = (await caller.chat(model="refusal")).json["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I cannot help with that.")
    deltas = [
        chunk["choices"][0]["delta"]
        for chunk in (await caller.chat(model="refusal", stream=True)).events[:-1]
    ]
    assert "".join(delta.get("refusal", "") for delta in deltas) == "I cannot help with that."


async def test_a_withheld_chat_says_why(caller: Any) -> None:
    choice = (await caller.chat(model="safety")).json["choices"][0]
    assert (choice["finish_reason"], choice["moderation_hit_type"]) == (
        "content_filter",
        "severe_violation",
    )
    streamed = (await caller.chat(model="safety", stream=True)).events[-2]["choices"][0]
    assert streamed["moderation_hit_type"] == "severe_violation"


async def test_a_blocked_chat_is_refused_for_its_content(caller: Any) -> None:
    refusal = await caller.chat(model="blocked")
    assert (refusal.status, refusal.code) == (400, "InputTextRiskDetection")
