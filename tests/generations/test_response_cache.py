"""Answers served again: the same to every caller, to whom they are due, and for how long."""

import asyncio
import base64
import hashlib
import secrets
import tempfile
import zlib
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import grpc
import pytest

from contextbridge import v1 as pb
from contextbridge._fold import ChatFold, ContentFold

ARK = "Doubao-1.5-pro-32k"
THINKING = "Doubao-1.5-thinking-32k"
GEMINI = "gemini-2.5-flash"
FIXED = {"mode": pb.CONTEXT_MODE_COMMON_PREFIX}
CACHED = pb.ResponseCachePolicy(enabled=True)
BRIEF = pb.ResponseCachePolicy(enabled=True, ttl={"seconds": 1})
FRESH = pb.ResponseCachePolicy(enabled=True, refresh=True)
SECOND = timedelta(seconds=1)
TEXT = "Ça va? 灯台🌊 e\N{COMBINING ACUTE ACCENT} a\N{LINE SEPARATOR}b"
SCHEMA = '{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"integer"}}}'
TOOLS = [
    pb.ChatTool(function=pb.ChatFunction(name=name, parameters_json=SCHEMA))
    for name in ("look", "light")
]
FUNCTIONS = [pb.FunctionDeclaration(name="look", parameters_json_schema=SCHEMA)]
CALLING = pb.ToolConfig(function_calling_config=pb.FunctionCallingConfig(mode="ANY"))
THOUGHTS = pb.ThinkingConfig(include_thoughts=True)

UNASKED = {"response_cache": None}

MISS, HIT = pb.RESPONSE_CACHE_STATUS_MISS, pb.RESPONSE_CACHE_STATUS_HIT
BYPASSED, REFRESHED = pb.RESPONSE_CACHE_STATUS_BYPASSED, pb.RESPONSE_CACHE_STATUS_REFRESHED

ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""
FAMILIES = pytest.mark.parametrize("family", ["chat", "generate"])
FOLDS = {"chat": ChatFold, "generate": ContentFold}
METHODS = {
    "chat": ("CompleteChatWithContext", "ChatWithContext"),
    "generate": ("GenerateContent", "StreamGenerateContent"),
}


class Caller:
    """A caller whose answers are whole messages, and who may ask for the cache's own methods."""

    def __init__(self, client, channel, *metadata):
        self.client = client
        self._cache = pb.ResponseCacheServiceStub(channel)
        self._metadata = metadata

    async def made(self, model=ARK, prefix="You keep the lighthouse at Oban.", **fields):
        fields = FIXED | fields if model.startswith("Doubao") else fields
        return await self.client.made(model, prefix, **fields)

    async def whole(self, request):
        """Return the answer of the unary method."""
        return await self.client.call(METHODS[family_of(request)][0], request)

    async def events(self, request):
        """Return the messages of the streaming method."""
        events = [e async for e in self.client.call(METHODS[family_of(request)][1], request)]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        return events

    async def told(self, request, way="whole"):
        """Return what the response cache did."""
        answer = await getattr(self, way)(request)
        return outcome_of(answer if way == "whole" else answer[-1])

    async def statuses(self, *requests):
        return [(await self.told(request)).status for request in requests]

    async def delete(self, **target):
        request = pb.DeleteCachedResponsesRequest(**target)
        answer = await self._cache.DeleteCachedResponses(request, metadata=self._metadata)
        return answer.deleted_count

    async def statistics(self):
        answer = await self._cache.GetResponseCacheStatistics(
            pb.GetResponseCacheStatisticsRequest(), metadata=self._metadata
        )
        return answer.statistics


def family_of(request):
    return "chat" if isinstance(request, pb.ChatWithContextRequest) else "generate"


def end_of(answer):
    """Return what says how an answer ended: of the last event of a chat, `completed`."""
    return answer.completed if isinstance(answer, pb.ChatWithContextResponse) else answer


def outcome_of(answer):
    return end_of(answer).response_cache


def without_told(answer):
    """Return an event or an answer without what differs from reader to reader."""
    copy = type(answer)()
    copy.CopyFrom(answer)
    if isinstance(copy, pb.ChatWithContextResponse) and copy.HasField("started"):
        copy.started.resumable = False
    if isinstance(copy, pb.ChatWithContextResponse) and not copy.HasField("completed"):
        return copy
    end = end_of(copy)
    for name in ("response_cache", "billed_usage", "context"):
        end.ClearField(name)
    return copy


def without_made(answer):
    """Return a whole answer without what is new each time that upstream makes one."""
    copy = without_told(answer)
    for name in ("id", "response_id", "create_time"):
        if name in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(name)
    if isinstance(copy, pb.GenerateContentResponse):
        for candidate in copy.candidates:
            # The emulator says it of whole answers only.
            candidate.ClearField("avg_logprobs")
    elif copy.usage.estimated:
        # By the bytes that were sent, and those of a stream are some more.
        copy.ClearField("usage")
    return copy


def usage_of(answer):
    if isinstance(answer, pb.GenerateContentResponse):
        return answer.usage_metadata
    return end_of(answer).usage


def folded(family, events):
    fold = FOLDS[family]()
    for event in events:
        fold.add(event)
    return fold.answer()


def generating(text="Hello", **fields):
    """Return a request that needs no context, and asks for the cache."""
    given = {
        "model": GEMINI,
        "contents": [pb.Content(role="user", parts=[pb.Part(text=text)])],
        "response_cache": CACHED,
    }
    return pb.GenerateContentRequest(**(given | fields))


@pytest.fixture(name="callers")
def callers_fixture(stored, gateway, client_of):
    """Return what runs a bridge: `async with callers(**settings) as caller`."""

    @asynccontextmanager
    async def callers(**settings):
        async with stored(settings.pop("upstream", gateway.url), **settings) as channel:
            yield Caller(client_of(channel), channel)

    return callers


@pytest.fixture(name="caller")
async def caller_fixture(callers):
    async with callers() as caller:
        yield caller


