"""Messages of a chat: ours as JSON, with every violation noted, and upstream's as ours."""

import base64
from collections.abc import Collection, Iterable, Sequence

from contextbridge import v1 as pb

from .json_values import Json, Reader, object_of_text, raw_json, text_of
from .limits import Limits
from .violations import Violations

PREFIX_ROLES = ("system", "user", "assistant")
CHAT_ROLES = (*PREFIX_ROLES, "tool")

MESSAGE_MEMBERS = frozenset(
    (
        *("role", "content", "name", "refusal", "reasoning_content", "reasoning"),
        *("tool_calls", "tool_call_id", "function_call"),
    )
)
"""Members of a message that ChatMessage has fields for."""
CALL_MEMBERS = frozenset(("id", "index"))
FUNCTION_MEMBERS = frozenset(("name", "arguments"))


def messages_json(
    messages: Sequence[pb.ChatMessage],
    roles: Sequence[str],
    limits: Limits,
    violations: Violations,
) -> list[Json]:
    """Return messages as upstream's JSON.

    Args:
        messages: The messages of a request.
        roles: The roles allowed.
        limits: The server's bounds.
        violations: Takes what is wrong.
    """
    if not messages:
        violations.add("messages", "At least one message is required.")
    inline_bytes = sum(_inline_bytes(part) for message in messages for part in message.parts)
    if inline_bytes > limits.max_inline_bytes:
        violations.add(
            "messages", f"Inline media must be at most {limits.max_inline_bytes} bytes together."
        )
    return [
        _message_json(message, f"messages[{place}]", roles, violations)
        for place, message in enumerate(messages)
    ]


