"""Creates that are asked for twice, and contexts that are the same."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
MODELS = (ARK, GEMINI)
IDENTICAL = {"reuse": pb.REUSE_IDENTICAL}
FIXED = {"mode": pb.CONTEXT_MODE_COMMON_PREFIX}
TOOLS = {"tools": [{"type": "function", "function": {"name": "tide"}}]}
TRUNCATION = pb.TruncationStrategy(type="last_history_tokens", last_history_tokens=9)
ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""


def life_of(context):
    return (context.expire_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds()


@pytest.fixture(name="held_creates")
def held_creates_fixture(between):
    """Hold each create until told to go on; return what tells that one came, and what tells it."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def rule(path, _):
        if path.endswith("/create"):
            arrived.set()
            await go_on.wait()

    between.rule = rule
    return arrived, go_on


# By idempotency_key.


@pytest.mark.parametrize("model", MODELS)
async def test_the_same_idempotency_key_gets_the_first_answer(model, client, asked):
    first = await client.create(model, idempotency_key="order-7", display_name="keeper", ttl=7200)
    second = await client.create(model, idempotency_key="order-7", display_name="keeper", ttl=7200)

    assert second == first
    assert first.usage.prompt_tokens > 0
    assert not first.reused
    assert asked() == ["create"]


async def test_an_id_of_any_characters_is_an_id(client, asked):
    ids = ["a", "a/b", "{a}", "*", "%2F", "Ä 🌊", "x" * 128]

    for idempotency_key in ids:
        first = await client.made(idempotency_key=idempotency_key)
        assert (await client.made(idempotency_key=idempotency_key)).id == first.id

    assert asked() == ["create"] * len(ids)


@ONE_STORE
async def test_an_id_that_is_too_long_is_refused(client, failure, asked):
    failed = await failure(client.made(idempotency_key="x" * 129))

    assert list(failed.violations) == ["idempotency_key"]
    assert asked() == []


@ONE_STORE
async def test_without_an_idempotency_key_each_create_makes_a_context(client, asked):
    first, second = [await client.made() for _ in range(2)]

    assert first.id != second.id
    assert asked() == ["create", "create"]


async def test_many_who_ask_at_once_on_two_servers_get_one_context(clients, asked):
    async with clients() as first, clients() as second:
        created = await asyncio.gather(
            *(client.create(GEMINI, idempotency_key="once") for client in (first, second) * 25)
        )

    assert len({answer.SerializeToString(deterministic=True) for answer in created}) == 1
    assert asked() == ["create"]


@ONE_STORE
@pytest.mark.parametrize(
    "change",
    [
        {"prefix": "Another."},
        {"model": GEMINI},
        {"ttl": 3601},
        {"mode": pb.CONTEXT_MODE_COMMON_PREFIX},
        {"display_name": "x"},
        {"recovery": pb.RECOVERY_RESTORE},
        {"retention": 60},
        {"extra_body": {"a": 1}},
        IDENTICAL,
    ],
    ids=str,
)
async def test_an_idempotency_key_with_another_request_is_refused(change, client, failure, asked):
    first = await client.made(idempotency_key="order-7")
    asked()

    failed = await failure(client.made(idempotency_key="order-7", **change))

    assert failed.code == grpc.StatusCode.ALREADY_EXISTS
    assert failed.reason == "IDEMPOTENCY_KEY_REUSED"
    assert asked() == []
    assert (await client.made(idempotency_key="order-7")).id == first.id


async def test_an_idempotency_key_with_another_request_is_refused_while_the_first_is_made(
    clients, between, held_creates, failure, asked
):
    arrived, go_on = held_creates
    async with clients(upstream=between.url) as client:
        first = asyncio.create_task(client.made(idempotency_key="order-7"))
        await arrived.wait()

        failed = await failure(client.made(idempotency_key="order-7", prefix="Another."))

        go_on.set()
        await first
    assert failed.reason == "IDEMPOTENCY_KEY_REUSED"
    assert asked() == ["create"]


@ONE_STORE
@pytest.mark.parametrize("model", MODELS)
async def test_a_create_that_failed_is_not_remembered(model, client, failure, asked):
    failing = f"{model}+server-error-once"

    failed = await failure(client.made(failing, idempotency_key="order-7"))
    made = await client.made(failing, idempotency_key="order-7")

    assert failed.reason == "UPSTREAM_INTERNAL"
    assert made.id
    assert asked() == ["create 500", "create"]


