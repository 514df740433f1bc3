"""A binding that is gone is made again inside the call that needs it, and nothing else is."""

import asyncio

import grpc
import pytest
from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
CHATS = ("chat", "stream")
WAYS = (*CHATS, "generate", "stream_generate", "count")
USES = [(ARK, way) for way in CHATS] + [(GEMINI, way) for way in WAYS]
DIALECTS = ("gemini-api", "vertex-expired", "vertex-reaped", "ark")
LOSSES = [(ARK, way, "ark") for way in CHATS]
LOSSES += [(GEMINI, way, dialect) for way in WAYS for dialect in DIALECTS]
INLINE = {"chat": "inline", "stream": "inline"}
ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""


def verb(way):
    """Return the word for the request to the gateway that a way of asking makes."""
    return "chat" if way in CHATS else way


async def is_cold(client, context):
    return (await client.get(context)).state == pb.CONTEXT_STATE_COLD


def same(first, second):
    """Tell whether two answers say and cost the same; what they say is all there is of a count."""
    return first.text == second.text and first.usage == second.usage


def outcome(context, **happened):
    return pb.ContextOutcome(id=context.id, **happened)


# Healed.


async def test_a_binding_that_lapsed_is_renewed_first(client, asked, brief_lives, eventually):
    contexts = {use: await client.made(use[0]) for use in USES}
    for context in contexts.values():
        await eventually(lambda context=context: is_cold(client, context))
        # The next binding must not lapse before its first use.
        await client.update(context, ttl=Duration(seconds=7_200))
    asked()

    for (model, way), context in contexts.items():
        answer = await client.ask(way, context)

        assert asked() == ["create", verb(way)], (model, way)
        if way != "count":
            assert answer.context == outcome(context, restored=True), (model, way)


@ONE_STORE
@pytest.mark.parametrize("model, way, dialect", LOSSES)
async def test_a_binding_that_upstream_lost_is_made_again_within_the_call(
    model, way, dialect, client, gateway, asked
):
    fields = {"mode": pb.CONTEXT_MODE_COMMON_PREFIX} if model == ARK else {}
    context, twin = [await client.made(model, **fields) for _ in range(2)]
    gateway.expire(context.upstream_id, dialect=dialect)
    expected = await client.ask(way, twin)
    asked()

    healed = await client.ask(way, context)
    first = asked()
    again = await client.ask(way, context)
    second = asked()

    refused = {"gemini-api": 403, "vertex-expired": 400, "vertex-reaped": 404, "ark": 404}[dialect]
    assert first == [f"{verb(way)} {refused}", "create", verb(way)]
    assert second == [verb(way)]
    assert same(healed, expected)
    assert same(again, expected)
    if way != "count":
        assert expected.context == outcome(twin)
        assert healed.context == outcome(context, restored=True)
        assert again.context == outcome(context)


@ONE_STORE
@pytest.mark.parametrize("way", WAYS)
async def test_a_binding_that_somebody_deleted_upstream_is_made_again(way, client, asked):
    context = await client.made(GEMINI)
    expected = await client.ask(way, context)
    request = pb.DeleteCachedContentRequest(name=context.upstream_id)
    await client.call("DeleteCachedContent", request)
    asked()

    healed = await client.ask(way, context)

    assert asked()[1:] == ["create", verb(way)]
    assert same(healed, expected)


async def test_a_context_is_healed_however_often_it_is_lost(client, gateway, asked):
    context = await client.made(GEMINI)
    expected = await client.chat(context)

    for _ in range(5):
        gateway.expire()
        healed = await client.chat(context)

        assert same(healed, expected)
        assert healed.context.restored

    assert asked().count("create") == 6
    assert (await client.get(context)).statistics.restore_count == 5


@ONE_STORE
async def test_a_restored_context_is_made_from_what_it_was_made_from(client, gateway):
    context = await client.made(
        ARK,
        messages=[
            pb.ChatMessage(role="system", content="You keep the lighthouse."),
            pb.ChatMessage(
                role="user",
                parts=[
                    pb.ChatPart(text="What is this? ÄÖ🌊"),
                    pb.ChatPart(image_url=pb.ChatImageUrl(url="data:image/png;base64,AAAA")),
                ],
            ),
            pb.ChatMessage(role="assistant", content="A lamp."),
        ],
        mode=pb.CONTEXT_MODE_COMMON_PREFIX,
        ttl=7200,
        extra_body={"caching": {"type": "enabled", "depth": 3}},
    )
    gateway.expire()

    await client.chat(context)

    first, second = [r.json for r in gateway.requests if r.path == "/v1/context/create"]
    assert first == second
    assert second["caching"] == {"type": "enabled", "depth": 3}