@pytest.fixture(name="two_tenants")
async def two_tenants_fixture(stored, gateway, client_of, tmp_path):
    """Run a bridge, and return callers of two tenants."""
    path = tmp_path / "callers.toml"
    tokens = {name: (("authorization", f"Bearer tok-{name}"),) for name in ("acme", "bolt")}
    path.write_text(
        "".join(
            f'[[callers]]\nname = "{name}"\ntenant = "{name}"\n'
            f'token_sha256 = "{hashlib.sha256(f"tok-{name}".encode()).hexdigest()}"\n'
            for name in tokens
        )
    )
    async with stored(gateway.url, callers_file=path) as channel:
        yield [
            Caller(client_of(channel, *metadata), channel, *metadata)
            for metadata in tokens.values()
        ]


@pytest.fixture(name="asking")
def asking_fixture(requests):
    """Return what builds a request that asks for the cache, on a context."""

    def asking(context, text="Hello", *, family="chat", **fields):
        build = requests.chatting if family == "chat" else requests.generating
        return build(context, text, **({"response_cache": CACHED} | fields))

    return asking


# The same answer to every caller.

CASES = {
    "plain": ("chat", ARK, {}),
    "reasoning": ("chat", THINKING, {}),
    "several choices": ("chat", THINKING, {"n": 2, "logprobs": True, "top_logprobs": 2}),
    "multi-byte text": ("chat", f"{ARK}+utf8-split", {"text": f"say: {TEXT}"}),
    "a large event": ("chat", f"{ARK}+huge-event", {}),
    "no usage": ("chat", f"{ARK}+no-usage", {}),
    "a refusal": ("chat", f"{ARK}+refusal", {}),
    "tool calls": ("chat", f"{GEMINI}-tools", {"tools": TOOLS, "n": 2}),
    "Gemini": ("generate", GEMINI, {}),
    "Gemini without a context": ("generate", None, {"model": GEMINI}),
    "thoughts": ("generate", GEMINI, {"config": {"thinking_config": THOUGHTS}}),
    "several candidates": (
        "generate",
        GEMINI,
        {"config": {"candidate_count": 2, "thinking_config": THOUGHTS}},
    ),
    "multi-byte Gemini text": ("generate", f"{GEMINI}+utf8-split", {"text": f"say: {TEXT}"}),
    "a large Gemini event": ("generate", f"{GEMINI}+huge-event", {}),
    "no Gemini usage": ("generate", f"{GEMINI}+no-usage", {}),
    "function calls": (
        "generate",
        None,
        {
            "model": f"{GEMINI}-tools",
            "tools": [pb.Tool(function_declarations=FUNCTIONS)],
            "tool_config": CALLING,
            "config": {"candidate_count": 2, "thinking_config": THOUGHTS},
        },
    ),
}


async def case_request(name, caller, asking):
    """Return a case's request, with a context where it has one."""
    family, model, fields = CASES[name]
    fields = dict(fields)
    if config := fields.pop("config", None):
        fields["generation_config"] = pb.GenerationConfig(**config)
    text = fields.pop("text", "Hello")
    if model is None:
        return generating(text, **fields)
    context = await caller.made(model.partition("+")[0])
    return asking(context, text, family=family, **{"model": model, **fields})


async def check_all_alike(request, caller, asked, *, streams_first):
    family = family_of(request)
    straight = type(request)()
    straight.CopyFrom(request)
    straight.ClearField("response_cache")
    unkept = await caller.whole(straight)
    assert outcome_of(unkept) == pb.ResponseCacheOutcome()
    asked()

    ways = ("events", "whole") if streams_first else ("whole", "events")
    answers = [await getattr(caller, way)(request) for way in (*ways, *ways)]

    assert len(asked()) == 1
    streams = [answer for answer in answers if isinstance(answer, list)]
    wholes = [answer for answer in answers if not isinstance(answer, list)]
    ends = [answer[-1] if isinstance(answer, list) else answer for answer in answers]
    # The events are the same, one by one, and so are whole answers.
    first, second = [[without_told(event) for event in stream] for stream in streams]
    assert first == second
    assert without_told(wholes[0]) == without_told(wholes[1])
    assert without_told(folded(family, streams[0])) == without_told(wholes[0])
    # And what upstream gives unary callers.
    assert without_made(wholes[0]) == without_made(unkept)
    # Each is told what happened to it.
    outcomes = [outcome_of(end) for end in ends]
    assert [outcome.status for outcome in outcomes] == [MISS, HIT, HIT, HIT]
    assert [outcome.HasField("age") for outcome in outcomes] == [False, True, True, True]
    assert len({outcome.key for outcome in outcomes}) == 1
    assert len(outcomes[0].key) == 64
    # What it cost when it was made, and what it cost now.
    assert all(usage_of(end) == usage_of(ends[0]) for end in ends)
    billed = [end_of(end) for end in ends]
    assert all(end.HasField("billed_usage") for end in billed)
    assert [end.billed_usage == pb.Usage() for end in billed] == [False, True, True, True]
    if not unkept.billed_usage.estimated:
        assert billed[0].billed_usage == unkept.billed_usage
    # Between the first event and the last there is nothing to tell apart.
    assert streams[0][1:-1] == streams[1][1:-1]


@pytest.mark.parametrize("case", ["plain", "Gemini"])
async def test_unary_and_streaming_calls_hit_each_others_answers(case, caller, asking, asked):
    request = await case_request(case, caller, asking)

    await check_all_alike(request, caller, asked, streams_first=False)


@ONE_STORE
@pytest.mark.parametrize("streams_first", [False, True], ids=["unary first", "stream first"])
@pytest.mark.parametrize("case", CASES)
async def test_an_answer_is_the_same_however_it_was_filled_and_is_read(
    case, streams_first, caller, asking, asked
):
    request = await case_request(case, caller, asking)

    await check_all_alike(request, caller, asked, streams_first=streams_first)


@ONE_STORE
async def test_the_cases_hold_what_they_are_named_after(caller, asking):
    wholes = {name: await caller.whole(await case_request(name, caller, asking)) for name in CASES}

    assert all(choice.message.reasoning for choice in wholes["reasoning"].choices)
    assert len(wholes["several choices"].choices) == 2
    assert all(choice.logprobs for choice in wholes["several choices"].choices)
    assert TEXT in wholes["multi-byte text"].choices[0].message.content
    assert wholes["a large event"].ByteSize() > 300_000
    assert wholes["no usage"].usage.estimated
    assert wholes["a refusal"].choices[0].message.refusal
    for choice in wholes["tool calls"].choices:
        assert [call.name for call in choice.message.tool_calls] == ["look", "light"]
        assert all(call.arguments_json for call in choice.message.tool_calls)
        assert choice.finish_reason == pb.FINISH_REASON_TOOL_CALLS
    for name in ("thoughts", "several candidates", "function calls"):
        assert all(c.content.parts[0].thought for c in wholes[name].candidates)
    assert len(wholes["several candidates"].candidates) == 2
    assert TEXT in wholes["multi-byte Gemini text"].candidates[0].content.parts[0].text
    assert wholes["no Gemini usage"].billed_usage.estimated
    for candidate in wholes["function calls"].candidates:
        assert [p.function_call.name for p in candidate.content.parts[1:]] == ["look"]


