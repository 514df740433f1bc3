"""Every method sends what it was given and returns what the server answered."""

import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from contextbridge import ContextBridgeError
from contextbridge import v1 as pb

MODEL = "doubao-1-5-pro-32k"
CONTEXT = pb.Context(id="ctx-1", model=MODEL)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def test_create_context_sends_every_option_and_returns_the_whole_response(
    client: Any, script: Any
) -> None:
    response = pb.CreateContextResponse(
        context=CONTEXT, usage=pb.Usage(total_tokens=9), reused=True
    )
    script.answer("CreateContext", response)

    answer = await client.create_context(
        MODEL,
        [("system", "Be brief."), "Hello", pb.ChatMessage(role="assistant", content="Hi")],
        ttl=timedelta(hours=1),
        mode=pb.CONTEXT_MODE_SESSION,
        truncation_strategy=pb.TruncationStrategy(type="rolling_tokens"),
        display_name="handbook",
        idempotency_key="r-1",
        reuse=pb.REUSE_IDENTICAL,
        recovery=pb.RECOVERY_NEVER,
        retention=timedelta(days=7),
        extra_body={"depth": 2, "on": True, "names": ["a"], "ratio": 0.5},
    )

    assert answer == response
    sent = script.sent("CreateContext")
    assert [(m.role, m.content) for m in sent.messages] == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "Hi"),
    ]
    assert sent.ttl.seconds == 3600
    assert sent.mode == pb.CONTEXT_MODE_SESSION
    assert sent.truncation_strategy.type == "rolling_tokens"
    assert (sent.model, sent.display_name, sent.idempotency_key) == (MODEL, "handbook", "r-1")
    assert (sent.reuse, sent.recovery) == (pb.REUSE_IDENTICAL, pb.RECOVERY_NEVER)
    assert sent.retention.seconds == 7 * 86400
    assert dict(sent.extra_body) == {"depth": 2, "on": True, "names": ["a"], "ratio": 0.5}


async def test_create_context_invents_no_idempotency_key(client: Any, script: Any) -> None:
    script.answer("CreateContext", pb.CreateContextResponse())
    await client.create_context(MODEL, "Hello", expire_time=NOON)
    assert script.sent("CreateContext").idempotency_key == ""
    assert script.sent("CreateContext").expire_time.ToDatetime(UTC) == NOON


@pytest.mark.parametrize("context", ["ctx-1", CONTEXT])
async def test_a_context_is_named_by_its_id_or_by_itself(
    client: Any, script: Any, context: str | pb.Context
) -> None:
    script.answer("GetContext", pb.GetContextResponse(context=CONTEXT))
    script.answer("DeleteContext", pb.DeleteContextResponse())

    assert await client.get_context(context) == CONTEXT
    assert await client.delete_context(context) is None

    assert script.sent("GetContext").id == script.sent("DeleteContext").id == "ctx-1"


async def test_update_context_changes_what_is_given_an_empty_name_included(
    client: Any, script: Any
) -> None:
    script.answer("UpdateContext", pb.UpdateContextResponse(context=CONTEXT))
    assert await client.update_context(CONTEXT, ttl=timedelta(hours=2), display_name="") == CONTEXT
    sent = script.sent("UpdateContext")
    assert sent.id == "ctx-1"
    assert sent.ttl.seconds == 7200
    assert list(sent.update_mask.paths) == ["ttl", "display_name"]
    assert not sent.HasField("expire_time")
    assert not sent.HasField("retention")


async def test_update_context_moves_the_end_and_the_retention(client: Any, script: Any) -> None:
    script.answer("UpdateContext", pb.UpdateContextResponse(context=CONTEXT))
    await client.update_context("ctx-1", expire_time=NOON, retention=timedelta(days=1))
    sent = script.sent("UpdateContext")
    assert sent.expire_time.ToDatetime(UTC) == NOON
    assert list(sent.update_mask.paths) == ["expire_time", "retention"]


