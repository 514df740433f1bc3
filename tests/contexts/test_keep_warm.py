"""A binding that is in use is extended ahead of its end, where the server is told to."""

import asyncio
from datetime import timedelta

import pytest

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
LIFE = 2
LATE = LIFE / 4
ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""


async def use_until(client, context, done):
    """Use a context again and again until a condition holds."""
    while not done():
        await client.chat(context)
        await asyncio.sleep(0.04)


def moves(gateway, context):
    """Return the requests that moved a binding's end."""
    return [r for r in gateway.requests if r.method == "PATCH" and context.upstream_id in r.path]


async def is_cold(client, context):
    return (await client.get(context)).state == pb.CONTEXT_STATE_COLD


async def restored(client, context):
    return (await client.get(context)).statistics.restore_count > 0


@ONE_STORE
async def test_a_binding_in_use_is_extended_ahead_of_its_end_within_its_budget(
    clients, gateway, eventually
):
    async with (
        clients(keep_warm=True) as warm,
        clients(keep_warm=True, keep_warm_max_token_hours=1e-9) as poor,
        clients() as plain,
    ):
        used = await warm.made(GEMINI, ttl=LIFE)
        unused = await warm.made(GEMINI, ttl=LIFE)
        sliding = await warm.made(ARK)
        others = [(client, await client.made(GEMINI, ttl=LIFE)) for client in (poor, plain)]

        async def use_past_its_end(client, context):
            while not await restored(client, context):
                await client.chat(context)
                await asyncio.sleep(0.1)

        await asyncio.wait_for(
            asyncio.gather(
                use_until(warm, used, lambda: len(moves(gateway, used)) == 2),
                warm.chat(sliding),
                *(use_past_its_end(client, context) for client, context in others),
            ),
            30,
        )
        await eventually(lambda: is_cold(warm, unused))
        kept = await warm.get(used)

    first, second = moves(gateway, used)
    made = used.create_time.ToNanoseconds() / 1e9
    for before, moved in ((made, first), (first.time, second)):
        assert moved.json["ttl"] == f"{LIFE}s"
        assert LIFE - LATE - 0.1 <= moved.time - before <= LIFE
    assert kept.upstream_id == used.upstream_id
    assert kept.statistics.restore_count == 0
    for context in (unused, sliding, *(context for _, context in others)):
        assert moves(gateway, context) == []


async def test_extending_does_not_undo_a_change(clients, gateway, monkeypatch, eventually):
    # From the first use on, so that nobody has to wait.
    monkeypatch.setattr("contextbridge_server.contexts.warmth.LATE", 1)
    async with clients(keep_warm=True) as client:
        context = await client.made(GEMINI, ttl=600, display_name="keeper")
        call = asyncio.create_task(client.chat(context, model=f"{GEMINI}+delay=0.2"))
        await gateway.wait_for_open(1)
        await client.update(context, display_name="warden")
        await call

        async def is_extended():
            return (await client.get(context)).expire_time != context.expire_time

        await eventually(is_extended)

        assert len(moves(gateway, context)) == 1
        assert (await client.get(context)).display_name == "warden"


@ONE_STORE
async def test_what_keeping_warm_costs_is_bounded_by_the_day(clients, gateway, monkeypatch):
    monkeypatch.setattr("contextbridge_server.contexts.warmth.LATE", 1)
    tokens, bound = 100, timedelta(milliseconds=200)
    hours = tokens * bound / timedelta(hours=1)
    async with clients(keep_warm=True, keep_warm_max_token_hours=hours) as client:
        context = await client.made(GEMINI, prefix="lamp " * tokens, ttl=600)
        for _ in range(10):
            await client.chat(context)
            await asyncio.sleep(0.05)

        kept = await client.get(context)

    assert context.usage.prompt_tokens == tokens
    extended = kept.expire_time.ToDatetime() - context.expire_time.ToDatetime()
    assert extended <= bound + timedelta(milliseconds=len(moves(gateway, context)))


@ONE_STORE
async def test_an_extension_that_fails_harms_no_call(clients, between, monkeypatch):
    monkeypatch.setattr("contextbridge_server.contexts.warmth.LATE", 1)
    async with clients(upstream=between.url, keep_warm=True, retry_max_attempts=1) as client:
        context = await client.made(GEMINI, ttl=600)
        between.refuse("/cachedContents/", 500)

        for _ in range(3):
            assert (await client.chat(context)).text

        assert (await client.get(context)).expire_time == context.expire_time
