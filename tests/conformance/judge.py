"""Whether what a client reported is what the suite expects."""

import itertools
import re
from typing import Any

from google.protobuf import json_format

from conformance.servers import message_of
from contextbridge import text_of
from contextbridge._fold import ChatFold, ContentFold

FOLDS: dict[str, tuple[type[Any], str]] = {
    "ChatWithContext": (ChatFold, "CompleteChatWithContext"),
    "StreamGenerateContent": (ContentFold, "GenerateContent"),
}
"""What folds a stream, and the unary twin whose answer that is."""


def judge(case: dict[str, Any], report: dict[str, Any]) -> None:
    """Fail where a report differs from what its case expects."""
    expected = case["expect"]
    error = report.get("error")
    if "error" in expected:
        assert error is not None, "it did not fail"
        judge_error(expected["error"], error)
    else:
        assert error is None, f"it failed: {error}"
    assert report.get("cancelled", False) is ("cancel_after" in case)
    if "events" in report:
        judge_events(case, expected, report)
    elif "texts" in report:
        assert all(report["texts"]), "an empty piece of text"
        assert_like(expected.get("text"), "".join(report["texts"]), "text")
    elif "response" in report:
        twin = FOLDS.get(case["call"], (None, case["call"]))[1]
        judge_answer(expected, message_of(twin, report["response"], output=True))


def judge_events(case: dict[str, Any], expected: dict[str, Any], report: dict[str, Any]) -> None:
    """Check a stream: its order, its ends, and the whole that its events make."""
    fold_type, _ = FOLDS[case["call"]]
    events = [message_of(case["call"], event, output=True) for event in report["events"]]
    first = int(case["request"].get("resume_after", 0)) + 1
    assert [event.sequence for event in events] == list(range(first, first + len(events)))
    assert len(events) >= expected.get("at_least", 0)
    fold = fold_type()
    for event in events:
        fold.add(event)
    assert fold.complete is not ("error" in expected or "cancel_after" in case)
    if fold_type is ChatFold:
        kinds = [event.WhichOneof("event") for event in events]
        assert kinds[:1] == ["started"][: len(kinds)] or first > 1
        assert_like(expected.get("kinds"), [kind for kind, _ in itertools.groupby(kinds)], "kinds")
    if fold.complete and first == 1:
        judge_answer(expected, fold.answer())


def judge_answer(expected: dict[str, Any], answer: Any) -> None:
    """Check a whole answer, or another unary response."""
    if "text" in expected:
        assert_like(expected["text"], text_of(answer), "text")
    found = json_format.MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert_like(expected.get("answer"), found, "answer")


def judge_error(expected: dict[str, Any], error: dict[str, Any]) -> None:
    """Check an error; one with a reason has the server's details too."""
    assert_like(expected, error, "error")
    if expected.get("reason"):
        assert error["request_id"], "no request id"
        assert error["metadata"]["requestId"] == error["request_id"]
        assert error["message"]
        assert error["upstream_message"] == error["metadata"].get("upstreamMessage", "")
        assert ("retry_delay" in expected) is (error["retry_delay"] is not None)
        assert ("violations" in expected) is bool(error["violations"])


def assert_like(expected: Any, found: Any, path: str) -> None:
    """Fail where found JSON is not like what is expected.

    An object's members are all there, more may be; a list has the same length; `{"$match": …}` is
    a regular expression for the whole of a text, `{"$in": […]}` one of several values, and
    `{"$any": true}` anything. None expects nothing.
    """
    match expected:
        case None:
            return
        case {"$match": str() as pattern}:
            assert re.fullmatch(pattern, str(found), re.DOTALL), f"{path}: {found!r}"
        case {"$in": list() as values}:
            assert found in values, f"{path}: {found!r}"
        case {"$any": True}:
            assert found is not None, path
        case dict():
            for name, value in expected.items():
                assert name in found, f"{path}.{name} is missing in {found!r}"
                assert_like(value, found[name], f"{path}.{name}")
        case list():
            assert len(expected) == len(found), f"{path}: {found!r}"
            for place, (one, other) in enumerate(zip(expected, found, strict=True)):
                assert_like(one, other, f"{path}[{place}]")
        case _:
            assert found == expected, f"{path}: {found!r} instead of {expected!r}"