@ONE_STORE
async def test_an_idempotency_key_of_what_was_refused_is_free(client, failure):
    await failure(client.made(idempotency_key="order-7", ttl=5))

    assert (await client.made(idempotency_key="order-7")).id


@ONE_STORE
async def test_who_waits_for_a_create_that_fails_tries_next(clients, between, held_creates, asked):
    arrived, go_on = held_creates
    async with clients(upstream=between.url, retry_max_attempts=1) as client:
        failing = f"{GEMINI}+server-error-once"
        calls = [
            asyncio.create_task(client.made(failing, idempotency_key="order-7")) for _ in range(5)
        ]
        await arrived.wait()
        go_on.set()

        ends = await asyncio.gather(*calls, return_exceptions=True)

    made = {end.id for end in ends if isinstance(end, pb.Context)}
    assert sum(isinstance(end, grpc.aio.AioRpcError) for end in ends) == 1
    assert len(made) == 1
    assert asked() == ["create 500", "create"]


@pytest.mark.parametrize("leaves", ["cancelled", "late"])
async def test_who_leaves_and_asks_again_gets_what_was_made(
    leaves, clients, between, held_creates, requests, asked
):
    arrived, go_on = held_creates
    async with clients(upstream=between.url) as client:
        request = requests.creating(GEMINI, idempotency_key="order-7")
        # Longer than the create takes to arrive anywhere.
        timeout = 2 if leaves == "late" else None
        call = client.call("CreateContext", request, timeout=timeout)
        await arrived.wait()
        if leaves == "cancelled":
            call.cancel()
        await call.code()
        again = asyncio.create_task(client.made(GEMINI, idempotency_key="order-7"))
        go_on.set()

        made = await again

        assert (await client.get(made)).id == made.id
        assert [context.id for context in (await client.list()).contexts] == [made.id]
    assert asked() == ["create"]


async def test_another_tenants_idempotency_key_is_its_own(tenants, asked):
    async with tenants() as (acme, bolt):
        theirs = await acme.made(GEMINI, idempotency_key="order-7")
        ours = await bolt.made(GEMINI, prefix="Another.", idempotency_key="order-7")
        same = await bolt.made(GEMINI, prefix="Another.", idempotency_key="order-7")

    assert ours.id == same.id != theirs.id
    assert asked() == ["create", "create"]


async def test_idempotency_keys_outlive_the_server(clients, asked):
    async with clients() as client:
        first = await client.create(GEMINI, idempotency_key="order-7")

    async with clients() as client:
        assert await client.create(GEMINI, idempotency_key="order-7") == first
    assert asked() == ["create"]


@ONE_STORE
async def test_an_idempotency_key_is_forgotten_after_a_while(clients, asked):
    async with clients(idempotency_key_retention="100ms") as client:
        first = await client.made(idempotency_key="order-7")
        await asyncio.sleep(0.2)

        assert (await client.made(idempotency_key="order-7")).id != first.id
    assert asked() == ["create", "create"]


@ONE_STORE
async def test_a_repeated_create_gets_its_answer_though_its_expire_time_came_nearer(
    clock, client, asked
):
    """The shortest life of an Ark binding is an hour: by the second time, less is left."""
    end = Timestamp()
    end.FromDatetime((clock.now + timedelta(hours=1, seconds=2)).replace(microsecond=0))
    first = await client.made(ARK, idempotency_key="order-7", expire_time=end)
    clock.now += timedelta(seconds=3)

    second = await client.made(ARK, idempotency_key="order-7", expire_time=end)

    assert second.id == first.id
    assert asked() == ["create"]


async def test_a_repeated_create_tells_what_was_first_answered_though_the_context_is_deleted(
    client, failure, asked
):
    first = await client.create(GEMINI, idempotency_key="order-7")
    await client.delete(first.context)

    assert await client.create(GEMINI, idempotency_key="order-7") == first
    assert (await failure(client.get(first.context))).reason == "CONTEXT_NOT_FOUND"
    assert asked() == ["create", "delete"]


# Of the same content.


