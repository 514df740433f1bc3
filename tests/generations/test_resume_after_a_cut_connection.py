"""Callers whose connection breaks anywhere in an answer, and who come back for the rest.

Between a caller and its bridge stands a proxy that knows where each event ends on the wire. It
lets so many events pass, and so many bytes after them, and then resets both connections.
"""

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace

import grpc
import pytest

from families import CHAT, NATIVE, read, text_of, whole_text
from http2_frames import FRAME_HEADER, framed, message_ends

GEMINI = "gemini-2.5-flash"
ONE_KIND = pytest.mark.parametrize("engine", ["cluster"], indirect=True)
"""For what does not depend on the kind of store."""

TEXT = "say: Ça va? 灯台の光 🌊 keeps the ships off Kerrera."
STRIDE = 5
AT_ONCE = 12

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Cut:
    """Where a connection breaks.

    It has had so many events, and so many bytes more of the frames that events come in; or, before
    there is any, so many bytes of whatever the server sends.
    """

    events: int
    after: int = 0
    opening: int | None = None


NEVER = Cut(1_000_000)


def place_of(cut: Cut, wire: bytes) -> int:
    """Return how much of the wire may pass, by what is known of it; more than there is for all."""
    if cut.opening is not None:
        return cut.opening
    ends = [0, *message_ends(wire)]
    if len(ends) <= cut.events:
        return len(wire) + 1
    end = ends[cut.events]
    if cut.events and not cut.after:
        return end
    more = [place for place in framed(wire)[0] if place >= end]
    return more[cut.after] if cut.after < len(more) else len(wire) + 1


class Proxy:
    """Stands between one caller and a bridge, until it breaks both connections."""

    def __init__(self, target: str, cut: Cut) -> None:
        self.wire = b""
        """What the bridge has sent."""
        self.has_cut = False
        self.address = ""
        self._host, _, self._port = target.rpartition(":")
        self._cut = cut
        self._received = 0
        self._progress = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._copies: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_):
        self._reset()
        for copy in self._copies:
            copy.cancel()
        await asyncio.gather(*self._copies, return_exceptions=True)
        assert self._server is not None
        await self._server.wait_closed()

    def received(self, events: int) -> None:
        """Take note that the caller has so many events."""
        self._received = events
        self._progress.set()

    def cut(self) -> None:
        """Break both connections now."""
        self.has_cut = True
        self._reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._server is not None
        self._server.close()  # It is cut off for good: nobody reconnects behind our back.
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        self._writers += writer, up_writer
        self._copies += (
            asyncio.create_task(self._up(reader, up_writer)),
            asyncio.create_task(self._down(up_reader, writer)),
        )

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
            writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        with suppress(OSError):
            while data := await reader.read(65_536):
                self.wire += data
                place = place_of(self._cut, self.wire)
                writer.write(self.wire[sent:place])
                sent = min(place, len(self.wire))
                if sent == place:
                    # All whole events are the caller's before it is cut off.
                    while self._received < self._cut.events:
                        self._progress.clear()
                        await self._progress.wait()
                    self.cut()
                    return
            writer.close()

    def _reset(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            if writer.transport.is_closing():
                continue
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE
            )
            writer.transport.abort()


@dataclass
class Replica:
    """A bridge: a caller of it, and where others call it."""

    client: object
    address: str


@pytest.fixture(name="replicas")
def replicas_fixture(stored, gateway, client_of) -> Callable[..., object]:
    """Return what runs two bridges on one store: `async with replicas() as (one, other)`."""

    @asynccontextmanager
    async def replicas(**settings) -> AsyncIterator[list[Replica]]:
        async with AsyncExitStack() as stack:
            channels = [
                await stack.enter_async_context(stored(gateway.url, **settings)) for _ in range(2)
            ]
            yield [Replica(client_of(channel), channel.address) for channel in channels]

    return replicas


FAMILIES = pytest.mark.parametrize(
    "family", [replace(CHAT, text=TEXT), replace(NATIVE, text=TEXT)], ids=["chat", "gemini"]
)


async def read_through(proxy, client_of, method, request) -> list:
    """Call through a proxy until it is cut off; return the events that arrived."""
    events: list = []
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.max_reconnect_backoff_ms", 60_000),
    ]
    async with grpc.aio.insecure_channel(proxy.address, options=options) as channel:
        call = client_of(channel).call(method, request)
        try:
            if isinstance(call, grpc.aio.UnaryStreamCall):
                async for event in call:
                    events.append(event)
                    proxy.received(len(events))
            else:
                # Nothing of it arrives before all of it has.
                proxy.received(1)
                events.append(await call)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL), error
    return events


