"""What upstream's troubles are to a caller, on every surface, whole and streamed."""

import pytest

from contextbridge import v1 as pb

MODEL = "Doubao-1.5-pro-32k"

REFUSALS = {
    "rate-limited": ("RESOURCE_EXHAUSTED", "UPSTREAM_RATE_LIMITED"),
    "overloaded": ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
    "quota-exhausted": ("RESOURCE_EXHAUSTED", "UPSTREAM_QUOTA_EXHAUSTED"),
    "empty-429": ("RESOURCE_EXHAUSTED", "UPSTREAM_RATE_LIMITED"),
    "server-error": ("INTERNAL", "UPSTREAM_INTERNAL"),
    "bad-gateway": ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
    "gateway-timeout": ("DEADLINE_EXCEEDED", "UPSTREAM_DEADLINE_EXCEEDED"),
    "unauthorized": ("UNAUTHENTICATED", "UPSTREAM_KEY_INVALID"),
    "not-found": ("NOT_FOUND", "MODEL_NOT_FOUND"),
    "html": ("INTERNAL", "UPSTREAM_RESPONSE_MALFORMED"),
    "empty": ("INTERNAL", "UPSTREAM_RESPONSE_EMPTY"),
    "bare-string": ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
    "error-in-200": ("INTERNAL", "UPSTREAM_INTERNAL"),
}
ARK_REFUSALS = REFUSALS | {
    "overdue": ("PERMISSION_DENIED", "UPSTREAM_ACCOUNT_OVERDUE"),
    "server-overloaded": ("RESOURCE_EXHAUSTED", "UPSTREAM_OVERLOADED"),
    "blocked": ("INVALID_ARGUMENT", "UPSTREAM_CONTENT_REFUSED"),
}
GOOGLE_REFUSALS = REFUSALS | {
    "overdue": ("FAILED_PRECONDITION", "UPSTREAM_FAILED_PRECONDITION"),
    "server-overloaded": ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
}
BREAKS = {
    "cut-midstream": ("UNAVAILABLE", "UPSTREAM_CONNECTION_LOST"),
    "truncate-midstream": ("UNAVAILABLE", "UPSTREAM_STREAM_TRUNCATED"),
    "malformed-midstream": ("INTERNAL", "UPSTREAM_RESPONSE_MALFORMED"),
}


@pytest.fixture(name="channel")
async def channel_fixture(emulator, bridge):
    """A bridge that asks once, so that a refusal is seen as it is."""
    async with bridge(emulator.url, retry_max_attempts=1) as channel:
        yield channel


@pytest.mark.parametrize("method", ["ChatWithContext", "CompleteChatWithContext"])
@pytest.mark.parametrize("fault", ARK_REFUSALS)
async def test_a_refused_chat_says_why(fault, method, contexts, create, chat_request, failure):
    context = await create()

    failed = await failure(
        getattr(contexts, method)(chat_request(context, model=f"{MODEL}+{fault}"))
    )

    assert (failed.code.name, failed.reason) == ARK_REFUSALS[fault]


@pytest.mark.parametrize("method", ["GenerateContent", "StreamGenerateContent"])
@pytest.mark.parametrize("fault", GOOGLE_REFUSALS)
async def test_a_refused_generation_says_why(fault, method, gemini, generate_request, failure):
    failed = await failure(getattr(gemini, method)(generate_request(f"gemini-2.5-flash+{fault}")))

    assert (failed.code.name, failed.reason) == GOOGLE_REFUSALS[fault]


@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refused_creation_says_why(fault, contexts, failure):
    messages = [pb.ChatMessage(role="user", content="a")]

    failed = await failure(
        contexts.CreateContext(pb.CreateContextRequest(model=f"{MODEL}+{fault}", messages=messages))
    )

    assert (failed.code.name, failed.reason) == REFUSALS[fault]


@pytest.mark.parametrize("fault", BREAKS)
async def test_a_broken_chat_stream_gives_what_came_and_then_says_why(
    fault, contexts, create, chat_request, caught
):
    context = await create()
    request = chat_request(context, "count to 100", model=f"{MODEL}+{fault}")

    events, failed = await caught(contexts.ChatWithContext(request))

    assert "".join(event.content.text for event in events).split() == ["1", "2", "3"]
    assert not any(event.HasField("completed") for event in events)
    assert (failed.code.name, failed.reason) == BREAKS[fault]