async def test_list_contexts_goes_through_the_pages_and_keeps_the_filter(
    client: Any, script: Any
) -> None:
    pages = {
        "": pb.ListContextsResponse(
            contexts=[pb.Context(id="c"), pb.Context(id="b")], next_page_token="2"
        ),
        "2": pb.ListContextsResponse(contexts=[], next_page_token="3"),
        "3": pb.ListContextsResponse(contexts=[pb.Context(id="a")]),
    }

    async def page(request: Any, context: Any) -> Any:
        del context
        return pages[request.page_token]

    script.on("ListContexts", page)

    listing = client.list_contexts(model=MODEL, state=pb.CONTEXT_STATE_COLD, page_size=2)
    found = [context.id async for context in listing]

    assert found == ["c", "b", "a"]
    requests = script.requests["ListContexts"]
    assert [r.page_token for r in requests] == ["", "2", "3"]
    assert {(r.model, r.state, r.page_size) for r in requests} == {
        (MODEL, pb.CONTEXT_STATE_COLD, 2)
    }


async def test_complete_chat_sends_every_option(client: Any, script: Any) -> None:
    response = pb.CompleteChatWithContextResponse(id="a-1")
    script.answer("CompleteChatWithContext", response)

    answer = await client.complete_chat(
        CONTEXT,
        "Hello",
        temperature=0,
        top_p=0.5,
        n=2,
        stop="END",
        max_tokens=10,
        logprobs=False,
        top_logprobs=3,
        logit_bias={"42": -100},
        tools=[pb.ChatTool(function=pb.ChatFunction(name="f"))],
        tool_choice="required",
        function_call=pb.ChatToolChoice(function_name="f"),
        response_cache=True,
        customer=pb.Customer(identifier="c"),
        extra_body={"thinking": {"type": "disabled"}},
        idempotency_key="r",
        resume_after=3,
    )

    assert answer == response
    sent = script.sent("CompleteChatWithContext")
    assert (sent.context_id, sent.model) == ("ctx-1", MODEL)
    assert sent.HasField("temperature")
    assert sent.HasField("logprobs")
    assert not sent.HasField("seed")
    assert (list(sent.stop), dict(sent.logit_bias)) == (["END"], {"42": -100.0})
    assert sent.tool_choice.mode == "required"
    assert sent.function_call.function_name == "f"
    assert sent.response_cache.enabled
    assert (sent.customer.identifier, sent.idempotency_key, sent.resume_after) == ("c", "r", 3)
    assert sent.extra_body["thinking"]["type"] == "disabled"


async def test_a_chat_on_an_id_leaves_the_model_to_the_server(client: Any, script: Any) -> None:
    script.answer("CompleteChatWithContext", pb.CompleteChatWithContextResponse())
    await client.complete_chat("context-1", "Hello")
    sent = script.sent("CompleteChatWithContext")
    assert (sent.context_id, sent.model) == ("context-1", "")


async def test_a_chat_on_an_upstream_id_names_the_model(client: Any, script: Any) -> None:
    script.answer("CompleteChatWithContext", pb.CompleteChatWithContextResponse())
    await client.complete_chat("ctx-1", "Hello", model="m", stop=["a", "b"])
    sent = script.sent("CompleteChatWithContext")
    assert (sent.context_id, sent.model, list(sent.stop)) == ("ctx-1", "m", ["a", "b"])


async def test_generate_content_sends_every_option(client: Any, script: Any) -> None:
    response = pb.GenerateContentResponse(response_id="g-1")
    script.answer("GenerateContent", response)
    answer = await client.generate_content(
        "gemini-2.5-flash",
        ["Hello", ("model", "Hi"), pb.Content(role="user", parts=[pb.Part(text="Bye")])],
        system_instruction="Be brief.",
        generation_config=pb.GenerationConfig(temperature=0),
        labels={"team": "a"},
        response_cache=pb.ResponseCachePolicy(enabled=True, refresh=True),
        customer=pb.Customer(identifier="c"),
        idempotency_key="r",
        resume_after=3,
        store=False,
    )
    assert answer == response
    sent = script.sent("GenerateContent")
    assert [(c.role, c.parts[0].text) for c in sent.contents] == [
        ("user", "Hello"),
        ("model", "Hi"),
        ("user", "Bye"),
    ]
    assert sent.system_instruction.parts[0].text == "Be brief."
    assert sent.system_instruction.role == ""
    assert sent.response_cache.refresh
    assert (sent.customer.identifier, sent.idempotency_key, sent.resume_after) == ("c", "r", 3)
    assert sent.HasField("store")


