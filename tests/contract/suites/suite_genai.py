"""google-genai against the emulator; the same suite for both of its lines."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from google import genai
from google.genai import errors, types  # type: ignore[import-untyped]  # Only in the environment of this suite.

MODEL = "gemini-2.5-flash"
LONG = "The lamps of the harbour are trimmed at dusk and put out at dawn. " * 120
Make = Callable[..., genai.Client]


@pytest.fixture
def make(base_url: str, api_key: str) -> Make:
    def build(path: str = "", version: str | None = None, key: str = api_key) -> genai.Client:
        options = types.HttpOptions(base_url=base_url + path, api_version=version)
        return genai.Client(api_key=key, http_options=options)

    return build


@pytest.fixture
def client(make: Make) -> genai.Client:
    return make()


def tide(port: str) -> str:
    """Tell the tide of a port."""
    return f"high water at {port}"


TIDE = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="tide",
            description="Tells the tide.",
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={"port": types.Schema(type=types.Type.STRING)},
                required=["port"],
            ),
        )
    ]
)


def test_generates_text_with_usage_that_adds_up(client: genai.Client) -> None:
    answer = client.models.generate_content(model=MODEL, contents="say: The fulmar.")
    usage = answer.usage_metadata
    assert answer.text == "The fulmar."
    assert usage is not None
    assert usage.total_token_count == (
        (usage.prompt_token_count or 0)
        + (usage.candidates_token_count or 0)
        + (usage.thoughts_token_count or 0)
    )
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.model_version == MODEL


@pytest.mark.parametrize(
    "path,version", [("", None), ("/v1", None), ("/v1", "v1beta"), ("", "v1"), ("", "v1beta")]
)
def test_reaches_every_path_that_clients_use(make: Make, path: str, version: str | None) -> None:
    client = make(path, version)
    answer = client.models.generate_content(model=MODEL, contents="say: here")
    assert answer.text == "here"


def test_streams_pieces_that_join_to_the_whole_answer(client: genai.Client) -> None:
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="count to 64"))
    assert len(chunks) == 64
    assert "".join(chunk.text or "" for chunk in chunks) == " ".join(map(str, range(1, 65)))
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


async def test_streams_asynchronously(client: genai.Client) -> None:
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents="count to 9")
    texts = [chunk.text async for chunk in stream]
    assert "".join(text or "" for text in texts) == "1 2 3 4 5 6 7 8 9"


def test_stream_and_whole_answer_agree(client: genai.Client) -> None:
    whole = client.models.generate_content(model=MODEL, contents="What is a fulmar?")
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="What is a fulmar?"))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    last = chunks[-1].usage_metadata
    assert last is not None
    assert whole.usage_metadata is not None
    assert last.total_token_count == whole.usage_metadata.total_token_count


def test_shows_thoughts_when_asked(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=128)
    )
    answer = client.models.generate_content(model=MODEL, contents="say: yes", config=config)
    assert answer.candidates is not None
    assert answer.candidates[0].content is not None
    parts = answer.candidates[0].content.parts
    assert parts is not None
    assert [part.thought for part in parts] == [True, None]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.thoughts_token_count


def test_calls_a_function_and_takes_its_result(client: genai.Client) -> None:
    forced = types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode.ANY
        )
    )
    config = types.GenerateContentConfig(tools=[TIDE], tool_config=forced)
    asked = client.models.generate_content(model=MODEL, contents="Oban", config=config)
    assert asked.function_calls is not None
    call = asked.function_calls[0]
    assert (call.name, call.args) == ("tide", {"port": "Oban"})
    assert asked.candidates is not None
    assert asked.candidates[0].content is not None
    result = types.Part.from_function_response(name="tide", response={"result": "high"})
    told = client.models.generate_content(
        model=MODEL,
        contents=[
            types.UserContent("Oban"),
            asked.candidates[0].content,
            types.Content(role="user", parts=[result]),
        ],
        config=types.GenerateContentConfig(tools=[TIDE]),
    )
    assert told.text == 'The tool said: "high".'


def test_calls_python_functions_by_itself(client: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=[tide])
    answer = client.models.generate_content(model="gemini-tool", contents="Oban", config=config)
    assert answer.text == 'The tool said: "high water at Oban".'


def test_answers_in_json_by_schema(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_mime_type="application/json",
        response_schema={"type": "OBJECT", "properties": {"bird": {"type": "STRING"}}},
    )
    answer = client.models.generate_content(model=MODEL, contents="fulmar", config=config)
    assert answer.parsed == {"bird": "fulmar"}


def test_gives_several_candidates(client: genai.Client) -> None:
    config = types.GenerateContentConfig(candidate_count=2)
    answer = client.models.generate_content(model=MODEL, contents="say: two", config=config)
    assert answer.candidates is not None
    assert [candidate.index for candidate in answer.candidates] == [0, 1]


def test_reports_a_blocked_prompt(client: genai.Client) -> None:
    answer = client.models.generate_content(model=f"{MODEL}+blocked", contents="hm")
    assert answer.candidates is None
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT


def test_reports_a_withheld_answer(client: genai.Client) -> None:
    answer = client.models.generate_content(model=f"{MODEL}+safety", contents="hm")
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.SAFETY
    assert answer.text is None


def test_reports_that_the_limit_was_reached(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        max_output_tokens=2, thinking_config=types.ThinkingConfig(thinking_budget=0)
    )
    answer = client.models.generate_content(model=MODEL, contents="count to 9", config=config)
    assert answer.text == "1 2"
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


def test_takes_inline_images_and_options_of_all_kinds(client: genai.Client) -> None:
    image = types.Part.from_bytes(data=b"\xfb\xff\xfe\xf0", mime_type="image/png")
    config = types.GenerateContentConfig(
        system_instruction="Answer shortly.",
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        seed=7,
        stop_sequences=["four"],
        presence_penalty=0.1,
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                threshold=types.HarmBlockThreshold.BLOCK_NONE,
            )
        ],
        speech_config=types.SpeechConfig(
            voice_config=types.VoiceConfig(
                prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore")
            )
        ),
    )
    answer = client.models.generate_content(
        model=MODEL, contents=[image, "say: three four"], config=config
    )
    assert answer.text == "three "
    assert answer.usage_metadata is not None
    details = answer.usage_metadata.prompt_tokens_details
    assert details is not None
    assert {str(each.modality) for each in details} == {"MediaModality.TEXT", "MediaModality.IMAGE"}


def test_counts_the_tokens_that_usage_reports(client: genai.Client) -> None:
    counted = client.models.count_tokens(model=MODEL, contents="Name one sea bird, please.")
    answer = client.models.generate_content(model=MODEL, contents="Name one sea bird, please.")
    assert answer.usage_metadata is not None
    assert counted.total_tokens == answer.usage_metadata.prompt_token_count


def test_cache_lives_from_create_to_delete(client: genai.Client) -> None:
    made = client.caches.create(
        model=MODEL,
        config=types.CreateCachedContentConfig(
            contents=[types.UserContent(LONG)],
            system_instruction="House rules.",
            display_name="rules",
            ttl="300s",
        ),
    )
    assert made.name is not None
    assert made.name.startswith("cachedContents/")
    assert made.display_name == "rules"
    assert made.create_time is not None
    assert made.expire_time is not None
    lives = made.expire_time - made.create_time
    assert abs(lives - dt.timedelta(seconds=300)) < dt.timedelta(seconds=1)
    assert client.caches.get(name=made.name) == made

    answer = client.models.generate_content(
        model=MODEL,
        contents="Summarise rule 12.",
        config=types.GenerateContentConfig(cached_content=made.name),
    )
    usage = answer.usage_metadata
    assert usage is not None
    assert made.usage_metadata is not None
    assert usage.cached_content_token_count == made.usage_metadata.total_token_count
    assert (usage.prompt_token_count or 0) > (usage.cached_content_token_count or 0)
    assert "House rules." in (answer.text or "")

    longer = client.caches.update(
        name=made.name, config=types.UpdateCachedContentConfig(ttl="7200s")
    )
    assert longer.expire_time is not None
    assert longer.expire_time > made.expire_time
    client.caches.delete(name=made.name)
    with pytest.raises(errors.ClientError) as refusal:
        client.caches.get(name=made.name)
    assert refusal.value.code == 403
    assert refusal.value.message == "CachedContent not found (or permission denied)"


def test_cache_takes_an_end_with_a_zone(client: genai.Client) -> None:
    made = client.caches.create(
        model=MODEL, config=types.CreateCachedContentConfig(contents=[types.UserContent(LONG)])
    )
    assert made.name is not None
    until = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    longer = client.caches.update(
        name=made.name, config=types.UpdateCachedContentConfig(expire_time=until)
    )
    assert longer.expire_time == until


def test_caches_are_listed_page_by_page(client: genai.Client) -> None:
    config = types.CreateCachedContentConfig(contents=[types.UserContent(LONG)])
    names = [client.caches.create(model=MODEL, config=config).name for _ in range(5)]
    listed = client.caches.list(config=types.ListCachedContentsConfig(page_size=2))
    assert len(listed.page) == 2
    assert [cache.name for cache in listed] == names


def test_nothing_listed_is_an_empty_page(client: genai.Client) -> None:
    assert list(client.caches.list()) == []


async def test_caches_work_asynchronously(client: genai.Client) -> None:
    config = types.CreateCachedContentConfig(contents=[types.UserContent(LONG)])
    made = await client.aio.caches.create(model=MODEL, config=config)
    assert made.name is not None
    listed = await client.aio.caches.list(config=types.ListCachedContentsConfig(page_size=1))
    assert [cache.name async for cache in listed] == [made.name]
    await client.aio.caches.delete(name=made.name)
    assert [cache.name async for cache in await client.aio.caches.list()] == []


def test_small_caches_are_refused(client: genai.Client) -> None:
    config = types.CreateCachedContentConfig(contents=[types.UserContent("too small")])
    with pytest.raises(errors.ClientError) as refusal:
        client.caches.create(model=MODEL, config=config)
    assert refusal.value.code == 400
    assert refusal.value.message == (
        "Cached content is too small. total_token_count=2, min_total_token_count=1024"
    )


def test_caches_refuse_another_model_and_another_instruction(client: genai.Client) -> None:
    made = client.caches.create(
        model=MODEL, config=types.CreateCachedContentConfig(contents=[types.UserContent(LONG)])
    )
    used = types.GenerateContentConfig(cached_content=made.name)
    with pytest.raises(errors.ClientError, match="has to be the same"):
        client.models.generate_content(model="gemini-2.0-flash", contents="x", config=used)
    used.system_instruction = "Be kind."
    with pytest.raises(errors.ClientError, match="can not be used with GenerateContent request"):
        client.models.generate_content(model=MODEL, contents="x", config=used)


def test_file_is_uploaded_used_and_deleted(client: genai.Client, tmp_path: Path) -> None:
    path = tmp_path / "rules.txt"
    path.write_text("Lamps are trimmed at dusk.")
    file = client.files.upload(
        file=path, config=types.UploadFileConfig(display_name="rules", mime_type="text/plain")
    )
    assert file.name is not None
    assert file.state == types.FileState.ACTIVE
    assert file.size_bytes == path.stat().st_size
    assert file.display_name == "rules"
    answer = client.models.generate_content(model=MODEL, contents=[file, "say: ok"])
    counted = client.models.count_tokens(model=MODEL, contents=[file])
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.prompt_token_count or 0) > (counted.total_tokens or 0) > 1
    assert [each.name for each in client.files.list()] == [file.name]
    client.files.delete(name=file.name)
    with pytest.raises(errors.ClientError) as refusal:
        client.files.get(name=file.name)
    assert refusal.value.code == 403


def test_file_of_several_chunks_arrives_whole(client: genai.Client, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"0123456789abcdef" * (1024 * 1024 + 1))
    config = types.UploadFileConfig(mime_type="application/octet-stream")
    assert client.files.upload(file=path, config=config).size_bytes == path.stat().st_size


async def test_files_are_uploaded_asynchronously(client: genai.Client, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello world")
    file = await client.aio.files.upload(
        file=path, config=types.UploadFileConfig(mime_type="text/plain")
    )
    assert file.name is not None
    assert (await client.aio.files.get(name=file.name)).name == file.name


def test_video_is_processed_before_it_can_be_used(client: genai.Client, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0" * 1000)
    file = client.files.upload(file=path, config=types.UploadFileConfig(mime_type="video/mp4"))
    assert file.name is not None
    assert file.state == types.FileState.PROCESSING
    deadline = time.monotonic() + 10
    while client.files.get(name=file.name).state != types.FileState.ACTIVE:
        assert time.monotonic() < deadline
    answer = client.models.generate_content(model=MODEL, contents=[file, "say: seen"])
    assert answer.text == "seen"


@pytest.mark.parametrize(
    "model,code,status",
    [
        ("unknown-model", 404, "NOT_FOUND"),
        (f"{MODEL}+rate-limited", 429, "RESOURCE_EXHAUSTED"),
        (f"{MODEL}+quota-exhausted", 429, "RESOURCE_EXHAUSTED"),
        (f"{MODEL}+unauthorized", 400, "INVALID_ARGUMENT"),
        (f"{MODEL}+server-error", 500, "INTERNAL"),
        (f"{MODEL}+overloaded", 503, "UNAVAILABLE"),
        (f"{MODEL}+gateway-timeout", 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_refusals_carry_code_and_status(
    client: genai.Client, model: str, code: int, status: str
) -> None:
    with pytest.raises(errors.APIError) as refusal:
        client.models.generate_content(model=model, contents="x")
    assert (refusal.value.code, refusal.value.status) == (code, status)
    with pytest.raises(errors.APIError) as refusal:
        list(client.models.generate_content_stream(model=model, contents="x"))
    assert (refusal.value.code, refusal.value.status) == (code, status)


def test_wrong_keys_are_refused(make: Make) -> None:
    client = make(key="bad-key")
    with pytest.raises(errors.ClientError) as refusal:
        client.models.generate_content(model=MODEL, contents="x")
    assert refusal.value.code == 400
    assert refusal.value.message == "API key not valid. Please pass a valid API key."


def test_error_in_mid_stream_raises(client: genai.Client) -> None:
    stream = client.models.generate_content_stream(
        model=f"{MODEL}+error-midstream", contents="count to 9"
    )
    texts: list[str | None] = []
    with pytest.raises(errors.ServerError) as failure:
        texts.extend(chunk.text for chunk in stream)
    assert failure.value.code == 503


async def test_error_in_mid_stream_raises_asynchronously(client: genai.Client) -> None:
    stream = await client.aio.models.generate_content_stream(
        model=f"{MODEL}+error-midstream", contents="count to 9"
    )
    with pytest.raises(errors.ServerError):
        async for _ in stream:
            pass


def test_separators_and_huge_events_pass(client: genai.Client) -> None:
    said = "a\u2028b\u2029c\u0085d"
    chunks = client.models.generate_content_stream(model=MODEL, contents=f"say: {said}")
    assert "".join(chunk.text or "" for chunk in chunks) == said
    chunks = client.models.generate_content_stream(model=f"{MODEL}+huge-event", contents="say: x")
    assert len("".join(chunk.text or "" for chunk in chunks)) == 300_002


def test_chat_keeps_its_turns(client: genai.Client) -> None:
    chat = client.chats.create(model=MODEL)
    chat.send_message("Hello")
    assert chat.send_message("recall turn 1").text == "Hello"
    assert chat.send_message("And now?").text == 'You said: "And now?". (turn 3)'


async def test_answers_many_callers_at_once(client: genai.Client) -> None:
    answers = await asyncio.gather(
        *(
            client.aio.models.generate_content(model=MODEL, contents=f"say: {number}")
            for number in range(20)
        )
    )
    assert [answer.text for answer in answers] == [str(number) for number in range(20)]


def test_models_are_listed(client: genai.Client) -> None:
    assert MODEL in {(model.name or "").removeprefix("models/") for model in client.models.list()}
