"""The framings: the standard's examples, a simple reference, and any bytes in any pieces."""

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.upstream.framing import Framing
from contextbridge_server.upstream.json_array import JsonArrayParser, JsonObjectParser
from contextbridge_server.upstream.sse import SseParser

LIMIT = 1_000_000
TOO_LARGE = pb.ERROR_REASON_UPSTREAM_RESPONSE_TOO_LARGE
MANY = settings(deadline=None, max_examples=300)

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")
    | st.sampled_from('\u2028\u2029\u0085\u000b\u000c\u001c: {}[]"\\灯é👩'),
    max_size=20,
)


def payloads(parser: Any, pieces: Iterable[bytes]) -> list[bytes]:
    return [p for found in (*map(parser.feed, pieces), parser.finish()) for p in found]


def outcome(parser: Any, pieces: Iterable[bytes]) -> tuple[list[bytes], int | None]:
    """Return the payloads, and the reason of the failure."""
    found: list[bytes] = []
    try:
        for piece in pieces:
            for payload in parser.feed(piece):
                found.append(payload)  # noqa: PERF402 - what came before a failure counts
        found.extend(parser.finish())
    except BridgeError as error:
        return found, error.reason
    return found, None


def cut(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(c % (len(body) + 1) for c in cuts)})
    return [body[a:b] for a, b in itertools.pairwise(edges)]


CUTS = st.lists(st.integers(0, 2**16), max_size=12)


# ---------------------------------------------------------------------------- server-sent events


def test_the_standards_examples_are_read_as_the_standard_says() -> None:
    # Arrange: html.spec.whatwg.org, "Parsing an event stream".
    stocks = b"data: YHOO\ndata: +2\ndata: 10\n\n"
    four = (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
    )
    empty = b"data\n\ndata\ndata\n\ndata:"
    spaces = b"data:test\n\ndata: test\n\n"

    # Act
    read = [payloads(SseParser(LIMIT), [body]) for body in (stocks, four, empty, spaces)]

    # Assert
    assert read == [
        [b"YHOO\n+2\n10"],
        # The last has no blank line; upstreams end so, hence it counts (wire.md A.3).
        [b"first event", b"second event", b" third event"],
        [b"", b"\n", b""],
        [b"test", b"test"],
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_given_as_soon_as_its_blank_line_is_there(end: bytes) -> None:
    # Arrange
    parser = SseParser(LIMIT)

    # Act
    read = [list(parser.feed(piece)) for piece in (b"data: a", end, end[:1], b"data: b", end + end)]

    # Assert
    assert read == [[], [], [b"a"], [], [b"b"]]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\u000b", "\u000c", "\u001c"])
def test_only_cr_and_lf_end_a_line(separator: str) -> None:
    # Act
    read = payloads(SseParser(LIMIT), [f"data: a{separator}b\n\n".encode()])

    # Assert
    assert read == [f"a{separator}b".encode()]


def test_one_bom_is_stripped_at_the_start_only() -> None:
    # Arrange
    bom = b"\xef\xbb\xbf"
    pieces = [bom[:1], bom[1:2], bom[2:] + b"data: a\n\n" + bom + b"data: b\n\n"]

    # Act
    read = payloads(SseParser(LIMIT), pieces)

    # Assert
    assert read == [b"a"]


def test_a_bare_object_after_the_events_is_given_at_the_end() -> None:
    # Arrange: how some upstreams write an error in mid-stream (wire.md B.1).
    body = b'data: {"a":1}\r\n\r\n{\n  "error": {\n    "code": 503\n  }\n}\n'

    # Act
    read = payloads(SseParser(LIMIT), [body])

    # Assert
    assert [json.loads(payload) for payload in read] == [{"a": 1}, {"error": {"code": 503}}]


DATA_LINES = st.tuples(st.sampled_from(["data:", "data: "]), TEXT).map("".join)
OTHER_LINES = st.one_of(
    st.sampled_from(["data", "event: x", "id", "id: 1", "retry: 5", ":", "", "", "", "datax: y"]),
    TEXT.map(lambda text: f": {text}"),
    TEXT.map(lambda text: f"x{text}"),
)
STREAMS = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(st.one_of(DATA_LINES, OTHER_LINES).map(str.encode), LINE_ENDS)),
    st.one_of(st.just(b""), DATA_LINES.map(str.encode)),
).map(lambda parts: parts[0] + b"".join(a + b for a, b in parts[1]) + parts[2])


