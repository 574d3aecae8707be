"""What goes over the wire, as a client sees it that looks at packets."""

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest

from tests.client import settings
from tests.streams import SECONDS, Server, server, until

BODY = b'{"query": "{ __typename }"}'
ANSWER = b'{"data":{"__typename":"Query"}}'


@pytest.fixture
async def running(database_url: str) -> AsyncIterator[Server]:
    async with server(settings(database_url, trusted_origins=["https://app.test"])) as running:
        yield running


def request(*headers: bytes) -> bytes:
    lines = [b"POST /graphql HTTP/1.1", b"Host: tasks.test", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(BODY), b"", BODY])


def last(*headers: bytes) -> bytes:
    """A request after which the server closes the connection."""
    return request(*headers, b"Connection: close")


async def connected(running: Server) -> socket.socket:
    host, port = running.address.split(":")
    connection = socket.socket()
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    return connection


def packets(connection: socket.socket) -> int:
    """How many with data have come: `tcpi_data_segs_in` of Linux's `struct tcp_info`."""
    [number] = struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152)
    return int(number)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts packets")
async def test_head_and_body_come_in_one_packet(running: Server) -> None:
    loop = asyncio.get_running_loop()
    with await connected(running) as connection:
        for number in range(1, 20):
            await loop.sock_sendall(connection, request())
            answer = await loop.sock_recv(connection, 65_536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n" + ANSWER)
            assert packets(connection) == number


async def answers(running: Server, *requests: bytes) -> bytes:
    """All that comes before the server closes the connection."""
    loop = asyncio.get_running_loop()
    received = b""
    with await connected(running) as connection:
        await loop.sock_sendall(connection, b"".join(requests))
        async with asyncio.timeout(SECONDS):
            while packet := await loop.sock_recv(connection, 65_536):
                received += packet
    return received


async def first_answer(running: Server, *headers: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with await connected(running) as connection:
        await loop.sock_sendall(connection, request(*headers))
        return await loop.sock_recv(connection, 65_536)


def fields(answer: bytes) -> list[bytes]:
    """The lines of an answer's head, without its time and its id, which always differ."""
    head, _, _ = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    differing = (b"date: ", b"x-request-id: ")
    assert all(any(line.startswith(name) for line in lines) for name in differing)
    return [line for line in lines if not line.startswith(differing)]


@pytest.mark.parametrize("headers", [[], [b"Origin: https://app.test"]], ids=["a program", "a page"])
async def test_the_short_way_out_says_what_uvicorn_says(running: Server, headers: list[bytes]) -> None:
    """uvicorn itself sends the last answer of a connection, and any other goes the short way."""
    short, long = fields(await first_answer(running, *headers)), fields(await answers(running, last(*headers)))
    assert [*short, b"connection: close"] == long
    assert b"content-length: %d" % len(ANSWER) in short


async def test_requests_that_are_sent_together_are_answered_in_turn(running: Server) -> None:
    received = await answers(running, request() * 5, last())
    assert received.count(b"HTTP/1.1 200 OK\r\n") == received.count(b"\r\n\r\n" + ANSWER) == 6


async def test_who_asks_for_the_head_alone_gets_no_body(running: Server) -> None:
    head = b"HEAD /graphql HTTP/1.1\r\nHost: tasks.test\r\n\r\n"
    received = await answers(running, head, last())
    assert received.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert received.count(b"{") == ANSWER.count(b"{")


async def test_a_client_of_the_old_protocol_is_not_kept_waiting(running: Server) -> None:
    received = await answers(running, request().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert received.endswith(ANSWER)


async def test_a_client_that_asks_whether_to_send_the_body_is_told_so_once(running: Server) -> None:
    received = await answers(running, request(b"Expect: 100-continue"), last())
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert received.count(b"100 Continue") == 1
    assert received.count(ANSWER) == 2


async def test_who_reads_slowly_gets_every_answer_in_turn(running: Server) -> None:
    """More than the buffers of both sides hold: the server waits with the next one, and keeps little in memory."""
    loop = asyncio.get_running_loop()
    query = f"{{ {' '.join(f'a{number}: __typename' for number in range(400))} }}".encode()
    body = b'{"query": "%b"}' % query
    [asked, *_] = request().split(b"Content-Length")
    one = asked + b"Content-Length: %d\r\n\r\n" % len(body) + body
    count = 1500
    received = 0
    with await connected(running) as connection:
        sending = asyncio.create_task(loop.sock_sendall(connection, one * count + last()))
        await until(lambda: any(protocol.flow.write_paused for protocol in running.sockets))
        await asyncio.sleep(0.5)  # for all that would come if it did not wait
        [protocol] = running.sockets
        assert protocol.transport.get_write_buffer_size() < 200_000
        tail = b""
        while packet := await loop.sock_recv(connection, 65_536):
            joined = tail + packet
            received += joined.count(b'"a399":"Query"}}')
            tail = joined[-15:]
        await sending
    assert received == count
    assert joined.endswith(ANSWER)


async def test_a_request_that_has_come_but_is_not_read_as_the_server_stops_is_answered(running: Server) -> None:
    loop = asyncio.get_running_loop()
    with await connected(running) as connection:
        await loop.sock_sendall(connection, request())
        await loop.sock_recv(connection, 65_536)
        [protocol] = running.sockets
        connection.send(request())
        protocol.shutdown()
        answer = await loop.sock_recv(connection, 65_536)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        while packet := await loop.sock_recv(connection, 65_536):
            answer += packet
        assert answer.endswith(ANSWER)


async def test_what_is_no_http_is_told_so_before_the_connection_ends(running: Server) -> None:
    answer = await answers(running, b"hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"Invalid HTTP request received.")


async def test_who_leaves_before_the_answer_harms_nobody(running: Server) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(20):
        with await connected(running) as connection:
            await loop.sock_sendall(connection, request())
    with await connected(running) as connection:
        await loop.sock_sendall(connection, request())
        assert (await loop.sock_recv(connection, 65_536)).endswith(ANSWER)
