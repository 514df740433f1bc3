import re
import time
from collections.abc import Callable
from typing import Any

import pytest

GONE = "CachedContent not found (or permission denied)"
VERTEX = "/v1beta/projects/7/locations/global/cachedContents"


async def test_a_cache_shows_its_metadata_and_nothing_it_holds(caller: Any) -> None:
    made = await caller.cache(
        systemInstruction={"parts": [{"text": "House rules."}], "role": "user"},
        tools=[{"functionDeclarations": [{"name": "f", "description": "d"}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY"}},
    )
    assert set(made) == {
        "name",
        "model",
        "createTime",
        "updateTime",
        "expireTime",
        "displayName",
        "usageMetadata",
    }
    assert re.fullmatch(r"cachedContents/[a-z0-9]{40}", made["name"])
    assert made["displayName"] == ""
    assert made["createTime"] == made["updateTime"]
    assert re.fullmatch(r"[\d-]+T[\d:]+\.\d{6}Z|.*\.\d{3}Z", made["createTime"])
    assert re.fullmatch(r"[\d-]+T[\d:]+\.\d{9}Z", made["expireTime"])
    assert made["usageMetadata"]["totalTokenCount"] > 2000
    assert (await caller.get(f"/v1/{made['name']}")).json == made


@pytest.mark.parametrize("prefix", ["/v1/v1beta", "/v1beta", "/v1", "/v1/v1"])
async def test_every_prefix_serves_the_same_caches(caller: Any, prefix: str) -> None:
    made = await caller.cache(f"{prefix}/cachedContents")
    assert (await caller.get("/v1beta/cachedContents")).json == {"cachedContents": [made]}
    deleted = await caller.send("DELETE", f"{prefix}/{made['name']}", {})
    assert (deleted.status, deleted.json) == (200, {})
    assert (await caller.get(f"{prefix}/cachedContents")).json == {}


async def test_a_ttl_counts_from_the_request(caller: Any) -> None:
    made = await caller.cache(ttl="300.500s", displayName="rules")
    assert made["displayName"] == "rules"
    longer = await caller.send(
        "PATCH", f"/v1beta/{made['name']}", {"ttl": "7200s", "name": made["name"]}
    )
    assert longer.json["expireTime"] > made["expireTime"]
    assert longer.json["updateTime"] >= made["updateTime"]
    assert longer.json["createTime"] == made["createTime"]


@pytest.mark.parametrize(
    "mask", ["", "?updateMask=expireTime", "?updateMask=expire_time", "?updateMask=ttl,expireTime"]
)
async def test_an_end_prints_in_utc(caller: Any, mask: str) -> None:
    name = (await caller.cache())["name"]
    body = {"expire_time": "2040-03-01T14:00:00+02:00"}
    patched = await caller.send("PATCH", f"/v1/v1beta/{name}{mask}", body)
    assert patched.json["expireTime"] == "2040-03-01T12:00:00Z"


@pytest.mark.parametrize(
    "mask,body,text",
    [
        ("", {"ttl": 300}, "Illegal duration format; duration must end with 's'"),
        ("", {"ttl": "-1s"}, "ttl must be positive"),
        ("", {"ttl": "999999999999s"}, "ttl is out of range"),
        ("", {"expireTime": "9999-12-31T23:59:59-01:00"}, "Illegal timestamp format"),
        ("", {"expireTime": "2020-01-01T00:00:00Z"}, "must be in the future"),
        ("", {"expireTime": "2030-01-01T01:02:03.456789"}, "Illegal timestamp format"),
        ("", {}, "ttl or expire_time must be set"),
        (
            "",
            {"ttl": "1s", "expireTime": "2040-01-01T00:00:00Z"},
            "oneof field 'expiration' is already set. Cannot set 'expireTime'",
        ),
        ("?updateMask=displayName", {"ttl": "1s"}, "Only the expiration"),
        ("?updateMask=*", {"ttl": "1s"}, "Only the expiration"),
        (
            "?updateMask=ttl",
            {"expireTime": "2040-01-01T00:00:00Z"},
            "ttl or expire_time must be set",
        ),
    ],
)
async def test_faulty_updates_are_refused(caller: Any, mask: str, body: Any, text: str) -> None:
    name = (await caller.cache())["name"]
    refusal = await caller.send("PATCH", f"/v1beta/{name}{mask}", body)
    assert refusal.status == 400
    assert text in refusal.message


@pytest.mark.parametrize(
    "change,status,text",
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "gemini-2.0-flash"}, 400, "unexpected model name format"),
        (
            {"model": "models/unknown-1"},
            404,
            "is not found for API version v1beta, or is not supported for createCachedContent.",
        ),
        ({"displayName": "x" * 129}, 400, "128"),
        ({"colour": 1}, 400, "Unknown name \"colour\" at 'cached_content'"),
        (
            {"contents": [{"parts": [{"text": "one two"}]}]},
            400,
            "Cached content is too small. total_token_count=2, min_total_token_count=1024",
        ),
        (
            {"ttl": 300},
            400,
            "Field 'ttl', Illegal duration format; duration must end with 's'",
        ),
    ],
)
async def test_faulty_caches_are_refused(caller: Any, change: Any, status: int, text: str) -> None:
    body = {
        "model": "models/gemini-2.0-flash",
        "contents": [{"parts": [{"text": "word " * 2000}]}],
        **change,
    }
    refusal = await caller.post("/v1beta/cachedContents", body)
    assert refusal.status == status
    assert text in refusal.message


