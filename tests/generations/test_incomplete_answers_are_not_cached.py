"""Whatever goes wrong with an answer, it is not served again."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import aiohttp
import grpc
import pytest
from aiohttp import web

from contextbridge import v1 as pb
from contextbridge_emulator.faults import FAULTS, choose

pytestmark = pytest.mark.parametrize("engine", ["cluster"], indirect=True)

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
CACHED = pb.ResponseCachePolicy(enabled=True)
MISS, HIT = pb.RESPONSE_CACHE_STATUS_MISS, pb.RESPONSE_CACHE_STATUS_HIT
METHODS = {
    "chat": ("CompleteChatWithContext", "ChatWithContext"),
    "generate": ("GenerateContent", "StreamGenerateContent"),
}
WAYS = [(family, streams) for family in METHODS for streams in (False, True)]
FAMILIES = pytest.mark.parametrize("family", METHODS)
STREAMS = pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])

ODD_BUT_GOOD = frozenset(
    (
        *("echo", "slow", "no-usage", "usage-on-finish", "gzip", "huge-event"),
        *("comments", "bom", "cr-only", "u2028", "utf8-split", "ignore-alt"),
        # The model answered, and finished: it will not say otherwise the next time.
        "refusal",
    )
)
"""Faults that leave an answer whole and good; after any other, one that is new too, nothing is
kept."""
GOOD = {"chat": ODD_BUT_GOOD, "generate": ODD_BUT_GOOD | {"no-done"}}
"""No `[DONE]` ends a generation's stream anyway."""
ANSWERED = {
    "chat": GOOD["chat"] | {"no-done", "safety", "max-tokens"},
    "generate": GOOD["generate"] | {"safety", "max-tokens", "blocked"},
}
"""Faults after which the call succeeds; some of the answers are not worth keeping."""
BREAKS = ("cut-midstream", "truncate-midstream", "error-midstream", "malformed-midstream")
DRESSINGS = ("gzip", "comments", "bom", "cr-only", "utf8-split", "ignore-alt", "usage-on-finish")


def is_endless(fault):
    wire = FAULTS[fault].wire
    return bool(wire.get("stall")) or wire.get("breaks") == "stall"


@pytest.fixture(name="faulty")
def faulty_fixture(monkeypatch):
    """Return the faults of all answers, by any model: a list that a test changes."""
    words = []
    monkeypatch.setattr(
        "contextbridge_emulator.call.choose",
        lambda asked, operation, wire: choose([*words, *asked], operation, wire),
    )
    return words


class Caller:
    """A caller who says the same in every way of asking."""

    def __init__(self, client, channel):
        self._client = client
        self._cache = pb.ResponseCacheServiceStub(channel)
        self._contexts = {}

    async def prepare(self):
        fixed = pb.CONTEXT_MODE_COMMON_PREFIX
        self._contexts = {
            "chat": await self._client.made(ARK, mode=fixed),
            "generate": await self._client.made(GEMINI),
        }

    def request(self, family, text="Hello", **fields):
        context = self._contexts[family]
        given = {"model": context.model, "response_cache": CACHED}
        if family == "chat":
            messages = [pb.ChatMessage(role="user", content=text)]
            given |= {"context_id": context.id, "messages": messages}
            return pb.ChatWithContextRequest(**(given | fields))
        contents = [pb.Content(role="user", parts=[pb.Part(text=text)])]
        given |= {"cached_content": context.id, "contents": contents}
        return pb.GenerateContentRequest(**(given | fields))

    def begun(self, family, streams, text="Hello", timeout=None, **fields):
        """Begin a call."""
        request = self.request(family, text, **fields)
        return self._client.call(METHODS[family][streams], request, timeout=timeout)

    async def status(self, family, streams, text="Hello", **fields):
        """Return what the response cache did; None where the call failed."""
        call = self.begun(family, streams, text, **fields)
        try:
            last = [event async for event in call][-1] if streams else await call
        except grpc.aio.AioRpcError as error:
            assert error.code() != grpc.StatusCode.CANCELLED
            return None
        end = last.completed if family == "chat" and streams else last
        return end.response_cache.status

    async def entry_count(self):
        request = pb.GetResponseCacheStatisticsRequest()
        answer = await self._cache.GetResponseCacheStatistics(request)
        return answer.statistics.entry_count


