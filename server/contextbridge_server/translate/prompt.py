"""Prompts: checked requests that may start from a context, whatever its binding is by then."""

import mimetypes
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from ..upstream.interface import UpstreamRequest
from .json_values import Json, encode

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


class Prompt(ABC):
    """The checked request of a call, ready to be sent behind the prefix of a context.

    The body is encoded once, without the member that names the context: a binding's id is put in
    front of the encoded bytes.

    Attributes:
        context_field: The request's field that names the context.
        context_id: Its value: a context of ours or an upstream id; empty for none.
        model: The model that the caller names; empty for the context's.
        body: The body of the upstream request.
        encoded: The same as JSON.
        stream: The answer is a stream.
    """

    context_field: ClassVar[str]
    is_native: ClassVar[bool]
    """The request goes to the Gemini-native surface."""

    def __init__(self, context_id: str, model: str, body: Json, *, stream: bool) -> None:
        self.context_id = context_id
        self.model = model
        self.body = body
        self.encoded: bytes = encode(body)
        self.stream = stream

    def fill_model(self, model: str) -> None:
        """Name the context's model, which the caller left out."""
        self.model = model
        self.body["model"] = model
        self.encoded = with_member(self.encoded, "model", model)

    @abstractmethod
    def request(self, prefix: Prefix) -> UpstreamRequest:
        """Return the upstream request that sends the prompt behind a prefix."""

    @property
    def direct_request(self) -> UpstreamRequest:
        """The upstream request where `context_id` is upstream's own."""
        return self.request(Bound(self.context_id))


def with_member(encoded: bytes, name: str, value: str) -> bytes:
    """Return an encoded JSON object, which is not empty, with one more member in front."""
    return b'{"%b":%b,%b' % (name.encode(), encode(value), encoded[1:])


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
