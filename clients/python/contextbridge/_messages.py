"""What callers may write in place of protobuf messages, and the messages made from it."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from contextbridge import v1 as pb

Message = str | tuple[str, str] | pb.ChatMessage
"""A message: the user's text, a `(role, text)` pair, or the whole of it."""

Messages = str | pb.ChatMessage | Sequence[Message]
"""The user's text, a message, or several in order."""

ContentLike = str | tuple[str, str] | pb.Content
"""A Gemini content: the user's text, a `(role, text)` pair, or the whole of it."""

Contents = str | pb.Content | Sequence[ContentLike]
"""The user's text, a Gemini content, or several in order."""

# Beyond it a Struct, which knows doubles alone, would change the number without a word.
_MAX_WHOLE_NUMBER = 2**53


def chat_messages(messages: Messages) -> list[pb.ChatMessage]:
    """Returns the messages. Raises TypeError for what is none."""
    if isinstance(messages, str | pb.ChatMessage):
        return [_chat_message(messages)]
    _refuse_bare_pair(messages)
    return [_chat_message(message) for message in messages]


def _chat_message(message: Message) -> pb.ChatMessage:
    match message:
        case pb.ChatMessage():
            return message
        case str():
            return pb.ChatMessage(role="user", content=message)
        case (str(role), str(text)):
            return pb.ChatMessage(role=role, content=text)
    msg = f"a message is a str, a (role, text) pair or a ChatMessage, not {message!r}"
    raise TypeError(msg)


def gemini_contents(contents: Contents) -> list[pb.Content]:
    """Returns the contents. Raises TypeError for what is none."""
    if isinstance(contents, str | pb.Content):
        return [gemini_content(contents)]
    _refuse_bare_pair(contents)
    return [gemini_content(content) for content in contents]


def gemini_content(content: ContentLike) -> pb.Content:
    """Returns the content. Raises TypeError for what is none."""
    match content:
        case pb.Content():
            return content
        case str():
            return pb.Content(role="user", parts=[pb.Part(text=content)])
        case (str(role), str(text)):
            return pb.Content(role=role, parts=[pb.Part(text=text)])
    msg = f"a content is a str, a (role, text) pair or a Content, not {content!r}"
    raise TypeError(msg)


def _refuse_bare_pair(several: Sequence[object]) -> None:
    # ("system", "Be brief.") could be one pair or two texts of the user.
    match several:
        case tuple((str(), str())):
            msg = f"a (role, text) pair goes into a list: [{several!r}]"
            raise TypeError(msg)


def instruction(text: str | pb.Content | None) -> pb.Content | None:
    """Returns a system instruction, which has no role."""
    return pb.Content(parts=[pb.Part(text=text)]) if isinstance(text, str) else text


def tool_choice(choice: str | pb.ChatToolChoice | None) -> pb.ChatToolChoice | None:
    """Returns a tool choice; text is its mode."""
    return pb.ChatToolChoice(mode=choice) if isinstance(choice, str) else choice


def cache_policy(policy: bool | pb.ResponseCachePolicy | None) -> pb.ResponseCachePolicy | None:
    """Returns a policy; True is one with the defaults."""
    return pb.ResponseCachePolicy(enabled=policy) if isinstance(policy, bool) else policy


def duration(delta: timedelta | None) -> Duration | None:
    """Returns a duration."""
    if delta is None:
        return None
    made = Duration()
    made.FromTimedelta(delta)
    return made


def timestamp(time: datetime | None) -> Timestamp | None:
    """Returns a point in time. Raises ValueError for one without a time zone."""
    if time is None:
        return None
    if time.tzinfo is None:
        msg = "a time needs a time zone, such as datetime.now(UTC) has"
        raise ValueError(msg)
    made = Timestamp()
    made.FromDatetime(time)
    return made


def struct(members: Mapping[str, Any] | None) -> Struct | None:
    """Returns a JSON object. Raises ValueError for a number that it cannot hold exactly."""
    if members is None:
        return None
    _refuse_inexact(members)
    made = Struct()
    made.update(dict(members))
    return made


def _refuse_inexact(value: object) -> None:
    match value:
        case Mapping():
            for member in value.values():
                _refuse_inexact(member)
        case list() | tuple():
            for element in value:
                _refuse_inexact(element)
        case int() if abs(value) > _MAX_WHOLE_NUMBER:
            msg = f"extra_body cannot hold {value} exactly; send it as text"
            raise ValueError(msg)
        case float() if not math.isfinite(value):
            msg = f"extra_body cannot hold {value}: JSON has no such number"
            raise ValueError(msg)