@ONE_STORE
async def test_a_hit_tells_of_the_callers_own_context_and_not_of_what_happened_then(
    caller, asking, gateway
):
    first, second = [await caller.made() for _ in range(2)]
    gateway.expire(first.upstream_id)

    made = await caller.whole(asking(first))
    hits = [await caller.whole(asking(context)) for context in (first, second)]

    assert made.context == pb.ContextOutcome(id=first.id, restored=True)
    assert [hit.context for hit in hits] == [
        pb.ContextOutcome(id=context.id) for context in (first, second)
    ]


@ONE_STORE
@FAMILIES
async def test_a_hit_makes_no_use_of_the_context_upstream(family, caller, asking, gateway, asked):
    context = await caller.made(GEMINI)
    await caller.whole(asking(context, family=family))
    gateway.expire()
    asked()

    assert (await caller.told(asking(context, family=family), "events")).status == HIT
    assert asked() == []


@ONE_STORE
@FAMILIES
@pytest.mark.parametrize("way", ["whole", "events"])
async def test_an_answer_from_a_context_that_was_deleted_is_not_served(
    way, family, caller, asking, failure
):
    context = await caller.made(GEMINI)
    await caller.whole(asking(context, family=family))
    await caller.client.delete(context)

    failed = await failure(getattr(caller, way)(asking(context, family=family)))

    assert failed.code == grpc.StatusCode.NOT_FOUND
    assert failed.reason == "CONTEXT_NOT_FOUND"


@ONE_STORE
async def test_idempotency_keys_share_answers_as_others_do(caller, asked):
    requests = [
        generating(idempotency_key=idempotency_key) for idempotency_key in ("r-1", "r-2", "r-1", "")
    ]

    answers = [await caller.events(request) for request in requests]

    assert len(asked()) == 1
    # Who comes again is told what was told the first time.
    ends = [events[-1] for events in answers]
    assert [outcome_of(end).status for end in ends] == [MISS, HIT, MISS, HIT]
    assert [end.billed_usage == pb.Usage() for end in ends] == [False, True, False, True]
    first, *others = [list(map(without_told, events)) for events in answers]
    assert others == [first] * 3
    statistics = await caller.statistics()
    assert (statistics.miss_count, statistics.hit_count) == (1, 2)


# Whose answer it is.


@FAMILIES
async def test_contexts_of_one_content_share_answers_and_others_do_not(family, caller, asking):
    contexts = [
        await caller.made(GEMINI),
        await caller.made(GEMINI, ttl=7200, display_name="Another"),
        await caller.made(GEMINI, "You keep the lighthouse at Skye."),
    ]

    told = [await caller.told(asking(context, family=family)) for context in contexts]

    assert [each.status for each in told] == [MISS, HIT, MISS]
    assert told[0].key == told[1].key != told[2].key


@ONE_STORE
async def test_a_chat_and_a_generation_from_one_context_are_two(caller, asking):
    context = await caller.made(GEMINI)

    requests = [asking(context, family=family) for family in ("chat", "generate")]

    assert await caller.statuses(*requests, *requests) == [MISS, MISS, HIT, HIT]


@ONE_STORE
async def test_a_model_matters_unless_it_is_not_to(caller, asking):
    any_model = pb.ResponseCachePolicy(enabled=True, by_model=False)
    models = ("gemini-2.5-flash", "models/gemini-2.5-flash", "gemini-2.5-pro")
    by_model = [generating(model=model) for model in models]
    by_none = [generating(model=model, response_cache=any_model) for model in models]

    assert await caller.statuses(*by_model) == [MISS, HIT, MISS]
    assert await caller.statuses(*by_none) == [MISS, HIT, HIT]
    assert await caller.statuses(*by_model) == [HIT, HIT, HIT]
    answers = [await caller.whole(request) for request in by_none]
    assert {answer.model_version for answer in answers} == {"gemini-2.5-flash"}
    contexts = [await caller.made(model) for model in ("gemini-2.5-flash", "gemini-2.5-pro")]
    assert await caller.statuses(*map(asking, contexts)) == [MISS, MISS]


@ONE_STORE
@FAMILIES
async def test_a_customer_matters_if_the_caller_says_so(family, caller, asking, failure):
    context = await caller.made(GEMINI)
    by_customer = pb.ResponseCachePolicy(enabled=True, by_customer=True)

    def request(identifier, policy, **customer):
        customer = pb.Customer(identifier=identifier, **customer)
        return asking(context, family=family, customer=customer, response_cache=policy)

    apart = [request("c-1", by_customer), request("c-2", by_customer)]
    together = [request("c-1", CACHED), request("c-2", CACHED), request("", CACHED)]

    assert await caller.statuses(*apart, *apart) == [MISS, MISS, HIT, HIT]
    assert await caller.statuses(*together) == [MISS, HIT, HIT]
    named = request("c-1", by_customer, name="Ada", email="ada@example.com")
    assert await caller.statuses(named) == [HIT]
    failed = await failure(caller.whole(request("", by_customer)))
    assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
    assert set(failed.violations) == {"customer.identifier"}


async def test_tenants_share_nothing(two_tenants, asked):
    acme, bolt = two_tenants

    told = [await caller.told(generating()) for caller in (acme, bolt, acme, bolt)]

    assert [each.status for each in told] == [MISS, MISS, HIT, HIT]
    assert len({each.key for each in told}) == 2
    assert len(asked()) == 2