async def test_a_context_is_healed_by_another_server(clients, gateway):
    async with clients() as client:
        context = await client.made(ARK)
        await client.chat(context, "Mind the fog.")
    gateway.expire()

    async with clients() as client:
        answer = await client.chat(context, "recall turn 1")

    assert answer.text == "Mind the fog."
    assert answer.context.restored


async def test_callers_who_find_it_gone_together_share_one_create(clients, gateway, asked):
    async with clients() as first, clients() as second:
        context = await first.made(GEMINI)
        expected = await first.chat(context)
        gateway.expire()
        asked()

        answers = await asyncio.gather(
            *(
                client.ask(way, context)
                for client in (first, second)
                for way in (*CHATS, "generate", "stream_generate")
                for _ in range(5)
            )
        )

    assert asked().count("create") == 1
    assert any(answer.context.restored for answer in answers)
    assert {answer.text for answer in answers} == {expected.text}


@ONE_STORE
async def test_an_answer_under_200_that_says_gone_is_healed(clients, between, asked):
    """Some gateways tell of a failure within the stream, or in an object under HTTP 200."""
    gone = b'{"error":{"message":"CachedContent not found (or permission denied)","code":403}}'

    async with clients(upstream=between.url) as client:
        context = await client.made(GEMINI)
        for way in ("chat", "stream", "generate", "stream_generate"):
            expected = await client.ask(way, context)
            told = iter([gone])

            async def rule(path, body, told=told):
                is_create = path.endswith("/create")
                said = None if is_create else next(told, None)
                if said is None:
                    return None
                is_stream = b'"stream":true' in body or "stream" in path
                text = b"data: " + said + b"\n\n" if is_stream else said
                kind = "text/event-stream" if is_stream else "application/json"
                return web.Response(body=text, content_type=kind)

            between.rule = rule
            asked()

            healed = await client.ask(way, context)
            between.give_way()

            assert asked() == ["create", verb(way)], way
            assert same(healed, expected), way
            assert healed.context.restored, way


@ONE_STORE
async def test_a_binding_that_is_gone_again_at_once_is_given_up(clients, between, failure, asked):
    async with clients(upstream=between.url) as client:
        context = await client.made(GEMINI)
        asked()
        gone = {"error": {"message": "CachedContent not found (or permission denied)"}}

        async def rule(path, _):
            return None if path.endswith("/create") else web.json_response(gone, status=403)

        between.rule = rule

        failed = await failure(client.chat(context))

    assert failed.reason == "CACHE_NOT_FOUND"
    assert 1 <= asked().count("create") <= 3


# What looks like it, and is not.

LOOK_ALIKES = {
    "unauthorized": "UPSTREAM_KEY_INVALID",
    "not-found": "MODEL_NOT_FOUND",
    "rate-limited": "UPSTREAM_RATE_LIMITED",
    "overloaded": "UPSTREAM_UNAVAILABLE",
    "server-overloaded": None,
    "quota-exhausted": "UPSTREAM_QUOTA_EXHAUSTED",
    "overdue": None,
    "empty-429": "UPSTREAM_RATE_LIMITED",
    "server-error": "UPSTREAM_INTERNAL",
    "bad-gateway": "UPSTREAM_UNAVAILABLE",
    "gateway-timeout": "UPSTREAM_DEADLINE_EXCEEDED",
    "html": None,
    "empty": None,
    "bare-string": None,
    "error-in-200": "UPSTREAM_INTERNAL",
}


@ONE_STORE
@pytest.mark.parametrize("fault", LOOK_ALIKES)
async def test_what_fails_otherwise_is_not_healed(fault, clients, failure, asked):
    async with clients(retry_max_attempts=1) as client:
        for model, way in USES:
            if way == "count":
                continue
            context = await client.made(model)
            asked()

            failed = await failure(client.ask(way, context, model=f"{model}+{fault}@answer"))
            requests = asked()
            after = await client.ask(way, context)

            assert failed.reason.startswith(("UPSTREAM_", "MODEL_")), (model, way)
            assert LOOK_ALIKES[fault] in (failed.reason, None), (model, way)
            assert len(requests) == 1, (model, way)
            assert not after.context.restored
            assert asked() == [verb(way)]


CHAT_USES = [(model, way) for model, way in USES if way in CHATS]
NATIVE_WAYS = [way for way in WAYS if way not in CHATS]


