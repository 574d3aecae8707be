"""What goes over the wire, as a client sees it that looks at packets."""

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest

from tests.client import settings
from tests.streams import Server, server

BODY = b'{"query": "{ __typename }"}'
ANSWER = b'{"data":{"__typename":"Query"}}'


@pytest.fixture
async def running(database_url: str) -> AsyncIterator[Server]:
    async with server(settings(database_url)) as running:
        yield running


def request(*headers: bytes) -> bytes:
    lines = [b"POST /graphql HTTP/1.1", b"Host: tasks.test", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(BODY), b"", BODY])


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


async def test_requests_that_are_sent_together_are_answered_in_turn(running: Server) -> None:
    loop = asyncio.get_running_loop()
    with await connected(running) as connection:
        await loop.sock_sendall(connection, request() * 5 + request(b"Connection: close"))
        answers = b""
        while packet := await loop.sock_recv(connection, 65_536):
            answers += packet
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == answers.count(b"\r\n\r\n" + ANSWER) == 6


async def test_what_is_no_http_is_told_so_before_the_connection_ends(running: Server) -> None:
    loop = asyncio.get_running_loop()
    with await connected(running) as connection:
        await loop.sock_sendall(connection, b"hello\r\n\r\n")
        answer = b""
        while packet := await loop.sock_recv(connection, 65_536):
            answer += packet
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