async def test_caches_are_listed_page_by_page(caller: Any) -> None:
    made = [(await caller.cache())["name"] for _ in range(5)]
    await caller.cache(VERTEX)
    seen: list[str] = []
    token = ""
    for size in (2, 2, 1):
        page = (await caller.get(f"/v1beta/cachedContents?pageSize=2&pageToken={token}")).json
        assert len(page["cachedContents"]) == size
        seen += [cache["name"] for cache in page["cachedContents"]]
        token = page.get("nextPageToken", "")
    assert not token
    assert seen == made
    assert (
        len((await caller.get("/v1beta/cachedContents?pageSize=5000")).json["cachedContents"]) == 5
    )


@pytest.mark.parametrize(
    "query",
    [
        "pageSize=-1",
        "pageSize=x",
        "pageToken=x",
        "pageToken=%C3%A9",
        "pageSize=99999999999999999999999",
    ],
)
async def test_faulty_pages_are_refused(caller: Any, query: str) -> None:
    assert (await caller.get(f"/v1beta/cachedContents?{query}")).status == 400


async def test_a_page_token_belongs_to_its_collection(caller: Any) -> None:
    for _ in range(2):
        await caller.cache(VERTEX)
    token = (await caller.get(f"{VERTEX}?pageSize=1")).json["nextPageToken"]
    assert (await caller.get(f"/v1beta/cachedContents?pageToken={token}")).status == 400
    assert len((await caller.get(f"{VERTEX}?pageToken={token}")).json["cachedContents"]) == 1


async def test_caches_belong_to_one_key(caller: Any, another: Callable[[], Any]) -> None:
    name = (await caller.cache())["name"]
    stranger = another()
    for method, body in (("GET", None), ("PATCH", {"ttl": "9s"}), ("DELETE", {})):
        refusal = await stranger.send(method, f"/v1beta/{name}", body)
        assert (refusal.status, refusal.message) == (403, GONE)
        assert refusal.json["error"]["status"] == "PERMISSION_DENIED"
    refusal = await stranger.generate(cachedContent=name)
    assert (refusal.status, refusal.message) == (403, GONE)
    assert (await stranger.get("/v1beta/cachedContents")).json == {}


@pytest.mark.parametrize(
    "dialect,method,status,text",
    [
        (None, "GET", 400, "Cache content {short} is expired."),
        ("vertex-expired", "DELETE", 400, "Cache content {short} is expired."),
        ("vertex-reaped", "GET", 404, "Not found: cached content metadata for {short}."),
        ("vertex-reaped", "PATCH", 404, "Cached content {short} is not found."),
        ("gemini-api", "GET", 403, GONE),
    ],
)
async def test_a_lapsed_vertex_cache_answers_in_its_dialect(
    caller: Any, dialect: Any, method: str, status: int, text: str
) -> None:
    name = (await caller.cache(VERTEX))["name"]
    assert re.fullmatch(r"projects/7/locations/global/cachedContents/\d{19}", name)
    body = {"id": name, "key": caller.key, "dialect": dialect}
    assert (await caller.post("/_emulator/expire", body)).json == {"expired": 1}
    refusal = await caller.send(
        method, f"/v1beta/{name}", {"ttl": "60s"} if method == "PATCH" else None
    )
    assert (refusal.status, refusal.message) == (status, text.format(short=name.rsplit("/", 1)[-1]))


async def test_a_vertex_cache_that_never_was_is_not_found(caller: Any) -> None:
    refusal = await caller.get(f"{VERTEX}/123")
    assert refusal.message == "Not found: cached content metadata for 123."


async def test_vertex_caches_tell_how_much_text_they_hold(caller: Any) -> None:
    assert (await caller.cache(VERTEX))["usageMetadata"]["textCount"] == 10_000


async def test_a_cache_ends_by_the_clock(caller: Any) -> None:
    made = await caller.cache(ttl="0.2s")
    deadline = time.monotonic() + 10
    while (reply := await caller.get(f"/v1beta/{made['name']}")).status == 200:
        assert time.monotonic() < deadline
    assert (reply.status, reply.message) == (403, GONE)
    assert (await caller.get("/v1beta/cachedContents")).json == {}


async def test_use_does_not_extend_a_caches_life(caller: Any) -> None:
    made = await caller.cache()
    await caller.generate(cachedContent=made["name"])
    assert (await caller.get(f"/v1beta/{made['name']}")).json["expireTime"] == made["expireTime"]


async def test_a_context_of_the_gemini_kind_is_a_cache_too(caller: Any) -> None:
    rules = [{"role": "system", "content": "word " * 2000}]
    name = await caller.create("gemini-2.0-flash", messages=rules, ttl=300)
    patched = await caller.send("PATCH", f"/v1/v1beta/{name}", {"ttl": "900s"})
    assert patched.status == 200
    assert (await caller.send("DELETE", f"/v1beta/{name}")).status == 200
    assert (await caller.chat(model="gemini-2.0-flash", context_id=name)).status == 404


async def test_a_bound_on_caches_is_kept(start: Callable[..., Any]) -> None:
    async with start(max_entries_per_account=1) as caller:
        await caller.cache()
        body = {"model": "models/m", "contents": [{"parts": [{"text": "x"}]}]}
        refusal = await caller.post("/v1beta/cachedContents", body)
        assert refusal.status == 429
        assert refusal.json["error"]["status"] == "RESOURCE_EXHAUSTED"
        context = {
            "model": "gemini-2.0-flash",
            "messages": [{"role": "user", "content": "word " * 2000}],
        }
        assert (await caller.post("/v1/context/create", context)).status == 429
