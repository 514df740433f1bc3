"""A chat request as upstream's body (wire.md A.2)."""

from collections.abc import Mapping
from typing import Any

from contextbridge import v1 as pb

from ..upstream.interface import Surface, UpstreamRequest
from .chat_messages import CHAT_ROLES, check_last_role, messages_json, tools_json
from .context_ids import is_ours
from .generation_request import check_generation_request
from .json_values import Json, encode, merge_extra_body, object_of_text
from .limits import Limits
from .prompt import Bound, Inline, Prefix, Prompt, with_member
from .violations import Violations

MAX_STOPS = 4
MODEL_NEEDED = "Required: the server does not know the model of a context that it did not make."

RANGES: dict[str, tuple[float, float | None]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "n": (1, None),
    "max_tokens": (1, None),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "repetition_penalty": (0, None),
}
"""Optional numbers and their ranges, both ends included; None for no end."""

PLAIN = (*RANGES, "seed", "logprobs", "parallel_tool_calls")
"""Optional fields that go upstream under their own name, as they are."""

FIELDS = {
    *PLAIN,
    *("context_id", "model", "messages", "stop", "stream", "stream_options"),
    *("tools", "tool_choice", "function_call", "response_format"),
    *("logit_bias", "user", "service_tier"),
}
"""Members of the body that are this module's to set."""


class ChatPrompt(Prompt):
    """A chat on the context surface (wire.md A.2; with an inline prefix: section 0)."""

    context_field = "context_id"
    is_native = False

    def request(self, prefix: Prefix) -> UpstreamRequest:
        """Return the upstream request that sends the chat behind a prefix."""
        match prefix:
            case Bound(upstream_id):
                path = "/context/chat/completions"
                body = with_member(self.encoded, "context_id", upstream_id)
            case Inline(messages, members):
                path = "/chat/completions"
                whole = {**members, **self.body}
                body = encode({**whole, "messages": [*messages, *self.body["messages"]]})
        return UpstreamRequest(Surface.CONTEXT, "POST", path, body)


def chat_prompt(request: pb.ChatWithContextRequest, limits: Limits, *, stream: bool) -> ChatPrompt:
    """Return the prompt of a chat request.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    check_generation_request(request, violations)
    body = _body(request, limits, violations)
    body["stream"] = stream
    if stream:
        body["stream_options"] = {"include_usage": True}
    merge_extra_body("extra_body", body, FIELDS, request.extra_body, violations)
    violations.raise_if_any()
    return ChatPrompt(request.context_id, request.model, body, stream=stream)


def _body(request: pb.ChatWithContextRequest, limits: Limits, violations: Violations) -> Json:
    violations.require("context_id", request.context_id)
    body: Json = {}
    if request.model:
        body["model"] = request.model
    elif not (limits.stores_contexts and is_ours(request.context_id)):
        violations.add("model", MODEL_NEEDED)
    body["messages"] = messages_json(request.messages, CHAT_ROLES, limits, violations)
    check_last_role(request.messages, violations)
    # Most requests set few of the many fields; asking each whether it is set would cost more.
    given = {field.name: value for field, value in request.ListFields()}
    body |= {name: given[name] for name in PLAIN if name in given}
    for name, (least, most) in RANGES.items():
        if name in given:
            violations.within(name, given[name], least, most)
    if "top_logprobs" in given and not given.get("logprobs"):
        violations.add("top_logprobs", "Needs logprobs.")
    if request.stop:
        body["stop"] = _stop(request, violations)
    body |= _tools(request, given, violations)
    if text := given.get("response_format_json"):
        body["response_format"] = object_of_text("response_format_json", text, violations)
    if biases := given.get("logit_bias"):
        for token, bias in biases.items():
            violations.within(f"logit_bias[{token}]", bias, -100, 100)
        body["logit_bias"] = dict(biases)
    body |= {name: given[name] for name in ("user", "service_tier") if name in given}
    return body


def _stop(request: pb.ChatWithContextRequest, violations: Violations) -> str | list[str]:
    """Return one stop as a text, as the gateway documents it, and several as an array."""
    if len(request.stop) > MAX_STOPS:
        violations.add("stop", f"At most {MAX_STOPS} are allowed.")
    if not all(request.stop):
        violations.add("stop", "Must not hold an empty text.")
    return request.stop[0] if len(request.stop) == 1 else list(request.stop)


def _tools(
    request: pb.ChatWithContextRequest, given: Mapping[str, Any], violations: Violations
) -> Json:
    result: Json = {}
    if "tools" in given:
        result["tools"] = tools_json(request.tools, violations)
    if "tool_choice" in given:
        choice = request.tool_choice
        function = {"type": "function", "function": {"name": choice.function_name}}
        result["tool_choice"] = choice.mode or function
        _check_choice(choice, "tool_choice", ("none", "auto", "required"), violations)
    if "function_call" in given:
        choice = request.function_call
        result["function_call"] = choice.mode or {"name": choice.function_name}
        _check_choice(choice, "function_call", ("none", "auto"), violations)
    return result


def _check_choice(
    choice: pb.ChatToolChoice, path: str, modes: tuple[str, ...], violations: Violations
) -> None:
    match choice.WhichOneof("choice"):
        case "mode":
            violations.one_of(f"{path}.mode", choice.mode, modes)
        case "function_name":
            violations.require(f"{path}.function_name", choice.function_name)
        case _:
            violations.add(path, "Needs a mode or a function_name.")
