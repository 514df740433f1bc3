"""Answer Gemini-native generation: generateContent, streamGenerateContent, countTokens."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from . import caches, errors
from .answers import Answer, Limits, Prompt, Tool, answer
from .call import Call
from .contents import function_result, read_contents, read_system, read_tools, tool_counts
from .faults import split_model
from .generations import Generation, events, whole
from .protojson import format_timestamp, normalise
from .state import Cache, Counts, Turn
from .streaming import ArrayFraming, Framing, GoogleFraming, send_json, send_stream

_THINKING_MODELS = ("gemini-2.5", "gemini-3")
_ALWAYS_THINKING = "gemini-2.5-pro"
_MAX_CANDIDATES = 8
_MAX_STOPS = 5
_WINDOW_TOKENS = 1_048_576
_CONFLICTING = ("systemInstruction", "tools", "toolConfig")
_MICROSECOND = 1000


async def generate(call: Call) -> web.StreamResponse:
    """Answer :generateContent with one object."""
    generation = await _begin(call, "generateContent")
    await call.wait(generation.wire)
    return await send_json(call, whole(generation), generation.wire)


async def stream_generate(call: Call) -> web.StreamResponse:
    """Answer :streamGenerateContent with server-sent events or, without alt=sse, an array."""
    generation = await _begin(call, "streamGenerateContent")
    await call.wait(generation.wire)
    array = call.in_array or generation.wire.ignore_alt
    framing: Framing = ArrayFraming() if array else GoogleFraming()
    return await send_stream(call, framing, events(generation), generation.wire, lambda: None)


def wants_array(request: web.Request) -> bool:
    """Return whether a stream is sent as an array; its errors are arrays too."""
    return request.query.get("alt", "").partition(";")[0] != "sse"


async def count(call: Call) -> web.StreamResponse:
    """Answer :countTokens for contents or for a whole request."""
    model = call.path["model"]
    body = normalise("CountTokensRequest", await call.read_json())
    chosen = call.faults(model, "count")
    plain = _known_model(call, model, "countTokens")
    request = body.get("generateContentRequest")
    if request is not None and "contents" in body:
        raise errors.GoogleError(
            400,
            "* CountTokensRequest: contents and generate_content_request are mutually exclusive\n",
        )
    if request is not None and not request.get("model"):
        raise errors.GoogleError(
            400, "* CountTokensRequest.generate_content_request.model: model is required\n"
        )
    request = body if request is None else request
    _require_contents(request, "CountTokensRequest")
    cache = _find_cache(call, request, plain)
    cached = cache.counts if cache else Counts()
    counts = cached + _fresh_counts(call, request)
    answer_body: dict[str, Any] = {"totalTokens": counts.total}
    if cached.total:
        answer_body["cachedContentTokenCount"] = cached.total
    answer_body["promptTokensDetails"] = counts.details()
    if cached.total:
        answer_body["cacheTokensDetails"] = cached.details()
    await call.wait(chosen.wire)
    return await send_json(call, answer_body, chosen.wire)


async def _begin(call: Call, method: str) -> Generation:
    model = call.path["model"]
    raw = await call.read_json()
    chosen = call.faults(model, "answer")
    body = normalise("GenerateContentRequest", raw)
    plain = _known_model(call, model, method)
    if body.get("model", "").rpartition("/")[-1] not in ("", model):
        raise errors.GoogleError(400, "The model in the request body must be the path's.")
    _require_contents(body, "GenerateContentRequest")
    config = body.get("generationConfig", {})
    _check_config(config, plain)
    cache = _find_cache(call, body, plain)
    turns = read_contents(call, body["contents"])
    system = read_system(call, body.get("systemInstruction"))
    cached = cache.counts if cache else Counts()
    prompt = cached + sum(
        (turn.counts for turn in [*system, *turns]), tool_counts(body.get("tools", []))
    )
    _check_window(prompt)
    prefix = [*(cache.turns if cache else ()), *system]
    said = _answer(body, plain, cache, prefix, turns)
    thinking = config.get("thinkingConfig", {})
    return Generation(
        answer=chosen.reshape(said),
        candidates=config.get("candidateCount", 1),
        prompt=prompt,
        cached=cached,
        model=plain,
        response_id=secrets.token_urlsafe(17),
        created=format_timestamp(call.arrived_ns // _MICROSECOND * _MICROSECOND),
        shows_thoughts=bool(thinking.get("includeThoughts")),
        logprobs=bool(config.get("responseLogprobs")),
        wire=chosen.wire,
        blocked=chosen.blocks_prompt,
    )


def _known_model(call: Call, model: str, method: str) -> str:
    plain, _ = split_model(model)
    if plain.startswith("unknown-"):
        raise errors.model_not_found(plain, call.version, method)
    return plain


def _require_contents(body: Mapping[str, Any], message: str) -> None:
    if not body.get("contents"):
        raise errors.GoogleError(400, f"* {message}.contents: contents is not specified\n")


def _check_config(config: Mapping[str, Any], model: str) -> None:
    _in_range(config, "candidateCount", 1, _MAX_CANDIDATES)
    _in_range(config, "temperature", 0, 2)
    _in_range(config, "topP", 0, 1)
    _in_range(config, "logprobs", 0, 20)
    room = config.get("maxOutputTokens", 1)
    if room < 1:
        raise errors.GoogleError(
            400,
            "Unable to submit request because it has a maxOutputTokens value of "
            f"{room} but the supported range is from 1 (inclusive) to 65537 (exclusive).",
        )
    if len(config.get("stopSequences", [])) > _MAX_STOPS:
        raise errors.GoogleError(400, "The number of stop sequences must not exceed 5.")
    budget = config.get("thinkingConfig", {}).get("thinkingBudget")
    if budget == 0 and model.startswith(_ALWAYS_THINKING):
        raise errors.GoogleError(
            400, "Budget 0 is invalid. This model only works in thinking mode."
        )


def _check_window(prompt: Counts) -> None:
    if prompt.total > _WINDOW_TOKENS:
        raise errors.GoogleError(
            400,
            f"The input token count ({prompt.total}) exceeds the maximum number of tokens "
            f"allowed ({_WINDOW_TOKENS}).",
        )


def _in_range(config: Mapping[str, Any], name: str, low: float, high: float) -> None:
    value = config.get(name, low)
    if not low <= value <= high:
        raise errors.GoogleError(
            400, f"* GenerateContentRequest.generation_config.{name}: must be in [{low}, {high}]\n"
        )


def _find_cache(call: Call, body: Mapping[str, Any], model: str) -> Cache | None:
    name = body.get("cachedContent")
    if not name:
        return None
    cache = caches.find(call, name)
    if any(member in body for member in _CONFLICTING):
        raise errors.GoogleError(400, _conflict_text(cache))
    caches.check_model(cache, model)
    return cache


def _conflict_text(cache: Cache) -> str:
    if cache.dialect == "vertex":
        return (
            "Tool config, tools and system instruction should not be set in the request when "
            "using cached content."
        )
    return (
        "CachedContent can not be used with GenerateContent request setting system_instruction, "
        "tools or tool_config.\n\nProposed fix: move those values to CachedContent from "
        "GenerateContent request."
    )


def _fresh_counts(call: Call, body: Mapping[str, Any]) -> Counts:
    turns = read_system(call, body.get("systemInstruction"))
    turns += read_contents(call, body["contents"])
    return sum((turn.counts for turn in turns), tool_counts(body.get("tools", [])))


def _answer(
    body: Mapping[str, Any],
    model: str,
    cache: Cache | None,
    prefix: Sequence[Turn],
    turns: Sequence[Turn],
) -> Answer:
    config = body.get("generationConfig", {})
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    tools = _tools(body, calling, cache)
    result = function_result(body["contents"][-1])
    mode = calling.get("mode", "AUTO")
    prompt = Prompt(
        model=model,
        user_texts=[turn.text for turn in [*prefix, *turns] if turn.role == "user"],
        context=next((turn.text for turn in prefix if turn.text), ""),
        tool_result=result,
        tools=tools,
        call_tools=(mode == "ANY" or "tool" in model) and mode != "NONE" and result is None,
        json_schema=config.get("responseSchema") or config.get("responseJsonSchema"),
        wants_json=config.get("responseMimeType") == "application/json",
        thinks=_thinks(config, model),
    )
    limits = Limits(max_tokens=config.get("maxOutputTokens"), stops=config.get("stopSequences", ()))
    return _think_first(prompt, limits)


def _tools(
    body: Mapping[str, Any], calling: Mapping[str, Any], cache: Cache | None
) -> Sequence[Tool]:
    if cache is not None:
        return cache.tools
    return read_tools(body.get("tools", []), calling.get("allowedFunctionNames", ()))


def _think_first(prompt: Prompt, limits: Limits) -> Answer:
    """Subtract the thoughts from the caller's limit, as the service does."""
    said = answer(prompt, limits)
    if limits.max_tokens is None or not said.thoughts:
        return said
    room = max(0, limits.max_tokens - said.thought_tokens)
    return answer(prompt, Limits(max_tokens=room, stops=limits.stops))


def _thinks(config: Mapping[str, Any], model: str) -> bool:
    thinking = config.get("thinkingConfig")
    if thinking is None:
        return model.startswith(_THINKING_MODELS)
    return bool(thinking.get("thinkingBudget", 1))