@pytest.mark.parametrize("fault", BREAKS)
async def test_a_broken_gemini_stream_gives_what_came_and_then_says_why(
    fault, gemini, generate_request, caught
):
    request = generate_request(f"gemini-2.5-flash+{fault}", "count to 100")

    messages, failed = await caught(gemini.StreamGenerateContent(request))

    texts = [message.candidates[0].content.parts[0].text for message in messages]
    assert "".join(texts).split() == ["1", "2", "3"]
    assert not any(message.HasField("billed_usage") for message in messages)
    assert (failed.code.name, failed.reason) == BREAKS[fault]


async def test_an_error_object_in_mid_stream_has_its_own_code(
    contexts, create, chat_request, gemini, generate_request, caught
):
    context = await create()
    chat = chat_request(context, "count to 100", model=f"{MODEL}+error-midstream")
    generate = generate_request("gemini-2.5-flash+error-midstream", "count to 100")

    events, chat_failed = await caught(contexts.ChatWithContext(chat))
    messages, generate_failed = await caught(gemini.StreamGenerateContent(generate))

    assert len(events) > 1
    text = "".join(m.candidates[0].content.parts[0].text for m in messages)
    assert text == "1 2 3"
    assert chat_failed.code.name == "INTERNAL"
    assert generate_failed.code.name == "UNAVAILABLE"


@pytest.mark.parametrize("fault", ["cut-midstream", "malformed-midstream"])
async def test_a_broken_whole_answer_is_no_success(fault, gemini, generate_request, failure):
    failed = await failure(gemini.GenerateContent(generate_request(f"gemini-2.5-flash+{fault}")))

    assert (failed.code.name, failed.reason) == BREAKS[fault]


async def test_a_busy_session_of_upstreams_says_when_to_come_back(
    contexts, create, chat_request, failure, emulator
):
    context = await create(mode=pb.CONTEXT_MODE_SESSION)
    raw = {"context_id": context.upstream_id}
    first = contexts.ChatWithContext(chat_request(context, model=f"{MODEL}+stall", **raw))
    await emulator.wait_for_open(1)

    failed = await failure(contexts.CompleteChatWithContext(chat_request(context, **raw)))
    first.cancel()

    assert (failed.code.name, failed.reason) == ("ABORTED", "CONTEXT_BUSY")
    assert failed.retry_delay is not None


@pytest.mark.parametrize(
    "model, dialect, reason",
    [
        (MODEL, "ark", "CONTEXT_NOT_FOUND"),
        ("gemini-2.5-flash", "gemini-api", "CACHE_NOT_FOUND"),
        ("gemini-2.5-flash", "vertex-expired", "CACHE_EXPIRED"),
        ("gemini-2.5-flash", "vertex-reaped", "CACHE_NOT_FOUND"),
    ],
)
async def test_a_lapsed_context_of_upstreams_is_not_found_in_every_dialect(
    model, dialect, reason, contexts, create, chat_request, failure, emulator
):
    context = await create(model, "Trim the lamps at dusk. " * 600)
    emulator.expire(context.upstream_id, dialect=dialect)

    for method in (contexts.ChatWithContext, contexts.CompleteChatWithContext):
        failed = await failure(method(chat_request(context, context_id=context.upstream_id)))
        assert (failed.code.name, failed.reason) == ("NOT_FOUND", reason)


async def test_what_upstream_said_rides_in_the_metadata(contexts, create, chat_request, failure):
    context = await create()

    failed = await failure(
        contexts.CompleteChatWithContext(chat_request(context, model=f"{MODEL}+rate-limited")),
    )

    assert failed.info.domain == "contextbridge.dev"
    assert failed.info.metadata["httpStatus"] == "429"
    assert failed.info.metadata["upstreamCode"] == "RateLimitExceeded.EndpointRPMExceeded"
    assert failed.info.metadata["upstreamMessage"].startswith("The Requests Per Minute")
    assert failed.info.metadata["upstreamRequestId"]
    assert failed.info.metadata["requestId"] == failed.request_id
    assert failed.retry_delay == 1.0