@ONE_STORE
@pytest.mark.parametrize("model, way", CHAT_USES)
async def test_a_chat_with_another_model_than_the_contexts_is_refused_naming_both(
    model, way, client, failure, asked
):
    context = await client.made(model)
    asked()
    other = "gemini-2.0-flash" if model == GEMINI else "Doubao-pro-32k"

    failed = await failure(client.ask(way, context, model=other))

    assert (failed.code, failed.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
    )
    assert list(failed.violations) == ["model"]
    assert other in failed.violations["model"]
    assert model in failed.violations["model"]
    assert asked() == []


@ONE_STORE
@pytest.mark.parametrize("way", NATIVE_WAYS)
async def test_another_model_on_the_native_surface_is_not_healed(way, client, failure, asked):
    context = await client.made(GEMINI)
    asked()

    await failure(client.ask(way, context, model="gemini-2.0-flash"))

    assert len(asked()) == 1


@ONE_STORE
@pytest.mark.parametrize("model, way", CHAT_USES)
async def test_a_chat_on_a_context_needs_no_model(model, way, client, gateway, asked):
    context = await client.made(model, mode=pb.CONTEXT_MODE_COMMON_PREFIX)
    named = await client.ask(way, context)
    asked()

    unnamed = await client.ask(way, context.id)

    assert unnamed.text == named.text
    assert asked() == [verb(way)]
    assert gateway.requests[-1].json["model"] == model


@ONE_STORE
@pytest.mark.parametrize("model, way", CHAT_USES)
async def test_a_context_that_is_restored_needs_no_model_either(model, way, client, gateway, asked):
    context = await client.made(model)
    gateway.expire(context.upstream_id)

    answer = await client.ask(way, context.id)

    assert answer.context.restored
    assert gateway.requests[-1].json["model"] == model


@ONE_STORE
@pytest.mark.parametrize("way", ["chat", "stream"])
async def test_a_chat_on_an_upstream_id_needs_a_model(way, client, failure, asked):
    context = await client.made(ARK)
    asked()

    failed = await failure(client.ask(way, context.upstream_id))

    assert failed.reason == "REQUEST_INVALID"
    assert "does not know the model" in failed.violations["model"]
    assert asked() == []


@ONE_STORE
async def test_an_unknown_model_is_not_healed(client, failure, asked):
    context = await client.made(GEMINI)
    asked()

    for way in NATIVE_WAYS:
        failed = await failure(client.ask(way, context, model="gemini-unknown"))
        assert failed.reason == "CACHE_CONFLICT"
        failed = await failure(client.ask(way, context, model="unknown-1"))
        assert failed.reason == "MODEL_NOT_FOUND"

    assert "create" not in asked()


@ONE_STORE
@pytest.mark.parametrize("way", ["generate", "stream_generate"])
async def test_a_missing_file_is_not_healed(way, client, failure, asked):
    context = await client.made(GEMINI)
    asked()
    file = pb.FileData(file_uri="https://gateway.example/v1beta/files/nowhere", mime_type="a/b")
    contents = [pb.Content(role="user", parts=[pb.Part(file_data=file)])]

    failed = await failure(client.ask(way, context, contents=contents))

    assert failed.reason == "FILE_NOT_FOUND"
    assert asked() in ([], [f"{way} 403"])
    assert not (await client.chat(context)).context.restored


@ONE_STORE
async def test_a_session_that_upstream_has_in_progress_is_waited_for(client, gateway, asked):
    context = await client.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
    raw = pb.Context(id=context.upstream_id, model=ARK)
    other = asyncio.create_task(client.chat(raw, model=f"{ARK}+stall"))
    await gateway.wait_for_open(1)
    call = asyncio.create_task(client.chat(context))
    await gateway.wait_until(lambda: any(record.status == 403 for record in gateway.requests))
    other.cancel()

    answer = await call

    assert not answer.context.restored
    requests = asked()
    assert requests.count("create") == 1
    assert "chat 403" in requests


@ONE_STORE
@pytest.mark.parametrize("way", CHATS)
@pytest.mark.parametrize("raw", ["ctx-20261122000000-abcde", "cachedContents/nobodys"])
async def test_a_raw_id_that_is_gone_is_reported_as_it_is(raw, way, client, failure, asked):
    failed = await failure(client.ask(way, pb.Context(id=raw, model=ARK)))

    assert failed.code == grpc.StatusCode.NOT_FOUND
    assert len(asked()) == 1


