"""However the bytes of a golden stream are cut, its events are the same."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contextbridge import v1 as pb
from contextbridge._fold import ContentFold
from contextbridge_server.errors import BridgeError
from contextbridge_server.translate.chat_stream import ChatStreamDecoder
from contextbridge_server.translate.gemini_answer import GeminiStreamDecoder
from contextbridge_server.upstream.failures import decode_object
from contextbridge_server.upstream.framing import Framing

GOLDEN = Path(__file__).parents[2] / "golden"
STREAMS = {
    case["id"]: case
    for case in json.loads((GOLDEN / "MANIFEST.json").read_text())["cases"]
    if case["surface"] in ("sse-openai", "sse-gemini", "gemini-array")
    and case["response"].endswith(("sse", "array.json"))
}
LARGE = ("sse_o12_huge", "sse_g13_huge")  # 300 kB, cut within near both ends only.
EDGE = 2_000
STRIDE = 10_007


def body_of(name: str) -> bytes:
    return (GOLDEN / STREAMS[name]["response"]).read_bytes()


def decoder_of(name: str) -> Any:
    if STREAMS[name]["surface"] == "sse-openai":
        return ChatStreamDecoder(pb.ChatWithContextRequest(context_id="c"), 0)
    return GeminiStreamDecoder(pb.GenerateContentRequest(), 0)


def events_of(name: str, pieces: Iterable[bytes]) -> tuple[list[Any], str]:
    """Return a stream's events, and the reason of its failure; the network's loop in small."""
    events: list[Any] = []
    framing, decoder = Framing(2**20), decoder_of(name)
    try:
        for payloads in (*map(framing.feed, pieces), framing.finish()):
            batch, ending = batch_of(payloads)
            events.extend(decoder.decode(batch))
            if isinstance(ending, BridgeError):
                raise ending
            if ending:
                break
        events.extend(decoder.finish(pb.ContextOutcome()))
    except BridgeError as error:
        events.extend(decoder.abandon())
        return events, pb.ErrorReason.Name(error.reason)
    return events, ""


def batch_of(payloads: Iterator[bytes]) -> tuple[list[Any], BridgeError | bool]:
    """Return the chunks of one read, and what ended them: an error, or [DONE]."""
    batch: list[Any] = []
    try:
        for payload in payloads:
            if payload == b"[DONE]":
                return batch, True
            batch.append(decode_object(payload, {}))
    except BridgeError as error:
        return batch, error
    return batch, False


def payloads_of(pieces: Iterable[bytes]) -> list[bytes]:
    framing = Framing(2**20)
    return [p for found in (*map(framing.feed, pieces), framing.finish()) for p in found]


def unfolded(outcome: tuple[list[Any], str]) -> tuple[dict[Any, str], list[bytes], str]:
    """Return text by choice and kind, all else in its order, and the failure.

    Of Gemini's messages, what they make by joining: how many there are is not promised.
    """
    events, failure = outcome
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    if events and isinstance(events[0], pb.GenerateContentResponse):
        fold = ContentFold()
        for event in events:
            fold.add(event)
        return {}, [fold.answer().SerializeToString(deterministic=True)], failure
    texts: dict[Any, str] = {}
    others: list[bytes] = []
    for event in events:
        kind = event.WhichOneof("event")
        if kind in ("content", "reasoning", "refusal"):
            delta = getattr(event, kind)
            texts[delta.index, kind] = texts.get((delta.index, kind), "") + delta.text
        else:
            event.ClearField("sequence")
            others.append(event.SerializeToString(deterministic=True))
    return texts, others, failure


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_in_two_pieces_gives_the_events_of_the_whole(name: str) -> None:
    # Arrange
    body = body_of(name)
    whole = unfolded(events_of(name, [body]))
    step = STRIDE if name in LARGE else 1

    # Act
    different = [
        offset
        for offset in range(1, len(body), step)
        if unfolded(events_of(name, [body[:offset], body[offset:]])) != whole
    ]

    # Assert
    assert any(whole)
    assert different == []


@pytest.mark.parametrize("name", LARGE)
def test_a_large_stream_cut_near_its_ends_gives_the_payloads_of_the_whole(name: str) -> None:
    # Arrange
    body = body_of(name)
    whole = payloads_of([body])

    # Act
    different = [
        offset
        for offset in (*range(1, EDGE), *range(len(body) - EDGE, len(body)))
        if payloads_of([body[:offset], body[offset:]]) != whole
    ]

    # Assert
    assert different == []


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_byte_by_byte_gives_the_events_of_the_whole(name: str) -> None:
    # Arrange
    body = body_of(name)

    # Act
    single = events_of(name, (body[place : place + 1] for place in range(len(body))))

    # Assert
    assert unfolded(single) == unfolded(events_of(name, [body]))
