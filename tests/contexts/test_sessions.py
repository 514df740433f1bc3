"""Sessions: one call at a time, whoever makes it, and no turn lost when a binding is."""

import asyncio
import secrets
from datetime import timedelta

import grpc
import pytest
from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
SESSION = {"mode": pb.CONTEXT_MODE_SESSION}
STALL = f"{ARK}+stall"
TRUNCATION = pb.TruncationStrategy(type="last_history_tokens", last_history_tokens=20)
ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""


def outcome(context, **happened):
    return pb.ContextOutcome(id=context.id, **happened)


def last_create(gateway):
    """Return the messages of the latest making of a binding, after the prefix."""
    made = [record for record in gateway.requests if record.path == "/v1/context/create"]
    return [(message["role"], message["content"]) for message in made[-1].json["messages"][1:]]


@pytest.fixture(name="holding")
def holding_fixture(gateway):
    """Return what begins a call that holds a session until it is cancelled."""

    async def holding(client, session, way="chat"):
        call = asyncio.create_task(client.ask(way, session, "Held.", model=STALL))
        await gateway.wait_for_open(1)
        return call

    return holding


async def leave(call):
    call.cancel()
    await asyncio.wait([call])


# Turns.


@pytest.mark.parametrize("way", ["chat", "stream"])
async def test_after_three_turns_the_fourth_answer_of_a_healed_session_knows_all(
    way, client, gateway, asked
):
    session, twin = [await client.made(ARK, **SESSION) for _ in range(2)]
    said = [("chat", "One."), ("stream", "Two."), ("chat", "Three.")]
    for context in (session, twin):
        for each, text in said:
            await client.ask(each, context, text)
    expected = [await client.ask(way, twin, f"recall turn {turn}") for turn in (1, 2, 3)]
    gateway.expire(session.upstream_id)
    asked()

    answers = [await client.ask(way, session, f"recall turn {turn}") for turn in (1, 2, 3)]

    assert asked() == ["chat 404", "create", *["chat"] * 3]
    assert [answer.text for answer in answers] == ["One.", "Two.", "Three."]
    assert [answer.text for answer in answers] == [answer.text for answer in expected]
    assert answers[0].context == outcome(session, restored=True)
    assert answers[1].context == outcome(session)


@ONE_STORE
async def test_a_session_that_lapsed_is_renewed_with_its_turns(
    client, gateway, asked, brief_lives, eventually
):
    session = await client.made(ARK, **SESSION)
    answers = [await client.ask(way, session, f"{way}.") for way in ("chat", "stream")]

    async def is_cold():
        return (await client.get(session)).state == pb.CONTEXT_STATE_COLD

    await eventually(is_cold)
    # The next binding must not lapse before its first use.
    await client.update(session, ttl=Duration(seconds=7_200))
    asked()

    await client.chat(session, "Three.")

    assert asked() == ["create", "chat"]
    assert last_create(gateway) == [
        ("user", "chat."),
        ("assistant", answers[0].text),
        ("user", "stream."),
        ("assistant", answers[1].text),
    ]


async def test_a_session_is_healed_again_and_again_and_gains_turns_in_between(client, gateway):
    session = await client.made(ARK)
    for turn in range(1, 5):
        await client.chat(session, f"Turn number {turn}.")
        gateway.expire()

    for turn in range(1, 5):
        answer = await client.chat(session, f"recall turn {turn}")
        assert answer.text == f"Turn number {turn}."
    assert (await client.get(session)).statistics.restore_count == 4


@ONE_STORE
async def test_a_turn_keeps_all_that_was_asked_and_nothing_that_was_thought(client, gateway):
    session = await client.made(f"{ARK}-thinking", **SESSION)
    messages = [
        pb.ChatMessage(role="user", content="What is"),
        pb.ChatMessage(role="user", parts=[pb.ChatPart(text="this 灯台🌊?")]),
    ]
    answer = await client.chat(session, messages=messages)
    gateway.expire()

    await client.chat(session)

    assert last_create(gateway) == [
        ("user", "What is"),
        ("user", [{"type": "text", "text": "this 灯台🌊?"}]),
        ("assistant", answer.text),
    ]


