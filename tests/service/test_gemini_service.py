"""Gemini-native generation, end to end."""

import json

import pytest

from contextbridge import v1 as pb


async def collect(stream):
    return [message async for message in stream]


def text_of(messages, *, thought=False):
    return "".join(
        part.text
        for message in messages
        for candidate in message.candidates
        for part in candidate.content.parts
        if part.thought == thought and candidate.index == 0
    )


async def test_the_key_goes_upstream_as_google_has_it(gemini, generate_request, emulator):
    await gemini.GenerateContent(generate_request())

    request = emulator.requests[-1]
    assert request.path == "/v1/v1beta/models/gemini-2.5-flash:generateContent"
    assert request.headers["x-goog-api-key"] == "sk-test"
    assert "authorization" not in request.headers


async def test_a_stream_says_the_same_as_the_whole_answer(gemini, generate_request, emulator):
    request = generate_request(text="Name one sea bird.")

    messages = await collect(gemini.StreamGenerateContent(request))
    answer = await gemini.GenerateContent(request)

    assert text_of(messages) == text_of([answer]) != ""
    assert [message.sequence for message in messages] == list(range(1, len(messages) + 1))
    assert [m.HasField("billed_usage") for m in messages] == [False] * (len(messages) - 1) + [True]
    assert messages[-1].billed_usage == answer.billed_usage
    assert messages[-1].candidates[0].finish_reason == pb.Candidate.FINISH_REASON_STOP
    assert emulator.requests[0].query == {"alt": "sse"}


async def test_usage_in_our_words_counts_thoughts_with_the_answer(gemini, generate_request):
    answer = await gemini.GenerateContent(generate_request())

    counted, billed = answer.usage_metadata, answer.billed_usage
    assert billed.prompt_tokens == counted.prompt_token_count
    assert billed.completion_tokens == counted.candidates_token_count + counted.thoughts_token_count
    assert billed.total_tokens == counted.total_token_count


async def test_thoughts_are_told_from_the_answer(gemini, generate_request):
    request = generate_request()
    request.generation_config.thinking_config.include_thoughts = True

    messages = await collect(gemini.StreamGenerateContent(request))

    assert text_of(messages, thought=True)
    assert text_of(messages)


async def test_a_function_call_keeps_its_arguments_as_json_text(gemini, generate_request):
    request = generate_request()
    declaration = request.tools.add().function_declarations.add(name="tide", description="Tide.")
    declaration.parameters.type = "OBJECT"
    declaration.parameters.properties["port"].type = "STRING"
    declaration.parameters.properties["days"].type = "INTEGER"
    request.tool_config.function_calling_config.mode = "ANY"

    answer = await gemini.GenerateContent(request)

    (call,) = [p.function_call for p in answer.candidates[0].content.parts if p.function_call.name]
    assert call.name == "tide"
    assert isinstance(json.loads(call.args_json), dict)


async def test_candidates_of_one_stream_are_told_apart(gemini, generate_request):
    request = generate_request()
    request.generation_config.candidate_count = 2

    messages = await collect(gemini.StreamGenerateContent(request))

    finished = {c.index for m in messages for c in m.candidates if c.finish_reason}
    assert finished == {0, 1}
    assert messages[-1].HasField("billed_usage")


async def test_media_goes_upstream_in_base64(gemini, generate_request, emulator):
    request = generate_request()
    request.contents[0].parts.add(
        inline_data=pb.Blob(mime_type="image/png", data=b"\xfb\xff\xfe\xf0")
    )

    await gemini.GenerateContent(request)

    part = emulator.requests[-1].json["contents"][0]["parts"][1]
    assert part == {"inlineData": {"mimeType": "image/png", "data": "+//+8A=="}}


async def test_a_blocked_prompt_is_an_answer_without_candidates(gemini, generate_request):
    request = generate_request("gemini-2.5-flash+blocked")

    answer = await gemini.GenerateContent(request)
    messages = await collect(gemini.StreamGenerateContent(request))

    assert not answer.candidates
    assert answer.prompt_feedback.block_reason_raw
    assert messages[-1].prompt_feedback == answer.prompt_feedback
    assert messages[-1].HasField("billed_usage")


async def test_an_answer_withheld_for_safety_says_so(gemini, generate_request):
    answer = await gemini.GenerateContent(generate_request("gemini-2.5-flash+safety"))

    assert answer.candidates[0].finish_reason == pb.Candidate.FINISH_REASON_SAFETY
    assert not answer.candidates[0].HasField("content")


@pytest.mark.parametrize("fault", ["ignore-alt", "gzip", "utf8-split", "huge-event", "bom"])
async def test_a_harmless_oddity_changes_nothing(fault, gemini, generate_request):
    request = generate_request(f"gemini-2.5-flash+{fault}")

    messages = await collect(gemini.StreamGenerateContent(request))
    answer = await gemini.GenerateContent(request)

    assert text_of(messages) == text_of([answer]) != ""


async def test_usage_is_estimated_where_upstream_counts_nothing(gemini, generate_request):
    request = generate_request("gemini-2.5-flash+no-usage", "say: twelve chars")

    messages = await collect(gemini.StreamGenerateContent(request))

    assert messages[-1].billed_usage.estimated
    assert messages[-1].billed_usage.completion_tokens == 3


async def test_tokens_are_counted_for_contents_and_for_a_whole_request(gemini, generate_request):
    contents = [pb.Content(parts=[pb.Part(text="Name one sea bird.")])]
    whole = generate_request(text="Name one sea bird.")
    whole.system_instruction.parts.add(text="Be brief.")

    plain = await gemini.CountTokens(
        pb.CountTokensRequest(model="gemini-2.5-flash", contents=contents)
    )
    counted = await gemini.CountTokens(
        pb.CountTokensRequest(model="gemini-2.5-flash", generate_content_request=whole)
    )

    assert counted.total_tokens > plain.total_tokens > 0
    assert plain.prompt_tokens_details[0].modality == "TEXT"


async def test_a_model_may_be_named_with_its_prefix(gemini, generate_request, emulator):
    await gemini.GenerateContent(generate_request("models/gemini-2.5-flash"))
    await gemini.GenerateContent(generate_request("tunedModels/birds-1"))

    assert emulator.requests[-2].path.endswith("/v1beta/models/gemini-2.5-flash:generateContent")
    assert emulator.requests[-1].path.endswith("/v1beta/tunedModels/birds-1:generateContent")


@pytest.mark.parametrize("model", ["../admin", "models/..", "a//b", "models/"])
async def test_a_model_cannot_leave_its_place_in_the_path(
    model, gemini, generate_request, failure, emulator
):
    failed = await failure(gemini.GenerateContent(generate_request(model)))

    assert failed.violations == {"model": "Is no valid name."}
    assert not emulator.requests


async def test_a_query_in_a_models_name_stays_part_of_the_name(
    gemini, generate_request, failure, emulator
):
    await failure(gemini.GenerateContent(generate_request("unknown-m?alt=media#x")))

    assert emulator.requests[-1].query == {}
