"""HTTP/1.1, byte by byte: literal answers through real sockets."""

import asyncio
import gzip
import socket
import zlib
from contextlib import asynccontextmanager

import pytest

from contextbridge_server.upstream import http1
from contextbridge_server.upstream.http1 import (
    MAX_WAITING_BYTES,
    SLICE_BYTES,
    BrokenCompressionError,
    ConnectError,
    Connection,
    ConnectionLostError,
    Connections,
    Host,
    LateError,
    MalformedAnswerError,
    header_lines,
)

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Upstream:
    """Answers each request on a connection with what it is given, and counts."""

    def __init__(self, answers):
        self.answers = answers
        self.connections = 0
        self.closed = asyncio.Event()
        self.received = 0
        self._tasks = set()

    async def handle(self, reader, writer):
        self.connections += 1
        try:
            for answer in self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
                while self.received < length:
                    self.received += len(await reader.read(1 << 16))
                await answer(writer) if callable(answer) else writer.write(answer)
                await writer.drain()
            if self.answers[-1:] != [HELLO]:
                writer.write_eof()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed.set()
            writer.close()


@pytest.fixture(name="talking")
def talking_fixture():
    @asynccontextmanager
    async def talking(*answers):
        upstream = Upstream(list(answers))
        async with await asyncio.start_server(upstream.handle, "127.0.0.1", 0) as server:
            connections = Connections(Host(*server.sockets[0].getsockname()))
            try:
                yield upstream, connections
            finally:
                await connections.aclose()

    return talking


async def asked(connections, body=b"", head=HEAD):
    connection = connections.idle() or await connections.connect()
    await connection.ask(head, body)
    return connection


async def body_of(connection):
    pieces = []
    while piece := await connection.read():
        pieces.append(piece)
    return b"".join(pieces)


async def test_an_answer_has_status_headers_and_body(talking):
    answer = b"HTTP/1.1 201 Made\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nok"
    async with talking(answer) as (_, connections):
        connection = await asked(connections)

        assert connection.status == 201
        assert connection.headers["x-a"] == "1, 2"
        assert await body_of(connection) == b"ok"


@pytest.mark.parametrize("cut", range(1, len(HELLO)))
async def test_an_answer_is_the_same_however_it_is_cut(talking, cut):
    async def in_two(writer):
        writer.write(HELLO[:cut])
        await writer.drain()
        await asyncio.sleep(0.001)
        writer.write(HELLO[cut:])

    async with talking(in_two) as (_, connections):
        assert await body_of(await asked(connections)) == b"hello"


async def test_a_connection_is_used_again_once_its_answer_was_whole(talking):
    async with talking(HELLO, HELLO, HELLO) as (upstream, connections):
        for _ in range(3):
            connection = await asked(connections)
            assert await body_of(connection) == b"hello"
            connections.give_back(connection)

        assert upstream.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        HELLO + b"more than was said",
        HELLO + HELLO,
    ],
    ids=["close", "http-1.0", "until-the-end", "more", "twice"],
)
async def test_a_connection_that_cannot_be_used_again_is_closed(talking, answer):
    async with talking(answer) as (upstream, connections):
        connection = await asked(connections)
        assert await body_of(connection) == b"hello"
        connections.give_back(connection)

        assert connections.idle() is None
        await upstream.closed.wait()


async def test_a_connection_that_upstream_closes_while_it_is_idle_is_not_used(talking):
    async def closing(writer):
        writer.write(HELLO)

    async with talking(closing) as (_, connections):
        connection = await asked(connections)
        await body_of(connection)
        connections.give_back(connection)
        while connection.is_open:
            await asyncio.sleep(0.001)

        assert connections.idle() is None


async def test_leaving_an_answer_closes_its_connection_at_once(talking):
    async def endless(writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nfirst")

    async with talking(endless, HELLO) as (upstream, connections):
        connection = await asked(connections)
        assert await connection.read() == b"first"
        connections.give_back(connection)

        await upstream.closed.wait()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
    ids=["nothing", "in-the-headers", "in-the-body", "before-the-last-chunk"],
)
async def test_an_answer_that_is_cut_is_a_lost_connection(talking, answer):
    async with talking(answer) as (_, connections):
        with pytest.raises(ConnectionLostError):
            await body_of(await asked(connections))


async def test_what_came_before_a_cut_is_read_first(talking):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with talking(answer) as (_, connections):
        connection = await asked(connections)
        while connection.is_open:
            await asyncio.sleep(0.001)

        assert await connection.read() == b"hello"
        with pytest.raises(ConnectionLostError):
            await connection.read()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "
        + b"y" * 70_000
        + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ],
    ids=["ssh", "two-lengths", "two-framings", "no-chunk", "headers", "trailers", "upgrade"],
)
async def test_what_is_no_http_is_malformed(talking, answer):
    async with talking(answer) as (_, connections):
        with pytest.raises(MalformedAnswerError):
            await body_of(await asked(connections))


async def test_what_comes_before_the_answer_is_passed_over(talking):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    async with talking(b"HTTP/1.1 100 Continue\r\n\r\n" + early + HELLO, HELLO) as (_, connections):
        connection = await asked(connections)

        assert (connection.status, "link" in connection.headers) == (200, False)
        assert await body_of(connection) == b"hello"
        connections.give_back(connection)
        assert connections.idle() is connection


async def test_an_answer_without_a_body_is_whole_at_once(talking):
    async with talking(b"HTTP/1.1 204 No Content\r\n\r\n", HELLO) as (_, connections):
        connection = await asked(connections)

        assert await connection.read() == b""
        connections.give_back(connection)
        assert connections.idle() is connection


