"""Builds, wires, starts and stops the server. Importing this starts nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from graphql_api import __version__, migrations, schema
from graphql_api.auth import tables
from graphql_api.auth.authenticate import Authenticator
from graphql_api.auth.tables import Tables
from graphql_api.database import Database, connect
from graphql_api.errors import Code
from graphql_api.events import Hub
from graphql_api.http import health
from graphql_api.http.endpoint import Endpoint
from graphql_api.http.middleware import CrossOrigin, RequestId, Shortcut
from graphql_api.http.negotiation import HTML, JSON, preferred
from graphql_api.http.request import header
from graphql_api.http.service import Connections, Deadlines, Service
from graphql_api.http.websocket import Socket
from graphql_api.memory import Memory
from graphql_api.operations.engine import Engine
from graphql_api.settings import ConfigurationError, Settings
from graphql_api.tasks.log import TaskLog

logger = logging.getLogger(__name__)

REMEMBERED = 10_000
"""People whose rows are at hand for some seconds."""

LINKS = {"graphql": "/graphql", "live": "/health/live", "ready": "/health/ready"}


def create_app(settings: Settings, found: Tables | None = None) -> Starlette:
    """The server as an ASGI application; its lifespan connects to the database and closes the connections again.

    `found`: what `inspect` has just returned, so that the lifespan need not look again.
    """
    engine = Engine(
        schema.build(),
        max_tokens=settings.max_tokens,
        max_cost=settings.max_cost,
        introspection=settings.introspection,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            seen = found or await _look(settings)
            if settings.secrets and (seen.session is None or seen.user is None):
                logger.warning(
                    "Better Auth's tables of sessions and users are not found, so no session is accepted; "
                    "set search_path, or AUTH_SESSION_TABLE, AUTH_USER_TABLE and AUTH_COLUMNS"
                )
            database = Database(settings)
            authenticator = Authenticator(settings, database, seen)
            await database.start()
            stack.push_async_callback(database.stop)
            hub = Hub(settings, TaskLog(database))
            hub.start()
            stack.push_async_callback(hub.stop)
            connections = Connections(settings.max_connections_per_user)
            people: Memory[str, Any] = Memory(REMEMBERED, settings.session_cache_seconds)
            deadlines = Deadlines(settings.request_timeout_seconds)
            service = Service(settings, engine, authenticator, database, seen, hub, people, connections, deadlines)
            stack.enter_context(_told_to_stop(connections.stop))
            yield {"endpoint": Endpoint(service), "socket": Socket(service), "ready": health.Ready(database)}

    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/", _welcome),
            Route("/graphql", _Graph()),
            Route("/graphql/", _Graph()),
            WebSocketRoute("/graphql", _socket),
            WebSocketRoute("/graphql/", _socket),
            Route("/health/live", health.live),
            Route("/health/ready", _ready),
        ],
        exception_handlers={HTTPException: _not_here},
    )
    app.middleware_stack = RequestId(  # around Starlette's own layers, which have no part in what goes to /graphql
        CrossOrigin(
            Shortcut(app.build_middleware_stack(), "/graphql", "endpoint"),
            allow_origins=sorted(settings.cookie_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            allow_credentials=True,
            expose_headers=["X-Request-Id", "Retry-After"],
            max_age=86_400,
        )
    )
    return app


async def inspect(settings: Settings) -> Tables:
    """Look at the database before serving from it: is it there, is it migrated, may statements be asked of it, which
    tables does Better Auth have?

    Raises `ConfigurationError` with what is wrong and what to do about it.
    """
    found = await _look(settings)
    database = Database(settings)
    await database.start()
    await database.stop()
    return found


async def _look(settings: Settings) -> Tables:
    """All but what the start of a `Database` shows."""
    if not settings.issuer and not settings.secrets:
        raise ConfigurationError(
            "Nobody could sign in: set AUTH_URL=https://app.example.com (the origin of Better Auth) to accept its "
            "JWTs, BETTER_AUTH_SECRET (the same as Better Auth's) to accept its sessions, or both"
        )
    connection = await connect(settings)
    try:
        async with connection.transaction():  # so that a pooler does not change the server between two questions
            if problem := await migrations.verdict(connection):
                raise ConfigurationError(problem)
            found = await tables.find(connection, settings)
            if problem := await migrations.unreadable(connection, found):
                raise ConfigurationError(problem)
            return found
    finally:
        await connection.close()


@contextmanager
def _told_to_stop(tell: Callable[[], None]) -> Iterator[None]:
    """Calls `tell` when a signal asks the process to stop, besides what the signal did before.

    uvicorn waits for open answers then, but tells nobody; and an event stream stays open until somebody ends it.
    """
    if threading.current_thread() is not threading.main_thread():  # no signal comes there
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def heed(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, heed)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def _ready(request: Request) -> Response:
    response: Response = await request.state.ready(request)
    return response


class _Graph:
    """Hands over to the endpoint: for requests whose path is not plainly /graphql, `Shortcut` takes the others."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"]["endpoint"](scope, receive, send)


async def _socket(websocket: WebSocket) -> None:
    await websocket.state.socket(websocket)


async def _not_here(_: Request, error: Exception) -> Response:
    """An unknown path, or a method that a path does not answer, in the form of all other errors."""
    assert isinstance(error, HTTPException)
    message = f"{error.detail}. This server answers at {', '.join(['/', *LINKS.values()])}."
    content = {"errors": [{"message": message, "extensions": {"code": Code.BAD_REQUEST.value}}]}
    return JSONResponse(content, status_code=error.status_code, headers=error.headers)


async def _welcome(request: Request) -> Response:
    """Links for people, and for programs."""
    if preferred(header(request.scope, b"accept"), (JSON, HTML)) == JSON:
        return JSONResponse({"name": "graphql-api", "version": __version__, "links": LINKS})
    items = "".join(f'<li><a href="{path}">{path}</a>' for path in LINKS.values())
    page = '<!doctype html><html lang="en"><meta charset="utf-8"><title>graphql-api</title>'
    return HTMLResponse(f"{page}<h1>The tasks of Better Auth users, over GraphQL</h1><ul>{items}</ul></html>")