@ONE_STORE
async def test_callers_own_accounts_share_nothing(stored, gateway, client_of):
    async with stored(gateway.url, upstream_key_from="caller") as channel:
        callers = [
            Caller(client_of(channel, ("x-upstream-api-key", key)), channel)
            for key in ("sk-1", "sk-2")
        ]
        told = [await caller.told(generating()) for caller in (*callers, *callers)]

    assert [each.status for each in told] == [MISS, MISS, HIT, HIT]


@ONE_STORE
async def test_answers_of_another_upstream_are_not_served(callers, between):
    async with callers() as first, callers(upstream=between.url) as second:
        requests = [generating(), generating()]
        assert await first.statuses(*requests) == [MISS, HIT]
        assert await second.statuses(*requests) == [MISS, HIT]


@ONE_STORE
@pytest.mark.parametrize("by", ["id", "upstream_id"])
async def test_a_session_is_asked_upstream_each_time(by, caller, asking, asked):
    session = await caller.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
    request = asking(getattr(session, by), model=ARK)
    asked()

    answers = [
        await caller.whole(request),
        (await caller.events(request))[-1].completed,
        await caller.whole(asking(getattr(session, by), model=ARK, response_cache=FRESH)),
    ]

    assert asked() == ["chat"] * 3
    for answer in answers:
        assert answer.response_cache == pb.ResponseCacheOutcome(status=BYPASSED)
        assert answer.billed_usage == answer.usage != pb.Usage()
    statistics = await caller.statistics()
    assert (statistics.bypassed_count, statistics.entry_count) == (3, 0)


@ONE_STORE
@FAMILIES
async def test_an_id_that_is_only_upstreams_counts_by_itself(family, caller, asking, asked):
    names = []
    for _ in range(2):
        content = pb.CachedContent(
            model=f"models/{GEMINI}",
            contents=[pb.Content(role="user", parts=[pb.Part(text="You keep the light.")])],
            ttl={"seconds": 3600},
        )
        request = pb.CreateCachedContentRequest(cached_content=content)
        made = await caller.client.call("CreateCachedContent", request)
        names.append(made.cached_content.name)
    requests = [asking(name, family=family, model=GEMINI) for name in names]
    asked()

    assert await caller.statuses(*requests, *requests) == [MISS, MISS, HIT, HIT]
    assert len(asked()) == 2
    assert await caller.delete(context_id=names[0]) == 1
    assert await caller.statuses(*requests) == [MISS, HIT]


@ONE_STORE
async def test_a_context_that_somebody_made_upstream_counts_by_its_id(caller, asking, gateway):
    body = {"model": ARK, "mode": "common_prefix", "ttl": 3600}
    body["messages"] = [{"role": "system", "content": "You keep the lighthouse."}]
    headers = {"Authorization": "Bearer sk-test"}
    ids = []
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(2):
            async with session.post(f"{gateway.url}/v1/context/create", json=body) as made:
                ids.append((await made.json())["id"])
    requests = [asking(context_id, model=ARK) for context_id in ids]

    assert ids[0] != ids[1]
    assert await caller.statuses(*requests, *requests) == [MISS, MISS, HIT, HIT]


# For how long.


@ONE_STORE
async def test_refreshing_replaces_the_answer(caller, asked):
    request, fresh = generating(), generating(response_cache=FRESH)

    before = [await caller.whole(request) for _ in range(2)]
    refreshed = await caller.whole(fresh)
    after = await caller.whole(request)

    assert asked() == ["stream_generate"] * 2
    outcome = outcome_of(refreshed)
    assert (outcome.status, outcome.key) == (REFRESHED, outcome_of(before[0]).key)
    assert not outcome.HasField("age")
    assert refreshed.billed_usage == before[0].billed_usage
    assert outcome_of(after).status == HIT
    assert before[0].response_id == before[1].response_id
    assert before[0].response_id != refreshed.response_id == after.response_id
    statistics = await caller.statistics()
    assert statistics.entry_count == 1
    assert (statistics.miss_count, statistics.hit_count) == (1, 2)
    assert statistics.refreshed_count == 1


@ONE_STORE
async def test_an_answer_that_a_newer_one_has_overtaken_is_not_kept_beside_it(
    callers, between, engine
):
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def rule(path, _):
        if "streamGenerateContent" in path and not arrived.is_set():
            arrived.set()
            await go_on.wait()

    between.rule = rule
    async with callers(upstream=between.url) as caller:
        overtaken = asyncio.create_task(caller.whole(generating()))
        await arrived.wait()
        newer = await caller.whole(generating(response_cache=FRESH))
        go_on.set()

        assert outcome_of(await overtaken).status == MISS
        assert outcome_of(newer).status == REFRESHED
        hit = await caller.whole(generating())
        assert (outcome_of(hit).status, hit.response_id) == (HIT, newer.response_id)
        assert (await caller.statistics()).entry_count == 1
        assert await caller.delete(all=True) == 1
        assert await keys_of(engine, "current") == []


@ONE_STORE
async def test_refreshing_what_is_not_there_keeps_the_answer(caller):
    fresh, request = generating(response_cache=FRESH), generating()

    assert await caller.statuses(fresh, request, fresh, request) == [
        *(REFRESHED, HIT),
        *(REFRESHED, HIT),
    ]
    assert (await caller.statistics()).entry_count == 1


@ONE_STORE
async def test_an_answer_that_is_not_good_enough_replaces_nothing(callers, between, failure):
    async with callers(upstream=between.url, retry_max_attempts=1) as caller:
        before = await caller.whole(generating())
        between.refuse("streamGenerateContent", 500)
        await failure(caller.whole(generating(response_cache=FRESH)))
        after = await caller.whole(generating())

    assert outcome_of(after).status == HIT
    assert before.response_id == after.response_id


async def test_an_answer_lapses(caller, eventually, asked):
    async def lapsed():
        # A hit does not prolong it.
        return (await caller.told(generating(response_cache=BRIEF))).status == MISS

    assert await lapsed()
    await eventually(lapsed)

    assert asked() == ["stream_generate"] * 2


@ONE_STORE
async def test_an_answer_that_lapsed_is_not_counted_as_an_entry(caller, eventually):
    await caller.whole(generating(response_cache=BRIEF))
    await caller.whole(generating("Another"))

    async def is_alone():
        return (await caller.statistics()).entry_count == 1

    await eventually(is_alone)

    assert await caller.delete(all=True) == 1


