"""A retry is a resume: what a request id names, how long, and what a late reader is told."""

import asyncio
import time
from contextlib import asynccontextmanager

import grpc
import pytest
from aiohttp import web

from contextbridge import v1 as pb
from families import CHAT, NATIVE, read, some, text_of, whole_text

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
COUNT = "count to 12"
NUMBERS = " ".join(map(str, range(1, 13)))
ONE_KIND = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""


FAMILIES = pytest.mark.parametrize("family", [CHAT, NATIVE], ids=["chat", "gemini"])


def told(event):
    """Return what a last event tells beside the answer."""
    last = event.completed if isinstance(event, pb.ChatWithContextResponse) else event
    return last.response_cache, last.billed_usage, last.context


async def begun(call, count=3) -> list:
    """Read the first events of a stream, and leave."""
    events = await some(call, count)
    call.cancel()
    return events


def answers_made(asked) -> list[str]:
    """Return the requests for answers since the last time."""
    return [word for word in asked() if not word.startswith("create")]


@pytest.fixture(name="pair")
def pair_fixture(clients):
    """Return what runs two bridges on one store: `async with pair() as (one, other)`."""

    @asynccontextmanager
    async def pair(**settings):
        async with clients(**settings) as one, clients(**settings) as other:
            yield one, other

    return pair


# The same id and the same body.


@FAMILIES
async def test_the_same_request_attaches_to_its_generation_while_that_runs(
    family, pair, requests, asked
):
    async with pair() as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.05", "idempotency_key": "once"}
        request = family.request(requests, context, **fields)
        call = one.call(family.stream, request)
        events = await some(call, 3)
        resume = family.request(requests, context, resume_after=2, **fields)

        streams = [read(client.call(family.stream, request)) for client in (one, other)]
        rests = [read(client.call(family.stream, resume)) for client in (one, other)]
        twins = [client.call(family.unary, request) for client in (one, other)]
        whole, *results = await asyncio.gather(read(call, events), *streams, *rests, *twins)

    assert results[:2] == [whole, whole]
    assert results[2:4] == [whole[2:], whole[2:]]
    assert text_of(whole) == NUMBERS
    assert [whole_text(answer) for answer in results[4:]] == [NUMBERS, NUMBERS]
    assert [event.sequence for event in whole] == list(range(1, len(whole) + 1))
    assert len(answers_made(asked)) == 1


@FAMILIES
async def test_the_same_request_replays_its_generation_after_that(family, pair, requests, asked):
    async with pair() as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.01", "idempotency_key": "once"}
        request = family.request(requests, context, **fields)
        whole = await read(one.call(family.stream, request))

        for client in (one, other):
            assert await read(client.call(family.stream, request)) == whole
            assert whole_text(await client.call(family.unary, request)) == NUMBERS
            for after in range(len(whole) + 1):
                resume = family.request(requests, context, resume_after=after, **fields)
                assert await read(client.call(family.stream, resume)) == whole[after:]
            # Whatever a stream has had of it, a whole answer is whole.
            assert whole_text(await client.call(family.unary, resume)) == NUMBERS

    assert len(answers_made(asked)) == 1


@ONE_KIND
async def test_many_first_calls_at_once_share_one_generation(pair, requests, asked):
    async with pair() as clients:
        context = await clients[0].made(GEMINI)
        request = requests.chatting(context, COUNT, idempotency_key="once")

        runs = await asyncio.gather(
            *(read(clients[n % 2].call("ChatWithContext", request)) for n in range(30))
        )

    assert all(run == runs[0] for run in runs)
    assert text_of(runs[0]) == NUMBERS
    assert len(answers_made(asked)) == 1


