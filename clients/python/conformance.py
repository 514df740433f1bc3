"""The conformance runner: `conformance.py [--blocking] PLAN`, see ../conformance/README.md.

It is written for the blocking client; the asyncio one is driven step by step through `Stepped`.
"""

import argparse
import asyncio
import base64
import contextlib
import inspect
import json
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from contextbridge import AsyncClient, Client, ContextBridgeError, Tls
from contextbridge import v1 as pb

Fields = dict[str, Any]


class Stepped:
    """What waits on a loop with the face of what blocks: the client, a stream, an iterator."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._target, "aclose" if name == "close" and self._streams else name)
        return lambda *args, **options: self._wait(method(*args, **options))

    def __iter__(self) -> Iterator[Any]:
        iterator = aiter(self._target)
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._loop.run_until_complete(anext(iterator))

    @property
    def _streams(self) -> bool:
        return hasattr(self._target, "__aiter__")

    def _wait(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            return self._loop.run_until_complete(value)
        return Stepped(value, self._loop) if hasattr(value, "__aiter__") else value


def main() -> None:
    """Run every case of the plan and report it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--blocking", action="store_true")
    given = parser.parse_args()
    with asyncio.Runner() as runner:
        for case in json.loads(given.plan.read_text())["cases"]:
            options = connection(case["connect"])
            if given.blocking:
                client: Any = Client(**options)
            else:
                client = Stepped(AsyncClient(**options), runner.get_loop())
            print(json.dumps(run(client, case)), flush=True)
            client.close()


def run(client: Any, case: Fields) -> Fields:
    """Run a case and return its report."""
    report: Fields = {"name": case["name"]}
    try:
        if case["call"] in STREAMS:
            read(STREAMS[case["call"]](client, request_of(case), options_of(case)), case, report)
        else:
            report["response"] = as_json(UNARY[case["call"]](client, case))
    except ContextBridgeError as error:
        report["error"] = failure(error)
    return report


def read(stream: Any, case: Fields, report: Fields) -> None:
    """Read a stream as the case says; what comes before a failure is reported too."""
    match case.get("read", "events"):
        case "answer":
            report["response"] = as_json(stream.answer())
        case "text":
            texts = report["texts"] = []
            for piece in stream.text():
                texts.append(piece)  # noqa: PERF402 - What came must survive the failure.
        case "events":
            events = report["events"] = []
            for event in stream:
                events.append(as_json(event))
                if len(events) == case.get("cancel_after"):
                    stream.close()
                    report["cancelled"] = True
                    return


def connection(connect: Fields) -> Fields:
    """What a client is made with."""
    names = ("target", "token", "insecure_token")
    given = {name: connect[name] for name in names if name in connect}
    if "ca_file" in connect:
        given["tls"] = Tls(ca_file=connect["ca_file"], server_name=connect.get("server_name"))
    return given


def options_of(case: Fields) -> Fields:
    """Deadline and resuming."""
    return {name: case[name] for name in ("timeout", "resume") if name in case}


def request_of(case: Fields) -> Any:
    """The request message."""
    method = case["call"]
    shared = {
        "CompleteChatWithContext": "ChatWithContext",
        "StreamGenerateContent": "GenerateContent",
    }
    message = getattr(pb, f"{shared.get(method, method)}Request")()
    return json_format.ParseDict(case["request"], message)


def keywords(message: Message, *others: str) -> Fields:
    """A message's fields as a caller writes them, but for others that are given elsewhere."""
    return {
        field.name: native(value)
        for field, value in message.ListFields()
        if field.name not in others
    }


def native(value: Any) -> Any:
    """A field's value as a caller writes it."""
    match value:
        case Duration():
            return value.ToTimedelta()
        case Timestamp():
            return value.ToDatetime(tzinfo=UTC)
        case Struct():
            return json_format.MessageToDict(value)
        case _:
            return value


