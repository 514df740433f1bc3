"""Contexts as callers see them: made, read, listed, changed, deleted, and at last forgotten."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
MODELS = (ARK, GEMINI)
ID = re.compile(r"context-[0-9a-hjkmnp-tv-z]{26}")
MISSING = "context-" + "0" * 26
LIVES = """
local lives = {}
for place, key in ipairs(redis.call('KEYS', '*' .. ARGV[1] .. '*')) do
  lives[place] = redis.call('PTTL', key)
end
return lives
"""
"""How long the keys of a context live on, in milliseconds, on one server."""
ONE_STORE = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""
KEPT = 3
"""Seconds that a context is kept after its use: long enough that the next use comes in time."""
PRICES = """
currency = "USD"
[[prices]]
model = "gemini-2.5-*"
input = 2
cached_input = 0.5
output = 10
storage = 1000000
"""


def seconds(number):
    result = Duration()
    result.FromTimedelta(timedelta(seconds=number))
    return result


def ids(page):
    return [context.id for context in page.contexts]


def life_of(context):
    """Return until when a binding lives, counted from now, in seconds."""
    return (context.expire_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds()


def still(context):
    """Return a context without what changes while one looks."""
    result = pb.Context()
    result.CopyFrom(context)
    result.statistics.ClearField("token_hours")
    return result


def creations(gateway):
    return [record for record in gateway.requests if record.path == "/v1/context/create"]


async def is_cold(client, context):
    return (await client.get(context)).state == pb.CONTEXT_STATE_COLD


async def is_missing(client, context):
    call = client.call("GetContext", pb.GetContextRequest(id=context.id))
    return await call.code() == grpc.StatusCode.NOT_FOUND


async def lives_of(engine, context):
    return [life for found in await engine.each("EVAL", LIVES, 0, context.id) for life in found]


async def keys_of(engine):
    return sorted(key.decode() for keys in await engine.each("KEYS", "*") for key in keys)


# Made and read.


@pytest.mark.parametrize("model", MODELS)
async def test_an_id_is_the_bridges_own_and_stays_when_the_binding_changes(model, client, gateway):
    context = await client.made(model)
    gateway.expire(context.upstream_id)

    await client.chat(context)
    after = await client.get(context)

    assert ID.fullmatch(context.id)
    assert after.id == context.id
    assert after.upstream_id != context.upstream_id
    assert after.create_time == context.create_time


@pytest.mark.parametrize("model", MODELS)
async def test_what_was_created_is_what_is_read(model, client):
    context = await client.made(
        model,
        ttl=7200,
        retention=1_000_000,
        display_name="Keeper 🌊",
        recovery=pb.RECOVERY_RESTORE,
        truncation_strategy=pb.TruncationStrategy(
            type="last_history_tokens", last_history_tokens=9
        ),
    )

    assert still(await client.get(context)) == still(context)
    assert context.display_name == "Keeper 🌊"
    assert context.recovery == pb.RECOVERY_RESTORE
    assert context.state == pb.CONTEXT_STATE_WARM
    assert context.retention.seconds == 1_000_000
    assert context.ttl.seconds == 7200
    kept = context.retain_until.ToDatetime() - context.create_time.ToDatetime()
    assert abs(kept - timedelta(seconds=1_000_000)) < timedelta(milliseconds=2)


@ONE_STORE
async def test_what_creating_did_not_say_is_as_the_server_is_set(clients):
    async with clients(recovery="restore", retention="2h") as client:
        context = await client.made(GEMINI)
        longer = await client.made(GEMINI, ttl=86_400)

    assert context.recovery == pb.RECOVERY_RESTORE
    assert context.retention.seconds == 7200
    assert longer.retention.seconds == 86_400


@ONE_STORE
@pytest.mark.parametrize("context_id", [MISSING, "ctx-1", "", "context-", MISSING + "0"])
async def test_an_id_that_names_nothing_is_not_found(context_id, client, failure):
    for call in (client.get, client.update, client.delete):
        arguments = {"display_name": "x"} if call == client.update else {}

        failed = await failure(call(context_id, **arguments))

        assert failed.code == grpc.StatusCode.NOT_FOUND
        assert failed.reason == "CONTEXT_NOT_FOUND"
        assert failed.metadata == {"contextId": context_id}


# Listed.


async def test_a_list_is_empty_where_nothing_was_made(client):
    page = await client.list()

    assert not page.contexts
    assert not page.next_page_token


async def test_a_list_has_the_newest_first_page_by_page(client):
    made = [(await client.made(display_name=str(number))).id for number in range(7)]

    pages, token = [], ""
    while True:
        page = await client.list(page_size=3, page_token=token)
        pages.append(ids(page))
        token = page.next_page_token
        if not token:
            break

    assert pages == [made[:-4:-1], made[-4:-7:-1], made[:1]]
    assert ids(await client.list()) == made[::-1]
    assert ids(await client.list(page_size=5000)) == made[::-1]


async def test_a_page_is_stable_while_contexts_come_and_go(client):
    made = [await client.made() for _ in range(5)]
    first = await client.list(page_size=2)

    await client.delete(made[3])
    await client.delete(made[2])
    await client.made()
    rest = await client.list(page_size=9, page_token=first.next_page_token)

    assert ids(first) == [made[4].id, made[3].id]
    assert ids(rest) == [made[1].id, made[0].id]


async def test_a_listed_context_is_as_it_is_read(client, gateway):
    context = await client.made(GEMINI)
    gateway.expire()
    await client.chat(context)

    (listed,) = (await client.list()).contexts

    assert still(listed) == still(await client.get(context))
    assert listed.statistics.restore_count == 1


@ONE_STORE
async def test_a_list_is_filtered_by_model_and_state(client, brief_lives, eventually):
    brief = [(await client.made(model)).id for model in MODELS]
    lasting = [(await client.made(model, ttl=3600)).id for model in MODELS]

    async def are_cold():
        return len((await client.list(state=pb.CONTEXT_STATE_COLD)).contexts) == len(brief)

    await eventually(are_cold)

    async def listed(**filters):
        return ids(await client.list(**filters))

    cold, warm = pb.CONTEXT_STATE_COLD, pb.CONTEXT_STATE_WARM
    assert await listed(state=cold) == brief[::-1]
    assert await listed(state=warm) == lasting[::-1]
    assert await listed(model=GEMINI) == [lasting[1], brief[1]]
    assert await listed(model=f"models/{GEMINI}") == [lasting[1], brief[1]]
    assert await listed(model=ARK, state=cold) == [brief[0]]
    assert await listed(model=ARK, state=cold, page_size=1) == [brief[0]]
    assert await listed(model="gemini-2.5") == []


async def test_a_filtered_list_looks_past_what_does_not_fit(client):
    fitting = [(await client.made(GEMINI)).id for _ in range(3)]
    for _ in range(12):
        await client.made(ARK)

    found, token = [], ""
    while True:
        page = await client.list(model=GEMINI, page_size=2, page_token=token)
        found += ids(page)
        assert len(page.contexts) <= 2
        token = page.next_page_token
        if not token:
            break

    assert found == fitting[::-1]


@ONE_STORE
@pytest.mark.parametrize(
    "field, request_fields",
    [
        ("page_size", {"page_size": -1}),
        ("page_token", {"page_token": "nonsense"}),
        ("page_token", {"page_token": "Zm9v"}),
        ("page_token", {"page_token": "Ärger"}),
        ("state", {"state": 99}),
    ],
)
async def test_a_list_that_cannot_be_is_refused(field, request_fields, client, failure):
    failed = await failure(client.list(**request_fields))

    assert failed.reason == "REQUEST_INVALID"
    assert list(failed.violations) == [field]


# Changed.


async def test_a_ttl_moves_the_end_of_a_gemini_binding_upstream(client, gateway, asked):
    context = await client.made(GEMINI, ttl=300)
    asked()

    changed = await client.update(context, ttl=seconds(900))

    assert asked() == ["move"]
    moved = gateway.requests[-1]
    assert moved.path.endswith(context.upstream_id)
    assert moved.json["ttl"] == "900s"
    assert changed.ttl.seconds == 900
    assert 895 < life_of(changed) < 901
    assert changed.update_time.ToNanoseconds() > context.update_time.ToNanoseconds()
    assert still(await client.get(context)) == still(changed)


async def test_an_expire_time_moves_it_too(client, asked):
    context = await client.made(GEMINI, ttl=300)
    asked()
    end = datetime.now(UTC) + timedelta(hours=3)
    request = pb.UpdateContextRequest(id=context.id)
    request.expire_time.FromDatetime(end)

    changed = (await client.call("UpdateContext", request)).context

    assert asked() == ["move"]
    assert abs(life_of(changed) - 3 * 3600) < 5
    assert still(await client.get(context)) == still(changed)


async def test_a_ttl_is_for_an_ark_contexts_next_binding(client, gateway, asked):
    context = await client.made(ARK, ttl=3600)
    asked()

    changed = await client.update(context, ttl=seconds(7200))
    gateway.expire()
    await client.chat(context)

    assert asked() == ["chat 404", "create", "chat"]
    assert gateway.requests[-2].json["ttl"] == 7200
    assert changed.ttl.seconds == 7200
    assert changed.expire_time == context.expire_time
    assert life_of(await client.get(context)) > 3700


async def test_a_use_moves_an_ark_bindings_end_as_upstream_does_whatever_the_next_ttl_is(client):
    context = await client.made(ARK, ttl=3600)
    await client.update(context, ttl=seconds(7200))

    await client.chat(context)

    assert 3590 < life_of(await client.get(context)) <= 3600


@ONE_STORE
async def test_a_ttl_of_a_cold_context_is_for_its_next_binding(
    client, asked, brief_lives, eventually
):
    context = await client.made(GEMINI)
    await eventually(lambda: is_cold(client, context))
    asked()

    changed = await client.update(context, ttl=seconds(600))
    await client.chat(context)

    assert changed.state == pb.CONTEXT_STATE_COLD
    assert asked() == ["create", "chat"]
    assert 590 < life_of(await client.get(context)) <= 600


@ONE_STORE
@pytest.mark.parametrize("dialect", ["gemini-api", "vertex-expired", "vertex-reaped"])
async def test_a_ttl_for_a_binding_that_upstream_has_lost_is_for_the_next(
    dialect, client, gateway, asked
):
    context = await client.made(GEMINI, ttl=300)
    gateway.expire(context.upstream_id, dialect=dialect)
    asked()

    changed = await client.update(context, ttl=seconds(600))
    await client.chat(context)

    assert changed.state == pb.CONTEXT_STATE_COLD
    assert asked()[1:] == ["create", "chat"]
    assert 590 < life_of(await client.get(context)) <= 600


@ONE_STORE
async def test_a_ttl_that_upstream_refuses_changes_nothing(clients, between, failure):
    async with clients(upstream=between.url, retry_max_attempts=1) as client:
        context = await client.made(GEMINI, ttl=300)
        between.refuse("/cachedContents/", 503)

        failed = await failure(client.update(context, ttl=seconds(900), display_name="x"))

        assert failed.reason == "UPSTREAM_UNAVAILABLE"
        assert still(await client.get(context)) == still(context)


async def test_a_retention_moves_what_a_context_is_kept_until(client, asked):
    context = await client.made(retention=7200)
    asked()

    changed = await client.update(context, retention=seconds(86_400))

    assert asked() == []
    assert changed.retention.seconds == 86_400
    moved = changed.retain_until.ToDatetime() - context.retain_until.ToDatetime()
    assert moved == timedelta(seconds=86_400 - 7200)
    assert still(await client.get(context)) == still(changed)


@ONE_STORE
async def test_a_retention_that_is_cleared_is_the_servers(clients):
    async with clients(retention="3h") as client:
        context = await client.made(GEMINI, retention=60)

        changed = await client.update(context, "retention")

    assert context.retention.seconds == 60
    assert changed.retention.seconds == 3 * 3600


async def test_a_name_is_changed_kept_and_cleared(client, asked):
    context = await client.made(display_name="keeper", ttl=3600)
    asked()

    async def name_after(*mask, **fields):
        await client.update(context, *mask, **fields)
        return (await client.get(context)).display_name

    assert await name_after(display_name="warden") == "warden"
    assert await name_after(retention=seconds(90_000)) == "warden"
    assert await name_after("retention", display_name="x", retention=seconds(5)) == "warden"
    assert await name_after("display_name") == ""
    assert asked() == []


async def test_a_change_leaves_the_rest(client):
    context = await client.made(GEMINI, ttl=300, retention=4000, display_name="keeper")

    await client.update(context, display_name="warden")

    changed = await client.get(context)
    assert changed.ttl == context.ttl
    assert changed.retention == context.retention
    assert changed.expire_time == context.expire_time
    assert changed.retain_until == context.retain_until


async def test_changes_at_once_do_not_undo_one_another(client):
    context = await client.made(GEMINI, ttl=300, display_name="keeper")

    for number in range(10):
        await asyncio.gather(
            client.update(context, display_name=f"warden {number}"),
            client.update(context, retention=seconds(50_000 + number)),
            client.update(context, ttl=seconds(900 + number)),
        )
        changed = await client.get(context)

        assert changed.display_name == f"warden {number}"
        assert changed.retention.seconds == 50_000 + number
        assert changed.ttl.seconds == 900 + number


async def test_a_call_that_ends_does_not_undo_a_change(client, gateway, engine):
    context = await client.made(GEMINI, retention=60)

    call = asyncio.create_task(client.chat(context, model=f"{GEMINI}+delay=0.2"))
    await gateway.wait_for_open(1)
    await client.update(context, retention=seconds(6000))
    await call

    assert (await client.get(context)).retention.seconds == 6000
    # What is stored of it lives as long.
    lives = await lives_of(engine, context)
    assert len(lives) == len(("record", "content"))
    assert min(lives) > 5_000_000


async def test_a_call_that_ends_does_not_cut_a_life_that_was_raised_meanwhile(
    client, gateway, engine
):
    context = await client.made(GEMINI, ttl=60, recovery=pb.RECOVERY_NEVER)

    call = asyncio.create_task(client.chat(context, model=f"{GEMINI}+delay=0.2"))
    await gateway.wait_for_open(1)
    await client.update(context, ttl=seconds(6000))
    await call

    (life,) = await lives_of(engine, context)
    assert life > 5_000_000


@ONE_STORE
@pytest.mark.parametrize(
    "field, mask, fields",
    [
        ("update_mask", (), {}),
        ("update_mask", ("upstream_id",), {}),
        ("update_mask", ("*",), {}),
        ("update_mask", ("display_name", "model"), {"display_name": "x"}),
        ("ttl", ("ttl",), {}),
        ("expire_time", ("expire_time",), {}),
        ("ttl", (), {"ttl": 0}),
        ("ttl", (), {"ttl": -5}),
        ("ttl", (), {"ttl": 1.5}),
        ("retention", (), {"retention": 0}),
        ("retention", (), {"retention": -1}),
        ("retention", (), {"retention": 3651 * 86_400}),
        ("display_name", (), {"display_name": "x" * 129}),
    ],
)
async def test_a_change_that_cannot_be_is_refused(field, mask, fields, client, failure, asked):
    context = await client.made(GEMINI, display_name="keeper")
    asked()
    given = {k: v if isinstance(v, str) else seconds(v) for k, v in fields.items()}

    failed = await failure(client.update(context, *mask, **given))

    assert failed.reason == "REQUEST_INVALID"
    assert list(failed.violations) == [field]
    assert asked() == []
    assert still(await client.get(context)) == still(context)


@ONE_STORE
async def test_a_ttl_and_an_expire_time_together_are_refused(client, failure):
    context = await client.made(GEMINI)
    request = pb.UpdateContextRequest(id=context.id, ttl=seconds(60))
    request.expire_time.GetCurrentTime()

    failed = await failure(client.call("UpdateContext", request))

    assert list(failed.violations) == ["expire_time"]


# Deleted.


@pytest.mark.parametrize("model", MODELS)
async def test_deleting_leaves_nothing_in_the_store(model, client, engine, failure, asked):
    before = await keys_of(engine)
    context = await client.made(model, mode=pb.CONTEXT_MODE_SESSION if model == ARK else 0)
    await client.chat(context)
    between = await keys_of(engine)
    asked()

    await client.delete(context)

    after = await keys_of(engine)
    assert any(context.id in key for key in between)
    assert not any(context.id in key for key in after)
    assert [key for key in after if "/owner/" not in key] == before
    assert asked() == (["delete"] if model == GEMINI else [])
    for call in (client.get, client.delete, client.chat):
        argument = context if call == client.chat else context.id
        assert (await failure(call(argument))).reason == "CONTEXT_NOT_FOUND"
    assert asked() == []
    assert not (await client.list()).contexts


@ONE_STORE
async def test_deleting_what_upstream_has_lost_already_succeeds(client, gateway, asked):
    context = await client.made(GEMINI)
    gateway.expire()
    asked()

    await client.delete(context)

    assert asked() in (["delete 403"], ["delete 400"], ["delete 404"])


@ONE_STORE
async def test_deleting_succeeds_where_upstream_fails(clients, between, failure):
    async with clients(upstream=between.url, retry_max_attempts=1) as client:
        context = await client.made(GEMINI)
        between.refuse("/cachedContents/", 500)

        await client.delete(context)

        assert (await failure(client.get(context))).reason == "CONTEXT_NOT_FOUND"


async def test_of_deletions_at_once_one_succeeds(client):
    context = await client.made(GEMINI)

    ends = await asyncio.gather(*(client.delete(context) for _ in range(5)), return_exceptions=True)

    assert sum(end is None for end in ends) == 1


# Other tenants.


async def test_another_tenants_context_is_a_missing_one(tenants, failure, asked):
    async with tenants() as (acme, bolt):
        context = await acme.made(GEMINI)
        asked()
        missing = pb.Context(id=MISSING, model=GEMINI)
        calls = {
            "get": bolt.get,
            "update": lambda c: bolt.update(c, display_name="mine"),
            "delete": bolt.delete,
            **{
                way: lambda c, way=way: bolt.ask(way, c)
                for way in ("chat", "stream", "generate", "stream_generate", "count")
            },
        }

        for name, call in calls.items():
            theirs, nobodys = await failure(call(context)), await failure(call(missing))

            assert theirs.code == grpc.StatusCode.NOT_FOUND, name
            assert theirs.reason == "CONTEXT_NOT_FOUND", name
            assert theirs.details == nobodys.details, name
        assert asked() == []
        assert not (await bolt.list()).contexts
        assert still(await acme.get(context)) == still(context)


# Kept, and forgotten.


@ONE_STORE
async def test_after_its_retention_a_context_is_gone(client, engine, failure, eventually, asked):
    before = await keys_of(engine)
    context = await client.made(GEMINI, retention=0.2)
    asked()

    async def is_gone():
        keys = await keys_of(engine)
        return not any(context.id in key for key in keys)

    await eventually(is_gone)

    for call in (client.get, client.delete):
        assert (await failure(call(context))).reason == "CONTEXT_NOT_FOUND"
    assert (await failure(client.chat(context))).reason == "CONTEXT_NOT_FOUND"
    assert not (await client.list()).contexts
    assert [key for key in await keys_of(engine) if "/owner/" not in key] == before
    assert asked() == []


@ONE_STORE
async def test_use_prolongs_retention(client):
    used = await client.made(GEMINI, retention=KEPT)
    unused = await client.made(GEMINI, retention=KEPT)

    while not await is_missing(client, unused):
        await client.chat(used)
        await asyncio.sleep(0.05)

    assert (await client.get(used)).retain_until.ToDatetime(UTC) > datetime.now(UTC)


@ONE_STORE
async def test_a_context_that_is_not_restored_ends_with_its_binding(
    client, eventually, brief_lives
):
    contexts = [await client.made(model, recovery=pb.RECOVERY_NEVER) for model in MODELS]

    for context in contexts:
        assert not context.HasField("retain_until")
        assert not context.HasField("retention")
        assert context.state == pb.CONTEXT_STATE_WARM
    for context in contexts:
        await eventually(lambda context=context: is_missing(client, context))


@ONE_STORE
async def test_an_ark_context_that_is_not_restored_lives_on_while_it_is_used(client, monkeypatch):
    life = timedelta(seconds=KEPT)
    monkeypatch.setattr("contextbridge_emulator.contexts._DEFAULT_TTL", life)
    context = await client.made(ARK, recovery=pb.RECOVERY_NEVER)
    unused = await client.made(ARK, recovery=pb.RECOVERY_NEVER)

    while not await is_missing(client, unused):
        await client.chat(context)
        await asyncio.sleep(0.05)

    assert (await client.get(context)).state == pb.CONTEXT_STATE_WARM


@ONE_STORE
async def test_a_retention_without_recovery_is_refused(client, failure, asked):
    created = await failure(client.made(retention=60, recovery=pb.RECOVERY_NEVER))

    assert list(created.violations) == ["retention"]
    assert asked() == []


@ONE_STORE
async def test_a_retention_for_what_is_not_restored_is_refused_later_too(client, failure):
    context = await client.made(recovery=pb.RECOVERY_NEVER)

    changed = await failure(client.update(context, retention=seconds(60)))

    assert list(changed.violations) == ["retention"]


@pytest.mark.parametrize("model", MODELS)
async def test_a_restored_binding_has_the_same_ttl(model, client, gateway, asked):
    context = await client.made(model, ttl=5000)
    gateway.expire()
    asked()

    await client.chat(context)

    assert [record.json["ttl"] for record in creations(gateway)] == [5000, 5000]
    restored = await client.get(context)
    assert restored.ttl == context.ttl
    assert 4990 < life_of(restored) <= 5000


@ONE_STORE
async def test_a_context_is_warm_until_its_binding_ends(client, eventually):
    context = await client.made(GEMINI, ttl=1)

    assert context.state == pb.CONTEXT_STATE_WARM
    assert life_of(context) <= 1
    await eventually(lambda: is_cold(client, context))
    cold = await client.get(context)
    assert life_of(cold) <= 0.1
    assert cold.expire_time == context.expire_time
    await client.chat(context)
    assert (await client.get(context)).expire_time.ToDatetime() > cold.expire_time.ToDatetime()


# What it cost.


@pytest.mark.parametrize("model", MODELS)
async def test_statistics_count_what_happened(model, client, gateway):
    context = await client.made(model, mode=pb.CONTEXT_MODE_COMMON_PREFIX)
    prefix_tokens = context.usage.prompt_tokens
    answers = [await client.chat(context, "One."), await client.stream(context, "Two.")]
    gateway.expire()
    answers.append(await client.chat(context, "Three."))

    counted = (await client.get(context)).statistics

    assert counted.call_count == 3
    assert counted.restore_count == 1
    assert counted.inline_count == 0
    assert counted.cache_creation_tokens == 2 * prefix_tokens
    assert counted.prompt_tokens == sum(answer.usage.prompt_tokens for answer in answers)
    assert counted.cached_tokens == 3 * prefix_tokens
    assert counted.completion_tokens == sum(a.usage.completion_tokens for a in answers)
    assert not counted.HasField("money")


@ONE_STORE
async def test_calls_that_fail_are_not_counted(client, failure):
    context = await client.made(GEMINI)

    await failure(client.chat(context, model=f"{GEMINI}+server-error"))
    await failure(client.stream(context, "count to 50", model=f"{GEMINI}+truncate-midstream"))

    assert (await client.get(context)).statistics.call_count == 0


@ONE_STORE
async def test_token_hours_grow_while_a_binding_is_held_and_not_longer(client, eventually):
    context = await client.made(GEMINI, prefix="lamp " * 3600, ttl=1)
    tokens = context.usage.prompt_tokens
    assert tokens >= 3600

    await eventually(lambda: is_cold(client, context))

    held = (await client.get(context)).statistics.token_hours
    assert held == pytest.approx(tokens / 3600, rel=0.06)
    await asyncio.sleep(0.2)
    later = (await client.get(context)).statistics.token_hours
    assert later == pytest.approx(tokens / 3600, rel=0.001)
    await client.chat(context)
    assert (await client.get(context)).statistics.token_hours > later


@ONE_STORE
async def test_statistics_tell_of_money_where_there_are_prices(clients, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    async with clients(prices_file=prices) as client:
        context = await client.made(GEMINI, prefix="lamp " * 1000)
        without = await client.made(ARK)
        answer = await client.chat(context)

        counted = (await client.get(context)).statistics
        assert not (await client.get(without)).statistics.HasField("money")

    usage, built = answer.usage, context.usage.prompt_tokens
    fresh = usage.prompt_tokens - usage.cached_tokens
    used = fresh * 2 + usage.cached_tokens * 0.5 + usage.completion_tokens * 10
    held = counted.token_hours * 1_000_000
    assert counted.money.currency == "USD"
    assert counted.money.spent_micros == pytest.approx(built * 2 + held + used, abs=2)
    assert counted.money.saved_micros == pytest.approx(usage.cached_tokens * 1.5, abs=1)
    missing = built * 2 + held - usage.cached_tokens * 1.5
    assert counted.money.break_even_call_count == -(-missing // (built * 1.5))
