"""The two families of methods that generate, for tests that hold for both."""

from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from typing import Any

from contextbridge import v1 as pb


@dataclass(frozen=True)
class Family:
    """A streaming method and its unary twin."""

    stream: str
    unary: str
    asking: str
    text: str = "count to 12"

    def request(self, requests: Any, context: Any, text: str = "", **fields: Any) -> Any:
        """Return a request of either method."""
        return getattr(requests, self.asking)(context, text or self.text, **fields)


CHAT = Family("ChatWithContext", "CompleteChatWithContext", "chatting")
NATIVE = Family("StreamGenerateContent", "GenerateContent", "generating")


def text_of(events: Iterable[Any]) -> str:
    """Return the text that events of either family say."""
    return "".join(
        event.content.text
        if isinstance(event, pb.ChatWithContextResponse)
        else "".join(p.text for c in event.candidates for p in c.content.parts if not p.thought)
        for event in events
    )


def whole_text(answer: Any) -> str:
    """Return the text of a whole answer of either family."""
    if isinstance(answer, pb.CompleteChatWithContextResponse):
        return answer.choices[0].message.content
    parts = answer.candidates[0].content.parts
    return "".join(part.text for part in parts if not part.thought)


async def read(call: AsyncIterable[Any], into: list[Any] | None = None) -> list[Any]:
    """Read a stream that must end well, and return its events."""
    events = [] if into is None else into
    async for event in call:
        events.append(event)
    return events


async def some(call: AsyncIterable[Any], count: int) -> list[Any]:
    """Read the first events of a stream."""
    events = []
    async for event in call:
        events.append(event)
        if len(events) == count:
            break
    return events


def with_faults_of_user(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a chat's fields with the emulator's faults in `user`.

    The model of a chat on a context is the context's, so its name cannot choose a fault.
    """
    model, plus, faults = fields.get("model", "").partition("+")
    if not plus or not fields["context_id"].startswith("context-"):
        return fields
    return fields | {"model": model, "user": f"+{faults}"}
