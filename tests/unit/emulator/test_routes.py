from typing import Any

import pytest

MODEL = "/v1beta/models/gemini-2.0-flash:generateContent"
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("path", [MODEL, CHAT])
@pytest.mark.parametrize("way", ["x-goog-api-key", "bearer", "query"])
async def test_a_key_is_taken_in_three_ways_everywhere(caller: Any, path: str, way: str) -> None:
    body = {
        MODEL: {"contents": [{"parts": [{"text": "x"}]}]},
        CHAT: {"model": "echo", "messages": [{"role": "user", "content": "x"}]},
    }[path]
    headers = {"x-goog-api-key": caller.key} if way == "x-goog-api-key" else {"x-goog-api-key": ""}
    if way == "bearer":
        headers["Authorization"] = f"bearer {caller.key}"
    query = f"?key={caller.key}" if way == "query" else ""
    assert (await caller.post(path + query, body, headers=headers)).status == 200


async def test_a_missing_key_is_refused_in_the_wording_of_the_surface(caller: Any) -> None:
    google = await caller.post(MODEL, key="")
    assert google.status == 403
    assert google.message.startswith("Method doesn't allow unregistered callers")
    ark = await caller.post(CHAT, key="")
    assert (ark.status, ark.code, ark.json["error"]["type"]) == (
        401,
        "AuthenticationError",
        "Unauthorized",
    )


async def test_a_wrong_key_is_refused_in_the_wording_of_the_surface(caller: Any) -> None:
    google = await caller.post(MODEL, key="bad-one")
    assert (google.status, google.message) == (
        400,
        "API key not valid. Please pass a valid API key.",
    )
    assert google.json["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    relay = await caller.post(CHAT, key="bad-one")
    request_id = relay.headers["x-oneapi-request-id"]
    assert relay.status == 401
    assert relay.json == {
        "error": {
            "message": f"Invalid token (request id: {request_id})",
            "type": "new_api_error",
            "param": "",
            "code": "",
        }
    }


async def test_only_listed_keys_are_taken_when_there_is_a_list(start: Any) -> None:
    async with start(api_keys=("bad-but-listed",)) as caller:
        assert (await caller.get("/v1/models")).status == 400
        assert (await caller.get("/v1/models", key="bad-but-listed")).status == 200


async def test_the_kind_of_key_decides_which_list_of_models_comes(caller: Any) -> None:
    google = (await caller.get("/v1/models")).json
    assert google["models"][0]["name"].startswith("models/gemini-")
    assert (await caller.get(f"/v1/models?key={caller.key}", key="")).json == google
    bearer = {"Authorization": f"Bearer {caller.key}"}
    url = f"{caller.emulator.url}/v1/models"
    async with caller.session.get(url, headers=bearer) as response:
        listed = await response.json()
    assert listed["object"] == "list"
    assert "Doubao-1.5-pro-32k" in {model["id"] for model in listed["data"]}
    async with caller.session.get(
        f"{caller.emulator.url}/v1beta/models", headers=bearer
    ) as response:
        assert "models" in await response.json()


async def test_one_model_can_be_asked_for(caller: Any) -> None:
    assert (await caller.get("/v1beta/models/gemini-2.0-flash")).json[
        "name"
    ] == "models/gemini-2.0-flash"
    assert (await caller.get("/v1beta/models/unknown-1")).status == 404


@pytest.mark.parametrize(
    "method,path,status",
    [("POST", "/nowhere", 404), ("PUT", "/v1beta/files", 405), ("GET", MODEL, 405)],
)
async def test_other_paths_are_refused_in_googles_envelope(
    caller: Any, method: str, path: str, status: int
) -> None:
    refusal = await caller.send(method, path)
    assert refusal.status == status
    assert refusal.code == status


async def test_other_context_paths_are_refused_in_the_openai_envelope(caller: Any) -> None:
    refusal = await caller.get("/v1/context/create")
    assert refusal.status == 405
    assert refusal.json["error"]["message"] == "Invalid URL (GET /v1/context/create)"


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b"\xff", b'{"a":"\\ud800"}', b"[" * 100_000])
@pytest.mark.parametrize("path", [MODEL, CHAT])
async def test_a_body_that_is_no_object_is_refused(caller: Any, path: str, body: bytes) -> None:
    assert (await caller.send("POST", path, data=body)).status == 400


async def test_a_body_beyond_the_limit_is_refused(start: Any) -> None:
    async with start(max_body_bytes=1000) as caller:
        for path in (MODEL, CHAT):
            assert (await caller.send("POST", path, data=b"x" * 1001)).status == 413


async def test_a_body_that_does_not_unpack_is_refused(caller: Any) -> None:
    headers = {"Content-Encoding": "gzip"}
    for path in (MODEL, CHAT):
        assert (await caller.send("POST", path, data=b"{}", headers=headers)).status == 400