@pytest.mark.parametrize(
    "encoding, compress", [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_a_body_that_is_compressed_unasked_is_read(talking, encoding, compress):
    text = b"lamp " * 100_000
    packed = compress(text)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}"
    async with talking(head.encode() + b"\r\n\r\n" + packed) as (_, connections):
        connection = await asked(connections)
        pieces = []
        while piece := await connection.read():
            pieces.append(piece)

    assert b"".join(pieces) == text
    assert max(map(len, pieces)) <= http1.PIECE_BYTES


@pytest.mark.parametrize(
    "encoding, packed",
    [
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b"hello" * 100)[:-9]),
        ("br", b"whatever"),
    ],
    ids=["garbage", "cut", "unknown"],
)
async def test_a_compression_that_is_broken_or_unknown_is_told(talking, encoding, packed):
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}"
    async with talking(head.encode() + b"\r\n\r\n" + packed) as (_, connections):
        with pytest.raises(BrokenCompressionError):
            await body_of(await asked(connections))


async def test_a_large_body_is_sent_whole(talking):
    body = b"x" * (4 * SLICE_BYTES + 1)
    head = HEAD.replace(b"Content-Length: 0", f"Content-Length: {len(body)}".encode())
    async with talking(HELLO) as (upstream, connections):
        connection = await asked(connections, body, head)

        assert await body_of(connection) == b"hello"
        assert upstream.received == len(body)


async def test_who_answers_before_the_end_of_a_large_body_gets_no_more_of_it(talking):
    body = b"x" * (200 * SLICE_BYTES)
    # The request's own length is not read: the answer comes at once.
    async with talking(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", HELLO) as (
        upstream,
        connections,
    ):
        connection = await asked(connections, body)

        assert (connection.status, await body_of(connection)) == (413, b"no")
        connections.give_back(connection)
        assert connections.idle() is None
        await upstream.closed.wait()


async def test_upstream_is_read_no_faster_than_its_answer(talking):
    sent = 0

    async def endless(writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with talking(endless) as (_, connections):
        connection = await asked(connections)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)

        assert sent < 100 * 1024**2
        assert len(await connection.read()) < MAX_WAITING_BYTES + 1024**2
        while sent == before:
            await connection.read()
        connections.give_back(connection)


@pytest.mark.parametrize("is_read", [True, False])
async def test_a_connection_is_not_used_again_where_what_waits_on_it_was_left(is_read):
    """It is not read any more then, and the next answer would never come."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, sock=ours)
    asking_ = asyncio.create_task(connection.ask(HEAD, b""))
    await asyncio.sleep(0)
    body = b"x" * (2 * MAX_WAITING_BYTES)
    # In one piece, as it comes from a sender that is faster than the reader.
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await asking_
    assert connection.is_whole

    if is_read:
        assert await body_of(connection) == body

    assert connection.is_reusable is is_read
    connection.abort()
    theirs.close()


async def test_no_connection_is_told_apart_from_a_lost_one():
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
    connections = Connections(Host(*address))

    with pytest.raises(ConnectError):
        await connections.connect()


async def test_idle_connections_are_closed_after_a_while(talking, monkeypatch):
    monkeypatch.setattr(http1, "KEPT_SECONDS", 0.05)
    async with talking(HELLO, HELLO) as (upstream, connections):
        connection = await asked(connections)
        await body_of(connection)
        connections.give_back(connection)

        await upstream.closed.wait()
        assert connections.idle() is None


NOTHING = b""
A_PIECE = HELLO[:-2]


def soon():
    return asyncio.get_running_loop().time() + 0.05


async def test_an_answer_that_does_not_begin_by_the_deadline_is_late(talking):
    async with talking(NOTHING, HELLO) as (_, connections):
        connection = await connections.connect()
        connection.deadline = soon()
        with pytest.raises(LateError):
            await connection.ask(HEAD, b"")

        connections.give_back(connection)
        assert not connection.is_open


async def test_a_piece_that_does_not_come_by_the_deadline_is_late(talking):
    async with talking(A_PIECE, HELLO) as (_, connections):
        connection = await asked(connections)
        assert await connection.read() == b"hel"
        connection.deadline = soon()
        with pytest.raises(LateError):
            await connection.read()


async def test_a_deadline_that_is_put_off_is_not_kept(talking):
    async def in_a_while(writer):
        await asyncio.sleep(3 * http1.LOOK_SECONDS)
        writer.write(HELLO)

    async with talking(in_a_while) as (_, connections):
        connection = await connections.connect()
        connection.deadline = soon()
        asking = asyncio.create_task(connection.ask(HEAD, b""))
        await asyncio.sleep(0)
        connection.deadline += 3600
        await asking

        assert await body_of(connection) == b"hello"


async def test_a_deadline_that_passes_while_nobody_waits_ends_nothing(talking):
    async with talking(HELLO) as (_, connections):
        connection = await asked(connections)
        connection.deadline = soon()
        await asyncio.sleep(0.05 + 3 * http1.LOOK_SECONDS)

        assert await body_of(connection) == b"hello"


async def test_an_idle_connection_that_is_used_again_has_its_users_deadline(talking, monkeypatch):
    monkeypatch.setattr(http1, "KEPT_SECONDS", 0.05)
    async with talking(HELLO, HELLO) as (_, connections):
        connection = await asked(connections)
        await body_of(connection)
        connections.give_back(connection)

        assert connections.idle() is connection
        await asyncio.sleep(0.05 + 3 * http1.LOOK_SECONDS)
        assert connection.is_open


@pytest.mark.parametrize("value", ["a\r\nHost: b", "a\nb", "a\rb"])
def test_a_header_cannot_hold_another(value):
    with pytest.raises(ValueError, match="line end"):
        header_lines([("X-A", value)])
