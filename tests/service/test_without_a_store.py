"""A server that keeps no store: what upstream offers works, what a store would keep is refused."""

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from contextbridge import v1 as pb


@pytest.fixture(name="channel")
async def channel_fixture(emulator, bridge) -> AsyncIterator[grpc.aio.Channel]:
    async with bridge(emulator.url, store="none") as channel:
        yield channel


async def test_a_context_is_known_by_its_upstream_id(contexts, create, chat_request):
    context = await create()

    answer = await contexts.CompleteChatWithContext(chat_request(context))

    assert context.id == context.upstream_id
    assert context.id.startswith("ctx-")
    assert not context.HasField("retain_until")
    assert answer.context == pb.ContextOutcome(id=context.id)


async def test_a_lapsed_context_stays_lapsed(contexts, create, chat_request, failure, emulator):
    context = await create()
    emulator.expire(context.id)

    failed = await failure(contexts.CompleteChatWithContext(chat_request(context)))

    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "CONTEXT_NOT_FOUND")


@pytest.mark.parametrize("name", ["GetContext", "UpdateContext", "DeleteContext", "ListContexts"])
async def test_what_a_store_would_keep_is_refused(name, contexts, failure):
    failed = await failure(getattr(contexts, name)(getattr(pb, f"{name}Request")()))

    assert (failed.code.name, failed.reason) == ("UNIMPLEMENTED", "STORE_REQUIRED")


@pytest.mark.parametrize(
    "fields",
    [
        {"idempotency_key": "r-1"},
        {"reuse": pb.REUSE_IDENTICAL},
        {"recovery": pb.RECOVERY_RESTORE},
        {"retention": Duration(seconds=60)},
    ],
)
async def test_a_create_that_asks_for_a_store_is_refused_before_it_costs(
    fields, contexts, failure, emulator
):
    messages = [pb.ChatMessage(role="user", content="a")]

    failed = await failure(
        contexts.CreateContext(pb.CreateContextRequest(model="m", messages=messages, **fields))
    )

    assert (failed.code.name, failed.reason) == ("UNIMPLEMENTED", "STORE_REQUIRED")
    assert failed.info.metadata["fields"] == next(iter(fields))
    assert not emulator.requests


async def test_a_named_generation_runs_and_says_that_it_cannot_be_resumed(
    create, contexts, chat_request, failure
):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)

    events = [
        e async for e in contexts.ChatWithContext(chat_request(context, idempotency_key="r-1"))
    ]
    failed = await failure(
        contexts.ChatWithContext(chat_request(context, idempotency_key="r-1", resume_after=2))
    )

    assert events[-1].WhichOneof("event") == "completed"
    assert not events[0].started.resumable
    assert (failed.code.name, failed.reason) == ("OUT_OF_RANGE", "NOT_RESUMABLE")


async def test_the_response_cache_says_that_it_was_bypassed(create, contexts, chat_request):
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)
    request = chat_request(context, response_cache=pb.ResponseCachePolicy(enabled=True))

    *_, last = [event async for event in contexts.ChatWithContext(request)]
    whole = await contexts.CompleteChatWithContext(request)

    for outcome in (last.completed.response_cache, whole.response_cache):
        assert outcome == pb.ResponseCacheOutcome(status=pb.RESPONSE_CACHE_STATUS_BYPASSED)


@pytest.mark.parametrize(
    "method,request_",
    [
        ("DeleteCachedResponses", pb.DeleteCachedResponsesRequest(all=True)),
        ("GetResponseCacheStatistics", pb.GetResponseCacheStatisticsRequest()),
    ],
)
async def test_no_answers_are_kept(method, request_, channel, failure):
    stub = pb.ResponseCacheServiceStub(channel)

    failed = await failure(getattr(stub, method)(request_))

    assert (failed.code.name, failed.reason) == ("UNIMPLEMENTED", "STORE_REQUIRED")
