"""Callers who bring upstream keys of their own: each key's account has its own binding."""

import pytest

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
pytestmark = pytest.mark.parametrize("engine", ["cluster"], indirect=True)


@pytest.fixture(name="accounts")
async def accounts_fixture(stored, gateway, client_of):
    """Run a bridge, and return callers of one tenant with two upstream keys."""
    async with stored(gateway.url, upstream_key_from="caller") as channel:
        yield [client_of(channel, ("x-upstream-api-key", key)) for key in ("sk-1", "sk-2")]


async def test_a_context_is_made_again_for_another_account_and_stays_for_the_first(accounts, asked):
    first, second = accounts
    context = await first.made(GEMINI)
    asked()

    answers = [await client.chat(context) for client in (first, second, first, second)]

    assert asked() == ["chat", "create", "chat", "chat", "chat"]
    assert [answer.context.restored for answer in answers] == [False, True, False, False]
    assert len({answer.text for answer in answers}) == 1


async def test_each_account_sees_its_own_binding(accounts):
    first, second = accounts
    context = await first.made(GEMINI)

    seen = await second.get(context)

    assert seen.id == context.id
    assert seen.state == pb.CONTEXT_STATE_COLD
    assert seen.upstream_id == ""
    assert [c.id for c in (await second.list(state=pb.CONTEXT_STATE_COLD)).contexts] == [context.id]
    await second.chat(context)
    seen = await second.get(context)
    assert seen.state == pb.CONTEXT_STATE_WARM
    assert seen.upstream_id not in ("", context.upstream_id)
    assert (await first.get(context)).upstream_id == context.upstream_id


async def test_without_recovery_another_account_finds_nothing(accounts, failure, asked):
    first, second = accounts
    context = await first.made(GEMINI, recovery=pb.RECOVERY_NEVER)
    asked()

    failed = await failure(second.chat(context))

    assert failed.reason == "CONTEXT_NOT_FOUND"
    assert failed.metadata == {"contextId": context.id}
    assert asked() == []
    assert (await first.chat(context)).text


async def test_a_session_knows_the_turns_that_it_had_by_another_account(accounts):
    first, second = accounts
    session = await first.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
    await first.chat(session, "One.")
    await second.chat(session, "Two.")
    await first.chat(session, "Three.")

    for client in accounts:
        told = [(await client.chat(session, f"recall turn {turn}")).text for turn in (1, 2, 3)]
        assert told == ["One.", "Two.", "Three."]


async def test_another_accounts_context_is_not_reused(accounts, asked):
    first, second = accounts
    made = await first.create(GEMINI, reuse=pb.REUSE_IDENTICAL)
    other = await second.create(GEMINI, reuse=pb.REUSE_IDENTICAL)

    assert not other.reused
    assert made.context.id != other.context.id
    assert asked() == ["create", "create"]