@ONE_KIND
async def test_a_generation_outlives_the_deadline_of_the_caller_who_began_it(pair, requests, asked):
    async with pair() as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.1", "idempotency_key": "once"}
        request = requests.chatting(context, COUNT, **fields)
        call = one.call("ChatWithContext", request, timeout=0.6)
        had: list = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read(call, had)
        resume = requests.chatting(context, COUNT, resume_after=len(had), **fields)
        rest = await read(other.call("ChatWithContext", resume))

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert text_of([*had, *rest]) == NUMBERS
    assert len(answers_made(asked)) == 1


@ONE_KIND
async def test_a_retry_is_a_resume_also_where_no_more_generations_may_be_begun(
    pair, requests, asked
):
    async with pair(tenant_max_journals=1) as (one, _):
        context = await one.made(GEMINI)
        request = requests.chatting(
            context, COUNT, model=f"{GEMINI}+pace=0.05", idempotency_key="once"
        )
        call = one.call("ChatWithContext", request)
        events = await some(call, 2)
        again = await one.call("CompleteChatWithContext", request)
        await read(call, events)

    assert whole_text(again) == text_of(events) == NUMBERS
    assert len(answers_made(asked)) == 1


# What comes with a known id and is not the same.


@ONE_KIND
async def test_another_request_under_a_known_id_is_refused(pair, requests, failure, asked):
    async with pair() as (one, other):
        context, another = await one.made(GEMINI), await one.made(GEMINI, "Another.")
        paced = {"model": f"{GEMINI}+pace=0.05", "idempotency_key": "once"}
        call = one.call("ChatWithContext", requests.chatting(context, COUNT, **paced))
        events = await some(call, 2)
        requests_ = [
            ("ChatWithContext", requests.chatting(context, "count to 13", **paced)),
            ("ChatWithContext", requests.chatting(another, COUNT, **paced)),
            ("ChatWithContext", requests.chatting(context, COUNT, idempotency_key="once")),
            ("ChatWithContext", requests.chatting(context, COUNT, temperature=0.5, **paced)),
            ("ChatWithContext", requests.chatting(context, "x", resume_after=2, **paced)),
            ("StreamGenerateContent", requests.generating(context, COUNT, **paced)),
        ]

        async def refusals():
            for client in (one, other):
                for method, request in requests_:
                    yield await failure(read(client.call(method, request)))
                    twin = {"ChatWithContext": "CompleteChatWithContext"}.get(method)
                    yield await failure(client.call(twin or "GenerateContent", request))

        running = [refusal async for refusal in refusals()]
        await read(call, events)
        ended = [refusal async for refusal in refusals()]

    assert len(running) == len(ended) == 24
    for refusal in (*running, *ended):
        assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
        assert refusal.reason == "IDEMPOTENCY_KEY_REUSED"
    assert len(answers_made(asked)) == 1


@ONE_KIND
async def test_the_same_id_of_another_tenant_is_another(tenants, requests, failure, asked):
    async with tenants() as (acme, bolt):
        context, own = await acme.made(GEMINI), await bolt.made(GEMINI)
        request = requests.chatting(context, COUNT, idempotency_key="once")
        whole = await read(acme.call("ChatWithContext", request))
        twice = requests.chatting(context, "Not hello", idempotency_key="twice")
        await read(acme.call("ChatWithContext", twice))
        inline = requests.generating("", COUNT, model=GEMINI, idempotency_key="inline")
        theirs = await read(acme.call("StreamGenerateContent", inline))
        asked()

        refused = await failure(read(bolt.call("ChatWithContext", request)))
        resume = requests.chatting(own, COUNT, idempotency_key="twice", resume_after=2)
        unknown = await failure(read(bolt.call("ChatWithContext", resume)))
        fresh = await read(
            bolt.call("ChatWithContext", requests.chatting(own, "Hello", idempotency_key="twice"))
        )
        mine = await read(bolt.call("StreamGenerateContent", inline))
        again = await read(acme.call("ChatWithContext", request))

    assert refused.reason == "CONTEXT_NOT_FOUND"
    assert unknown.reason == "NOT_RESUMABLE"
    assert "Hello" in text_of(fresh)
    assert again == whole
    assert text_of(mine) == text_of(theirs) == NUMBERS
    assert len(asked()) == 2