@ONE_STORE
@pytest.mark.parametrize(
    "fault", ["truncate-midstream", "cut-midstream", "error-midstream", "malformed-midstream"]
)
async def test_a_turn_whose_stream_broke_is_not_kept(fault, client, gateway, failure):
    session = await client.made(ARK, **SESSION)
    await client.stream(session, "One.")
    await failure(client.stream(session, "count to 50", model=f"{ARK}+{fault}"))
    gateway.expire()

    answer = await client.chat(session, "recall turn 2")

    assert answer.text == "recall turn 2"
    assert (await client.get(session)).statistics.call_count == 2


@ONE_STORE
async def test_a_turn_whose_caller_left_is_not_kept(client, gateway, holding):
    session = await client.made(ARK, **SESSION)
    await client.chat(session, "One.")
    await leave(await holding(client, session))
    gateway.expire()

    answer = await client.chat(session, "recall turn 2")

    assert answer.text == "recall turn 2"


@ONE_STORE
async def test_a_call_that_was_refused_leaves_no_turn(client, gateway, failure):
    session = await client.made(ARK, **SESSION)
    await failure(client.chat(session, "One.", model=f"{ARK}+server-error"))
    await failure(client.chat(session, "Two.", temperature=9))
    gateway.expire()

    assert (await client.chat(session, "recall turn 1")).text == "recall turn 1"


async def test_turns_past_a_bound_are_forgotten_the_oldest_first(clients, gateway):
    # Random digits do not shrink by more than half, so three turns do not fit.
    texts = [secrets.token_hex(1000) for _ in range(4)]
    async with clients(session_max_bytes=3000) as client:
        session = await client.made(ARK, **SESSION)
        for text in texts:
            await client.chat(session, f"say: {text[:10]}", user=text)
            await client.chat(session, text, max_tokens=1)
        gateway.expire()

        await client.chat(session)

    kept = [text for role, text in last_create(gateway) if role == "user"]
    assert kept[-1] == texts[-1]
    assert texts[0] not in kept
    assert 1 <= sum(text in kept for text in texts) < len(texts)
    history = [part for text in texts for part in (f"say: {text[:10]}", text)]
    assert kept == history[-len(kept) :]


@ONE_STORE
async def test_a_session_is_rebuilt_with_the_history_that_its_truncation_leaves(client, gateway):
    session, twin = [
        await client.made(ARK, truncation_strategy=TRUNCATION, **SESSION) for _ in range(2)
    ]
    for context in (session, twin):
        for number in range(6):
            await client.chat(context, f"say: lamp {number} is lit")
    gateway.expire(session.upstream_id)

    healed = await client.chat(session, "recall turn 1")
    expected = await client.chat(twin, "recall turn 1")

    assert healed.context.restored
    assert 0 < len(last_create(gateway)) < 12
    # Tokens are estimated, so a message more or less may be left.
    first = [int(answer.text.split()[2]) for answer in (healed, expected)]
    assert abs(first[0] - first[1]) <= 1


