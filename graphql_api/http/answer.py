"""Answers that are whole before they are sent."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope, Send

WHOLE = "graphql_api.whole"
"""An extension of ASGI, for servers that let `http.response.start` bring the `body` with it: nothing follows."""


@dataclass(slots=True)
class Answer:
    """A response: an ASGI application that sends it. Its headers are ours, or checked: a server may trust them."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        headers = [*self.headers, (b"content-length", b"%d" % len(self.body))]
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        if WHOLE not in scope.get("extensions", ()):
            return send_in_two(send, start, self.body)
        start["body"] = self.body
        return send(start)


async def send_in_two(send: Send, start: Message, body: bytes) -> None:
    """As every server takes it."""
    await send(start)
    await send({"type": "http.response.body", "body": body})
