"""uvicorn's HTTP protocol, with a shorter way out for an answer that is whole."""

from __future__ import annotations

import socket
import sys
from asyncio import Transport
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from graphql_api.http.answer import WHOLE, send_in_two

SILENT_SECONDS = 60
"""Who takes nothing for so long of what is sent is cut off. TCP by itself would wait for a quarter of an hour, and for
ever where the client's system still answers."""

LAST_SECONDS = 0.05
"""How long the requests of open connections are awaited as the server stops: no longer than uvicorn waits anyhow."""


class Protocol(HttpToolsProtocol):
    """For `uvicorn.run(http=...)`. Whole answers do not appear in uvicorn's access log, which we leave off."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begun: deque[RequestResponseCycle] = deque(maxlen=1)  # what came later waits for it to be answered
        self.app = partial(_with_whole_answers, self.app, self._begun.append)

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if sys.platform == "linux":
            option = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(SILENT_SECONDS * 1000)
            transport.get_extra_info("socket").setsockopt(*option)  # a WebSocket keeps it

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn tells only the request that came last, be there an event stream that is answered before it."""
        for cycle in self._begun:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """uvicorn would close an idle connection at once, be there a request on it that is not read yet."""
        if self.cycle is None or self.cycle.response_complete:
            self.app = partial(_with_last_answer, self.app)
            self.loop.call_later(LAST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _should_upgrade(self) -> bool:
        """Not while a request is under way: it would write into the WebSocket, and never learn that the client went."""
        return super()._should_upgrade() and (self.cycle is None or self.cycle.response_complete)


def _with_last_answer(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    send.__self__.keep_alive = False  # type: ignore[attr-defined]  # it is a method of uvicorn's
    return app(scope, receive, send)


def _with_whole_answers(
    app: ASGIApp, begin: Callable[[RequestResponseCycle], None], scope: Scope, receive: Receive, send: Send
) -> Awaitable[None]:
    cycle: RequestResponseCycle = send.__self__  # type: ignore[attr-defined]  # it is a method of uvicorn's
    begin(cycle)
    scope["extensions"] = {WHOLE: {}}
    return app(scope, receive, partial(_send, cycle))


async def _send(cycle: RequestResponseCycle, message: Message) -> None:
    if message["type"] != "http.response.start" or "body" not in message:
        await cycle.send(message)  # type: ignore[arg-type]
    elif _is_usual(cycle):
        _send_whole(cycle, message)
    else:
        await send_in_two(cycle.send, message, message["body"])  # type: ignore[arg-type]


def _is_usual(cycle: RequestResponseCycle) -> bool:
    """True where nothing but an answer is to be done: nobody has gone, has sent one, or is slow to read."""
    return not (
        cycle.disconnected
        or cycle.response_started
        or not cycle.keep_alive
        or cycle.flow.write_paused
        or cycle.scope["method"] == "HEAD"
    )


def _send_whole(cycle: RequestResponseCycle, message: Message) -> None:
    """What uvicorn does in two `send`s, which build head and body apart, look at each header twice and write twice."""
    headers = map(b": ".join, (*cycle.default_headers, *message["headers"]))
    lines = STATUS_LINE[message["status"]].removesuffix(b"\r\n"), *headers, b"", message["body"]
    cycle.transport.write(b"\r\n".join(lines))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    cycle.on_response()
