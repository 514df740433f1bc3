import json
from typing import Any

import pytest

STREAM = "streamGenerateContent"
CONFLICT = (
    "CachedContent can not be used with GenerateContent request setting system_instruction, tools "
    "or tool_config.\n\nProposed fix: move those values to CachedContent from GenerateContent "
    "request."
)
VERTEX_CONFLICT = (
    "Tool config, tools and system instruction should not be set in the request when using cached "
    "content."
)
TOOLS = [
    {
        "functionDeclarations": [
            {
                "name": "tide",
                "parameters": {"type": "OBJECT", "properties": {"port": {"type": "STRING"}}},
            }
        ]
    }
]


async def test_an_answer_has_the_members_of_the_documents_sample(caller: Any) -> None:
    answer = (await caller.generate("say: The fulmar.", model="gemini-2.5-flash")).json
    candidate = answer["candidates"][0]
    assert candidate == {
        "content": {"role": "model", "parts": [{"text": "The fulmar."}]},
        "finishReason": "STOP",
        "index": 0,
        "avgLogprobs": -0.125,
    }
    usage = answer["usageMetadata"]
    assert set(usage) == {
        "promptTokenCount",
        "candidatesTokenCount",
        "totalTokenCount",
        "trafficType",
        "promptTokensDetails",
        "candidatesTokensDetails",
        "thoughtsTokenCount",
    }
    assert usage["totalTokenCount"] == (
        usage["promptTokenCount"] + usage["candidatesTokenCount"] + usage["thoughtsTokenCount"]
    )
    assert set(answer) == {
        "candidates",
        "usageMetadata",
        "modelVersion",
        "createTime",
        "responseId",
    }


@pytest.mark.parametrize("prefix", ["/v1/v1beta", "/v1beta", "/v1", "/v1/v1"])
@pytest.mark.parametrize("colon", [":", "%3A", "%3a"])
@pytest.mark.parametrize("kind", ["models", "tunedModels", "dynamic"])
async def test_every_path_leads_to_the_model(
    caller: Any, prefix: str, colon: str, kind: str
) -> None:
    body = {"contents": [{"parts": [{"text": "say: x"}]}]}
    path = (
        f"{prefix}/{kind}/gemini-2.0-flash{colon}generateContent?%24alt=json%3Benum-encoding%3Dint"
    )
    assert (await caller.post(path, body)).status == 200