def reference(body: bytes) -> list[bytes]:
    """Read a whole event stream the plain way."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\n|\r", body.removeprefix(b"\xef\xbb\xbf")):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        if not line and data:
            events.append(b"\n".join(data))
            data = []
    return [*events, b"\n".join(data)] if data else events


@MANY
@given(STREAMS, CUTS)
@example(b"data: a\r\n\r\ndata: b\r\r", [8, 9, 10])
def test_a_stream_in_any_pieces_is_what_a_simple_reader_makes_of_it(
    body: bytes, cuts: list[int]
) -> None:
    # Act
    read = payloads(SseParser(LIMIT), cut(body, cuts))

    # Assert
    assert read == reference(body)


# ---------------------------------------------------------------------------- arrays

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text('ab"\\{}[],', max_size=6), JSON, max_size=4)
SPACE = st.text(" \t\r\n", max_size=3)


@st.composite
def arrays(draw: Any) -> tuple[list[Any], bytes]:
    elements = draw(st.lists(OBJECTS, max_size=5))
    texts = [
        draw(SPACE)
        + json.dumps(e, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        + draw(SPACE)
        for e in elements
    ]
    body = draw(SPACE) + "[" + ",".join(texts) + "]" + draw(SPACE)
    return elements, body.encode("utf-8", "surrogatepass")


@MANY
@given(arrays(), CUTS)
def test_an_array_in_any_pieces_gives_its_elements(
    array: tuple[list[Any], bytes], cuts: list[int]
) -> None:
    # Arrange
    elements, body = array

    # Act
    read = payloads(Framing(LIMIT), cut(body, cuts))

    # Assert
    assert [json.loads(payload.decode("utf-8", "surrogatepass")) for payload in read] == elements


def test_an_element_is_given_as_soon_as_it_is_whole() -> None:
    # Arrange
    parser = JsonArrayParser(LIMIT)

    # Act
    read = [list(parser.feed(piece)) for piece in (b'[{"a":"}', b"\\", b'"]"}', b"\n,\n{}", b"]")]

    # Assert
    assert read == [[], [], [b'{"a":"}\\"]"}'], [b"{}"], []]


def test_an_array_cut_within_an_element_loses_only_that_element() -> None:
    # Act
    read = payloads(JsonArrayParser(LIMIT), [b'[{"a":1},{"b":'])

    # Assert
    assert read == [b'{"a":1}']


@MANY
@given(OBJECTS, CUTS)
def test_one_object_in_any_pieces_is_given_whole(value: Any, cuts: list[int]) -> None:
    # Arrange
    body = json.dumps(value, indent=1).encode()

    # Act
    read = payloads(Framing(LIMIT), cut(b"\r\n" + body, cuts))

    # Assert
    assert [json.loads(payload) for payload in read] == [value]


# ---------------------------------------------------------------------------- any bytes

BYTES = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        [
            b"data:",
            b"data",
            b" ",
            b"\n",
            b"\r",
            b"\r\n",
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b"\\",
            b",",
            b":",
            b"x",
            b"\xef",
            b"\xbb",
            b"\xbf",
            b"\xe2\x80\xa8",
            b"\xff",
            b"[DONE]",
        ]
    ),
    max_size=60,
).map(b"".join)


@MANY
@given(BYTES, CUTS)
def test_any_bytes_in_any_pieces_are_the_same_payloads(body: bytes, cuts: list[int]) -> None:
    # Act
    whole = outcome(Framing(LIMIT), [body])
    pieces = outcome(Framing(LIMIT), cut(body, cuts))

    # Assert
    assert pieces == whole
    assert whole[1] is None


def held_bytes(parser: Any) -> int:
    match parser:
        case SseParser():
            held = (*parser._partial, *parser._data, *parser._stray)
            return sum(map(len, held))
        case JsonArrayParser():
            return sum(map(len, parser._element))
        case _:
            return len(parser._body)


@MANY
@given(
    st.sampled_from([SseParser, JsonArrayParser, JsonObjectParser]),
    st.integers(1, 40),
    BYTES,
    CUTS,
)
def test_no_parser_holds_more_than_its_limit(
    kind: Any, limit: int, body: bytes, cuts: list[int]
) -> None:
    # Arrange
    parser = kind(limit)

    # Act
    held: list[int] = []
    given: list[int] = []
    failure: BridgeError | None = None
    try:
        for piece in cut(body, cuts):
            given.extend(map(len, parser.feed(piece)))
            held.append(held_bytes(parser))
        given.extend(map(len, parser.finish()))
    except BridgeError as error:
        failure = error

    # Assert
    assert all(size <= limit for size in held + given)
    assert failure is None or failure.metadata == {"limitBytes": str(limit)}
    assert failure is None or failure.reason == TOO_LARGE


@pytest.mark.parametrize(
    "start, piece",
    [
        (b"", b"data: x\n"),
        (b"", b"data\n"),
        (b"", b"x"),
        (b"{\n", b"\n"),
        (b"{\n", b"x\n"),
        (b"{\n", b"data: event\n\n: comment\n"),
        (b'[{"a":"', b"x"),
        (b"[[", b"["),
        (b"{", b" "),
    ],
)
def test_an_endless_event_ends_at_the_limit(start: bytes, piece: bytes) -> None:
    # Arrange
    framing = Framing(1_000)

    # Act
    _, failure = outcome(framing, [start, *[piece] * 2_000])

    # Assert
    assert failure == TOO_LARGE


def test_endless_events_below_the_limit_are_no_endless_event() -> None:
    # Arrange
    framing = Framing(100)

    # Act
    count = sum(len(list(framing.feed(b": PING\n\ndata: {}\n\n"))) for _ in range(10_000))

    # Assert
    assert count == 10_000