def as_json(message: Message) -> Any:
    """A message as ProtoJSON."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def failure(error: ContextBridgeError) -> Fields:
    """What is reported of an error."""
    delay = error.retry_delay
    return {
        "code": error.code.name,
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
        "violations": [{"field": v.field, "description": v.description} for v in error.violations],
        "retry_delay": None if delay is None else delay.total_seconds(),
        "request_id": error.request_id,
        "upstream_message": error.upstream_message,
    }


def chat(client: Any, method: str, request: pb.ChatWithContextRequest, options: Fields) -> Any:
    """Call one of the chats."""
    given = keywords(request, "context_id", "model", "messages")
    call = getattr(client, method)
    return call(request.context_id, request.messages, model=request.model, **given, **options)


def generate(client: Any, method: str, request: pb.GenerateContentRequest, options: Fields) -> Any:
    """Call one of the generations."""
    given = keywords(request, "model", "contents")
    return getattr(client, method)(request.model, request.contents, **given, **options)


STREAMS: dict[str, Callable[[Any, Any, Fields], Any]] = {
    "ChatWithContext": lambda client, *given: chat(client, "chat", *given),
    "StreamGenerateContent": lambda client, *given: generate(
        client, "stream_generate_content", *given
    ),
}


def create_context(client: Any, case: Fields) -> Message:
    """Call CreateContext."""
    request = request_of(case)
    given = keywords(request, "model", "messages")
    made: Message = client.create_context(
        request.model, request.messages, **given, **options_of(case)
    )
    return made


def count_tokens(client: Any, case: Fields) -> Message:
    """Call CountTokens."""
    request = request_of(case)
    whole = request.generate_content_request
    contents = request.contents or whole.contents
    given = keywords(whole, "model", "contents")
    counted: Message = client.count_tokens(request.model, contents, **given, **options_of(case))
    return counted


def create_cached_content(client: Any, case: Fields) -> Message:
    """Call CreateCachedContent."""
    request = request_of(case)
    content = request.cached_content
    given = keywords(content, "model", "contents") | keywords(request, "cached_content")
    made = client.create_cached_content(
        content.model, content.contents, **given, **options_of(case)
    )
    return pb.CreateCachedContentResponse(cached_content=made)


def update_cached_content(client: Any, case: Fields) -> Message:
    """Call UpdateCachedContent."""
    content = request_of(case).cached_content
    changes = keywords(content, "name")
    changed = client.update_cached_content(content.name, **changes, **options_of(case))
    return pb.UpdateCachedContentResponse(cached_content=changed)


def upload_file(client: Any, case: Fields) -> Message:
    """Call UploadFile."""
    data = base64.b64decode(case["upload"])
    return pb.UploadFileResponse(file=client.upload_file(data, **case["request"]))


def by_id(
    method: str, field: str, wrap: Callable[[Any], Message]
) -> Callable[[Any, Fields], Message]:
    """A call that takes an id or a name and nothing else."""
    return lambda client, case: wrap(
        getattr(client, method)(getattr(request_of(case), field), **options_of(case))
    )


def with_keywords(method: str, wrap: Callable[[Any], Message]) -> Callable[[Any, Fields], Message]:
    """A call whose arguments are the request's fields."""
    return lambda client, case: wrap(
        getattr(client, method)(**keywords(request_of(case)), **options_of(case))
    )


def update_context(client: Any, case: Fields) -> Message:
    """Call UpdateContext."""
    request = request_of(case)
    changes = keywords(request, "id", "update_mask")
    changed = client.update_context(request.id, **changes, **options_of(case))
    return pb.UpdateContextResponse(context=changed)


def delete_cached_responses(client: Any, case: Fields) -> Message:
    """Call DeleteCachedResponses."""
    request = request_of(case)
    field = request.WhichOneof("target")
    target = {"context" if field == "context_id" else field: getattr(request, field)}
    count = client.delete_cached_responses(**target, **options_of(case))
    return pb.DeleteCachedResponsesResponse(deleted_count=count)


UNARY: dict[str, Callable[[Any, Fields], Message]] = {
    "CreateContext": create_context,
    "GetContext": by_id("get_context", "id", lambda it: pb.GetContextResponse(context=it)),
    "ListContexts": with_keywords(
        "list_contexts", lambda all_of: pb.ListContextsResponse(contexts=all_of)
    ),
    "UpdateContext": update_context,
    "DeleteContext": by_id("delete_context", "id", lambda _: pb.DeleteContextResponse()),
    "CompleteChatWithContext": lambda client, case: chat(
        client, "complete_chat", request_of(case), options_of(case)
    ),
    "GenerateContent": lambda client, case: generate(
        client, "generate_content", request_of(case), options_of(case)
    ),
    "CountTokens": count_tokens,
    "CreateCachedContent": create_cached_content,
    "GetCachedContent": by_id(
        "get_cached_content", "name", lambda it: pb.GetCachedContentResponse(cached_content=it)
    ),
    "ListCachedContents": with_keywords(
        "list_cached_contents",
        lambda all_of: pb.ListCachedContentsResponse(cached_contents=all_of),
    ),
    "UpdateCachedContent": update_cached_content,
    "DeleteCachedContent": by_id(
        "delete_cached_content", "name", lambda _: pb.DeleteCachedContentResponse()
    ),
    "UploadFile": upload_file,
    "GetFile": by_id("get_file", "name", lambda it: pb.GetFileResponse(file=it)),
    "ListFiles": with_keywords("list_files", lambda all_of: pb.ListFilesResponse(files=all_of)),
    "DeleteFile": by_id("delete_file", "name", lambda _: pb.DeleteFileResponse()),
    "DeleteCachedResponses": delete_cached_responses,
    "GetResponseCacheStatistics": with_keywords(
        "get_response_cache_statistics",
        lambda it: pb.GetResponseCacheStatisticsResponse(statistics=it),
    ),
}


if __name__ == "__main__":
    main()