@pytest.fixture(name="callers")
def callers_fixture(stored, gateway, client_of):
    """Return what runs a bridge that asks once, so that a fault is met as it is."""

    @asynccontextmanager
    async def callers(upstream=gateway.url):
        async with stored(upstream, retry_max_attempts=1) as channel:
            caller = Caller(client_of(channel), channel)
            await caller.prepare()
            yield caller

    return callers


@pytest.fixture(name="caller")
async def caller_fixture(callers):
    async with callers() as caller:
        yield caller


@pytest.fixture(name="behind")
async def behind_fixture(callers, between):
    """Run a bridge behind `between`, and return a caller."""
    async with callers(between.url) as caller:
        yield caller


async def current_keys(engine):
    return [
        key for keys in await engine.each("KEYS", "*/generation/cache*:current") for key in keys
    ]


async def ask_each(caller, text):
    """Ask in every way at once, each something of its own; return what the cache did."""
    calls = [caller.status(*way, f"{text} {way}") for way in WAYS]
    return dict(zip(WAYS, await asyncio.gather(*calls), strict=True))


async def give_up_each(caller, gateway, text):
    """Ask in every way at once, and leave once upstream is at it."""
    calls = [caller.begun(*way, f"{text} {way}") for way in WAYS]
    reads = [asyncio.create_task(read(call)) for call in calls]
    await gateway.wait_for_open(len(calls), 30)
    for call in calls:
        call.cancel()
    await asyncio.gather(*reads)
    await gateway.wait_for_open(0, 30)
    return dict.fromkeys(WAYS)


async def read(call):
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call


# Every fault.


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_a_fault_only_what_is_whole_and_good_is_kept(
    fault, caller, faulty, gateway, engine
):
    faulty.append(f"{fault}@answer")
    if is_endless(fault):
        first = await give_up_each(caller, gateway, "Hello")
    else:
        first = await ask_each(caller, "Hello")
    kept = await caller.entry_count(), len(await current_keys(engine))
    faulty.clear()

    second = await ask_each(caller, "Hello")
    third = await ask_each(caller, "Hello")

    is_good = {way: fault in GOOD[way[0]] for way in WAYS}
    assert first == {way: MISS if fault in ANSWERED[way[0]] else None for way in WAYS}
    assert kept == (sum(is_good.values()),) * 2
    # Without the fault, the same call asks upstream, unless the answer was good.
    assert second == {way: HIT if good else MISS for way, good in is_good.items()}
    assert set(third.values()) == {HIT}


@pytest.mark.parametrize("breaking", [*BREAKS, "max-tokens", "safety"])
async def test_no_dress_makes_a_bad_answer_good(breaking, caller, faulty):
    for dress in DRESSINGS:
        faulty[:] = [f"{dress}@answer", f"{breaking}@answer"]

        told = await ask_each(caller, dress)

        expected = MISS if breaking in ANSWERED["chat"] else None
        assert told == dict.fromkeys(WAYS, expected), dress
        assert await caller.entry_count() == 0, dress


@pytest.mark.parametrize("breaking", BREAKS)
async def test_wherever_a_stream_breaks_nothing_is_kept(breaking, caller, faulty, monkeypatch):
    faulty.append(f"{breaking}@answer")
    for place in (0, 1, 2, 4, 8, 1_000):
        monkeypatch.setattr("contextbridge_emulator.streaming.DELTAS_BEFORE_BREAK", place)

        told = await ask_each(caller, "Hello")

        assert told == dict.fromkeys(WAYS), place
        assert await caller.entry_count() == 0, place
    faulty.clear()
    assert await ask_each(caller, "Hello") == dict.fromkeys(WAYS, MISS)


# Cut at every place, by hand.


class Script:
    """What `between` answers instead of the gateway, to what generates."""

    def __init__(self, between, family):
        self._between = between
        self._part = "chat/completions" if family == "chat" else "GenerateContent"
        self.count = 0

    def answer(self, body, *, missing=0):
        """Answer each with a body, and drop the connection before its last bytes."""

        async def rule(path, _):
            if self._part not in path:
                return None
            self.count += 1
            response = web.Response(body=body, content_type="text/event-stream")
            if missing:
                response.headers["Content-Length"] = str(len(body) + missing)
                response.force_close()
            return response

        self._between.rule = rule