@ONE_STORE
async def test_a_session_that_is_too_long_to_be_rebuilt_is_rebuilt_from_its_newer_turns(
    clients, between, gateway
):
    refusal = {"error": {"code": "OutofContextError", "type": "BadRequest", "message": "Long."}}

    async def rule(path, body):
        is_long = path.endswith("/create") and body.count(b'"role"') > 5
        return web.json_response(refusal, status=400) if is_long else None

    between.rule = rule
    async with clients(upstream=between.url) as client:
        session = await client.made(ARK, **SESSION)
        for turn in range(6):
            await client.chat(session, f"Turn number {turn}.")
        gateway.expire()

        answer = await client.chat(session)

    assert answer.context == outcome(session, restored=True)
    kept = last_create(gateway)
    assert [role for role, _ in kept] == ["user", "assistant"] * (len(kept) // 2)
    assert kept[-2] == ("user", "Turn number 5.")


@ONE_STORE
async def test_a_gemini_context_is_no_session_whatever_mode_was_asked_for(client, gateway):
    """What upstream cannot let grow, a heal must not either."""
    context = await client.made(GEMINI, **SESSION)
    await client.chat(context, "One.")
    before = await client.chat(context, "recall turn 1")
    gateway.expire()

    after = await client.chat(context, "recall turn 1")

    assert after.context.restored
    assert after.text == before.text


async def test_deleting_a_session_in_mid_call_leaves_nothing(client, gateway, engine):
    session = await client.made(ARK, **SESSION)
    call = asyncio.create_task(client.chat(session, model=f"{ARK}+delay=0.2"))
    await gateway.wait_for_open(1)

    await client.delete(session)
    await call

    keys = [key.decode() for found in await engine.each("KEYS", "*") for key in found]
    assert not any(session.id in key for key in keys)


# One at a time.


async def test_calls_at_once_on_two_servers_take_turns_and_all_are_kept(clients, gateway, asked):
    async with clients() as first, clients() as second:
        session = await first.made(ARK, **SESSION)
        asked()

        answers = await asyncio.gather(
            *(
                client.ask(way, session, f"Caller {number}.")
                for number, (client, way) in enumerate(
                    [(c, w) for c in (first, second) for w in ("chat", "stream")] * 5
                )
            )
        )
        requests = asked()
        gateway.expire()
        told = [(await first.chat(session, f"recall turn {n + 1}")).text for n in range(20)]

    assert requests == ["chat"] * 20
    turns = sorted(int(answer.text.split("(turn ")[1].rstrip(")")) for answer in answers)
    assert turns == list(range(1, 21))
    assert sorted(told) == sorted(f"Caller {number}." for number in range(20))


async def test_calls_at_once_on_a_session_that_was_lost_make_one_binding(clients, gateway, asked):
    async with clients() as first, clients() as second:
        session = await first.made(ARK, **SESSION)
        await first.chat(session, "One.")
        gateway.expire()
        asked()

        answers = await asyncio.gather(
            *(client.chat(session, "recall turn 1") for client in (first, second) * 5)
        )

    assert [answer.text for answer in answers] == ["One."] * 10
    assert asked().count("create") == 1


@ONE_STORE
async def test_calls_on_what_is_no_session_do_not_wait(client, gateway):
    for model in (ARK, GEMINI):
        context = await client.made(model, mode=pb.CONTEXT_MODE_COMMON_PREFIX)
        held = asyncio.create_task(client.chat(context, model=f"{model}+stall"))
        await gateway.wait_for_open(1)

        await asyncio.wait_for(client.chat(context), 5)

        await leave(held)
        await gateway.wait_for_open(0)


@ONE_STORE
async def test_sessions_do_not_wait_for_one_another(client, holding):
    session, other = [await client.made(ARK, **SESSION) for _ in range(2)]
    held = await holding(client, session)

    await asyncio.wait_for(client.chat(other), 5)

    await leave(held)


async def test_who_waits_past_a_deadline_is_told_and_the_session_goes_on(
    clients, holding, requests, asked
):
    async with clients() as first, clients() as second:
        session = await first.made(ARK, **SESSION)
        held = await holding(first, session)
        asked()

        for client in (first, second):
            for method in ("CompleteChatWithContext", "ChatWithContext"):
                call = client.call(method, requests.chatting(session), timeout=0.1)
                assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert asked() == []

        await leave(held)
        for client in (first, second):
            assert (await asyncio.wait_for(client.chat(session), 5)).text


@pytest.mark.parametrize("way", ["chat", "stream"])
async def test_a_caller_who_leaves_gives_the_session_to_the_next(way, clients, holding):
    async with clients() as first, clients() as second:
        session = await first.made(ARK, **SESSION)
        held = await holding(first, session, way)
        waiting = [asyncio.create_task(c.chat(session, "Next.")) for c in (first, second)]
        await asyncio.sleep(0.05)
        assert not any(call.done() for call in waiting)

        await leave(held)
        answers = await asyncio.wait_for(asyncio.gather(*waiting), 5)

    assert sorted(answer.text.split("(turn ")[1] for answer in answers) == ["1)", "2)"]


async def test_a_caller_who_leaves_at_any_moment_never_blocks_the_session(client):
    session = await client.made(ARK, **SESSION)
    for number in range(25):
        call = asyncio.create_task(client.chat(session))
        await asyncio.sleep(number * 0.0002)
        await leave(call)

        answer = await asyncio.wait_for(client.chat(session, "Next."), 5)

        assert answer.text


@ONE_STORE
async def test_who_waits_longer_than_the_server_allows_is_told_that_it_is_busy(
    clients, holding, failure, asked
):
    brief = {"session_wait": "300ms"}
    async with clients() as holder, clients(**brief) as first, clients(**brief) as second:
        session = await holder.made(ARK, **SESSION)
        held = await holding(holder, session)
        asked()

        failures = await asyncio.gather(
            *(
                failure(client.ask(way, session))
                for client in (first, second)
                for way in ("chat", "stream")
            )
        )

        assert {failed.code for failed in failures} == {grpc.StatusCode.ABORTED}
        assert {failed.reason for failed in failures} == {"CONTEXT_BUSY"}
        assert asked() == []
        await leave(held)


async def test_a_session_outlives_the_servers_that_it_was_held_on(clients, gateway):
    async with clients() as client:
        session = await client.made(ARK, **SESSION)
        await client.chat(session, "One.")
    gateway.expire()

    async with clients() as client:
        assert (await client.chat(session, "recall turn 1")).text == "One."


# Leases.


@ONE_STORE
async def test_a_session_that_is_held_for_longer_than_its_leases_life_stays_held(
    clients, gateway, holding, monkeypatch
):
    life = timedelta(seconds=2)
    monkeypatch.setattr("contextbridge_server.store.leases.LIFE", life)
    async with clients() as first, clients() as second:
        session = await first.made(ARK, **SESSION)
        held = await holding(first, session)
        waiting = asyncio.create_task(second.chat(session))

        await asyncio.sleep(1.2 * life.total_seconds())

        assert not waiting.done()
        assert sum(record.path.endswith("/completions") for record in gateway.requests) == 1
        await leave(held)
        await waiting


@ONE_STORE
async def test_a_call_whose_turn_another_took_is_told_and_leaves_no_turn(
    clients, between, gateway, engine, failure
):
    async with clients(upstream=between.url) as first, clients() as second:
        session = await first.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def rule(path, _):
            if path.endswith("/completions"):
                arrived.set()
                await go_on.wait()

        between.rule = rule
        paused = asyncio.create_task(first.chat(session, "Paused."))
        await arrived.wait()
        # As if the first had been paused until its lease lapsed.
        await forget_leases(engine, session)
        await second.chat(session, "Taken.")
        go_on.set()

        failed = await failure(paused)

        assert failed.reason == "CONTEXT_BUSY"
        gateway.expire()
        assert (await second.chat(session, "recall turn 1")).text == "Taken."
        assert (await second.chat(session, "recall turn 2")).text == "recall turn 1"


@ONE_STORE
async def test_a_binding_that_another_made_meanwhile_is_the_only_one(
    clients, between, gateway, engine
):
    async with clients(upstream=between.url) as first, clients() as second:
        context = await first.made(GEMINI)
        expected = await first.chat(context)
        gateway.expire()
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def rule(path, _):
            if path.endswith("/create"):
                arrived.set()
                await go_on.wait()

        between.rule = rule
        paused = asyncio.create_task(first.chat(context))
        await arrived.wait()
        await forget_leases(engine, context)
        quick = await second.chat(context)
        bound = (await second.get(context)).upstream_id
        go_on.set()
        late = await paused

        assert quick.text == late.text == expected.text
        assert gateway.state()["caches"] == 1
        assert (await second.get(context)).upstream_id == bound
        assert (await second.get(context)).statistics.restore_count == 1


async def forget_leases(engine, context):
    """Delete a context's leases, wherever they are."""
    script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end"
    for part in ("restore", "turn"):
        await engine.each("EVAL", script, 0, f"*{context.id}}}:{part}")