@ONE_STORE
async def test_an_answer_older_than_a_calls_own_ttl_is_not_served_to_it(caller, eventually, asked):
    made = await caller.whole(generating())

    async def is_old():
        return outcome_of(await caller.whole(generating())).age.ToTimedelta() >= SECOND

    await eventually(is_old)
    asked()

    again = await caller.whole(generating(response_cache=BRIEF))

    assert outcome_of(again).status == MISS
    assert again.response_id != made.response_id
    assert len(asked()) == 1
    assert (await caller.whole(generating())).response_id == again.response_id
    # What it took the place of is gone, and is not counted any more.
    assert (await caller.statistics()).entry_count == 1


@ONE_STORE
async def test_an_answer_older_than_a_calls_own_ttl_stays_if_there_is_no_better(
    callers, between, eventually, failure
):
    async with callers(upstream=between.url, retry_max_attempts=1) as caller:
        made = await caller.whole(generating())

        async def is_old():
            return outcome_of(await caller.whole(generating())).age.ToTimedelta() >= SECOND

        await eventually(is_old)
        between.refuse("streamGenerateContent", 500)
        await failure(caller.whole(generating(response_cache=BRIEF)))

        # It lives for thirty days, and whoever asked for that paid for it.
        after = await caller.whole(generating())
        assert after.response_id == made.response_id


@ONE_STORE
async def test_the_age_says_how_long_ago_the_answer_was_made(caller):
    before = datetime.now(UTC)
    made = await caller.whole(generating())
    ages = []
    for _ in range(3):
        await asyncio.sleep(0.05)
        ages.append(outcome_of(await caller.whole(generating())).age.ToTimedelta())

    assert made.create_time.ToDatetime(UTC) >= before - SECOND
    assert ages == sorted(ages)
    assert timedelta(seconds=0.1) <= ages[-1] <= datetime.now(UTC) - before


@ONE_STORE
async def test_a_ttl_out_of_range_is_refused(caller, failure, asked):
    for ttl in ({"seconds": 0}, {"nanos": 1}, {"seconds": -1}, {"seconds": 365 * 86_400 + 1}):
        policy = pb.ResponseCachePolicy(enabled=True, ttl=ttl)
        for way in (caller.whole, caller.events):
            failed = await failure(way(generating(response_cache=policy)))

            assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
            assert set(failed.violations) == {"response_cache.ttl"}
    assert asked() == []


@ONE_STORE
async def test_the_longest_ttl_is_taken(caller, engine, store):
    year = pb.ResponseCachePolicy(enabled=True, ttl={"seconds": 365 * 86_400})

    assert await caller.statuses(*[generating(response_cache=year)] * 2) == [MISS, HIT]

    [current] = await keys_of(engine, "current")
    left = timedelta(milliseconds=await store.execute("PTTL", current))
    assert timedelta(days=364) < left <= timedelta(days=365)


@ONE_STORE
async def test_a_call_that_does_not_ask_is_neither_served_nor_kept(caller, asked):
    unasked = generating(response_cache=None)
    but_ttl = generating(response_cache=pb.ResponseCachePolicy(ttl={"seconds": 5}, refresh=True))

    for request in (unasked, but_ttl, unasked):
        assert await caller.told(request) == pb.ResponseCacheOutcome()
    assert await caller.statuses(generating()) == [MISS]
    for request in (unasked, but_ttl):
        assert await caller.told(request) == pb.ResponseCacheOutcome()

    assert len(asked()) == 6
    statistics = await caller.statistics()
    assert (statistics.miss_count, statistics.hit_count, statistics.bypassed_count) == (1, 0, 0)


# On every server.


async def test_another_server_on_the_store_serves_the_answer(callers, asked):
    async with callers() as first, callers() as second:
        made = await first.events(generating())
        hit = await second.events(generating())

    assert [without_told(event) for event in hit] == [without_told(event) for event in made]
    assert outcome_of(hit[-1]).status == HIT
    assert len(asked()) == 1


@ONE_STORE
async def test_an_answer_outlives_the_server_that_made_it(callers, asked):
    async with callers() as caller:
        made = await caller.whole(generating())
    async with callers() as caller:
        hit = await caller.whole(generating())

    assert outcome_of(hit).status == HIT
    assert without_told(hit) == without_told(made)
    assert len(asked()) == 1