async def test_events_are_nothing_but_data_lines(caller: Any) -> None:
    reply = await caller.generate("say: a\u2028b\u2029c\u0085d é", verb=f"{STREAM}?alt=sse")
    assert reply.headers["content-type"] == "text/event-stream"
    blocks = reply.raw.split(b"\r\n\r\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b"data: {") and b"\n" not in block for block in blocks)
    text = reply.raw.decode()
    assert not {"\u2028", "\u2029", "\u0085"} & set(text)
    pieces = [event["candidates"][0]["content"]["parts"][0]["text"] for event in reply.events]
    assert "".join(pieces) == "a\u2028b\u2029c\u0085d é"


async def test_the_finish_reason_and_whole_usage_ride_on_the_last_event(caller: Any) -> None:
    whole = (await caller.generate("count to 5")).json
    events = (await caller.generate("count to 5", verb=f"{STREAM}?alt=sse")).events
    assert len(events) == 5
    assert [event["candidates"][0].get("finishReason") for event in events] == [None] * 4 + ["STOP"]
    assert events[-1]["usageMetadata"] == whole["usageMetadata"]
    first = events[0]["usageMetadata"]
    assert first["totalTokenCount"] == first["promptTokenCount"]
    assert "candidatesTokenCount" not in first


@pytest.mark.parametrize("query", ["", "?alt=json", "?$alt=json"])
async def test_without_alt_sse_an_array_comes(caller: Any, query: str) -> None:
    reply = await caller.generate("count to 3", verb=f"{STREAM}{query}")
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"
    assert reply.raw.endswith(b"]")
    assert len(reply.json) == 3


async def test_errors_of_the_array_form_are_arrays(caller: Any) -> None:
    refusal = await caller.generate(model="unknown-1", verb=STREAM)
    assert refusal.status == 404
    assert refusal.json[0]["error"]["status"] == "NOT_FOUND"
    path = f"/v1beta/models/gemini-2.0-flash:{STREAM}"
    assert (await caller.post(path, key="")).json[0]["error"]["code"] == 403
    inside = await caller.generate(
        "count to 9", model="gemini-2.0-flash+error-midstream", verb=STREAM
    )
    assert inside.status == 200
    assert inside.json[-1]["error"]["code"] == 503


async def test_candidates_interleave_and_finish_separately(caller: Any) -> None:
    options = {"generationConfig": {"candidateCount": 2}}
    whole = (await caller.generate("count to 2", **options)).json
    assert [each["index"] for each in whole["candidates"]] == [0, 1]
    events = (await caller.generate("count to 2", verb=f"{STREAM}?alt=sse", **options)).events
    seen = [
        (event["candidates"][0]["index"], event["candidates"][0].get("finishReason"))
        for event in events
    ]
    assert seen == [(0, None), (1, None), (0, None), (1, None), (0, "STOP"), (1, "STOP")]
    assert events[-1]["usageMetadata"] == whole["usageMetadata"]


async def test_thoughts_show_when_asked_and_count_against_the_limit(caller: Any) -> None:
    config = {"thinkingConfig": {"includeThoughts": True}}
    parts = (await caller.generate("say: x", generationConfig=config)).json["candidates"][0][
        "content"
    ]["parts"]
    assert [part.get("thought") for part in parts] == [True, None]
    events = (
        await caller.generate("say: x", verb=f"{STREAM}?alt=sse", generationConfig=config)
    ).events
    assert events[0]["candidates"][0]["content"]["parts"][0]["thought"] is True
    short = (
        await caller.generate("count to 9", generationConfig={**config, "maxOutputTokens": 3})
    ).json
    assert short["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert "candidatesTokenCount" not in short["usageMetadata"]
    hidden = (
        await caller.generate(
            "x",
            model="gemini-2.5-flash",
            generationConfig={"thinkingConfig": {"thinkingBudget": 0}},
        )
    ).json
    assert "thoughtsTokenCount" not in hidden["usageMetadata"]


async def test_functions_are_called_whole_and_their_results_taken(caller: Any) -> None:
    forced = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["tide"]}}
    events = (
        await caller.generate(
            "Oban",
            model="gemini-2.5-flash",
            verb=f"{STREAM}?alt=sse",
            tools=TOOLS,
            toolConfig=forced,
        )
    ).events
    part = events[-1]["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"] == {"name": "tide", "args": {"port": "Oban"}}
    assert "thoughtSignature" in part
    contents = [
        {"role": "user", "parts": [{"text": "Oban"}]},
        {"role": "model", "parts": [part]},
        {"role": "user", "parts": [{"functionResponse": {"name": "tide", "response": {"a": 1}}}]},
    ]
    told = (
        await caller.post(
            "/v1/models/gemini-tool:generateContent", {"contents": contents, "tools": TOOLS}
        )
    ).json
    assert told["candidates"][0]["content"]["parts"][0]["text"] == 'The tool said: "{"a":1}".'


async def test_json_and_log_probabilities_come_when_asked(caller: Any) -> None:
    config = {
        "responseMimeType": "application/json",
        "responseSchema": {"type": "ARRAY", "items": {"type": "STRING", "enum": ["a"]}},
        "responseLogprobs": True,
    }
    candidate = (await caller.generate("x", generationConfig=config)).json["candidates"][0]
    assert candidate["content"]["parts"] == [{"text": '["a"]'}]
    assert candidate["logprobsResult"]["chosenCandidates"][0]["token"] == '["a"]'
    plain = (
        await caller.generate("x", generationConfig={"responseMimeType": "application/json"})
    ).json
    assert plain["candidates"][0]["content"]["parts"] == [{"text": '{"said":"x"}'}]


@pytest.mark.parametrize("verb", ["generateContent", f"{STREAM}?alt=sse"])
async def test_a_blocked_prompt_has_feedback_and_no_candidates(caller: Any, verb: str) -> None:
    reply = await caller.generate(model="gemini-2.0-flash+blocked", verb=verb)
    body = reply.json if verb == "generateContent" else reply.events[0]
    assert body["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": []}
    assert "candidates" not in body
    assert body["usageMetadata"]["totalTokenCount"] == body["usageMetadata"]["promptTokenCount"]


@pytest.mark.parametrize("verb", ["generateContent", f"{STREAM}?alt=sse"])
async def test_a_withheld_answer_has_ratings_and_no_content(caller: Any, verb: str) -> None:
    reply = await caller.generate(model="gemini-2.0-flash+safety", verb=verb)
    body = reply.json if verb == "generateContent" else reply.events[-1]
    assert body["candidates"] == [
        {
            "finishReason": "SAFETY",
            "index": 0,
            "safetyRatings": [
                {
                    "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
                    "probability": "HIGH",
                    "blocked": True,
                }
            ],
        }
    ]


@pytest.mark.parametrize(
    "body,text",
    [
        ({}, "* GenerateContentRequest.contents: contents is not specified"),
        (
            {"contents": [{"parts": [{"text": "x"}], "role": "system"}]},
            "Please use a valid role: user, model.",
        ),
        ({"contents": [{"role": "user"}]}, "contents.parts must not be empty"),
        ({"contents": [{"parts": [{}]}]}, "exactly one data member"),
        ({"model": "models/other", "contents": [{"parts": [{"text": "x"}]}]}, "must be the path's"),
        ({"generationConfig": {"colour": 1}}, "Unknown name \"colour\" at 'generation_config'"),
    ],
)
async def test_faulty_requests_are_refused(caller: Any, body: Any, text: str) -> None:
    refusal = await caller.post("/v1beta/models/gemini-2.0-flash:generateContent", body)
    assert refusal.status == 400
    assert refusal.json["error"]["status"] == "INVALID_ARGUMENT"
    assert text in refusal.message


@pytest.mark.parametrize(
    "config,text",
    [
        ({"maxOutputTokens": 0}, "maxOutputTokens value of 0 but the supported range is from 1"),
        ({"candidateCount": 9}, "candidateCount"),
        ({"temperature": 3}, "temperature"),
        ({"topP": 2}, "topP"),
        ({"logprobs": 21}, "logprobs"),
        ({"stopSequences": ["1", "2", "3", "4", "5", "6"]}, "stop sequences"),
        (
            {"thinkingConfig": {"thinkingBudget": 0}},
            "Budget 0 is invalid. This model only works in thinking mode.",
        ),
    ],
)
async def test_options_out_of_range_are_refused(caller: Any, config: Any, text: str) -> None:
    refusal = await caller.generate(model="gemini-2.5-pro", generationConfig=config)
    assert refusal.status == 400
    assert text in refusal.message


async def test_a_prompt_beyond_the_window_is_refused(caller: Any) -> None:
    refusal = await caller.generate("1" * 1_048_577)
    assert refusal.message == (
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
    )


async def test_an_unknown_model_is_named_with_version_and_method(caller: Any) -> None:
    refusal = await caller.generate(model="unknown-0")
    assert refusal.status == 404
    assert refusal.message == (
        "models/unknown-0 is not found for API version v1beta, or is not supported for "
        "generateContent. Call ListModels to see the list of available models and their supported "
        "methods."
    )


async def test_a_cache_counts_into_the_prompt(caller: Any) -> None:
    made = await caller.cache()
    answer = (await caller.generate("Hi", cachedContent=made["name"])).json
    usage = answer["usageMetadata"]
    assert usage["cachedContentTokenCount"] == made["usageMetadata"]["totalTokenCount"]
    assert usage["promptTokenCount"] == usage["cachedContentTokenCount"] + 1
    assert usage["cacheTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": usage["cachedContentTokenCount"]}
    ]