# Where there is nothing to go on with.


@ONE_KIND
@FAMILIES
async def test_an_unknown_id_begins_a_generation_and_cannot_be_gone_on_with(
    family, pair, requests, failure, asked
):
    async with pair() as (one, other):
        context = await one.made(GEMINI)
        resume = family.request(requests, context, idempotency_key="once", resume_after=3)
        for client in (one, other):
            refused = await failure(read(client.call(family.stream, resume)))
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.OUT_OF_RANGE,
                "NOT_RESUMABLE",
            )
        assert answers_made(asked) == []

        fresh = await read(
            one.call(family.stream, family.request(requests, context, idempotency_key="once"))
        )
        await read(other.call(family.stream, resume))

    assert text_of(fresh) == NUMBERS
    assert len(answers_made(asked)) == 1


@FAMILIES
async def test_what_lies_past_the_end_of_a_generation_is_refused(family, pair, requests, failure):
    async with pair() as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.03", "idempotency_key": "once"}
        call = one.call(family.stream, family.request(requests, context, **fields))
        events = await some(call, 2)
        past = family.request(requests, context, resume_after=99, **fields)
        waiting = [failure(read(c.call(family.stream, past))) for c in (one, other)]

        *early, whole = await asyncio.gather(*waiting, read(call, events))
        late = [await failure(read(c.call(family.stream, past))) for c in (one, other)]
        end = family.request(requests, context, resume_after=len(whole), **fields)
        empty = [await read(c.call(family.stream, end)) for c in (one, other)]

    for refused in (*early, *late):
        assert refused.code is grpc.StatusCode.OUT_OF_RANGE
        assert refused.reason == "NOT_RESUMABLE"
    assert empty == [[], []]


# Failures.


@ONE_KIND
@FAMILIES
async def test_a_generation_that_failed_before_its_first_event_is_begun_again(
    family, pair, requests, failure, between, asked
):
    between.refuse("v1", 500)
    async with pair(upstream=between.url, retry_max_attempts=1) as (one, other):
        inline = (
            requests.generating("", COUNT, model=GEMINI, idempotency_key="once")
            if family is NATIVE
            else requests.chatting("ctx-1", COUNT, model=ARK, idempotency_key="once")
        )
        failed = [
            await failure(read(client.call(family.stream, inline))) for client in (one, other, one)
        ]
        failed.append(await failure(other.call(family.unary, inline)))
        between.give_way()
        if family is CHAT:
            return
        resume = requests.generating(
            "", COUNT, model=GEMINI, idempotency_key="once", resume_after=1
        )
        refused = await failure(read(other.call(family.stream, resume)))
        fresh = await read(other.call(family.stream, inline))
        again = await read(one.call(family.stream, inline))

    assert {f.code for f in failed} == {grpc.StatusCode.INTERNAL}
    assert len({f.reason for f in failed}) == 1
    assert refused.reason == "NOT_RESUMABLE"
    assert text_of(fresh) == NUMBERS
    assert again == fresh
    assert len(answers_made(asked)) == 1


@ONE_KIND
@FAMILIES
async def test_the_others_go_on_when_a_generation_fails_before_its_first_event(
    family, pair, requests, between, gateway, asked
):
    arrived, go_on = asyncio.Event(), asyncio.Event()
    first = True

    async def rule(path, _):
        nonlocal first
        if first and ("ontent" in path or "completions" in path):
            first = False
            arrived.set()
            await go_on.wait()
            return web.Response(status=500, text="refused")
        return None

    async with pair(upstream=between.url, retry_max_attempts=1) as (one, other):
        context = await one.made(GEMINI)
        request = family.request(requests, context, idempotency_key="once")
        between.rule = rule
        payer = asyncio.create_task(read(one.call(family.stream, request)))
        await arrived.wait()
        waiters = [
            asyncio.create_task(read(client.call(family.stream, request)))
            for client in (one, other, one, other)
        ]
        await asyncio.sleep(0.2)  # They wait, or come once it has failed: the end is the same.
        go_on.set()
        with pytest.raises(grpc.aio.AioRpcError):
            await payer
        runs = await asyncio.gather(*waiters)

    assert all(run == runs[0] for run in runs)
    assert text_of(runs[0]) == NUMBERS
    assert len(answers_made(asked)) == 1