@pytest.fixture(name="directory")
def directory_fixture():
    """Return a directory whose path is short enough for a Unix socket in it."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture(name="embedded")
def embedded_fixture(bridge, gateway, client_of, directory):
    """Return what runs a bridge with an embedded store of its own, and yields a caller."""

    @asynccontextmanager
    async def embedded(**settings):
        settings = {"store": "embedded", "data_dir": directory, **settings}
        async with bridge(gateway.url, **settings) as channel:
            yield Caller(client_of(channel), channel)

    return embedded


async def test_an_answer_outlives_the_embedded_store_that_it_is_in(embedded, asking, asked):
    async with embedded() as caller:
        context = await caller.made()
        made = [await caller.whole(generating()), await caller.whole(asking(context))]
        before = await caller.statistics()
    asked()

    async with embedded() as caller:
        hits = [await caller.whole(generating()), await caller.whole(asking(context))]
        after = await caller.statistics()

    assert asked() == []
    assert [outcome_of(hit).status for hit in hits] == [HIT, HIT]
    assert list(map(without_told, hits)) == list(map(without_told, made))
    assert (after.entry_count, after.entry_bytes) == (before.entry_count, before.entry_bytes)
    assert (after.start_time, after.miss_count) == (before.start_time, 2)


# Deleted.


@FAMILIES
async def test_an_answer_is_deleted_by_its_key(family, caller, asking):
    context = await caller.made(GEMINI)
    one, other = [asking(context, text, family=family) for text in ("One", "Other")]
    key = (await caller.told(one)).key
    await caller.told(other)

    counts = [await caller.delete(key=key) for _ in range(2)]

    assert counts == [1, 0]
    assert (await caller.statistics()).entry_count == 1
    assert await caller.statuses(one, other) == [MISS, HIT]
    assert await caller.delete(key="0" * 64) == 0


@ONE_STORE
async def test_no_key_is_anything_but_a_key(caller):
    await caller.told(generating())

    for key in ("*", "../x", "{a}:b", "ß", "x" * 1000, "}", "pointer", "\0", "%2F"):
        assert await caller.delete(key=key) == 0, key

    assert await caller.statuses(generating()) == [HIT]


async def test_answers_are_deleted_by_customer(caller):
    by_customer = pb.ResponseCachePolicy(enabled=True, by_customer=True)
    first, second = pb.Customer(identifier="c-1"), pb.Customer(identifier="c-2")
    requests = [
        generating("One", customer=first),
        generating("Two", customer=first, response_cache=by_customer),
        generating("Two", customer=second, response_cache=by_customer),
        generating("Three"),
    ]
    await caller.statuses(*requests)

    counts = [await caller.delete(customer_identifier="c-1") for _ in range(2)]

    assert counts == [2, 0]
    assert await caller.statuses(*requests) == [MISS, MISS, HIT, HIT]
    assert await caller.delete(customer_identifier="c-") == 0


@pytest.mark.parametrize("by", ["id", "upstream_id"])
async def test_answers_are_deleted_by_context_and_those_of_the_same_content_too(by, caller, asking):
    contexts = [await caller.made(), await caller.made()]
    other = await caller.made(prefix="You keep the lighthouse at Skye.")
    requests = [
        asking(contexts[0], "One"),
        asking(contexts[1], "Two"),
        asking(other, "One"),
        generating(),
    ]
    await caller.statuses(*requests)

    counts = [await caller.delete(context_id=getattr(contexts[0], by)) for _ in range(2)]

    assert counts == [2, 0]
    assert await caller.statuses(*requests) == [MISS, MISS, HIT, HIT]
    assert (await caller.statistics()).entry_count == 4


@ONE_STORE
async def test_answers_of_a_deleted_context_are_found_by_its_id(caller, asking):
    context, twin = await caller.made(), await caller.made()
    await caller.statuses(asking(context, "One"), asking(twin, "Two"))
    await caller.client.delete(context)

    counts = [await caller.delete(context_id=context.id) for _ in range(2)]

    assert counts == [1, 0]
    assert await caller.statuses(asking(twin, "One"), asking(twin, "Two")) == [MISS, HIT]


async def test_all_answers_of_a_tenant_are_deleted_and_no_others(two_tenants, failure):
    requests = [generating(text) for text in ("One", "Two")]
    acme, bolt = two_tenants
    keys = [(await acme.told(request)).key for request in requests]
    await bolt.statuses(*requests)

    assert await bolt.delete(key=keys[0]) == 0
    assert await bolt.delete(all=True) == 2
    assert await bolt.delete(all=True) == 0

    assert await acme.statuses(*requests) == [HIT, HIT]
    assert await bolt.statuses(*requests) == [MISS, MISS]
    assert (await acme.statistics()).entry_count == 2


@ONE_STORE
async def test_another_tenants_customers_and_contexts_are_not_found(two_tenants, asking):
    acme, bolt = two_tenants
    context = await acme.made()
    request = asking(context, customer=pb.Customer(identifier="c-1"))
    await acme.told(request)

    assert await bolt.delete(customer_identifier="c-1") == 0
    assert await bolt.delete(context_id=context.id) == 0

    assert await acme.statuses(request) == [HIT]


@ONE_STORE
async def test_what_was_deleted_is_nowhere_in_the_store(caller, engine):
    await caller.statuses(*(generating(text) for text in ("One", "Two")))
    assert await keys_of(engine, "whole")

    await caller.delete(all=True)

    for part in ("current", "whole", "state", "events", "alive"):
        assert await keys_of(engine, part) == []


TARGETS = {
    "nothing": ({}, "target"),
    "an empty key": ({"key": ""}, "key"),
    "an empty customer": ({"customer_identifier": ""}, "customer_identifier"),
    "an empty context": ({"context_id": ""}, "context_id"),
    "not all": ({"all": False}, "all"),
}


@ONE_STORE
@pytest.mark.parametrize("target", TARGETS)
async def test_a_deletion_needs_a_target_that_is_not_empty(target, caller, failure):
    await caller.told(generating())
    given, field = TARGETS[target]

    failed = await failure(caller.delete(**given))

    assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failed.reason == "REQUEST_INVALID"
    assert set(failed.violations) == {field}
    assert await caller.statuses(generating()) == [HIT]


async def test_without_a_store_there_is_nothing_to_delete_or_to_tell(
    bridge, gateway, client_of, failure, asked
):
    async with bridge(gateway.url, store="none") as channel:
        caller = Caller(client_of(channel), channel)
        for call in (caller.delete(all=True), caller.delete(), caller.statistics()):
            failed = await failure(call)

            assert failed.code == grpc.StatusCode.UNIMPLEMENTED
            assert failed.reason == "STORE_REQUIRED"
        for way in ("whole", "events"):
            for _ in range(2):
                assert await caller.told(generating(), way) == pb.ResponseCacheOutcome(
                    status=BYPASSED
                )
    assert len(asked()) == 4


# Told in numbers.


async def test_the_statistics_add_up(caller, asking):
    began = datetime.now(UTC) - SECOND
    session = await caller.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
    fixed = await caller.made(THINKING)
    assert await caller.statistics() == pb.ResponseCacheStatistics()
    chat = await caller.whole(asking(fixed))
    made = await caller.whole(generating())
    for _ in range(2):
        await caller.events(asking(fixed))
        await caller.events(generating())
    await caller.whole(generating(response_cache=FRESH))
    await caller.whole(asking(session))
    await caller.whole(generating(response_cache=None))

    told = await caller.statistics()

    start = told.start_time.ToDatetime(UTC)
    assert began <= start <= datetime.now(UTC) + SECOND
    size = told.entry_bytes
    assert chat.ByteSize() < size < 100 * chat.ByteSize()
    told.ClearField("start_time")
    told.ClearField("entry_bytes")
    usages = [chat.billed_usage, made.billed_usage]
    assert told == pb.ResponseCacheStatistics(
        entry_count=2,
        hit_count=4,
        miss_count=2,
        refreshed_count=1,
        bypassed_count=1,
        saved_prompt_tokens=2 * sum(usage.prompt_tokens for usage in usages),
        saved_completion_tokens=2 * sum(usage.completion_tokens for usage in usages),
    )
    assert chat.usage.reasoning_tokens
    await caller.delete(all=True)
    after = await caller.statistics()
    assert (after.entry_count, after.entry_bytes, after.hit_count) == (0, 0, 4)


@ONE_STORE
async def test_statistics_are_a_tenants_own(two_tenants):
    acme, bolt = two_tenants
    await acme.statuses(generating(), generating())

    assert (await acme.statistics()).hit_count == 1
    assert await bolt.statistics() == pb.ResponseCacheStatistics()


@ONE_STORE
async def test_what_servers_count_adds_up_by_itself(callers, eventually):
    async with callers() as first, callers() as second, callers() as third:
        await first.statuses(generating(), generating())
        await second.statuses(generating())

        async def is_added():
            told = await third.statistics()
            return (told.miss_count, told.hit_count, told.entry_count) == (1, 2, 1)

        await eventually(is_added)


# Damaged, and too much.


async def keys_of(engine, part, key=""):
    """Return the keys of a part of what the response cache finds, on all servers."""
    found = await engine.each("KEYS", f"*/generation/cache*{key}*:*{part}")
    return [key.decode() for keys in found for key in keys]


def flipped(sealed):
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


DAMAGES = {
    "a bit": flipped,
    "cut off": lambda sealed: sealed[: len(sealed) // 2],
    "emptied": lambda _: b"",
    "other bytes": lambda _: b"not what was written",
}


@ONE_STORE
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("way", ["whole", "events"])
async def test_a_damaged_answer_is_a_miss_and_is_removed(way, damage, caller, engine, store, asked):
    await caller.told(generating())
    await caller.told(generating("Another"))
    key = (await caller.told(generating())).key
    [whole] = await keys_of(engine, "whole", key)
    sealed = await store.execute("GET", whole)
    await store.execute("SET", whole, DAMAGES[damage](sealed), "KEEPTTL")
    asked()

    told = [await caller.told(generating(), way) for _ in range(2)]

    assert [each.status for each in told] == [MISS, HIT]
    assert len(asked()) == 1
    statistics = await caller.statistics()
    assert (statistics.corrupt_count, statistics.entry_count) == (1, 2)
    assert len(await keys_of(engine, "whole")) == 2
    assert whole not in await keys_of(engine, "whole")


@ONE_STORE
async def test_an_answer_without_its_events_is_a_miss(caller, engine, store):
    key = (await caller.told(generating())).key
    [whole] = await keys_of(engine, "whole", key)
    await store.execute("DEL", whole)

    assert await caller.statuses(generating(), generating()) == [MISS, HIT]
    statistics = await caller.statistics()
    assert (statistics.corrupt_count, statistics.entry_count) == (1, 1)


@ONE_STORE
async def test_another_answers_events_are_not_served(caller, engine, store):
    keys = [(await caller.told(generating(text))).key for text in ("One", "Another")]
    one, another = [(await keys_of(engine, "whole", key))[0] for key in keys]
    await store.execute("SET", one, await store.execute("GET", another), "KEEPTTL")

    assert await caller.statuses(generating("One"), generating("Another")) == [MISS, HIT]
    assert (await caller.statistics()).corrupt_count == 1


@ONE_STORE
@pytest.mark.parametrize("ttl", [None, {"seconds": 3600}], ids=["alike", "the newest lapses first"])
async def test_past_a_number_of_answers_others_go(ttl, callers, engine):
    """What is served is always listed: it is counted, bounded, and found to be deleted."""
    newest = pb.ResponseCachePolicy(enabled=True, ttl=ttl)
    requests = [generating(str(n)) for n in range(3)]
    requests += [generating(str(n), response_cache=newest) for n in range(3, 6)]
    async with callers(tenant_max_journals=3) as caller:
        assert await caller.statuses(*requests) == [MISS] * 6
        statistics = await caller.statistics()
        kept = len(await keys_of(engine, "current"))
        await caller.delete(all=True)
        left = await keys_of(engine, "current")

    assert statistics.entry_count == kept <= 3
    assert left == []


@ONE_STORE
async def test_what_would_lapse_first_goes_first(callers):
    def request(minutes):
        policy = pb.ResponseCachePolicy(enabled=True, ttl={"seconds": 60 * minutes})
        return generating(str(minutes), response_cache=policy)

    async with callers(tenant_max_journals=2) as caller:
        await caller.statuses(request(20), request(10), request(30))
        await caller.statuses(request(20), request(30))
        statistics = await caller.statistics()

        assert (statistics.hit_count, statistics.entry_count) == (2, 2)
        assert await caller.statuses(request(10)) == [MISS]


@ONE_STORE
async def test_past_a_number_of_bytes_others_go(callers, engine):
    requests = [generating(f"{n} " + "x" * 1000) for n in range(8)]
    async with callers(tenant_max_journal_bytes=10_000) as caller:
        assert await caller.statuses(*requests) == [MISS] * 8
        statistics = await caller.statistics()
        kept = await keys_of(engine, "current")

        assert await caller.statuses(requests[-1]) == [HIT]
    assert 0 < statistics.entry_bytes <= 10_000
    assert statistics.entry_count == len(kept) < 8


@ONE_STORE
async def test_an_answer_larger_than_all_that_is_kept_is_whole_and_not_kept(callers, engine):
    request = generating("x" * 10_000)
    async with callers(tenant_max_journal_bytes=5_000) as caller:
        for way in ("whole", "events"):
            answer = await getattr(caller, way)(request)
            text = answer if way == "whole" else folded("generate", answer)

            assert "x" * 10_000 in text.candidates[0].content.parts[0].text
            assert outcome_of(answer if way == "whole" else answer[-1]).status != HIT
        statistics = await caller.statistics()
        assert (statistics.entry_count, statistics.entry_bytes) == (0, 0)
        assert await keys_of(engine, "current") == []


@ONE_STORE
@FAMILIES
@pytest.mark.parametrize("way", ["whole", "events"])
async def test_an_answer_that_outgrows_its_journal_is_whole_and_not_kept(
    way, family, callers, asking, asked
):
    async with callers(journal_max_bytes=5_000) as caller:
        context = await caller.made(GEMINI)
        request = asking(context, "count to 3000", family=family)
        expected = await caller.whole(asking(context, "count to 3000", family=family, **UNASKED))
        asked()

        for _ in range(2):
            answer = await getattr(caller, way)(request)
            last = answer if way == "whole" else answer[-1]
            whole = answer if way == "whole" else folded(family, answer)

            assert without_made(whole) == without_made(expected)
            # It cannot be kept, and the caller is told so.
            assert outcome_of(last).status == BYPASSED
            assert end_of(last).billed_usage == expected.billed_usage
        assert len(asked()) == 2
        statistics = await caller.statistics()
    assert (statistics.entry_count, statistics.bypassed_count) == (0, 2)


# The store.


@pytest.fixture(name="breakable")
async def breakable_fixture(running):
    """Run a Valkey that a test may take away."""
    options = ("--appendonly", "yes", "--appendfsync", "always")
    async with running["shared"](*options) as engine:
        yield engine


@pytest.fixture(name="on_breakable")
async def on_breakable_fixture(breakable, bridge, gateway, client_of):
    """Run a bridge on it, and return a caller."""
    settings = {"store": breakable.url, "store_timeout": "500ms"}
    async with bridge(gateway.url, **settings) as channel:
        yield Caller(client_of(channel), channel)


async def test_while_the_store_is_away_calls_are_answered_without_it_and_counted(
    on_breakable, breakable, asked, failure, eventually
):
    caller, [server] = on_breakable, breakable.servers
    expected = await caller.whole(generating())
    context = await caller.made(GEMINI)
    raw = {"cached_content": context.upstream_id}
    asked()
    await server.kill()

    for request in (generating(), generating(**raw), generating(response_cache=FRESH)):
        answer = await caller.whole(request)
        assert outcome_of(answer) == pb.ResponseCacheOutcome(status=BYPASSED)
        assert answer.billed_usage != pb.Usage()
    events = await caller.events(generating())
    assert outcome_of(events[-1]) == pb.ResponseCacheOutcome(status=BYPASSED)
    assert without_made(folded("generate", events)) == without_made(expected)
    assert len(asked()) == 4
    for call in (caller.statistics(), caller.delete(all=True)):
        failed = await failure(call)
        assert failed.code == grpc.StatusCode.UNAVAILABLE
        assert failed.reason == "STORE_UNAVAILABLE"

    await server.start()

    async def is_back():
        with suppress(grpc.aio.AioRpcError):
            return await caller.statistics()

    await eventually(is_back)
    assert await caller.statuses(generating()) == [HIT]
    statistics = await caller.statistics()
    assert (statistics.bypassed_count, statistics.miss_count) == (4, 1)


@pytest.mark.parametrize("way", ["whole", "events"])
async def test_a_store_that_goes_away_in_between_leaves_the_answer_whole(
    way, on_breakable, breakable, gateway
):
    caller, [server] = on_breakable, breakable.servers
    expected = await caller.whole(generating("count to 40", **UNASKED))
    paced = generating("count to 40", model=f"{GEMINI}+pace=0.02")
    call = asyncio.create_task(getattr(caller, way)(paced))
    await gateway.wait_for_open(1, 60)

    await server.kill()

    answer = await call
    last = answer if way == "whole" else answer[-1]
    whole = answer if way == "whole" else folded("generate", answer)
    assert without_made(whole) == without_made(expected)
    assert outcome_of(last).status == BYPASSED
    assert last.billed_usage == expected.billed_usage
    await server.start()


async def test_a_full_store_serves_what_it_has_and_takes_no_more(on_breakable, breakable, asked):
    caller, [server] = on_breakable, breakable.servers
    await caller.told(generating())
    await server.command("CONFIG", "SET", "maxmemory", 1)
    asked()

    answer = await caller.whole(generating("Another"))

    assert outcome_of(answer) == pb.ResponseCacheOutcome(status=BYPASSED)
    assert answer.candidates
    statistics = await caller.statistics()
    assert (statistics.bypassed_count, statistics.entry_count) == (1, 1)
    assert await caller.delete(all=True) == 1
    await server.command("CONFIG", "SET", "maxmemory", 0)
    assert await caller.statuses(generating("Another"), generating("Another")) == [MISS, HIT]


# What is in its files.


def stands_in(directory, marker):
    """Tell whether a text stands in any file of a directory, in the clear or compressed."""
    data = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    return any(marker.encode() in content for content in (data, *decompressed(data)))


def decompressed(data):
    """Yield what stands compressed in some data, wherever it begins."""
    start = data.find(b"\x78")
    while start >= 0:
        if int.from_bytes(data[start : start + 2]) % 31 == 0:
            with suppress(zlib.error):
                yield zlib.decompressobj().decompress(data[start:])
        start = data.find(b"\x78", start + 1)


async def live_through_everything(caller, asking, marker):
    """Have answers of a text made, kept, joined and deleted, and leave one."""
    context = await caller.made()
    for text in (f"say: {marker}", f"say: {marker} " + "x" * 100_000):
        for request in (generating(text), asking(context, text)):
            assert await caller.statuses(request, request) == [MISS, HIT]
            await caller.events(request)
    paced = generating(f"say: {marker} 1 2 3", model=f"{GEMINI}+pace=0.02")
    answers = await asyncio.gather(*(caller.events(paced) for _ in range(3)))
    assert all(marker in str(folded("generate", events)) for events in answers)
    await caller.statuses(asking(context, f"say: {marker}", response_cache=FRESH))


async def test_with_a_key_no_answer_is_in_the_clear(embedded, directory, asking, tmp_path):
    marker = f"marker-{secrets.token_hex(12)}"
    key_file = tmp_path / "keys"
    key_file.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    settings = {"store_encryption_key_file": key_file}

    async with embedded(**settings) as caller:
        await live_through_everything(caller, asking, marker)
        assert not stands_in(directory, marker)
    assert not stands_in(directory, marker)

    async with embedded(**settings) as caller:
        assert await caller.statuses(generating(f"say: {marker}")) == [HIT]
    # Who has another key cannot read it, and asks upstream.
    key_file.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    async with embedded(**settings) as caller:
        assert await caller.statuses(*[generating(f"say: {marker}")] * 2) == [MISS, HIT]
        assert (await caller.statistics()).corrupt_count == 1


async def test_without_a_key_the_same_search_finds_answers(embedded, directory, asking):
    marker = f"marker-{secrets.token_hex(12)}"

    async with embedded() as caller:
        await live_through_everything(caller, asking, marker)

    assert stands_in(directory, marker)