async def recorded(between, gateway, caller, family):
    """Return the body of a whole stream, as the gateway sends it."""
    taken = []

    async def rule(path, body):
        if "GenerateContent" not in path and "chat/completions" not in path:
            return None
        query = "?alt=sse" if family == "generate" else ""
        headers = {"Authorization": "Bearer sk-test", "x-goog-api-key": "sk-test"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{gateway.url}{path}{query}", data=body) as answer,
        ):
            taken.append(await answer.read())
        return web.Response(body=taken[0], content_type="text/event-stream")

    between.rule = rule
    assert await caller.status(family, True, "Another") == MISS
    return taken[0]


def cuts_of(body, family):
    """Return the places within a stream's body, behind each event and within each."""
    separator = b"\r\n\r\n" if family == "generate" else b"\n\n"
    # Behind the last piece is nothing; a stream that ends right after [DONE] is whole.
    ends = [0]
    for event in body.split(separator)[:-1]:
        ends.append(ends[-1] + len(event) + len(separator))
    assert ends[-1] == len(body)
    within = [(one + other) // 2 for one, other in pairwise(ends)]
    return sorted([*ends[:-1], *within])


@FAMILIES
@STREAMS
async def test_a_stream_that_is_cut_anywhere_is_not_kept(streams, family, behind, between, gateway):
    body = await recorded(between, gateway, behind, family)
    script = Script(between, family)
    cuts = cuts_of(body, family)
    assert len(cuts) > 16

    for cut in cuts:
        for missing in (0, 1):
            script.answer(body[:cut], missing=missing)
            told = await behind.status(family, streams)

            # Whatever the caller could be given, upstream is asked again.
            assert told in (None, MISS)
            assert await behind.entry_count() == 1, (cut, missing)

    assert script.count == 2 * len(cuts)
    script.answer(body)
    assert [await behind.status(family, streams) for _ in range(2)] == [MISS, HIT]
    assert script.count == 2 * len(cuts) + 1


# How answers end.


def chat_stream(*finishes, n=None, **choice):
    """Return a chat's stream whose choices end for some reasons."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": ARK}
    events = []
    for index, finish in enumerate(finishes):
        delta = {"index": index, "delta": {"content": "Said."}, "finish_reason": None}
        events.append(base | {"choices": [delta]})
        if finish is not None:
            ended = {"index": index, "delta": {}, "finish_reason": finish, **choice}
            events.append(base | {"choices": [ended]})
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    events.append(base | {"choices": [], "usage": usage})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def generate_stream(*finishes, **members):
    """Return a generation's stream whose candidates end for some reasons."""
    events = []
    for index, finish in enumerate(finishes):
        content = {"role": "model", "parts": [{"text": "Said."}]}
        events.append({"candidates": [{"index": index, "content": content}]})
        if finish is not None:
            events.append({"candidates": [{"index": index, "finishReason": finish}]})
    events[-1] |= {"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 3}} | members
    return "".join(f"data: {json.dumps(event)}\r\n\r\n" for event in events).encode()


STREAMED = {"chat": chat_stream, "generate": generate_stream}
CHAT_ENDS = {
    "stop": True,
    "tool_calls": True,
    "function_call": True,
    "length": False,
    "content_filter": False,
    "sensitive": False,
    "insufficient_system_resource": False,
    "of_tomorrow": False,
    "STOP": False,
    "": False,
}
GEMINI_ENDS = {
    name.removeprefix("FINISH_REASON_"): name == "FINISH_REASON_STOP"
    for name in pb.Candidate.FinishReason.keys()  # noqa: SIM118 - no mapping
}
GEMINI_ENDS |= {"OF_TOMORROW": False, "stop": False, "": False}
ENDS = [("chat", *end) for end in CHAT_ENDS.items()]
ENDS += [("generate", *end) for end in GEMINI_ENDS.items()]


async def is_kept(caller, family, streams, **fields):
    """Tell whether an answer is served again."""
    told = [await caller.status(family, streams, **fields) for _ in range(2)]
    assert told in ([MISS, HIT], [MISS, MISS], [None, None])
    assert await caller.entry_count() == (told[1] == HIT)
    return told[1] == HIT


@pytest.mark.parametrize("family, reason, is_good", ENDS)
async def test_only_what_ended_by_itself_is_kept(family, reason, is_good, behind, between):
    Script(between, family).answer(STREAMED[family](reason))

    assert await is_kept(behind, family, streams=True) is is_good


@FAMILIES
@STREAMS
async def test_all_choices_must_have_ended_by_themselves(family, streams, behind, between):
    good, bad = ("stop", "length") if family == "chat" else ("STOP", "MAX_TOKENS")
    script = Script(between, family)
    for reasons in ((bad, good), (good, bad), (None, good), (good, None), (good, bad, good)):
        script.answer(STREAMED[family](*reasons))
        assert not await is_kept(behind, family, streams)

    script.answer(STREAMED[family](good, good))
    assert await is_kept(behind, family, streams)


async def test_a_generation_of_fewer_candidates_than_were_asked_for_is_not_kept(behind, between):
    """Its stream may have ended before a candidate began, and has no mark of its end."""
    config = pb.GenerationConfig(candidate_count=2)
    Script(between, "generate").answer(generate_stream("STOP"))

    assert not await is_kept(behind, "generate", streams=True, generation_config=config)


async def test_what_moderation_hit_is_not_kept(behind, between):
    script = Script(between, "chat")
    script.answer(chat_stream("stop", moderation_hit_type="violence"))

    assert not await is_kept(behind, "chat", streams=True)


@pytest.mark.parametrize("reason", pb.PromptFeedback.BlockReason.keys()[1:])
async def test_what_answers_a_blocked_prompt_is_not_kept(reason, behind, between):
    feedback = {"blockReason": reason.removeprefix("BLOCK_REASON_")}
    script = Script(between, "generate")
    blocked = json.dumps({"promptFeedback": feedback}).encode()
    for body in (
        b"data: " + blocked + b"\r\n\r\n",
        generate_stream("STOP", promptFeedback=feedback),
        b"data: " + blocked + b"\r\n\r\n" + generate_stream("STOP"),
    ):
        script.answer(body)
        assert not await is_kept(behind, "generate", streams=True)


@pytest.mark.parametrize("what", ["an error", "an error after the end"])
@FAMILIES
async def test_an_error_in_the_stream_is_never_kept(family, what, behind, between):
    error = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}
    event = f"data: {json.dumps(error)}\n\n".encode()
    whole = STREAMED[family]("stop" if family == "chat" else "STOP")
    marked = b"data: [DONE]\n\n"
    body = {"an error": event, "an error after the end": whole.removesuffix(marked) + event}[what]
    Script(between, family).answer(body)

    assert not await is_kept(behind, family, streams=True)


# Callers who leave.


LONG = "count to 1200"
"""At the pace of these tests, its answer takes a minute."""


@FAMILIES
@STREAMS
@pytest.mark.parametrize("leaving", ["cancelled", "too late"])
async def test_an_answer_that_nobody_waited_for_is_not_kept(
    leaving, streams, family, caller, faulty, gateway, asked
):
    faulty.append("pace=0.05")
    asked()
    call = caller.begun(family, streams, LONG, timeout=1 if leaving == "too late" else None)
    reading = asyncio.create_task(read(call))
    if leaving == "cancelled":
        await gateway.wait_for_open(1, 30)
        call.cancel()
    await reading
    # The last who leaves ends it.
    await gateway.wait_for_open(0, 30)

    assert {word.split()[-1] for word in asked()} <= {"closed"}
    assert await caller.entry_count() == 0
    faulty.clear()
    assert [await caller.status(family, streams, LONG) for _ in range(2)] == [MISS, HIT]


@FAMILIES
async def test_an_answer_whose_caller_left_in_mid_stream_is_not_kept(
    family, caller, faulty, gateway
):
    faulty.append("pace=0.05")
    for count in (1, 2, 3):
        call = caller.begun(family, True, LONG)
        for _ in range(count):
            await call.read()
        call.cancel()
        await gateway.wait_for_open(0, 30)

        assert await caller.entry_count() == 0
    faulty.clear()
    assert await caller.status(family, False, LONG) == MISS


@FAMILIES
@STREAMS
async def test_an_answer_whose_server_ended_is_not_kept(
    streams, family, callers, faulty, gateway, engine
):
    faulty.append("pace=0.05")
    async with callers() as caller:
        call = caller.begun(family, streams, LONG)
        reading = asyncio.create_task(read(call))
        await gateway.wait_for_open(1, 30)
    await reading
    faulty.clear()

    assert await current_keys(engine) == []
    async with callers() as caller:
        assert await caller.entry_count() == 0
        told = [await caller.status(family, streams) for _ in range(2)]
        assert told == [MISS, HIT]
