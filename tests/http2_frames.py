"""What a proxy between a caller and a bridge can tell of HTTP/2: where messages end on the wire."""

from collections import defaultdict
from collections.abc import Iterator

DATA, FRAME_HEADER, MESSAGE_HEADER = 0, 9, 5
"""HTTP/2's kind of frame that messages come in; what a frame and a message begin with, in bytes."""


def data_frames(wire: bytes) -> Iterator[tuple[int, range]]:
    """Iterate over the frames that messages come in: each one's stream, and its place on the wire.

    The last may reach beyond what is there.
    """
    at = 0
    while at + FRAME_HEADER <= len(wire):
        end = at + FRAME_HEADER + int.from_bytes(wire[at : at + 3])
        if wire[at + 3] == DATA:
            yield int.from_bytes(wire[at + 5 : at + FRAME_HEADER]), range(at, end)
        at = end


def framed(wire: bytes) -> tuple[list[int], list[int]]:
    """Return the places on the wire that events come in: with the frames' headers, and without."""
    places: list[int] = []
    payload: list[int] = []
    for _, frame in data_frames(wire):
        end = min(frame.stop, len(wire))
        places += range(frame.start, end)
        payload += range(frame.start + FRAME_HEADER, end)
    return places, payload


def message_ends(wire: bytes) -> list[int]:
    """Return where on the wire each message ends that a server has sent in its one stream."""
    return _ends_in(wire, framed(wire)[1])


def message_ends_by_stream(wire: bytes) -> dict[int, list[int]]:
    """Return the same for each stream of several."""
    payloads: defaultdict[int, list[int]] = defaultdict(list)
    for stream, frame in data_frames(wire):
        payloads[stream] += range(frame.start + FRAME_HEADER, min(frame.stop, len(wire)))
    return {stream: _ends_in(wire, payload) for stream, payload in payloads.items()}


def _ends_in(wire: bytes, payload: list[int]) -> list[int]:
    ends, start = [], 0
    while start + MESSAGE_HEADER <= len(payload):
        size = bytes(wire[place] for place in payload[start + 1 : start + MESSAGE_HEADER])
        start += MESSAGE_HEADER + int.from_bytes(size)
        if start <= len(payload):
            ends.append(payload[start - 1] + 1)
    return ends