@ONE_STORE
async def test_a_native_call_on_a_context_of_another_kind_pays_for_nothing(
    client, gateway, failure, asked
):
    context = await client.made(ARK)
    gateway.expire()
    asked()

    for way in ("generate", "stream_generate", "count"):
        failed = await failure(client.ask(way, context))

        assert failed.reason == "REQUEST_INVALID"
        field = "generate_content_request.cached_content" if way == "count" else "cached_content"
        assert list(failed.violations) == [field]
    assert asked() == []


# What a context's creation says about it.


@ONE_STORE
@pytest.mark.parametrize("model, way, dialect", LOSSES)
async def test_without_recovery_a_loss_is_reported_as_it_is(
    model, way, dialect, client, gateway, failure, asked
):
    context = await client.made(model, recovery=pb.RECOVERY_NEVER)
    gateway.expire(dialect=dialect)
    asked()

    failed = await failure(client.ask(way, context))

    assert failed.code == grpc.StatusCode.NOT_FOUND
    assert failed.reason in ("CONTEXT_NOT_FOUND", "CACHE_NOT_FOUND", "CACHE_EXPIRED")
    assert len(asked()) == 1


@ONE_STORE
@pytest.mark.parametrize("way", WAYS)
async def test_what_upstream_will_not_cache_again_fails_where_inline_is_not_wanted(
    way, client, gateway, minimums, failure, asked
):
    context = await client.made(GEMINI, recovery=pb.RECOVERY_RESTORE)
    gateway.expire()
    minimums["gemini-"] = 10**6
    asked()

    failed = await failure(client.ask(way, context))

    assert failed.reason == "CACHE_TOO_SMALL"
    assert asked()[1:] == ["create 400"]
    minimums.clear()
    assert (await client.chat(context)).context.restored


@ONE_STORE
@pytest.mark.parametrize("way", WAYS)
async def test_what_upstream_will_not_cache_again_goes_inline(
    way, client, gateway, minimums, asked
):
    context = await client.made(
        GEMINI,
        messages=[
            pb.ChatMessage(role="system", content="You keep the lighthouse."),
            pb.ChatMessage(role="user", content="Who rows the boat?"),
            pb.ChatMessage(role="assistant", content="The keeper."),
        ],
        recovery=pb.RECOVERY_RESTORE_OR_INLINE,
    )
    texts = ("Hello", "recall turn 1", "recall turn 2")
    expected = [(await client.ask(way, context, text)).text for text in texts]
    gateway.expire()
    minimums["gemini-"] = 10**6
    asked()

    answers = [await client.ask(way, context, text) for text in texts]

    sent = INLINE.get(way, way)
    assert [answer.text for answer in answers] == expected
    assert asked()[1:] == ["create 400", *[sent] * 3]
    if way != "count":
        assert {str(answer.context) for answer in answers} == {str(outcome(context, inlined=True))}
        counted = (await client.get(context)).statistics
        assert counted.inline_count == 3
        assert counted.call_count == 6
        assert counted.restore_count == 0


async def test_each_call_may_find_another_way(client, gateway, minimums):
    context = await client.made(GEMINI)
    expected = await client.chat(context)
    gateway.expire()
    minimums["gemini-"] = 10**6

    answers = [await client.ask(way, context) for way in ("chat", "stream", "generate")]

    assert {answer.context.inlined for answer in answers} == {True}
    assert answers[0].text == answers[1].text == expected.text


