"""A prompt that may start from a context, whatever becomes of the context's binding."""

import mimetypes
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..upstream.interface import UpstreamRequest
from .json_values import Json

DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bound:
    """A prefix that upstream holds under an id."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Inline:
    """A prefix that goes with the call.

    Attributes:
        messages: The context surface's messages, in order.
        members: What else upstream was given with them, such as tools.
    """

    messages: Sequence[Json]
    members: Mapping[str, Any] = field(default_factory=dict)


Prefix: TypeAlias = Bound | Inline


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a call asks, checked, and ready to be put behind a prefix.

    Attributes:
        context_field: The request's field that names the context.
        context_id: What it names: a context of ours or an upstream id; empty for none.
        first: The request to upstream, as if `context_id` were upstream's own.
        behind: Makes the request to upstream behind a prefix.
        is_native: The request goes to the Gemini-native surface.
    """

    context_field: str
    context_id: str
    first: UpstreamRequest
    behind: Callable[[Prefix], UpstreamRequest]
    is_native: bool


def chat_behind(body: Json, prefix: Prefix) -> tuple[str, Json]:
    """Return path and body of a chat behind a prefix (wire.md A.2; inline: section 0)."""
    match prefix:
        case Bound(upstream_id):
            return "/context/chat/completions", {**body, "context_id": upstream_id}
        case Inline(messages, members):
            own = {name: value for name, value in body.items() if name != "context_id"}
            whole = {**members, **own, "messages": [*messages, *body["messages"]]}
            return "/chat/completions", whole


def generate_behind(body: Json, prefix: Prefix) -> Json:
    """Return the body of a Gemini-native generation behind a prefix."""
    match prefix:
        case Bound(upstream_id):
            return {**body, "cachedContent": upstream_id} if upstream_id else body
        case Inline(messages):
            own = {name: value for name, value in body.items() if name != "cachedContent"}
            before = gemini_contents(messages)
            return {**before, **own, "contents": [*before["contents"], *body["contents"]]}


def gemini_contents(messages: Iterable[Mapping[str, Any]]) -> Json:
    """Return the context surface's messages as `contents` and `systemInstruction`."""
    contents: list[Json] = []
    instruction: list[Json] = []
    for message in messages:
        parts = [_gemini_part(part) for part in _parts(message.get("content"))]
        if message["role"] == "system":
            instruction += parts
        else:
            role = "model" if message["role"] == "assistant" else "user"
            contents.append({"role": role, "parts": parts})
    result: Json = {"contents": contents}
    return result | ({"systemInstruction": {"parts": instruction}} if instruction else {})


def _parts(content: object) -> list[Mapping[str, Any]]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content or ""}]


def _gemini_part(part: Mapping[str, Any]) -> Json:
    match part:
        case {"type": "text", "text": text}:
            return {"text": text}
        case {"type": "image_url", "image_url": {"url": str() as url}}:
            return _media(url, "image/png")
        case {"type": "video_url", "video_url": {"url": str() as url}}:
            return _media(url, "video/mp4")
        case {"type": "input_audio", "input_audio": {"data": data, "format": format_}}:
            return {"inlineData": {"mimeType": f"audio/{format_}", "data": data}}
        case _:
            return dict(part)


def _media(url: str, otherwise: str) -> Json:
    if found := DATA_URL.fullmatch(url):
        return {"inlineData": {"mimeType": found[1] or otherwise, "data": found[2]}}
    # Without the query, which is no suffix; not strictly, or WebP would be unknown.
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    guessed, _ = mimetypes.guess_type(path, strict=False)
    return {"fileData": {"mimeType": guessed or otherwise, "fileUri": url}}