def _message_json(
    message: pb.ChatMessage, path: str, roles: Sequence[str], violations: Violations
) -> Json:
    violations.one_of(f"{path}.role", message.role, roles)
    _check_shape(message, path, violations)
    result: Json = {"role": message.role}
    if message.parts:
        result["content"] = [
            _part_json(part, f"{path}.parts[{place}]", violations)
            for place, part in enumerate(message.parts)
        ]
    else:
        result["content"] = message.content or None
    if message.name:
        result["name"] = message.name
    if message.tool_calls:
        result["tool_calls"] = [
            _tool_call_json(call, f"{path}.tool_calls[{place}]", violations)
            for place, call in enumerate(message.tool_calls)
        ]
    if message.tool_call_id:
        result["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        result["reasoning_content"] = message.reasoning
    if message.extra_json:
        field = f"{path}.extra_json"
        result |= _extra_members(field, message.extra_json, MESSAGE_MEMBERS, violations)
    return result


def _tool_call_json(call: pb.ChatToolCall, path: str, violations: Violations) -> Json:
    function: Json = {"name": call.name, "arguments": call.arguments_json}
    result: Json = {"id": call.id, "type": "function", "function": function}
    if not call.extra_json:
        violations.require(f"{path}.name", call.name)
        return result
    field = f"{path}.extra_json"
    extra = _extra_members(field, call.extra_json, CALL_MEMBERS, violations)
    own = extra.pop("function", {})
    if not isinstance(own, dict) or own.keys() & FUNCTION_MEMBERS:
        violations.add(field, "Its function must be an object without name and arguments.")
    elif extra.get("type", "function") == "function":
        violations.require(f"{path}.name", call.name)
        function |= own
    else:
        # A tool call of another type has a member of its own instead of `function`.
        del result["function"]
    return result | extra


def _extra_members(field: str, text: str, known: Collection[str], violations: Violations) -> Json:
    """Return the members of an `extra_json`; note those that the message has a field for."""
    members = object_of_text(field, text, violations)
    for name in sorted(members.keys() & known):
        violations.add(field, f"The message has a field for {name}; set that instead.")
    return members


def _check_shape(message: pb.ChatMessage, path: str, violations: Violations) -> None:
    if message.content and message.parts:
        violations.add(f"{path}.parts", "Not together with content.")
    if not (message.content or message.parts or message.tool_calls):
        violations.add(f"{path}.content", "Required, or parts.")
    if message.tool_calls and message.role != "assistant":
        violations.add(f"{path}.tool_calls", "Only with role assistant.")
    if message.reasoning and message.role != "assistant":
        violations.add(f"{path}.reasoning", "Only with role assistant.")
    if message.tool_call_id and message.role != "tool":
        violations.add(f"{path}.tool_call_id", "Only with role tool.")
    if message.role == "tool" and not message.tool_call_id:
        violations.add(f"{path}.tool_call_id", "Required with role tool.")


def _part_json(part: pb.ChatPart, path: str, violations: Violations) -> Json:
    match part.WhichOneof("data"):
        case "text":
            return {"type": "text", "text": part.text}
        case "image_url":
            violations.require(f"{path}.image_url.url", part.image_url.url)
            detail = {"detail": part.image_url.detail} if part.image_url.detail else {}
            return {"type": "image_url", "image_url": {"url": part.image_url.url, **detail}}
        case "video_url":
            violations.require(f"{path}.video_url.url", part.video_url.url)
            fps = _fps_json(part.video_url, f"{path}.video_url.fps", violations)
            return {"type": "video_url", "video_url": {"url": part.video_url.url, **fps}}
        case "input_audio":
            audio = part.input_audio
            violations.require(f"{path}.input_audio.data", audio.data)
            violations.require(f"{path}.input_audio.format", audio.format)
            data = base64.b64encode(audio.data).decode()
            return {"type": "input_audio", "input_audio": {"data": data, "format": audio.format}}
        case "other_json":
            return object_of_text(f"{path}.other_json", part.other_json, violations)
        case _:
            violations.add(path, "A part needs exactly one member.")
            return {}


def _fps_json(video: pb.ChatVideoUrl, path: str, violations: Violations) -> Json:
    if not video.HasField("fps"):
        return {}
    violations.within(path, video.fps, 0)
    return {"fps": video.fps}


def _inline_bytes(part: pb.ChatPart) -> int:
    urls = (part.image_url.url, part.video_url.url)
    inline_urls = sum(len(url) for url in urls if url.startswith("data:"))
    return len(part.input_audio.data) + inline_urls


def tools_json(tools: Iterable[pb.ChatTool], violations: Violations) -> list[Json]:
    """Return tools as upstream's JSON."""
    return [_tool_json(tool, f"tools[{place}]", violations) for place, tool in enumerate(tools)]


def _tool_json(tool: pb.ChatTool, path: str, violations: Violations) -> Json:
    function = tool.function
    violations.require(f"{path}.function.name", function.name)
    result: Json = {"name": function.name}
    if function.description:
        result["description"] = function.description
    if function.parameters_json:
        result["parameters"] = raw_json(
            f"{path}.function.parameters_json", function.parameters_json, violations
        )
    if function.HasField("strict"):
        result["strict"] = function.strict
    return {"type": "function", "function": result}


def turn_message(message: pb.ChatMessage) -> Json:
    """Return an answer's message as a session's history has it: without reasoning (wire.md A.2)."""
    unchecked = Violations()
    turn: Json = {"role": "assistant", "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [_tool_call_json(call, "", unchecked) for call in message.tool_calls]
    if message.extra_json:
        turn |= object_of_text("", message.extra_json, unchecked)
    return turn


def read_message(reader: Reader, message: pb.ChatMessage) -> None:
    """Read the message of a whole answer."""
    message.role = reader.text("role") or "assistant"
    message.content = reader.text("content")
    message.name = reader.text("name")
    message.reasoning = reasoning_of(reader)
    message.refusal = reader.text("refusal")
    message.tool_calls.extend(map(_tool_call_of_answer, reader.items("tool_calls")))
    if reader.has("function_call"):
        call = reader.members("function_call")
        message.tool_calls.add(name=call.text("name"), arguments_json=call.text("arguments"))
    message.extra_json = text_of(reader.rest())


def reasoning_of(reader: Reader) -> str:
    """Read what the model thought; some upstreams give it under two names at once."""
    texts = [reader.text("reasoning_content"), reader.text("reasoning")]
    return texts[0] or texts[1]


def _tool_call_of_answer(reader: Reader) -> pb.ChatToolCall:
    function = reader.members("function")
    return pb.ChatToolCall(
        id=reader.text("id"),
        name=function.text("name"),
        arguments_json=function.text("arguments"),
        extra_json=tool_call_extra(reader, function),
    )


def tool_call_extra(call: Reader, function: Reader) -> str:
    """Return what a tool call has beside id, name and arguments, as the text of a JSON object."""
    call.drop("index")
    extra = call.rest()
    if extra.get("type") == "function":
        del extra["type"]
    if members := function.rest():
        extra["function"] = members
    return text_of(extra)


def logprobs_of(reader: Reader, kind: str) -> list[pb.TokenLogprob]:
    """Read the probabilities of an answer's tokens; `kind` is `content` or `refusal`."""
    return [
        pb.TokenLogprob(
            token=item.text("token"),
            logprob=item.number("logprob"),
            bytes=_token_bytes(item),
            top_logprobs=[
                pb.TopLogprob(
                    token=top.text("token"), logprob=top.number("logprob"), bytes=_token_bytes(top)
                )
                for top in item.items("top_logprobs")
            ],
        )
        for item in reader.items(kind)
    ]


def _token_bytes(reader: Reader) -> bytes:
    return bytes(number & 0xFF for number in reader.integers("bytes"))


def check_last_role(messages: Sequence[pb.ChatMessage], violations: Violations) -> None:
    """Note a conversation that has nothing to answer."""
    if messages and messages[-1].role == "assistant":
        place = len(messages) - 1
        violations.add(f"messages[{place}].role", "The last message must not be the assistant's.")