@ONE_STORE
@pytest.mark.parametrize("way", ["chat", "stream", "generate", "stream_generate"])
async def test_parts_go_inline_as_what_they_are(way, client, gateway, minimums):
    parts = [
        pb.ChatPart(text="Which lamp? "),
        pb.ChatPart(image_url=pb.ChatImageUrl(url="data:image/jpeg;base64,/+8=")),
        pb.ChatPart(image_url=pb.ChatImageUrl(url="https://pictures.example/lamp.webp?size=2")),
        pb.ChatPart(video_url=pb.ChatVideoUrl(url="https://pictures.example/lamp.mov")),
        pb.ChatPart(text="This one?"),
    ]
    context = await client.made(
        GEMINI,
        messages=[
            pb.ChatMessage(role="system", content="You keep the lighthouse."),
            pb.ChatMessage(role="user", parts=parts),
            pb.ChatMessage(role="assistant", content="The left one."),
        ],
    )
    gateway.expire()
    minimums["gemini-"] = 10**6

    answer = await client.ask(way, context, "recall turn 1")

    body = gateway.requests[-1].json
    assert answer.text == "Which lamp? This one?"
    if way in CHATS:
        first = next(r.json for r in gateway.requests if r.path == "/v1/context/create")
        assert body["messages"][:-1] == first["messages"]
        assert "context_id" not in body
        return
    assert "cachedContent" not in body
    assert body["systemInstruction"] == {"parts": [{"text": "You keep the lighthouse."}]}
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Which lamp? "},
                {"inlineData": {"mimeType": "image/jpeg", "data": "/+8="}},
                {
                    "fileData": {
                        "mimeType": "image/webp",
                        "fileUri": "https://pictures.example/lamp.webp?size=2",
                    }
                },
                {
                    "fileData": {
                        "mimeType": "video/quicktime",
                        "fileUri": "https://pictures.example/lamp.mov",
                    }
                },
                {"text": "This one?"},
            ],
        },
        {"role": "model", "parts": [{"text": "The left one."}]},
        {"role": "user", "parts": [{"text": "recall turn 1"}]},
    ]


async def test_callers_who_are_refused_together_share_the_refusal(clients, between, gateway, asked):
    async with clients(upstream=between.url) as first, clients(upstream=between.url) as second:
        context = await first.made(GEMINI)
        expected = await first.chat(context)
        gateway.expire()
        refused = []

        async def rule(path, _):
            if path.endswith("/create"):
                refused.append(path)
                await asyncio.sleep(0.1)
                return web.Response(status=402)
            return None

        between.rule = rule
        asked()

        answers = await asyncio.gather(
            *(client.ask(way, context) for client in (first, second) for way in CHATS * 5)
        )

    assert len(refused) == 1
    assert {answer.text for answer in answers} == {expected.text}
    assert all(answer.context.inlined for answer in answers)
    assert asked().count("inline") == len(answers)


@ONE_STORE
async def test_a_prefix_of_any_size_is_made_again(client, gateway):
    large = "lamp" * 60_000
    whole = {"truncation_strategy": pb.TruncationStrategy(type="rolling_tokens")}
    for model in (ARK, GEMINI):
        context = await client.made(model, prefix=large, **whole)
        await client.chat(context, large, max_tokens=5)
        gateway.expire()

        answer = await client.chat(context)

        assert answer.context.restored
        first, second = [r.json for r in gateway.requests if r.path == "/v1/context/create"]
        assert second["messages"][0] == first["messages"][0]
        assert len(second["messages"]) == (3 if model == ARK else 1)
        gateway.requests.clear()


@ONE_STORE
@pytest.mark.parametrize("recovery", [pb.RECOVERY_NEVER, pb.RECOVERY_RESTORE])
async def test_a_binding_whose_life_upstream_does_not_tell_is_taken_for_live(
    recovery, clients, between, gateway, failure
):
    async with clients(upstream=between.url) as client:
        raw = await client.made(ARK, mode=pb.CONTEXT_MODE_COMMON_PREFIX)

        async def rule(path, _):
            silent = {"id": raw.upstream_id, "usage": {"prompt_tokens": 5}}
            return web.json_response(silent) if path.endswith("/create") else None

        between.rule = rule
        context = await client.made(ARK, mode=pb.CONTEXT_MODE_COMMON_PREFIX, recovery=recovery)
        between.give_way()

        assert not context.HasField("ttl")
        assert not context.HasField("expire_time")
        for _ in range(2):
            assert (await client.chat(context)).text
            assert (await client.get(context)).state == pb.CONTEXT_STATE_WARM
        gateway.expire()
        if recovery == pb.RECOVERY_NEVER:
            assert (await failure(client.chat(context))).reason == "CONTEXT_NOT_FOUND"
        else:
            assert (await client.chat(context)).context.restored


async def test_a_session_goes_inline_with_its_turns_and_keeps_the_new_one(
    clients, between, gateway, asked
):
    async with clients(upstream=between.url) as client:
        context = await client.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
        await client.chat(context, "One.")
        gateway.expire()
        between.refuse("/context/create", 402)

        second = await client.chat(context, "Two.")
        third = await client.stream(context, "recall turn 2")
        between.give_way()
        fourth = await client.chat(context, "recall turn 1")

        assert "(turn 2)" in second.text
        assert third.text == "Two."
        assert fourth.text == "One."
        assert second.context == third.context == fourth.context == outcome(context, inlined=True)
        assert asked().count("inline") == 3