async def test_count_tokens_sends_the_contents_or_the_whole_request(
    client: Any, script: Any
) -> None:
    script.answer("CountTokens", pb.CountTokensResponse(total_tokens=3))
    plain = await client.count_tokens("g", "Hello")
    await client.count_tokens("g", "Hello", cached_content="cachedContents/1")
    assert plain.total_tokens == 3
    bare, whole = script.requests["CountTokens"]
    assert bare.contents[0].parts[0].text == "Hello"
    assert not bare.HasField("generate_content_request")
    assert not whole.contents
    assert whole.generate_content_request.cached_content == "cachedContents/1"
    assert whole.generate_content_request.contents[0].parts[0].text == "Hello"


async def test_cached_contents_are_made_read_moved_and_deleted(client: Any, script: Any) -> None:
    kept = pb.CachedContent(name="cachedContents/1")
    script.answer("CreateCachedContent", pb.CreateCachedContentResponse(cached_content=kept))
    script.answer("GetCachedContent", pb.GetCachedContentResponse(cached_content=kept))
    script.answer("UpdateCachedContent", pb.UpdateCachedContentResponse(cached_content=kept))
    script.answer("DeleteCachedContent", pb.DeleteCachedContentResponse())

    made = await client.create_cached_content(
        "g", "A book", system_instruction="Read.", ttl=timedelta(minutes=5), extra_body={"x": 1}
    )
    assert made == kept
    assert await client.get_cached_content("cachedContents/1") == kept
    assert await client.update_cached_content("cachedContents/1", expire_time=NOON) == kept
    assert await client.delete_cached_content("cachedContents/1") is None

    created = script.sent("CreateCachedContent")
    assert created.cached_content.contents[0].parts[0].text == "A book"
    assert created.cached_content.ttl.seconds == 300
    assert created.extra_body["x"] == 1
    updated = script.sent("UpdateCachedContent")
    assert updated.cached_content.name == "cachedContents/1"
    assert list(updated.update_mask.paths) == ["expire_time"]


@pytest.mark.parametrize(
    "method, listing, make",
    [
        (
            "ListCachedContents",
            "list_cached_contents",
            lambda name, token: pb.ListCachedContentsResponse(
                cached_contents=[pb.CachedContent(name=name)], next_page_token=token
            ),
        ),
        (
            "ListFiles",
            "list_files",
            lambda name, token: pb.ListFilesResponse(
                files=[pb.File(name=name)], next_page_token=token
            ),
        ),
    ],
)
async def test_listings_go_through_the_pages(
    client: Any, script: Any, method: str, listing: str, make: Any
) -> None:
    async def page(request: Any, context: Any) -> Any:
        del context
        return make("b", "") if request.page_token else make("a", "next")

    script.on(method, page)
    found = [each.name async for each in getattr(client, listing)(page_size=1)]
    assert found == ["a", "b"]
    assert [r.page_size for r in script.requests[method]] == [1, 1]


@pytest.mark.parametrize(
    "which, request_sent",
    [
        ({"key": "k"}, pb.DeleteCachedResponsesRequest(key="k")),
        ({"customer_identifier": "c"}, pb.DeleteCachedResponsesRequest(customer_identifier="c")),
        ({"context": "ctx-1"}, pb.DeleteCachedResponsesRequest(context_id="ctx-1")),
        ({"context": CONTEXT}, pb.DeleteCachedResponsesRequest(context_id="ctx-1")),
        ({"all": True}, pb.DeleteCachedResponsesRequest(all=True)),
        # The server refuses it: an empty target never means everything.
        ({"key": ""}, pb.DeleteCachedResponsesRequest(key="")),
    ],
)
async def test_cached_responses_are_deleted_and_counted(
    client: Any, script: Any, which: dict[str, Any], request_sent: pb.DeleteCachedResponsesRequest
) -> None:
    response = pb.DeleteCachedResponsesResponse(deleted_count=3)
    script.answer("DeleteCachedResponses", response)
    assert await client.delete_cached_responses(**which) == 3
    assert script.sent("DeleteCachedResponses") == request_sent


@pytest.mark.parametrize(
    "targets", [{}, {"all": False}, {"key": "k", "all": True}, {"key": "", "context": ""}]
)
async def test_a_deletion_without_exactly_one_target_is_not_sent(
    client: Any, script: Any, targets: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="exactly one of"):
        await client.delete_cached_responses(**targets)
    assert "DeleteCachedResponses" not in script.requests