@pytest.mark.parametrize(
    "extra",
    [{"systemInstruction": {"parts": [{"text": "x"}]}}, {"tools": TOOLS}, {"toolConfig": {}}],
)
@pytest.mark.parametrize(
    "path,text",
    [
        (
            "/v1beta/cachedContents",
            CONFLICT,
        ),
        (
            "/v1beta/projects/7/locations/global/cachedContents",
            VERTEX_CONFLICT,
        ),
    ],
)
async def test_a_cache_and_another_setup_conflict(
    caller: Any, extra: Any, path: str, text: str
) -> None:
    made = await caller.cache(path)
    refusal = await caller.generate(cachedContent=made["name"], **extra)
    assert (refusal.status, refusal.message) == (400, text)


async def test_a_cache_of_another_model_is_refused(caller: Any) -> None:
    made = await caller.cache()
    refusal = await caller.generate(model="gemini-2.5-flash", cachedContent=made["name"])
    assert refusal.message == (
        "Model used by GenerateContent request (models/gemini-2.5-flash) and CachedContent "
        "(models/gemini-2.0-flash) has to be the same."
    )


async def test_functions_of_a_cache_can_be_called(caller: Any) -> None:
    made = await caller.cache(model="models/gemini-tool", tools=TOOLS)
    answer = (await caller.generate("Oban", model="gemini-tool", cachedContent=made["name"])).json
    assert answer["candidates"][0]["content"]["parts"][0]["functionCall"]["name"] == "tide"