@ONE_KIND
@FAMILIES
@pytest.mark.parametrize(
    "fault", ["cut-midstream", "truncate-midstream", "error-midstream", "malformed-midstream"]
)
async def test_a_late_reader_of_a_failed_generation_is_told_what_the_first_was(
    fault, family, pair, requests, failure, asked
):
    async with pair() as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+{fault}+pace=0.02", "idempotency_key": "once"}
        request = family.request(requests, context, **fields)
        had: list = []
        first, beside = await asyncio.gather(
            failure(read(one.call(family.stream, request), had)),
            failure(other.call(family.unary, request)),
        )
        assert had

        for client in (one, other):
            for after in range(len(had) + 1):
                events: list = []
                resume = family.request(requests, context, resume_after=after, **fields)
                late = await failure(read(client.call(family.stream, resume), events))
                assert events == had[after:]
                assert late.details == first.details
                assert late.metadata.keys() - {"contextId"} == first.metadata.keys() - {"contextId"}
            assert (await failure(client.call(family.unary, request))).details == first.details

    assert beside.details == first.details
    assert len(answers_made(asked)) == 1


# What a caller is told.


@ONE_KIND
async def test_a_stream_says_whether_it_can_be_taken_up_again(pair, bridge, client_of, gateway):
    async with pair() as (one, other):
        context = await one.made(GEMINI)
        for client, fields, resumable in (
            (one, {}, False),
            (one, {"idempotency_key": "once"}, True),
            (one, {"idempotency_key": "once"}, True),
            (other, {"idempotency_key": "once"}, True),
            (one, {"response_cache": pb.ResponseCachePolicy(enabled=True)}, False),
            (other, {"response_cache": pb.ResponseCachePolicy(enabled=True)}, False),
            (
                one,
                {"response_cache": pb.ResponseCachePolicy(enabled=True), "idempotency_key": "hit"},
                True,
            ),
        ):
            request = pb.ChatWithContextRequest(
                context_id=context.id,
                model=GEMINI,
                messages=[pb.ChatMessage(role="user", content=COUNT)],
                **fields,
            )
            events = await read(client.call("ChatWithContext", request))
            assert events[0].started.resumable is resumable, fields

    async with bridge(gateway.url, store="none") as channel:
        client = client_of(channel)
        made = (await client.create(GEMINI)).context
        request = pb.ChatWithContextRequest(
            context_id=made.upstream_id or made.id,
            model=GEMINI,
            messages=[pb.ChatMessage(role="user", content=COUNT)],
            idempotency_key="once",
        )
        events = await read(client.call("ChatWithContext", request))

    assert events[0].started.resumable is False
    assert text_of(events) == NUMBERS


