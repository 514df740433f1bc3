"""What the rest of the server sees of upstream: a request, an answer, a stream of chunks."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

from ..request_context import RequestContext

Chunk = dict[str, Any]
"""Upstream's unit of a stream: a JSON object."""


Path: TypeAlias = tuple[str | int, ...]
"""Where a value is in a chunk: names of members, and indices."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """Chunks that follow one another and differ in one text alone.

    Attributes:
        like: A chunk like them, with any text.
        path: Where the text is.
        texts: The text of each.
    """

    like: Chunk
    path: Path
    texts: Sequence[str]

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks."""
        return (_with(self.like, self.path, text) for text in self.texts)


def _with(value: Any, path: Path, text: str) -> Any:
    """Return a JSON value with another text somewhere; the rest is shared with it."""
    if not path:
        return text
    copied = value.copy()
    copied[path[0]] = _with(value[path[0]], path[1:], text)
    return copied


Batch: TypeAlias = Sequence[Chunk | Repeated]
"""The chunks that arrived together, in their order."""


def each_chunk(batch: Iterable[Chunk | Repeated]) -> Iterator[Chunk]:
    """Yield the chunks of a batch one by one."""
    for item in batch:
        if isinstance(item, Repeated):
            yield from item.chunks()
        else:
            yield item


class LastBatch(list[Chunk | Repeated]):
    """The chunks of the read in which upstream marked its stream's end; there may be none."""


class Surface(Enum):
    """A family of upstream's routes; decides path prefix, credential header and stream framing."""

    CONTEXT = "context"
    NATIVE = "native"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request to upstream.

    Attributes:
        surface: The family of routes.
        method: The HTTP method.
        path: The path below the surface's prefix, percent-encoded, beginning with `/`.
        body: The body; empty for none.
        query: The query, percent-encoded, without `?`.
        headers: Headers beside those that every request of the surface has.
    """

    surface: Surface
    method: str
    path: str
    body: bytes = b""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """A whole answer with a status of success; headers are found by names in lower case."""

    body: bytes
    headers: Mapping[str, str]


class Upstream(Protocol):
    """The HTTP AI gateway."""

    async def send(self, request: UpstreamRequest, ctx: RequestContext) -> UpstreamAnswer:
        """Send a request and return the whole answer; failures are BridgeErrors."""
        ...

    def stream(
        self, request: UpstreamRequest, ctx: RequestContext
    ) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        """Send a request and iterate over its chunks, those of one read together.

        Leaving the context closes the request. A failure in mid-stream is raised after the chunks
        that came before it. Where upstream marks the end, the last of it is a LastBatch.
        """
        ...