async def test_counting_takes_both_forms(caller: Any) -> None:
    contents = [{"parts": [{"text": "one two"}]}]
    path = "/v1beta/models/gemini-2.0-flash:countTokens"
    assert (await caller.post(path, {"contents": contents})).json == {
        "totalTokens": 2,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}],
    }
    made = await caller.cache()
    request = {
        "model": "models/gemini-2.0-flash",
        "contents": contents,
        "cachedContent": made["name"],
    }
    counted = (await caller.post(path, {"generateContentRequest": request})).json
    cached = made["usageMetadata"]["totalTokenCount"]
    assert counted == {
        "totalTokens": cached + 2,
        "cachedContentTokenCount": cached,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": cached + 2}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": cached}],
    }


@pytest.mark.parametrize(
    "body,text",
    [
        ({}, "contents is not specified"),
        ({"generateContentRequest": {"contents": []}}, "model is required"),
        ({"contents": [], "generateContentRequest": {"model": "x"}}, "mutually exclusive"),
    ],
)
async def test_faulty_counts_are_refused(caller: Any, body: Any, text: str) -> None:
    refusal = await caller.post("/v1beta/models/gemini-2.0-flash:countTokens", body)
    assert refusal.status == 400
    assert text in refusal.message


@pytest.mark.parametrize(
    "part,modality,tokens",
    [
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, "IMAGE", 258),
        ({"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}, "AUDIO", 32),
        ({"inlineData": {"mimeType": "video/mp4", "data": "AA=="}}, "VIDEO", 263),
        ({"inlineData": {"mimeType": "application/pdf", "data": "AA=="}}, "DOCUMENT", 258),
        ({"inlineData": {"mimeType": "text/plain", "data": "aGk="}}, "TEXT", 1),
        ({"fileData": {"fileUri": "gs://bucket/film", "mimeType": "video/mp4"}}, "VIDEO", 263),
        ({"executableCode": {"language": "PYTHON", "code": "1"}}, "TEXT", 18),
    ],
)
async def test_media_are_counted_by_kind(
    caller: Any, part: Any, modality: str, tokens: int
) -> None:
    path = "/v1beta/models/gemini-2.0-flash:countTokens"
    counted = (await caller.post(path, {"contents": [{"parts": [part]}]})).json
    assert counted["promptTokensDetails"] == [{"modality": modality, "tokenCount": tokens}]


async def test_a_signature_rides_on_a_part_of_its_own(caller: Any) -> None:
    contents = [{"parts": [{"thoughtSignature": "AA=="}, {"text": "say: x"}]}]
    body = {"contents": contents}
    assert (await caller.post("/v1/models/gemini-2.0-flash:generateContent", body)).status == 200


async def test_what_the_python_client_really_sends_is_taken(caller: Any) -> None:
    body = json.loads(
        """{"contents":[{"role":"user","parts":[{"inlineData":{"data":"-__-8A==","mime_type":
        "image/png"}},{"fileData":{"file_uri":"https://gw.example/x","mime_type":"video/mp4"},
        "videoMetadata":{"start_offset":"1.5s","end_offset":"10s","fps":2.0}}]}],
        "generationConfig":{"thinkingConfig":{"include_thoughts":true,"thinking_budget":0},
        "speechConfig":{"voice_config":{"prebuilt_voice_config":{"voice_name":"Kore"}}}}}"""
    )
    assert (await caller.post("/v1/models/m:generateContent", body)).status == 200
