"""A session's turn: what was asked and what was answered, as upstream keeps them (wire.md A.2)."""

from collections.abc import Iterable

import msgspec

from ..upstream.interface import Chunk, UpstreamRequest
from .json_values import Json


class AnswerReader:
    """Puts an answer's first choice together, from chunks or from a whole answer.

    Reasoning is left out, as upstream leaves it out. What is malformed is left out too: the answer
    that the caller gets is checked elsewhere.
    """

    def __init__(self) -> None:
        self._content: list[str] = []
        self._calls: dict[int, Json] = {}
        self._is_whole = False

    def read(self, batch: Iterable[Chunk]) -> None:
        """Take the chunks that arrived together, or a whole answer."""
        for chunk in batch:
            choices = chunk.get("choices")
            for choice in choices if isinstance(choices, list) else ():
                if isinstance(choice, dict) and not choice.get("index"):
                    self._read_choice(choice)

    def message(self) -> Json | None:
        """Return the assistant's message; None where the answer is not whole."""
        if not self._is_whole:
            return None
        message: Json = {"role": "assistant", "content": "".join(self._content)}
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return message

    def _read_choice(self, choice: Json) -> None:
        # A whole answer may leave its reason out; the last piece of a stream never does.
        ends = bool(choice.get("finish_reason")) or "message" in choice
        self._is_whole = self._is_whole or ends
        piece = choice.get("message") or choice.get("delta")
        if not isinstance(piece, dict):
            return
        self._content.append(_text(piece, "content"))
        calls = piece.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                self._read_call(call, place)

    def _read_call(self, call: Json, place: int) -> None:
        index = call.get("index", place)
        if not isinstance(index, int):
            return
        empty: Json = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        known = self._calls.setdefault(index, empty)
        known["id"] = _text(call, "id") or known["id"]
        function = call.get("function")
        if isinstance(function, dict):
            known["function"]["name"] = _text(function, "name") or known["function"]["name"]
            known["function"]["arguments"] += _text(function, "arguments")


def _text(value: Json, member: str) -> str:
    text = value.get(member)
    return text if isinstance(text, str) else ""


def messages_asked(request: UpstreamRequest) -> list[Json]:
    """Return the messages that a chat request brings."""
    body = msgspec.json.decode(request.body)
    messages: list[Json] = body["messages"]
    return messages