async def test_without_a_store_nothing_can_be_gone_on_with(bridge, client_of, requests, gateway):
    async with bridge(gateway.url, store="none") as channel:
        request = requests.generating(
            "", COUNT, model=GEMINI, idempotency_key="once", resume_after=1
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read(client_of(channel).call("StreamGenerateContent", request))

    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert not gateway.requests


@FAMILIES
async def test_a_resumed_call_is_told_of_cache_and_cost_what_the_first_was(
    family, pair, requests, asked
):
    policies = {
        "plain": None,
        "miss": pb.ResponseCachePolicy(enabled=True),
        "hit": pb.ResponseCachePolicy(enabled=True),
        "refreshed": pb.ResponseCachePolicy(enabled=True, refresh=True),
    }
    async with pair() as (one, other):
        context = await one.made(GEMINI)
        first, late = {}, {}
        for name, policy in policies.items():
            fields = {"response_cache": policy, "idempotency_key": name}
            request = family.request(requests, context, **fields)
            events = await read(one.call(family.stream, request))
            first[name] = told(events[-1])
            for client in (other, one):
                resume = family.request(requests, context, resume_after=len(events) - 1, **fields)
                (last,) = await read(client.call(family.stream, resume))
                late.setdefault(name, []).append(told(last))
                whole = await client.call(family.unary, request)
                late[name].append((whole.response_cache, whole.billed_usage, whole.context))

    statuses = {
        name: pb.ResponseCacheStatus.Name(cache.status).removeprefix("RESPONSE_CACHE_STATUS_")
        for name, (cache, *_) in first.items()
    }
    assert statuses == {
        "plain": "UNSPECIFIED",
        "miss": "MISS",
        "hit": "HIT",
        "refreshed": "REFRESHED",
    }
    for name, (cache, billed, outcome) in first.items():
        assert bool(billed.total_tokens) is (name != "hit")
        for late_cache, late_billed, late_outcome in late[name]:
            assert (late_cache.status, late_cache.key) == (cache.status, cache.key), name
            assert late_cache.HasField("age") is cache.HasField("age")
            assert late_billed == billed
            assert late_outcome == outcome
    assert len(answers_made(asked)) == 3


@ONE_KIND
async def test_a_retried_turn_of_a_session_is_added_once(pair, requests, gateway, asked):
    async with pair() as (one, other):
        session = await one.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
        request = requests.chatting(
            session, "Trim the lamps.", model=f"{ARK}+pace=0.03", idempotency_key="turn-1"
        )
        await begun(one.call("ChatWithContext", request), 2)
        retried = [read(client.call("ChatWithContext", request)) for client in (other, one, other)]
        runs = await asyncio.gather(*retried)
        whole = await one.call("CompleteChatWithContext", request)
        assert len(answers_made(asked)) == 1

        second = await other.chat(session, "recall turn 1")
        third = await one.chat(session, "recall turn 2")
        gateway.expire()
        healed = await one.chat(session, "recall turn 2")

    assert all(run == runs[0] for run in runs)
    assert whole_text(whole) == text_of(runs[0])
    assert second.text == "Trim the lamps."
    assert third.text == healed.text == "recall turn 1"


# How long a generation goes on.


@FAMILIES
async def test_a_generation_goes_on_when_its_caller_leaves_and_is_read_later(
    family, pair, requests, gateway, asked
):
    async with pair(resume_grace="1m") as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.05", "idempotency_key": "once"}
        had = await begun(one.call(family.stream, family.request(requests, context, **fields)))
        # By itself, with nobody there:
        await gateway.wait_for_open(0, 30)

        resume = family.request(requests, context, resume_after=len(had), **fields)
        rest = await read(other.call(family.stream, resume))

    assert text_of([*had, *rest]) == NUMBERS
    words = answers_made(asked)
    assert len(words) == 1
    assert "closed" not in words[0]


@ONE_KIND
@FAMILIES
async def test_after_the_grace_upstreams_request_is_closed_and_the_generation_gone(
    family, pair, requests, gateway, failure, asked
):
    async with pair(resume_grace="1s") as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.05", "idempotency_key": "once"}
        endless = family.request(requests, context, "count to 100000", **fields)
        asked()
        await begun(one.call(family.stream, endless))
        left = time.monotonic()
        await gateway.wait_for_open(0, 20)
        took = time.monotonic() - left

        assert len(answers_made(asked)) == 1
        assert gateway.requests[-1].outcome == "closed-by-client"
        resume = family.request(requests, context, "count to 100000", resume_after=3, **fields)
        for client in (one, other):
            refused = await failure(read(client.call(family.stream, resume)))
            assert refused.reason == "NOT_RESUMABLE"
        fresh = await begun(other.call(family.stream, endless))
        await gateway.wait_for_open(0, 20)

    assert took > 0.9
    assert fresh[0].sequence == 1
    assert len(answers_made(asked)) == 1


@ONE_KIND
async def test_a_reader_elsewhere_keeps_a_generation_past_the_grace(pair, requests, asked):
    async with pair(resume_grace="300ms") as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.05", "idempotency_key": "once"}
        request = requests.chatting(context, "count to 25", **fields)
        call = one.call("ChatWithContext", request)
        had = await some(call, 2)
        resume = requests.chatting(context, "count to 25", resume_after=2, **fields)
        elsewhere = other.call("ChatWithContext", resume)
        had += await some(elsewhere, 1)
        call.cancel()

        await read(elsewhere, had)

    assert text_of(had) == " ".join(map(str, range(1, 26)))
    assert len(answers_made(asked)) == 1


@ONE_KIND
async def test_a_server_that_drains_ends_what_its_callers_may_come_back_for(
    clients, requests, asked
):
    async with clients() as other:
        async with clients(drain_grace="1m") as one:
            context = await one.made(GEMINI)
            fields = {"model": f"{GEMINI}+pace=0.05", "idempotency_key": "once"}
            request = requests.chatting(context, "count to 25", **fields)
            had = await begun(one.call("ChatWithContext", request))
        resume = requests.chatting(context, "count to 25", resume_after=len(had), **fields)

        await read(other.call("ChatWithContext", resume), had)

    assert text_of(had) == " ".join(map(str, range(1, 26)))
    assert len(answers_made(asked)) == 1


@ONE_KIND
@FAMILIES
@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
async def test_without_an_idempotency_key_leaving_closes_upstreams_request_within_a_second(
    cached, family, pair, requests, gateway
):
    took = []
    async with pair() as (one, _):
        context = await one.made(GEMINI)
        policy = pb.ResponseCachePolicy(enabled=True) if cached else None
        # A busy machine may be late once, not each time.
        for _ in range(5):
            request = family.request(
                requests,
                context,
                "count to 100000",
                model=f"{GEMINI}+pace=0.02",
                response_cache=policy,
            )
            await begun(one.call(family.stream, request))
            left = time.monotonic()
            await gateway.wait_for_open(0, 20)
            took.append(time.monotonic() - left)
            assert gateway.requests[-1].outcome == "closed-by-client"
            if took[-1] < 1:
                break

    assert min(took) < 1


@ONE_KIND
async def test_an_ended_generation_is_kept_for_the_retention_and_no_longer(
    pair, requests, failure, eventually, asked
):
    async with pair(resume_retention="2s") as (one, other):
        context = await one.made(GEMINI)
        request = requests.chatting(context, COUNT, idempotency_key="once")
        begun_at = time.monotonic()
        whole = await read(one.call("ChatWithContext", request))
        again = await read(other.call("ChatWithContext", request))
        resume = requests.chatting(context, COUNT, idempotency_key="once", resume_after=2)

        async def is_gone():
            try:
                await read(other.call("ChatWithContext", resume))
            except grpc.aio.AioRpcError:
                return True
            return False

        await eventually(is_gone, 20)
        took = time.monotonic() - begun_at
        refused = await failure(read(one.call("ChatWithContext", resume)))
        fresh = await read(one.call("ChatWithContext", request))

    assert again == whole
    assert took > 2
    assert refused.reason == "NOT_RESUMABLE"
    assert text_of(fresh) == NUMBERS
    assert len(answers_made(asked)) == 2


# Too much.


@ONE_KIND
@FAMILIES
async def test_an_answer_that_outgrows_its_journal_goes_to_its_caller_and_nobody_else(
    family, pair, requests, failure, asked
):
    async with pair(journal_max_bytes="4KiB") as (one, other):
        context = await one.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.002", "idempotency_key": "once"}
        request = family.request(requests, context, "count to 500", **fields)
        events: list = []
        call = one.call(family.stream, request)
        events += await some(call, 1)
        beside = asyncio.create_task(
            failure(read(other.call(family.stream, request), from_other := []))
        )
        await read(call, events)

        async with asyncio.timeout(30):
            await beside
            refused = []
            for client in (one, other):
                for after in (0, 1, len(events) - 1):
                    late: list = []
                    resume = family.request(
                        requests, context, "count to 500", resume_after=after, **fields
                    )
                    refused.append(await failure(read(client.call(family.stream, resume), late)))
                    assert late == events[after : after + len(late)]
                refused.append(await failure(client.call(family.unary, request)))

    assert text_of(events) == " ".join(map(str, range(1, 501)))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert from_other == events[: len(from_other)]
    assert {(f.code, f.reason) for f in refused} <= {
        (grpc.StatusCode.ABORTED, "GENERATION_ABANDONED"),
        (grpc.StatusCode.OUT_OF_RANGE, "NOT_RESUMABLE"),
    }
    assert len(answers_made(asked)) == 1


@ONE_KIND
async def test_a_slow_reader_of_an_outgrown_answer_costs_no_more_memory_than_the_bound(
    pair, requests, monkeypatch
):
    most = held = batch = 0
    bound = 64 * 1024
    text = " ".join(str(number) + 1_000 * "x" for number in range(1_500))
    module = "contextbridge_server.generations.journal.Journal"
    # What a journal holds, looked at whenever something is added.
    from contextbridge_server.generations.journal import Journal  # noqa: PLC0415

    append = Journal.append

    def watched(self, events):
        nonlocal most, batch
        append(self, events)
        batch = max(batch, sum(map(len, events)))
        most = max(most, sum(map(len, self._events)))

    monkeypatch.setattr(f"{module}.append", watched)
    async with pair(journal_max_bytes=str(bound)) as (one, _):
        context = await one.made(GEMINI)
        request = requests.generating(context, f"say: {text}", idempotency_key="once")
        call = one.call("StreamGenerateContent", request)
        events = await some(call, 1)
        before = -1
        # It reads no more; once everything in between is full, nothing moves.
        while held != before or held == 0:
            before, held = held, most
            await asyncio.sleep(0.3)
        assert not call.done()
        await read(call, events)

    assert text_of(events) == text
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert bound < most <= bound + batch


# The store is away.


@pytest.mark.parametrize("family", [CHAT, NATIVE], ids=["chat", "gemini"])
async def test_while_the_store_is_away_calls_go_on_and_cannot_be_resumed(
    family, running_server, bridge, gateway, client_of, requests, failure, asked
):
    async with running_server() as server:
        url = f"valkey://127.0.0.1:{server.port}"
        async with bridge(gateway.url, store=url, store_timeout="500ms") as channel:
            client = client_of(channel)
            raw = (await client.made(GEMINI)).upstream_id
            await server.kill()
            asked()
            fields = {"model": GEMINI, "idempotency_key": "once"}
            request = family.request(requests, raw, **fields)

            events = await read(client.call(family.stream, request))
            whole = await client.call(family.unary, request)
            made = answers_made(asked)
            resume = family.request(requests, raw, resume_after=1, **fields)
            refused = await failure(read(client.call(family.stream, resume)))

            assert text_of(events) == whole_text(whole) == NUMBERS
            if family is CHAT:
                assert events[0].started.resumable is False
            assert len(made) == 2
            assert refused.code is grpc.StatusCode.UNAVAILABLE
            assert refused.reason == "STORE_UNAVAILABLE"
            assert answers_made(asked) == []

            await server.start()
            again = await read(client.call(family.stream, request))
            resumed = await read(client.call(family.stream, resume))

    assert resumed == again[1:]
    if family is CHAT:
        assert again[0].started.resumable is True
    assert len(answers_made(asked)) == 1
