"""Chat completions behind a response cache."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "keywords"
PATH = "/api/chat/completions"
CHAT = json.loads((GOLDEN / "chat.req.json").read_text())


def shape(value: Any) -> Any:
    """Reduce an answer to its members' names."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return [shape(member) for member in value] if isinstance(value, list) else None


async def test_the_recorded_request_misses_and_then_hits(caller: Any) -> None:
    miss = await caller.post(PATH, CHAT)
    await asyncio.sleep(0.01)
    hit = await caller.post(PATH, CHAT)

    assert (miss.status, hit.status) == (200, 200)
    assert hit.json == miss.json
    recorded = shape(json.loads((GOLDEN / "miss.res.json").read_text()))
    answered = shape(miss.json)
    assert recorded.keys() <= answered.keys()
    assert recorded["usage"].keys() <= answered["usage"].keys()


async def test_nothing_is_kept_unless_asked_for(caller: Any) -> None:
    plain = {**CHAT, "cache_enabled": False}

    first, second = [await caller.post(PATH, plain) for _ in range(2)]

    assert first.json["id"] != second.json["id"]


@pytest.mark.parametrize(
    "change, hits",
    [
        ({"model": "other"}, False),
        ({"model": "other", "cache_options": {"cache_by_customer": True}}, False),
        ({"customer_params": {"customer_identifier": "customer_8"}}, False),
        ({"messages": [{"role": "user", "content": "Ho"}]}, False),
        ({"temperature": 0.5}, True),
        ({"stream": True}, True),
    ],
)
async def test_the_key_is_what_the_options_say(caller: Any, change: Any, hits: bool) -> None:
    first = await caller.post(PATH, CHAT)
    second = await caller.post(PATH, {**CHAT, **change})

    answer = second.events[0] if change.get("stream") else second.json
    assert (answer["id"] == first.json["id"]) is hits


async def test_by_default_another_model_is_answered_from_the_cache(caller: Any) -> None:
    shared = {**CHAT, "cache_options": {}}

    first = await caller.post(PATH, shared)
    second = await caller.post(PATH, {**shared, "model": "other"})

    assert second.json == first.json


async def test_an_answer_is_kept_no_longer_than_asked(caller: Any) -> None:
    short = {**CHAT, "cache_ttl": 0.05}
    first = await caller.post(PATH, short)
    await asyncio.sleep(0.06)

    second = await caller.post(PATH, short)

    assert second.json["id"] != first.json["id"]


@pytest.mark.parametrize(
    "field, value", [("cache_ttl", 0), ("cache_ttl", "600"), ("cache_options", True)]
)
async def test_a_wrong_option_is_refused(caller: Any, field: str, value: Any) -> None:
    reply = await caller.post(PATH, {**CHAT, field: value})

    assert reply.status == 400
    assert field in reply.message


async def test_a_broken_answer_is_not_kept(caller: Any) -> None:
    broken = {**CHAT, "model": "m+truncate-midstream", "stream": True}

    first, second = [await caller.post(PATH, broken) for _ in range(2)]

    assert first.events[0]["id"] != second.events[0]["id"]