def cuts_of(wire: bytes, stride: int = STRIDE) -> list[Cut]:
    """Return cuts at each event's end, in the frame's header after it, and all over the event."""
    _, payload = framed(wire)
    ends = message_ends(wire)
    sizes = [
        FRAME_HEADER + sum(start <= place < end for place in payload)
        for start, end in itertools.pairwise([0, *ends])
    ]
    return [
        *(Cut(0, opening=bytes_) for bytes_ in (0, 5, 21)),
        *(
            Cut(number, after)
            for number, size in enumerate(sizes)
            for after in sorted({0, 1, *range(stride, size, stride)})
        ),
        Cut(len(ends)),  # All events, and no status.
    ]


async def each(work, items) -> list:
    """Do some work on all items, a few at once; return the results in order."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item):
        async with room:
            return await work(item)

    return list(await asyncio.gather(*map(one, items)))


@pytest.fixture(name="wire")
async def wire_fixture(client_of):
    """Return what reads a stream through a proxy that breaks nothing; gives events and bytes."""

    async def wire(address, method, request):
        async with Proxy(address, NEVER) as proxy:
            events = await read_through(proxy, client_of, method, request)
        return events, proxy.wire

    return wire


@ONE_KIND
@FAMILIES
async def test_a_caller_cut_off_anywhere_in_a_kept_answer_reads_the_rest_on_any_replica(
    family, replicas, requests, client_of, wire, asked
):
    async with replicas() as (one, other):
        context = await one.client.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.01", "idempotency_key": "once"}
        request = family.request(requests, context, **fields)
        first, _ = await wire(one.address, family.stream, request)
        again, written = await wire(other.address, family.stream, request)
        cuts = cuts_of(written)

        async def cut_and_resume(cut):
            async with Proxy(other.address, cut) as proxy:
                had = await read_through(proxy, client_of, family.stream, request)
            assert len(had) == cut.events
            after = had[-1].sequence if had else 0
            resume = family.request(requests, context, resume_after=after, **fields)
            rests = [await read(r.client.call(family.stream, resume)) for r in (other, one)]
            return proxy.has_cut, [[*had, *rest] for rest in rests]

        results = await each(cut_and_resume, cuts)

    assert again == first
    assert text_of(first) == TEXT.removeprefix("say: ")
    assert [event.sequence for event in first] == list(range(1, len(first) + 1))
    assert len(first) > 3
    assert len(cuts) > 40
    for cut, (has_cut, runs) in zip(cuts, results, strict=True):
        assert has_cut, cut
        assert runs == [first, first], cut
    assert len(asked()) == 2  # The context, and one answer.


@ONE_KIND
@FAMILIES
async def test_a_caller_cut_off_anywhere_in_a_running_answer_gets_the_rest_of_one_generation(
    family, replicas, requests, client_of, wire, gateway, asked
):
    async with replicas() as (one, other):
        context = await one.client.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.02"}
        request = family.request(requests, context, **fields)
        _, written = await wire(one.address, family.stream, request)
        cuts = cuts_of(written, stride=40)
        asked()

        async def cut_and_resume(cut):
            name = repr(cut)
            request = family.request(requests, context, idempotency_key=name, **fields)
            async with Proxy(one.address, cut) as proxy:
                had = await read_through(proxy, client_of, family.stream, request)
            was_running = gateway.open_requests > 0
            after = had[-1].sequence if had else 0
            resume = family.request(
                requests, context, idempotency_key=name, resume_after=after, **fields
            )
            rests = await asyncio.gather(
                *(read(r.client.call(family.stream, resume)) for r in (one, other))
            )
            whole = await read(other.client.call(family.stream, request))
            return proxy.has_cut and was_running, [[*had, *rest] for rest in rests], whole

        results = await each(cut_and_resume, cuts)

    for cut, (_, runs, whole) in zip(cuts, results, strict=True):
        assert text_of(whole) == TEXT.removeprefix("say: "), cut
        assert [event.sequence for event in whole] == list(range(1, len(whole) + 1)), cut
        assert runs == [whole, whole], cut
    # On a busy machine events come together, so that there are fewer places to cut.
    assert sum(has_cut for has_cut, *_ in results) > len(cuts) / 2
    assert len(asked()) == len(cuts)


@ONE_KIND
@FAMILIES
async def test_a_caller_cut_off_again_and_again_ends_with_the_whole_answer(
    family, replicas, requests, client_of, asked
):
    async with replicas() as pair:
        context = await pair[0].client.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.03", "idempotency_key": "once"}
        had: list = []
        for round_ in itertools.count():
            after = had[-1].sequence if had else 0
            request = family.request(requests, context, resume_after=after, **fields)
            async with Proxy(pair[round_ % 2].address, Cut(1, round_)) as proxy:
                had += await read_through(proxy, client_of, family.stream, request)
            if not proxy.has_cut:
                break
        request = family.request(requests, context, **fields)
        whole = await read(pair[0].client.call(family.stream, request))

    assert had == whole
    assert text_of(whole) == TEXT.removeprefix("say: ")
    assert len(asked()) == 2


@ONE_KIND
@FAMILIES
@pytest.mark.parametrize("pace", ["0", "0.02"])
async def test_a_whole_answer_cut_off_anywhere_is_read_again_either_way(
    pace, family, replicas, requests, client_of, wire, asked
):
    async with replicas() as (one, other):
        context = await one.client.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace={pace}"}
        request = family.request(requests, context, **fields)
        (expected,), written = await wire(one.address, family.unary, request)
        cuts = cuts_of(written, stride=31)
        asked()

        async def cut_and_retry(cut):
            name = repr(cut)
            request = family.request(requests, context, idempotency_key=name, **fields)
            async with Proxy(one.address, cut) as proxy:
                await read_through(proxy, client_of, family.unary, request)
            again = [await r.client.call(family.unary, request) for r in (other, one)]
            events = await read(other.client.call(family.stream, request))
            return proxy.has_cut, again, events

        results = await each(cut_and_retry, cuts)

    for cut, (_, (on_other, on_same), events) in zip(cuts, results, strict=True):
        assert on_other == on_same, cut
        assert whole_text(on_other) == whole_text(expected) == text_of(events), cut
    assert sum(has_cut for has_cut, *_ in results) >= len(cuts) - 1
    assert len(asked()) == len(cuts)


@ONE_KIND
@FAMILIES
async def test_a_whole_answer_cut_off_while_it_is_made_is_read_once_it_is_there(
    family, replicas, requests, client_of, gateway, asked
):
    async with replicas() as (one, other):
        context = await one.client.made(GEMINI)
        fields = {"model": f"{GEMINI}+delay=0.5", "idempotency_key": "once"}
        request = family.request(requests, context, **fields)
        async with Proxy(one.address, NEVER) as proxy:
            call = asyncio.create_task(read_through(proxy, client_of, family.unary, request))
            await gateway.wait_for_open(1)
            proxy.cut()
            assert await call == []

        answers = await asyncio.gather(
            *(r.client.call(family.unary, request) for r in (other, one, other))
        )

    assert {whole_text(answer) for answer in answers} == {TEXT.removeprefix("say: ")}
    assert len(asked()) == 2


@ONE_KIND
@FAMILIES
async def test_a_cut_stream_is_read_whole_by_the_unary_twin_and_the_reverse(
    family, replicas, requests, client_of, wire, asked
):
    async with replicas() as (one, other):
        context = await one.client.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.02"}
        request = family.request(requests, context, idempotency_key="stream", **fields)
        async with Proxy(one.address, Cut(3, 4)) as proxy:
            had = await read_through(proxy, client_of, family.stream, request)
        whole = await other.client.call(family.unary, request)
        resume = family.request(
            requests, context, idempotency_key="stream", resume_after=len(had), **fields
        )
        rest = await read(one.client.call(family.stream, resume))

        request = family.request(requests, context, idempotency_key="unary", **fields)
        async with Proxy(one.address, Cut(0, 20)) as cut_unary:
            assert await read_through(cut_unary, client_of, family.unary, request) == []
        events = await read(other.client.call(family.stream, request))
        again = await one.client.call(family.unary, request)

    assert (proxy.has_cut, cut_unary.has_cut) == (True, True)
    assert whole_text(whole) == text_of([*had, *rest]) == TEXT.removeprefix("say: ")
    assert whole_text(again) == text_of(events) == TEXT.removeprefix("say: ")
    assert len(asked()) == 3


@FAMILIES
async def test_on_every_kind_of_store_a_cut_stream_is_resumed_on_both_replicas(
    family, replicas, requests, client_of, asked
):
    async with replicas() as (one, other):
        context = await one.client.made(GEMINI)
        fields = {"model": f"{GEMINI}+pace=0.02", "idempotency_key": "once"}
        request = family.request(requests, context, **fields)
        async with Proxy(one.address, Cut(3, 12)) as proxy:
            had = await read_through(proxy, client_of, family.stream, request)
        resume = family.request(requests, context, resume_after=len(had), **fields)

        rests = await asyncio.gather(
            *(read(r.client.call(family.stream, resume)) for r in (one, other))
        )

    assert proxy.has_cut
    assert rests[0] == rests[1]
    assert text_of([*had, *rests[0]]) == TEXT.removeprefix("say: ")
    assert len(asked()) == 2