@pytest.mark.parametrize("model", MODELS)
async def test_an_identical_context_is_reused(model, client, asked):
    first = await client.create(model, **IDENTICAL)

    second = await client.create(model, **IDENTICAL)

    assert not first.reused
    assert second.reused
    assert second.context.id == first.context.id
    assert second.context.upstream_id == first.context.upstream_id
    assert first.usage.prompt_tokens > 0
    assert second.usage == pb.Usage()
    assert asked() == ["create"]


@ONE_STORE
async def test_who_does_not_ask_for_reuse_gets_a_new_context(client, asked):
    first = await client.create(GEMINI, **IDENTICAL)
    for reuse in (pb.REUSE_UNSPECIFIED, pb.REUSE_NEVER):
        other = await client.create(GEMINI, reuse=reuse)
        assert not other.reused
        assert other.context.id != first.context.id
    assert asked() == ["create"] * 3


async def test_a_ttl_that_is_longer_moves_a_gemini_bindings_end(client, gateway, asked):
    first = await client.made(GEMINI, ttl=600, **IDENTICAL)
    asked()

    longer = await client.create(GEMINI, ttl=1200, **IDENTICAL)
    shorter = await client.create(GEMINI, ttl=60, **IDENTICAL)

    assert asked() == ["move"]
    assert gateway.requests[-1].json["ttl"] == "1200s"
    for created in (longer, shorter):
        assert created.reused
        assert created.context.id == first.id
        assert 1190 < life_of(created.context) <= 1200
        assert created.context.ttl.seconds == 1200


@ONE_STORE
async def test_a_ttl_that_is_longer_is_for_an_ark_contexts_next_binding(client, gateway, asked):
    first = await client.made(ARK, ttl=3600, **IDENTICAL, **FIXED)
    longer = await client.create(ARK, ttl=7200, **IDENTICAL, **FIXED)
    shorter = await client.create(ARK, ttl=5000, **IDENTICAL, **FIXED)
    gateway.expire()
    await client.chat(first)

    assert longer.reused
    assert shorter.reused
    assert asked() == ["create", "chat 404", "create", "chat"]
    assert gateway.requests[-2].json["ttl"] == 7200


@ONE_STORE
async def test_a_binding_that_upstream_lost_unnoticed_is_reused_and_healed(client, gateway, asked):
    first = await client.made(GEMINI, ttl=600, **IDENTICAL)
    gateway.expire()
    asked()

    second = await client.create(GEMINI, ttl=1200, **IDENTICAL)

    assert asked()[0].startswith("move 4")
    if second.reused:
        assert second.context.id == first.id
        assert second.context.state == pb.CONTEXT_STATE_COLD
    assert (await client.chat(second.context)).text


DIFFERENCES = [
    ({}, {"prefix": "Another."}),
    ({}, {"model": "Doubao-pro-32k"}),
    ({}, FIXED),
    ({}, {"mode": pb.CONTEXT_MODE_SESSION}),
    ({}, {"truncation_strategy": TRUNCATION}),
    ({}, {"extra_body": TOOLS}),
    ({}, {"messages": [pb.ChatMessage(role="user", content="You keep the lighthouse at Oban.")]}),
    ({}, {"recovery": pb.RECOVERY_NEVER}),
    ({"recovery": pb.RECOVERY_NEVER}, {}),
    ({"recovery": pb.RECOVERY_NEVER}, {"recovery": pb.RECOVERY_RESTORE}),
]


@ONE_STORE
@pytest.mark.parametrize("first, second", DIFFERENCES, ids=str)
async def test_what_differs_is_not_reused(first, second, client, asked):
    made = await client.create(**IDENTICAL, **first)

    other = await client.create(**IDENTICAL, **second)

    assert not made.reused
    assert not other.reused
    assert made.context.id != other.context.id
    assert asked() == ["create", "create"]


@ONE_STORE
async def test_what_only_people_see_does_not_differ(client, asked):
    first = await client.made(GEMINI, display_name="keeper", **IDENTICAL)

    second = await client.create(f"models/{GEMINI}", display_name="warden", **IDENTICAL)

    assert second.reused
    assert second.context.id == first.id
    assert asked() == ["create"]


