"""Validate OpenAI-style requests, with Ark's errors."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from . import errors
from .answers import Limits, Tool
from .state import Counts, Turn
from .tokens import count_tokens

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_INTEGERS: Mapping[str, tuple[int, int]] = {
    "n": (1, 16),
    "max_tokens": (0, 1_048_576),
    "max_completion_tokens": (0, 1_048_576),
    "top_logprobs": (0, 20),
}
_SWITCHES = ("stream", "logprobs")
_MAX_STOPS = 4
_IMAGE_TOKENS = 258
_VIDEO_TOKENS = 2630
_MEDIA: Mapping[str, tuple[str, int]] = {
    "image_url": ("IMAGE", _IMAGE_TOKENS),
    "video_url": ("VIDEO", _VIDEO_TOKENS),
}


def is_gemini(model: str) -> bool:
    """Return whether a model is a Gemini model."""
    return model.removeprefix("models/").startswith("gemini-")


def required_text(body: Mapping[str, Any], name: str) -> str:
    """Return a member that must be a nonempty string."""
    value = body.get(name)
    if value is None or value == "":
        raise errors.missing_parameter(name)
    if not isinstance(value, str):
        raise errors.invalid_parameter(name, "must be a string")
    return value


def read_turns(body: Mapping[str, Any]) -> list[Turn]:
    """Return the messages of a request."""
    messages = body.get("messages")
    if messages is None:
        raise errors.missing_parameter(name="messages")
    if not isinstance(messages, list) or not messages:
        raise errors.invalid_parameter(
            name="messages", why="must be a list with at least one message"
        )
    return [_read_turn(message) for message in messages]


def read_new_turns(body: Mapping[str, Any]) -> list[Turn]:
    """Return the messages of a chat; the last must not be the model's."""
    turns = read_turns(body)
    if turns[-1].role == "assistant":
        raise errors.invalid_parameter(
            name="messages", why="the last message must not be the assistant's"
        )
    return turns


def _read_turn(message: Any) -> Turn:
    if not isinstance(message, dict):
        raise errors.invalid_parameter(name="messages", why="every message must be an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise errors.unknown_role(role)
    text, counts = _read_content(message.get("content"))
    calls = message.get("tool_calls")
    if calls:
        counts += text_counts(msgspec.json.encode(calls).decode())
    return Turn(role, text, counts)


def _read_content(content: Any) -> tuple[str, Counts]:
    if content is None:
        return "", Counts()
    if isinstance(content, str):
        return content, text_counts(content)
    if not isinstance(content, list):
        raise errors.invalid_parameter(
            name="messages", why="content must be a string or a list of parts"
        )
    texts: list[str] = []
    counts = Counts()
    for part in content:
        text, part_counts = _read_part(part)
        texts.append(text)
        counts += part_counts
    return "".join(texts), counts


def _read_part(part: Any) -> tuple[str, Counts]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return part["text"], text_counts(part["text"])
    if isinstance(kind, str) and kind in _MEDIA:
        return "", Counts((_MEDIA[kind],))
    raise errors.invalid_parameter(
        name="messages", why="a part of the content is of an unknown type"
    )


def text_counts(text: str) -> Counts:
    """Count the tokens of a text."""
    return Counts((("TEXT", count_tokens(text)),))


def total(turns: Sequence[Turn]) -> int:
    """Return the total tokens of messages."""
    return sum(turn.counts.total for turn in turns)


def check_sampling(body: Mapping[str, Any]) -> None:
    """Raise an error for options that are out of range or of the wrong type."""
    for name, (low, high) in _RANGES.items():
        value = body.get(name)
        if value is not None and not (_is_number(value) and low <= value <= high):
            raise errors.invalid_parameter(name, f"must be between {low} and {high}")
    for name, (least, most) in _INTEGERS.items():
        value = body.get(name)
        if value is not None and not (_is_integer(value) and least <= value <= most):
            raise errors.invalid_parameter(name, f"must be between {least} and {most}")
    for name in _SWITCHES:
        if not isinstance(body.get(name, False), bool | None):
            raise errors.invalid_parameter(name, "must be a boolean")
    options = body.get("stream_options")
    if options is not None and not (isinstance(options, dict) and body.get("stream")):
        raise errors.invalid_parameter(name="stream_options", why="only allowed with stream")


def read_limits(body: Mapping[str, Any]) -> Limits:
    """Return the limits on the answer."""
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    valid = stop is None or isinstance(stop, str | list)
    if not valid or len(stops) > _MAX_STOPS or not all(isinstance(each, str) for each in stops):
        raise errors.invalid_parameter(name="stop", why="must be a string or up to 4 strings")
    room = body.get("max_completion_tokens")
    room = body.get("max_tokens") if room is None else room
    # The documentation allows zero, which means no limit by the caller.
    return Limits(max_tokens=int(room) if room else None, stops=stops)


def read_tools(body: Mapping[str, Any]) -> list[Tool]:
    """Return the functions offered to the model; only the forced one, if one is."""
    offered = body.get("tools")
    if offered is None:
        return []
    if not isinstance(offered, list):
        raise errors.invalid_parameter(name="tools", why="must be a list")
    tools = [_read_tool(tool) for tool in offered]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        tools = [tool for tool in tools if tool.name == name]
        if not tools:
            raise errors.invalid_parameter(name="tool_choice", why="names no tool")
    return tools


def _read_tool(tool: Any) -> Tool:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise errors.invalid_parameter(name="tools", why="a tool needs a function with a name")
    return Tool(name, function.get("parameters"))


def must_call(body: Mapping[str, Any]) -> bool:
    """Return whether the caller forces a tool call."""
    choice = body.get("tool_choice")
    return choice == "required" or isinstance(choice, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and value == int(value)
