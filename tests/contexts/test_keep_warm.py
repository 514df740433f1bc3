"""A binding that is in use is extended ahead of its end, where the server is told to."""

import asyncio
from datetime import UTC, timedelta

import pytest

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
LIFE = timedelta(minutes=10)
LATE = LIFE / 4
A_MOMENT = timedelta(seconds=1)
ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""


def moves(gateway, context):
    """Return the requests that moved a binding's end."""
    return [r for r in gateway.requests if r.method == "PATCH" and context.upstream_id in r.path]


async def use_moves_end_to(client, context, end):
    """Use a context, and tell where its binding's end is; no call waits until it is moved."""
    await client.chat(context)
    return (await client.get(context)).expire_time.ToDatetime(UTC) == end


@ONE_STORE
async def test_a_binding_in_use_is_extended_ahead_of_its_end_within_its_budget(
    clients, clock, gateway, eventually
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

        for number in (1, 2):
            for wait in (LIFE - LATE, A_MOMENT):
                clock.now += wait
                for client, context in ((warm, used), (warm, sliding), *others):
                    await client.chat(context)
            # By its end, it was extended by the later of the two uses, and not by the earlier.
            await eventually(lambda: use_moves_end_to(warm, used, clock.now + LIFE))
            assert len(moves(gateway, used)) == number

        kept = await warm.get(used)
        assert (await warm.get(unused)).state == pb.CONTEXT_STATE_COLD
        for client, context in others:
            assert (await client.get(context)).statistics.restore_count == 1

    assert [moved.json["ttl"] for moved in moves(gateway, used)] == ["600s"] * 2
    assert kept.upstream_id == used.upstream_id
    assert kept.statistics.restore_count == 0
    for context in (unused, sliding, *(context for _, context in others)):
        assert moves(gateway, context) == []


async def test_extending_does_not_undo_a_change(clients, gateway, monkeypatch, eventually):
    # From the first use on, so that nobody has to wait.
    monkeypatch.setattr("contextbridge_server.contexts.binding_refresher.LATE", 1)
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
async def test_what_keeping_warm_costs_is_bounded_by_the_day(
    clients, clock, gateway, monkeypatch, eventually
):
    monkeypatch.setattr("contextbridge_server.contexts.binding_refresher.LATE", 1)
    tokens, uses, bound = 100, 4, timedelta(seconds=4)
    hours = tokens * bound / timedelta(hours=1)
    # No use may be on another day than the first.
    clock.now = clock.now.replace(hour=12)
    async with clients(keep_warm=True, keep_warm_max_token_hours=hours) as client:
        context = await client.made(GEMINI, prefix="lamp " * tokens, ttl=LIFE)
        for _ in range(uses):
            clock.now += bound / uses
            await eventually(lambda: use_moves_end_to(client, context, clock.now + LIFE))
        for _ in range(uses):
            clock.now += bound / uses
            await client.chat(context)

        kept = await client.get(context)

    assert context.usage.prompt_tokens == tokens
    assert kept.expire_time.ToDatetime() - context.expire_time.ToDatetime() == bound
    assert len(moves(gateway, context)) == uses


@ONE_STORE
async def test_an_extension_that_fails_harms_no_call(clients, between, monkeypatch):
    monkeypatch.setattr("contextbridge_server.contexts.binding_refresher.LATE", 1)
    async with clients(upstream=between.url, keep_warm=True, retry_max_attempts=1) as client:
        context = await client.made(GEMINI, ttl=600)
        between.refuse("/cachedContents/", 500)

        for _ in range(3):
            assert (await client.chat(context)).text

        assert (await client.get(context)).expire_time == context.expire_time