async def test_the_statistics_of_the_response_cache_are_returned(client: Any, script: Any) -> None:
    statistics = pb.ResponseCacheStatistics(entry_count=2, hit_count=5, joined_count=1)
    response = pb.GetResponseCacheStatisticsResponse(statistics=statistics)
    script.answer("GetResponseCacheStatistics", response)
    assert await client.get_response_cache_statistics() == statistics


async def test_files_are_read_and_deleted(client: Any, script: Any) -> None:
    script.answer("GetFile", pb.GetFileResponse(file=pb.File(name="files/1")))
    script.answer("DeleteFile", pb.DeleteFileResponse())
    assert (await client.get_file("files/1")).name == "files/1"
    assert await client.delete_file("files/1") is None


class Uploads:
    """Takes uploads whole and remembers them."""

    def __init__(self, script: Any) -> None:
        self.metadata = pb.UploadFileMetadata()
        self.chunks: list[bytes] = []
        script.on("UploadFile", self.take)

    async def take(self, requests: Any, context: Any) -> Any:
        del context
        async for request in requests:
            if request.HasField("metadata"):
                self.metadata = request.metadata
            else:
                self.chunks.append(request.chunk)
        return pb.UploadFileResponse(file=pb.File(name="files/1"))


async def test_upload_sends_a_path_in_chunks_with_its_size_and_type(
    client: Any, script: Any, tmp_path: Path
) -> None:
    uploads = Uploads(script)
    content = os.urandom(600_000)
    path = tmp_path / "paper.pdf"
    path.write_bytes(content)

    file = await client.upload_file(path, display_name="Paper", name="files/paper")

    assert file.name == "files/1"
    assert uploads.metadata == pb.UploadFileMetadata(
        mime_type="application/pdf", size_bytes=600_000, display_name="Paper", name="files/paper"
    )
    assert [len(chunk) for chunk in uploads.chunks] == [262_144, 262_144, 75_712]
    assert b"".join(uploads.chunks) == content


async def test_upload_takes_bytes(client: Any, script: Any) -> None:
    uploads = Uploads(script)
    await client.upload_file(b"12345", mime_type="text/plain")
    assert (uploads.metadata.size_bytes, uploads.chunks) == (5, [b"12345"])


async def test_upload_reads_an_open_file_from_where_it_stands_and_leaves_it_open(
    client: Any, script: Any
) -> None:
    uploads = Uploads(script)
    file = io.BytesIO(b"12345")
    file.seek(2)
    await client.upload_file(file, mime_type="text/plain")
    assert (uploads.metadata.size_bytes, uploads.chunks) == (3, [b"345"])
    assert not file.closed


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


async def test_upload_needs_the_size_of_a_file_that_cannot_seek(client: Any, script: Any) -> None:
    uploads = Uploads(script)
    with pytest.raises(ValueError, match="size_bytes"):
        await client.upload_file(Pipe(b"123"), mime_type="text/plain")
    await client.upload_file(Pipe(b"123"), mime_type="text/plain", size_bytes=3)
    assert (uploads.metadata.size_bytes, uploads.chunks) == (3, [b"123"])


async def test_upload_needs_a_media_type(client: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mime_type"):
        await client.upload_file(b"123")
    nameless = tmp_path / "nameless"
    nameless.touch()
    with pytest.raises(ValueError, match="mime_type"):
        await client.upload_file(nameless)
    with pytest.raises(FileNotFoundError):
        await client.upload_file(tmp_path / "missing.pdf")


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        del size
        message = "the disk is gone"
        raise OSError(message)


async def test_an_upload_that_cannot_be_read_raises_its_own_error(client: Any, script: Any) -> None:
    Uploads(script)
    with pytest.raises(OSError, match="the disk is gone"):
        await client.upload_file(Broken(b"123"), mime_type="text/plain")


async def test_an_upload_that_the_server_refuses_early_says_why(client: Any, script: Any) -> None:
    script.fail("UploadFile", grpc.StatusCode.INVALID_ARGUMENT, "too large")
    with pytest.raises(ContextBridgeError, match="too large"):
        await client.upload_file(bytes(20_000_000), mime_type="text/plain")
