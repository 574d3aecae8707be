"""Following tasks as clients do: a real server on a real port, WebSockets and event streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from websockets import ConnectionClosed, Subprotocol
from websockets.asyncio.client import ClientConnection, connect

from graphql_api.app import create_app
from graphql_api.http.protocol import Protocol
from graphql_api.http.service import Service
from graphql_api.settings import Settings
from tests.client import Api
from tests.issuer import Issuer, Person

FOLLOW = """subscription ($after: String) {
  taskChanged(after: $after) { cursor kind taskId task { title version } changes { field before after } }
}"""


SECONDS = 10
"""What has not come by then does not come."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server in this process; `service` is what its transports share."""

    address: str
    service: Service
    sockets: Collection[Any]
    """uvicorn's protocols, one for each open connection."""

    @property
    def followed(self) -> set[str]:
        """The ids of those whose events somebody follows."""
        return set(self.service.hub._feeds)

    @property
    def connections(self) -> dict[str | None, int]:
        """How many are open for each user's id."""
        return dict(self.service.connections._open)


@asynccontextmanager
async def server(settings: Settings) -> AsyncIterator[Server]:
    """A server with the protocols and bounds of `graphql-api serve`."""
    config = uvicorn.Config(
        create_app(settings),
        port=0,
        lifespan="on",
        http=Protocol,
        log_config=None,
        ws="websockets-sansio",
        ws_max_size=settings.max_body_bytes,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    ticking = asyncio.create_task(server.main_loop())
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        service = server.lifespan.state["socket"]._service
        yield Server(f"127.0.0.1:{port}", service, server.server_state.connections)
    finally:
        server.should_exit = True
        await ticking
        await server.shutdown()


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[str]:
    """The same; yields its `127.0.0.1:port`."""
    async with server(settings) as running:
        yield running.address


@asynccontextmanager
async def asking(server: Server, issuer: Issuer) -> AsyncIterator[Api]:
    """Queries and mutations by plain HTTP."""
    async with httpx.AsyncClient(base_url=f"http://{server.address}") as client:
        yield Api(client, issuer)


async def event_cursor(api: Api, person: Person) -> str:
    """What is subscribed to after this is not subscribed to too late."""
    cursor: str = (await api.data(person, "{ viewer { taskEventCursor } }"))["viewer"]["taskEventCursor"]
    return cursor


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that comes soon."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  # nothing rings when it comes
            await asyncio.sleep(0.01)


@dataclass(eq=False)
class Socket:
    """One side of `graphql-transport-ws`; its messages are what the server sent."""

    connection: ClientConnection
    _ids: int = 0

    async def send(self, **message: Any) -> None:
        await self.connection.send(orjson.dumps(message).decode())

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            message: dict[str, Any] = orjson.loads(await self.connection.recv())
        return message

    async def closing(self) -> tuple[int, str]:
        """Code and reason with which the server closes the socket, without another message."""
        with pytest.raises(ConnectionClosed):
            pytest.fail(f"the server said {await self.receive()}")
        return self.connection.close_code or 0, self.connection.close_reason or ""

    async def says_no_more(self) -> None:
        """The server has nothing to say but what it is asked for now."""
        await self.send(type="ping")
        assert await self.receive() == {"type": "pong"}

    async def subscribe(self, query: str = FOLLOW, **variables: Any) -> str:
        """Start an operation; its id."""
        self._ids += 1
        await self.send(id=str(self._ids), type="subscribe", payload={"query": query, "variables": variables})
        return str(self._ids)

    async def result(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one result of an operation, the only one that runs."""
        id = await self.subscribe(query, **variables)
        message = await self.receive()
        assert (message["id"], message["type"]) == (id, "next"), message
        assert await self.receive() == {"id": id, "type": "complete"}
        payload: dict[str, Any] = message["payload"]
        return payload

    async def errors(self, query: str = FOLLOW, **variables: Any) -> list[dict[str, Any]]:
        """Why an operation, the only one that runs, was not executed or has ended."""
        id = await self.subscribe(query, **variables)
        message = await self.receive()
        assert (message["id"], message["type"]) == (id, "error"), message
        errors: list[dict[str, Any]] = message["payload"]
        return errors

    async def event(self) -> dict[str, Any]:
        """The next event of the only subscription that runs."""
        message = await self.receive()
        assert message["type"] == "next", message
        event: dict[str, Any] = message["payload"]["data"]["taskChanged"]
        return event


@asynccontextmanager
async def stranger(
    address: str, subprotocols: Sequence[str] = ("graphql-transport-ws",), path: str = "/graphql", **options: Any
) -> AsyncIterator[Socket]:
    """A socket whose client has not introduced itself."""
    offered = [Subprotocol(name) for name in subprotocols] or None
    async with connect(f"ws://{address}{path}", subprotocols=offered, **options) as connection:
        yield Socket(connection)


@asynccontextmanager
async def socket(
    address: str, token: str | None = None, payload: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[Socket]:
    """A socket whose client has introduced itself, with the token in its payload as graphql-ws sends it."""
    if token:
        payload = {"Authorization": f"Bearer {token}"}
    async with stranger(address, **options) as socket:
        await socket.send(type="connection_init", **({"payload": payload} if payload else {}))
        assert await socket.receive() == {"type": "connection_ack"}
        yield socket


@dataclass
class EventStream:
    """An answer as Server-Sent Events."""

    response: httpx.Response
    lines: AsyncIterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.response.aiter_lines()

    async def receive(self) -> tuple[str, Any]:
        """The next event and its data; heartbeats are passed over."""
        name, data = "", ""
        async with asyncio.timeout(SECONDS):
            async for line in self.lines:
                key, _, value = line.partition(":")
                if key == "event":
                    name = value.strip()
                elif key == "data":
                    data = value.strip()
                elif not line and name:
                    return name, orjson.loads(data) if data else None
        raise EOFError

    async def event(self) -> dict[str, Any]:
        name, answer = await self.receive()
        assert name == "next", answer
        assert "errors" not in answer, answer
        event: dict[str, Any] = answer["data"]["taskChanged"]
        return event


@asynccontextmanager
async def event_stream(
    address: str, headers: Mapping[str, str], query: str = FOLLOW, **variables: Any
) -> AsyncIterator[EventStream]:
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as client,
        client.stream(
            "POST",
            "/graphql",
            json={"query": query, "variables": variables},
            headers={"Accept": "text/event-stream", **headers},
        ) as response,
    ):
        yield EventStream(response)
