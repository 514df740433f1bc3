"""Read prompts in Google's format: their text, and their tokens by modality."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from . import errors
from .answers import Tool
from .call import Call
from .state import Counts, Turn
from .tokens import count_tokens

_ROLES = frozenset({"", "user", "model", "function"})
_FILE_URI = re.compile(r"(?:^|/)files/([a-z0-9-]{1,40})$")
_IMAGE_TOKENS = 258
_PAGE_TOKENS = 258
_VIDEO_TOKENS_PER_SECOND = 263
_AUDIO_TOKENS_PER_SECOND = 32
_PAGE_BYTES = 50_000
_VIDEO_BYTES_PER_SECOND = 125_000
_AUDIO_BYTES_PER_SECOND = 16_000


def read_contents(call: Call, contents: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """Return the turns of a conversation; raise an error for an invalid role or part."""
    return [_read_content(call, content, at) for at, content in enumerate(contents)]


def read_system(call: Call, content: Mapping[str, Any] | None) -> list[Turn]:
    """Return the system instruction as a turn; its role is ignored."""
    if content is None:
        return []
    text, counts = _read_parts(call, content.get("parts", []))
    return [Turn("system", text, counts)]


def read_tools(tools: Sequence[Mapping[str, Any]], allowed: Sequence[str]) -> list[Tool]:
    """Return the functions that the model may call."""
    declared = [each for tool in tools for each in tool.get("functionDeclarations", [])]
    return [
        Tool(each.get("name", ""), each.get("parameters") or each.get("parametersJsonSchema"))
        for each in declared
        if not allowed or each.get("name") in allowed
    ]


def tool_counts(tools: Sequence[Mapping[str, Any]]) -> Counts:
    """Count the tokens of the tools' JSON."""
    if not tools:
        return Counts()
    return Counts((("TEXT", count_tokens(msgspec.json.encode(tools).decode())),))


def function_result(content: Mapping[str, Any]) -> str | None:
    """Return the function response in a turn, or None."""
    for part in content.get("parts", []):
        if "functionResponse" in part:
            response = part["functionResponse"].get("response", {})
            value = response.get("result", response.get("output", response))
            return value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return None


def _read_content(call: Call, content: Mapping[str, Any], at: int) -> Turn:
    role = content.get("role", "")
    if role not in _ROLES:
        raise errors.GoogleError(400, "Please use a valid role: user, model.")
    parts = content.get("parts", [])
    if not parts:
        raise errors.GoogleError(
            400,
            f"* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty.\n",
        )
    text, counts = _read_parts(call, parts)
    return Turn("assistant" if role == "model" else "user", text, counts)


def _read_parts(call: Call, parts: Sequence[Mapping[str, Any]]) -> tuple[str, Counts]:
    texts: list[str] = []
    counts = Counts()
    for part in parts:
        text, part_counts = _read_part(call, part)
        texts.append(text)
        counts += part_counts
    return "".join(texts), counts


def _read_part(call: Call, part: Mapping[str, Any]) -> tuple[str, Counts]:
    if "text" in part:
        return part["text"], _text(part["text"])
    if "inlineData" in part:
        blob = part["inlineData"]
        data = blob.get("data", b"")
        mime_type = blob.get("mimeType", "")
        if mime_type.startswith("text/"):
            text = data.decode("utf-8", "replace")
            return text, _text(text)
        return "", media_counts(mime_type, len(data))
    if "fileData" in part:
        return _read_file(call, part["fileData"])
    for name in ("functionCall", "functionResponse", "executableCode", "codeExecutionResult"):
        if name in part:
            return "", _text(msgspec.json.encode(part[name]).decode())
    if part.keys() & {"thought", "thoughtSignature", "toolCall", "toolResponse"}:
        return "", Counts()
    raise errors.GoogleError(
        400, "* GenerateContentRequest.contents.parts: part must have exactly one data member.\n"
    )


def _read_file(call: Call, reference: Mapping[str, Any]) -> tuple[str, Counts]:
    uri = reference.get("fileUri", "")
    match = _FILE_URI.search(uri)
    if match is None:
        return "", media_counts(reference.get("mimeType", ""), 0)
    name = f"files/{match[1]}"
    file = call.account.file(name, call.arrived_ns)
    if file is None:
        raise errors.file_forbidden(name)
    if call.arrived_ns < file.active_ns:
        raise errors.GoogleError(
            400,
            f"The File {match[1]} is not in an ACTIVE state and usage is not allowed.",
            status="FAILED_PRECONDITION",
        )
    if file.text is not None:
        return file.text, _text(file.text)
    return "", media_counts(file.mime_type, file.size_bytes)


def media_counts(mime_type: str, size_bytes: int) -> Counts:
    """Estimate the tokens of media by kind and size; the media are not decoded."""
    kind = mime_type.partition("/")[0]
    if kind == "video":
        seconds = max(1, -(-size_bytes // _VIDEO_BYTES_PER_SECOND))
        return Counts((("VIDEO", seconds * _VIDEO_TOKENS_PER_SECOND),))
    if kind == "audio":
        seconds = max(1, -(-size_bytes // _AUDIO_BYTES_PER_SECOND))
        return Counts((("AUDIO", seconds * _AUDIO_TOKENS_PER_SECOND),))
    if mime_type == "application/pdf":
        return Counts((("DOCUMENT", max(1, -(-size_bytes // _PAGE_BYTES)) * _PAGE_TOKENS),))
    return Counts((("IMAGE", _IMAGE_TOKENS),))


def _text(text: str) -> Counts:
    return Counts((("TEXT", count_tokens(text)),))
