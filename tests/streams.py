"""Following tasks as clients do: a real server on a real port, WebSockets and event streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from graphql_api.app import create_app
from graphql_api.settings import Settings

FOLLOW = """subscription ($after: String) {
  taskChanged(after: $after) { cursor kind taskId task { title version } changes { field before after } }
}"""


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[str]:
    """A server in this process, with the protocols of `graphql-api serve`; yields its `127.0.0.1:port`."""
    config = uvicorn.Config(
        create_app(settings), port=0, lifespan="on", log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    ticking = asyncio.create_task(server.main_loop())
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await ticking
        await server.shutdown()


@dataclass
class Socket:
    """One side of `graphql-transport-ws`; its messages are what the server sent."""

    connection: ClientConnection
    _ids: int = 0

    async def send(self, **message: Any) -> None:
        await self.connection.send(orjson.dumps(message).decode())

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = orjson.loads(await self.connection.recv())
        return message

    async def subscribe(self, query: str = FOLLOW, **variables: Any) -> str:
        """Start an operation; its id."""
        self._ids += 1
        await self.send(id=str(self._ids), type="subscribe", payload={"query": query, "variables": variables})
        return str(self._ids)

    async def event(self) -> dict[str, Any]:
        """The next event of the only subscription that runs."""
        message = await self.receive()
        assert message["type"] == "next", message
        event: dict[str, Any] = message["payload"]["data"]["taskChanged"]
        return event


@asynccontextmanager
async def socket(address: str, token: str | None = None, **options: Any) -> AsyncIterator[Socket]:
    """A socket whose client has introduced itself, with the token in its payload as graphql-ws sends it."""
    async with connect(f"ws://{address}/graphql", subprotocols=["graphql-transport-ws"], **options) as connection:
        socket = Socket(connection)
        payload = {"payload": {"Authorization": f"Bearer {token}"}} if token else {}
        await socket.send(type="connection_init", **payload)
        assert (await socket.receive())["type"] == "connection_ack"
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
        assert name == "next" and "errors" not in answer, answer
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