@ONE_STORE
async def test_contexts_that_are_not_restored_are_reused_among_themselves(client, asked):
    never = {"recovery": pb.RECOVERY_NEVER}
    first = await client.made(GEMINI, **IDENTICAL, **never)

    second = await client.create(GEMINI, **IDENTICAL, **never)

    assert second.reused
    assert second.context.id == first.id
    assert asked() == ["create"]


async def test_another_tenants_context_is_not_reused(tenants, asked):
    async with tenants() as (acme, bolt):
        theirs = await acme.create(GEMINI, **IDENTICAL)
        ours = await bolt.create(GEMINI, **IDENTICAL)

    assert not ours.reused
    assert ours.context.id != theirs.context.id
    assert asked() == ["create", "create"]


@ONE_STORE
async def test_what_was_deleted_or_has_lapsed_is_not_reused(client, brief_lives, eventually, asked):
    first = await client.made(GEMINI, **IDENTICAL)
    await client.delete(first)
    second = await client.create(GEMINI, **IDENTICAL)

    async def is_cold():
        return (await client.get(second.context)).state == pb.CONTEXT_STATE_COLD

    await eventually(is_cold)
    third = await client.create(GEMINI, ttl=600, **IDENTICAL)
    fourth = await client.create(GEMINI, ttl=600, **IDENTICAL)

    assert not second.reused
    assert not third.reused
    assert fourth.reused
    assert len({first.id, second.context.id, third.context.id}) == 3
    assert fourth.context.id == third.context.id
    assert asked()[:4] == ["create", "delete", "create", "create"]


@pytest.mark.parametrize("mode", [pb.CONTEXT_MODE_UNSPECIFIED, pb.CONTEXT_MODE_SESSION])
async def test_a_session_is_reused_until_its_first_turn(mode, client):
    first = await client.made(ARK, mode=mode, **IDENTICAL)
    untouched = await client.create(ARK, mode=mode, **IDENTICAL)
    await client.chat(first, "One.")
    third = await client.create(ARK, mode=mode, **IDENTICAL)

    assert untouched.reused
    assert untouched.context.id == first.id
    assert not third.reused
    assert third.context.id != first.id
    assert "(turn 1)" in (await client.chat(third.context, "One.")).text


@ONE_STORE
async def test_a_session_is_not_reused_while_its_first_turn_is_made(client, gateway):
    first = await client.made(ARK, **IDENTICAL)
    call = asyncio.create_task(client.chat(first, "One.", model=f"{ARK}+delay=0.2"))
    await gateway.wait_for_open(1)

    second = await client.create(ARK, **IDENTICAL)

    await call
    assert not second.reused


@ONE_STORE
async def test_a_fixed_prefix_is_reused_after_its_calls(client):
    for model in MODELS:
        first = await client.made(model, **IDENTICAL, **FIXED)
        await client.chat(first)

        assert (await client.create(model, **IDENTICAL, **FIXED)).reused


async def test_identical_creates_at_once_on_two_servers_make_one_context(clients, asked):
    async with clients() as first, clients() as second:
        created = await asyncio.gather(
            *(client.create(GEMINI, **IDENTICAL) for client in (first, second) * 10)
        )

    assert len({answer.context.id for answer in created}) == 1
    assert sum(not answer.reused for answer in created) == 1
    assert asked() == ["create"]


async def test_reuse_and_an_idempotency_key_go_together(client, asked):
    first = await client.create(GEMINI, idempotency_key="one", **IDENTICAL)
    second = await client.create(GEMINI, idempotency_key="two", **IDENTICAL)

    assert second.reused
    assert second.context.id == first.context.id
    assert await client.create(GEMINI, idempotency_key="two", **IDENTICAL) == second
    assert await client.create(GEMINI, idempotency_key="one", **IDENTICAL) == first
    assert asked() == ["create"]


@ONE_STORE
async def test_a_reuse_that_failed_leaves_the_way_free(client, failure, asked):
    failing = f"{GEMINI}+server-error-once"

    await failure(client.create(failing, **IDENTICAL))
    made = await client.create(failing, **IDENTICAL)

    assert not made.reused
    assert asked() == ["create 500", "create"]


@ONE_STORE
async def test_a_wrong_reuse_or_recovery_is_refused(client, failure, asked):
    failed = await failure(client.create(reuse=99, recovery=98, mode=97))

    assert set(failed.violations) == {"reuse", "recovery", "mode"}
    assert asked() == []
