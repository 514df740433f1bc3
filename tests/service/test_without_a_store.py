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
        {"request_id": "r-1"},
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
