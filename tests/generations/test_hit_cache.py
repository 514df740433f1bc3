"""What was hit a moment ago is given again without the store, and never once it has changed."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from contextbridge import v1 as pb
from contextbridge_server.store.connections import Node

ARK, GEMINI = "Doubao-1.5-pro-32k", "gemini-2.5-flash"
CACHED = pb.ResponseCachePolicy(enabled=True)
HIT, MISS = pb.RESPONSE_CACHE_STATUS_HIT, pb.RESPONSE_CACHE_STATUS_MISS
FAMILIES = pytest.mark.parametrize("family", ["chat", "generate"])
ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)


@pytest.fixture(name="reads")
def reads_fixture(monkeypatch):
    """Note what the store is asked that is tracked."""
    asked = []
    exchange = Node.exchange

    async def noted(self, commands, deadline, *, tracked=False, **keywords):
        if tracked:
            asked.extend(command[0] for command in commands)
        return await exchange(self, commands, deadline, tracked=tracked, **keywords)

    monkeypatch.setattr(Node, "exchange", noted)
    return asked


class Caller:
    """Asks one bridge for cached answers."""

    def __init__(self, client, channel):
        self.client = client
        self.channel = channel
        self._cache = pb.ResponseCacheServiceStub(channel)

    async def whole(self, request):
        name = "GenerateContent" if is_native(request) else "CompleteChatWithContext"
        return await self.client.call(name, request)

    async def status(self, request):
        return (await self.whole(request)).response_cache.status

    async def events(self, request):
        name = "StreamGenerateContent" if is_native(request) else "ChatWithContext"
        return [event async for event in self.client.call(name, request)]

    async def delete(self, **target):
        await self._cache.DeleteCachedResponses(pb.DeleteCachedResponsesRequest(**target))


def is_native(request):
    return isinstance(request, pb.GenerateContentRequest)


@pytest.fixture(name="caller_of")
def caller_of_fixture(stored, gateway, client_of):
    """Return what runs a bridge and yields its caller."""

    @asynccontextmanager
    async def caller_of(**settings):
        async with stored(gateway.url, **settings) as channel:
            yield Caller(client_of(channel), channel)

    return caller_of


async def asking(caller, family, text="Hello", **fields):
    """Return a request on a context of ours, or one of Gemini's without."""
    if family == "chat":
        context = await caller.client.made(
            ARK, "You keep the light.", mode="CONTEXT_MODE_COMMON_PREFIX"
        )
        message = pb.ChatMessage(role="user", content=text)
        return pb.ChatWithContextRequest(
            context_id=context.id, model=ARK, messages=[message], response_cache=CACHED, **fields
        )
    content = pb.Content(role="user", parts=[pb.Part(text=text)])
    return pb.GenerateContentRequest(
        model=GEMINI, contents=[content], response_cache=CACHED, **fields
    )


async def warmed(caller, request):
    """Ask until the answer is remembered: once to make it, once to find it."""
    assert [await caller.status(request) for _ in range(3)] == [MISS, HIT, HIT]


@FAMILIES
async def test_a_hit_of_a_moment_ago_asks_the_store_nothing(family, caller_of, reads):
    async with caller_of() as caller:
        request = await asking(caller, family)
        await warmed(caller, request)
        reads.clear()
        statuses = [await caller.status(request) for _ in range(50)]

    assert statuses == [HIT] * 50
    # A moment may have passed in between, and the store is asked anew.
    assert len(reads) < 25


@FAMILIES
async def test_what_is_given_again_is_what_the_store_has(family, caller_of):
    async with caller_of() as one, caller_of() as other:
        request = await asking(one, family)
        await warmed(one, request)
        again, found = await one.whole(request), await other.whole(request)
        events, found_events = await one.events(request), await other.events(request)

    assert again.response_cache.key == found.response_cache.key
    for answer in (again, found):
        answer.response_cache.ClearField("age")
    assert again == found
    assert again.billed_usage == pb.Usage()
    assert len(events) == len(found_events)
    assert events[:-1] == found_events[:-1]


@FAMILIES
async def test_an_answer_that_another_server_deletes_is_given_no_more(
    family, caller_of, eventually
):
    async with caller_of() as one, caller_of() as other:
        request = await asking(one, family)
        await warmed(one, request)
        await other.delete(all=True)

        assert await one.status(request) == MISS


@FAMILIES
async def test_an_answer_that_another_server_replaces_is_given_no_more(family, caller_of):
    async with caller_of() as one, caller_of() as other:
        request = await asking(one, family)
        await warmed(one, request)
        fresh = type(request)()
        fresh.CopyFrom(request)
        fresh.response_cache.refresh = True
        newer = await other.whole(fresh)
        again = await one.whole(request)

    assert again.response_cache.status == HIT
    name = "response_id" if family == "generate" else "id"
    assert getattr(again, name) == getattr(newer, name)


async def test_a_context_that_another_server_deletes_is_not_found(caller_of, failure):
    async with caller_of() as one, caller_of() as other:
        request = await asking(one, "chat")
        await warmed(one, request)
        await other.client.call("DeleteContext", pb.DeleteContextRequest(id=request.context_id))
        failed = await failure(one.whole(request))

    assert failed.reason == "CONTEXT_NOT_FOUND"


@ONE_STORE
async def test_its_age_grows(caller_of, eventually):
    async with caller_of() as caller:
        request = await asking(caller, "generate")
        await warmed(caller, request)
        ages = []
        for _ in range(3):
            ages.append((await caller.whole(request)).response_cache.age.ToNanoseconds())
            await asyncio.sleep(0.01)

    assert ages == sorted(set(ages))


@ONE_STORE
async def test_a_call_that_wants_a_younger_answer_gets_one(caller_of, eventually):
    async with caller_of() as caller:
        request = await asking(caller, "generate")
        await warmed(caller, request)
        brief = type(request)()
        brief.CopyFrom(request)
        brief.response_cache.ttl.FromSeconds(1)
        await caller.whole(brief)

        async def is_made_anew():
            return await caller.status(brief) == MISS

        await eventually(is_made_anew)


@ONE_STORE
@pytest.mark.parametrize("fields", [{"idempotency_key": "order-7"}], ids=["named"])
async def test_a_call_with_an_idempotency_key_goes_by_the_store(fields, caller_of):
    async with caller_of() as caller:
        request = await asking(caller, "generate")
        await warmed(caller, request)
        named = await asking(caller, "generate", **fields)
        first, again = await caller.events(named), await caller.events(named)

    assert [event.sequence for event in again] == [event.sequence for event in first]
    assert first[-1].response_cache.status == HIT


@ONE_STORE
async def test_it_is_counted_as_a_hit(caller_of, eventually):
    async with caller_of() as caller:
        request = await asking(caller, "generate")
        await warmed(caller, request)
        for _ in range(5):
            await caller.whole(request)
        cache = pb.ResponseCacheServiceStub(caller.channel)

        async def are_counted():
            asked = pb.GetResponseCacheStatisticsRequest()
            answer = await cache.GetResponseCacheStatistics(asked)
            return answer.statistics.hit_count == 7

        await eventually(are_counted)
