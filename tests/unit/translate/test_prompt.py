"""Prompts behind a prefix: one that upstream holds, or one that goes inline."""

import msgspec
import pytest

from contextbridge import v1 as pb
from contextbridge_server.translate.chat_request import chat_prompt
from contextbridge_server.translate.gemini_request import count_tokens_prompt, generate_prompt
from contextbridge_server.translate.limits import Limits
from contextbridge_server.translate.prompt import Bound, Inline, gemini_contents

LIMITS = Limits(max_inline_bytes=1000)
SYSTEM = {"role": "system", "content": "You keep the lighthouse."}
ASKED = {"role": "user", "content": "Is it dark?"}
CHAT = pb.ChatWithContextRequest(
    context_id="context-1", model="m", messages=[pb.ChatMessage(role="user", content="Now?")]
)
GENERATE = pb.GenerateContentRequest(
    model="gemini",
    cached_content="context-1",
    contents=[pb.Content(role="user", parts=[pb.Part(text="Now?")])],
)


def body_of(request):
    return msgspec.json.decode(request.body)


def test_a_bound_chat_names_the_binding():
    request = chat_prompt(CHAT, LIMITS, stream=False).request(Bound("ctx-9"))

    assert request.path == "/context/chat/completions"
    assert body_of(request)["context_id"] == "ctx-9"


def test_an_inline_chat_begins_with_the_prefix_and_names_no_context():
    prefix = Inline([SYSTEM], {"tools": ["t"], "model": "ignored"})

    request = chat_prompt(CHAT, LIMITS, stream=False).request(prefix)

    body = body_of(request)
    assert request.path == "/chat/completions"
    assert "context_id" not in body
    assert body["messages"] == [SYSTEM, {"role": "user", "content": "Now?"}]
    assert (body["tools"], body["model"]) == (["t"], "m")


def test_a_bound_generation_names_the_binding():
    request = generate_prompt(GENERATE, LIMITS, stream=True).request(Bound("cachedContents/9"))

    assert body_of(request)["cachedContent"] == "cachedContents/9"


def test_an_inline_generation_has_the_prefix_as_instruction_and_contents():
    request = generate_prompt(GENERATE, LIMITS, stream=False).request(Inline([SYSTEM, ASKED]))

    body = body_of(request)
    assert "cachedContent" not in body
    assert body["systemInstruction"] == {"parts": [{"text": "You keep the lighthouse."}]}
    assert [content["parts"][0]["text"] for content in body["contents"]] == ["Is it dark?", "Now?"]


def test_tokens_are_counted_behind_a_prefix_too():
    count = pb.CountTokensRequest(model="gemini", generate_content_request=GENERATE)
    prompt = count_tokens_prompt(count, LIMITS)

    inner = body_of(prompt.request(Bound("cachedContents/9")))["generateContentRequest"]

    assert prompt.context_id == "context-1"
    assert inner["cachedContent"] == "cachedContents/9"


@pytest.mark.parametrize(
    "part, expected",
    [
        ({"type": "text", "text": "a"}, {"text": "a"}),
        (
            {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAA="}},
            {"inlineData": {"mimeType": "image/webp", "data": "AAA="}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/b.jpg"}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a.example/b.jpg"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://a.example/b"}},
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://a.example/b"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAA=", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AAA="}},
        ),
    ],
)
def test_every_kind_of_part_has_its_gemini_form(part, expected):
    converted = gemini_contents([{"role": "assistant", "content": [part]}])

    assert converted == {"contents": [{"role": "model", "parts": [expected]}]}
