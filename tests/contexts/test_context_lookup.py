"""Contexts as the response cache sees them: what counts as one, and what prolongs their lives."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from contextbridge import v1 as pb
from contextbridge_server.contexts.context_lookup import ContextLookup
from contextbridge_server.contexts.identity import content_identity_of
from contextbridge_server.contexts.owners import SLIDING_LIFE, OwnerRecords
from contextbridge_server.contexts.records import ContextRecords
from contextbridge_server.contexts.upstream_names import named_context
from contextbridge_server.errors import BridgeError
from contextbridge_server.request_context import ANYONE, Caller, RequestContext
from contextbridge_server.store.keys import context_key, owner_key
from contextbridge_server.store.vault import Vault

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
FIXED = {"mode": pb.CONTEXT_MODE_COMMON_PREFIX}
MISSING = "context-" + "0" * 26
HOUR = timedelta(hours=1)
ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""


class Cache:
    """What the response cache does with contexts, at a time that a test sets."""

    def __init__(self, store):
        self.store = store
        self.ahead = timedelta(0)
        self._contexts = ContextLookup(
            ContextRecords(store, Vault(), 1024), OwnerRecords(store), self.now
        )

    def now(self):
        return datetime.now(UTC) + self.ahead

    async def of(self, context, tenant=ANYONE.tenant, *, native=False):
        context_id = context if isinstance(context, str) else context.id
        return await self._contexts.of(context_id, asker_of(tenant), native=native)

    async def used(self, named, tenant=ANYONE.tenant):
        await self._contexts.used(named, asker_of(tenant))

    async def hit(self, context, ahead=timedelta(0)):
        """Answer a call from the cache, so much later than now."""
        self.ahead = ahead
        await self.used(await self.of(context))

    async def life(self, context, part="record"):
        """Return how much longer a part of a context lives."""
        key = context_key(ANYONE.tenant, context.id, part)
        return timedelta(milliseconds=await self.store.execute("PTTL", key))


def asker_of(tenant):
    return RequestContext("request-1", caller=Caller("caller", tenant))


async def reason_of(work):
    with pytest.raises(BridgeError) as caught:
        await work
    return pb.ErrorReason.Name(caught.value.reason).removeprefix("ERROR_REASON_")


@pytest.fixture(name="cache")
def cache_fixture(store):
    return Cache(store)


# What counts as one.


async def test_contexts_of_one_content_are_one_whatever_else_they_are(client, cache):
    contexts = [
        await client.made(GEMINI),
        await client.made("models/" + GEMINI, ttl=7200, display_name="Keeper"),
        await client.made("gemini-2.5-pro", recovery=pb.RECOVERY_NEVER),
        await client.made(GEMINI, reuse=pb.REUSE_IDENTICAL, idempotency_key="r-1"),
    ]

    named = [await cache.of(context) for context in contexts]

    assert len({context.id for context in contexts}) == 4
    assert len({each.content for each in named}) == 1
    assert not any(each.is_session for each in named)


@ONE_STORE
@pytest.mark.parametrize("reuse", [pb.REUSE_NEVER, pb.REUSE_IDENTICAL])
@pytest.mark.parametrize("size", [1, 200_000])
async def test_a_context_counts_by_the_hash_of_what_it_was_made_from(size, reuse, client, cache):
    context = await client.made(GEMINI, "x" * size, reuse=reuse, ttl=7200)

    expected = content_identity_of({"messages": [{"role": "system", "content": "x" * size}]})
    assert (await cache.of(context)).content == f"content:{expected}"


@ONE_STORE
async def test_what_differs_in_content_is_two(client, cache):
    made = [
        await client.made(GEMINI),
        await client.made(GEMINI, "You keep the lighthouse at Skye."),
        await client.made(GEMINI, **FIXED),
    ]

    assert len({(await cache.of(context)).content for context in made}) == 3


@ONE_STORE
async def test_a_session_is_told_from_a_fixed_prefix_by_either_id(client, cache):
    session, fixed = await client.made(ARK), await client.made(ARK, **FIXED)

    for context, is_session in ((session, True), (fixed, False)):
        for name in (context.id, context.upstream_id):
            assert (await cache.of(name)).is_session is is_session


async def test_a_binding_counts_as_its_context_however_it_is_spelled(client, cache):
    context = await client.made(GEMINI)
    upstream_id = context.upstream_id
    bare = upstream_id.rpartition("/")[2]

    expected = (await cache.of(context)).content

    for name in (upstream_id, upstream_id.upper(), f"projects/7/cachedContents/{bare}"):
        assert (await cache.of(name)).content == expected
        assert (await cache.of(name, native=True)).content == expected
    assert (await cache.of(bare, native=True)).content == expected


async def test_a_binding_that_was_made_again_counts_as_its_context_too(client, gateway, cache):
    context = await client.made(GEMINI)
    gateway.expire(context.upstream_id)
    await client.chat(context)
    after = await client.get(context)

    named = await cache.of(after.upstream_id)

    assert after.upstream_id != context.upstream_id
    assert named.content == (await cache.of(context)).content


@ONE_STORE
async def test_an_id_that_is_only_upstreams_counts_by_itself(cache):
    for name in ("cachedContents/c1", "projects/7/cachedContents/C1", "ctx-1", "a/ctx-1"):
        assert (await cache.of(name)).content == f"upstream:{name}"
    assert (await cache.of("C1", native=True)).content == "upstream:C1"
    assert not (await cache.of("ctx-1")).is_session


@ONE_STORE
async def test_another_tenants_binding_counts_as_nobodys(tenants, cache):
    async with tenants() as (acme, _):
        context = await acme.made(GEMINI)

    assert (await cache.of(context, "acme")).content.startswith("content:")
    assert (
        await cache.of(context.upstream_id, "bolt")
    ).content == f"upstream:{context.upstream_id}"
    assert await reason_of(cache.of(context, "bolt")) == "CONTEXT_NOT_FOUND"


@ONE_STORE
@pytest.mark.parametrize("model", [ARK, GEMINI])
async def test_the_binding_of_a_deleted_context_counts_by_itself(model, client, cache):
    context = await client.made(model)
    await client.delete(context)

    assert (await cache.of(context.upstream_id)).content.startswith("upstream:")
    assert await reason_of(cache.of(context)) == "CONTEXT_NOT_FOUND"


@ONE_STORE
async def test_a_context_of_before_hashes_were_noted_counts_by_its_id(client, cache):
    context = await client.made(GEMINI)
    key = context_key(ANYONE.tenant, context.id, "record")
    await cache.store.execute("HDEL", key, "content_identity")

    for name in (context.id, context.upstream_id):
        assert (await cache.of(name)).content == f"context:{context.id}"
    assert (await client.get(context)).id == context.id


@ONE_STORE
async def test_no_name_is_no_context_and_an_unknown_one_is_not_found(cache):
    none = await cache.of("")
    await cache.used(none)

    assert (none.content, none.is_session) == ("", False)
    assert await reason_of(cache.of(MISSING)) == "CONTEXT_NOT_FOUND"


# What prolongs lives.


@pytest.mark.parametrize("model", [ARK, GEMINI])
async def test_an_answer_from_the_cache_begins_retention_anew_and_counts_nothing(
    model, client, cache
):
    context = await client.made(model, retention=3600, **FIXED)
    for part in ("record", "content"):
        key = context_key(ANYONE.tenant, context.id, part)
        await cache.store.execute("PEXPIRE", key, 60_000)

    await cache.hit(context, timedelta(minutes=30))

    after = await client.get(context)
    moved = after.retain_until.ToDatetime() - context.retain_until.ToDatetime()
    assert abs(moved - timedelta(minutes=30)) < timedelta(seconds=20)
    for part in ("record", "content"):
        assert abs(await cache.life(context, part) - HOUR) < timedelta(seconds=20)
    assert after.statistics.call_count == 0
    assert after.update_time == context.update_time
    assert after.expire_time == context.expire_time


async def test_answers_within_a_minute_are_noted_once(client, cache):
    context = await client.made(GEMINI, retention=3600)
    ends = []
    for seconds in (0, 30, 90, 120, 155):
        await cache.hit(context, timedelta(seconds=seconds))
        ends.append((await client.get(context)).retain_until.ToDatetime())

    assert ends[0] == ends[1] == context.retain_until.ToDatetime()
    assert ends[1] < ends[2] == ends[3] < ends[4]


@ONE_STORE
async def test_a_context_of_a_brief_retention_lives_on_by_answers_from_the_cache(client, cache):
    context = await client.made(GEMINI, retention=4)

    for _ in range(15):
        await cache.hit(context)
        await asyncio.sleep(0.3)

    assert (await client.get(context)).id == context.id


async def test_a_later_use_is_never_undone_by_an_earlier_one(client, cache):
    context = await client.made(GEMINI, retention=3600)
    stale = await cache.of(context)
    await cache.hit(context, timedelta(minutes=30))
    before = await client.get(context)

    cache.ahead = timedelta(minutes=10)
    await cache.used(stale)

    assert (await client.get(context)).retain_until == before.retain_until
    # Of the retention, which now ends in an hour and a half, ten minutes have passed by this clock.
    assert abs(await cache.life(context) - timedelta(minutes=80)) < timedelta(seconds=20)


async def test_what_was_deleted_meanwhile_stays_deleted(client, engine, cache):
    context = await client.made(GEMINI)
    named = await cache.of(context)
    await client.delete(context)
    before = sorted(key for keys in await engine.each("KEYS", "*") for key in keys)

    cache.ahead = HOUR
    await cache.used(named)

    assert sorted(key for keys in await engine.each("KEYS", "*") for key in keys) == before


@ONE_STORE
async def test_what_is_not_restored_has_no_retention_to_begin_anew(client, cache):
    context = await client.made(GEMINI, recovery=pb.RECOVERY_NEVER)
    key = context_key(ANYONE.tenant, context.id, "record")
    before = await cache.store.execute("HGETALL", key), await cache.life(context)

    await cache.hit(context, HOUR)

    assert await cache.store.execute("HGETALL", key) == before[0]
    assert await cache.life(context) <= before[1]


@ONE_STORE
async def test_a_call_by_upstreams_id_prolongs_nothing_as_it_would_upstream(client, cache):
    context = await client.made(GEMINI)

    await cache.hit(context.upstream_id, HOUR)

    assert (await client.get(context)).retain_until == context.retain_until


@ONE_STORE
@pytest.mark.parametrize(
    "days, is_renewed", [(0, False), (1, True)], ids=["the same day", "the next day"]
)
async def test_on_another_day_the_owner_of_a_sliding_binding_is_noted_again(
    days, is_renewed, client, cache
):
    context = await client.made(ARK, **FIXED)
    key = owner_key(named_context(context.upstream_id).key)
    await cache.store.execute("PEXPIRE", key, 60_000)

    # Near midnight, two minutes later may be another day.
    made = context.create_time.ToDatetime(UTC)
    rest_of_day = made.replace(hour=23, minute=59, second=50) - made
    same_day = max(min(timedelta(minutes=2), rest_of_day), timedelta(0))
    await cache.hit(context, timedelta(days=1) if days else same_day)

    life = timedelta(milliseconds=await cache.store.execute("PTTL", key))
    assert (abs(life - SLIDING_LIFE) < timedelta(minutes=1)) is is_renewed


@ONE_STORE
async def test_a_store_that_is_away_is_no_failure_of_what_was_answered(client, cache, open_store):
    context = await client.made(GEMINI)
    named = await cache.of(context)
    async with open_store("valkey://127.0.0.1:1") as absent:
        away = Cache(absent)
        away.ahead = HOUR

        await away.used(named)

        for name in (context.id, context.upstream_id):
            assert await reason_of(away.of(name)) == "STORE_UNAVAILABLE"
