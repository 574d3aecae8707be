"""Server-Sent Events: the answer to one operation as a stream (graphql-sse 2.6, PROTOCOL.md, distinct connections)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from graphql_api.auth.authenticate import Headers
from graphql_api.auth.identity import Identity
from graphql_api.http.negotiation import EVENT_STREAM
from graphql_api.http.service import Service, content, encoded, errors_of, formatted
from graphql_api.operations.engine import Prepared

HEARTBEAT_SECONDS = 30
"""Proxies close what is silent for a minute."""

HEADERS = {"Cache-Control": "private, no-store", "Vary": "Accept", "X-Accel-Buffering": "no"}

COMPLETE = b"event: complete\ndata:\n\n"
HEARTBEAT = b":\n\n"


def only(answer: Any) -> bytes:
    """A whole stream of one answer."""
    return _next(answer) + COMPLETE


def _next(answer: Any) -> bytes:
    # urql splits lines at LF, not at CRLF; JSON in one line has neither
    return b"event: next\ndata: %s\n\n" % encoded(answer)


class EventStream(Response):
    """The results of a subscription, until there are no more, the client goes, or its credential does not count."""

    media_type = EVENT_STREAM

    def __init__(self, service: Service, prepared: Prepared, identity: Identity | None, headers: Headers) -> None:
        """Raises RATE_LIMITED when the user has too many connections."""
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._connections = service.connections
        self._connection = ExitStack()
        self._connection.enter_context(self._connections.one(identity))
        self._results = service.subscribe(prepared, identity)
        self._ending = service.authenticator.until_worthless(headers, identity)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._connection:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._frames(receive)) as frames:
                async for frame in frames:
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _frames(self, receive: Receive) -> AsyncGenerator[bytes, None]:
        ending, gone = asyncio.create_task(self._ending), asyncio.create_task(_gone(receive))
        following = asyncio.ensure_future(anext(self._results, None))
        self._connections.streams.add(gone)
        try:
            while True:
                await asyncio.wait([following, ending, gone], timeout=HEARTBEAT_SECONDS, return_when="FIRST_COMPLETED")
                if gone.done():
                    return  # without `complete`: if it is we who stop, the client tries again
                if ending.done():
                    raise ending.result()
                if not following.done():
                    yield HEARTBEAT
                elif result := following.result():
                    yield _next(content(result))
                    following = asyncio.ensure_future(anext(self._results, None))
                else:
                    break
        except Exception as reason:
            yield _next({"errors": formatted(errors_of(reason))})
        finally:
            self._connections.streams.discard(gone)
            for task in (following, ending, gone):
                task.cancel()
            await asyncio.wait([following])
            await self._results.aclose()
        yield COMPLETE


async def _gone(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