@ONE_STORE
@pytest.mark.parametrize("status, pause", [(402, "REFUSED_FOR"), (500, "FAILED_FOR")])
async def test_upstream_is_asked_to_cache_again_after_a_while(
    status, pause, clients, between, gateway, asked, monkeypatch
):
    from contextbridge_server.contexts import bindings  # noqa: PLC0415

    monkeypatch.setattr(bindings, pause, getattr(bindings, pause) / 1000)
    async with clients(upstream=between.url, retry_max_attempts=1) as client:
        context = await client.made(GEMINI)
        gateway.expire()
        between.refuse("/context/create", status)
        assert (await client.chat(context)).context.inlined
        between.give_way()
        asked()

        answer = await client.chat(context)
        while not answer.context.restored:
            assert answer.context.inlined
            await asyncio.sleep(0.05)
            answer = await client.chat(context)

    assert asked()[-2:] == ["create", "chat"]


@ONE_STORE
@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_upstream_refuses_to_cache_with_is_reported(
    status, clients, between, gateway, failure
):
    async with clients(upstream=between.url) as client:
        context = await client.made(GEMINI)
        gateway.expire()
        between.refuse("/context/create", status)

        failed = await failure(client.chat(context))

    assert failed.reason in ("UPSTREAM_KEY_INVALID", "UPSTREAM_PERMISSION_DENIED")


# Callers who leave in between.


@pytest.mark.parametrize("model, way", [(GEMINI, "chat"), (GEMINI, "stream"), (ARK, "stream")])
async def test_a_caller_who_leaves_in_mid_heal_does_not_lose_the_create(
    model, way, clients, between, gateway, asked
):
    async with clients(upstream=between.url) as client:
        context = await client.made(model)
        gateway.expire()
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def rule(path, _):
            if path.endswith("/create"):
                arrived.set()
                await go_on.wait()

        between.rule = rule
        asked()
        leaving = asyncio.create_task(client.ask(way, context))
        await arrived.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
        next_call = asyncio.create_task(client.ask(way, context))
        await gateway.wait_until(lambda: len(gateway.requests) == 3)
        go_on.set()

        answer = await next_call

    assert answer.context.restored
    assert asked().count("create") == 1


async def test_a_caller_whose_deadline_passes_in_mid_heal_does_not_lose_the_create(
    clients, between, gateway, asked, requests
):
    async with clients(upstream=between.url) as client:
        context = await client.made(GEMINI)
        gateway.expire()
        go_on = asyncio.Event()

        async def rule(path, _):
            if path.endswith("/create"):
                await go_on.wait()

        between.rule = rule
        asked()
        call = client.call("CompleteChatWithContext", requests.chatting(context), timeout=0.2)

        assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        go_on.set()
        answer = await client.chat(context)

    assert answer.text
    assert asked().count("create") == 1


async def test_a_context_that_is_deleted_in_mid_heal_leaves_nothing_upstream(
    clients, between, gateway, failure, engine
):
    async with clients(upstream=between.url) as client:
        context = await client.made(GEMINI)
        gateway.expire()
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def rule(path, _):
            if path.endswith("/create"):
                arrived.set()
                await go_on.wait()

        between.rule = rule
        call = asyncio.create_task(client.chat(context))
        await arrived.wait()
        await client.delete(context)
        go_on.set()

        failed = await failure(call)

    assert failed.reason == "CONTEXT_NOT_FOUND"
    assert gateway.state()["caches"] == 0
    keys = [key.decode() for found in await engine.each("KEYS", "*") for key in found]
    assert not any(context.id in key for key in keys)


# The hot path.


async def test_upstream_is_asked_for_nothing_that_a_call_does_not_need(client, asked):
    per_call = {}
    for model in (ARK, GEMINI):
        context = await client.made(model)
        per_call[model, "create"] = asked()
        for way in WAYS if model == GEMINI else CHATS:
            for _ in range(3):
                await client.ask(way, context)
                per_call[model, way] = [*per_call.get((model, way), []), *asked()]
        await client.get(context)
        await client.list()
        await client.update(context, display_name="keeper")
        per_call[model, "manage"] = asked()
        await client.delete(context)
        per_call[model, "delete"] = asked()

    assert per_call == {
        **{(model, "create"): ["create"] for model in (ARK, GEMINI)},
        **{(model, way): [verb(way)] * 3 for model, way in USES},
        **{(model, "manage"): [] for model in (ARK, GEMINI)},
        (ARK, "delete"): [],
        (GEMINI, "delete"): ["delete"],
    }
