"""What happens to every request: its headers are sorted, it gets an id, which its log lines and its answer carry, and
may go a shorter way."""

import re
from collections.abc import Awaitable
from itertools import count
from secrets import token_hex

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphql_api.http.request import FIELDS, fields, header
from graphql_api.telemetry.logs import request_id

PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")

ANSWERS = frozenset({"http.response.start", "websocket.accept"})
"""The messages that have headers."""


class RequestId:
    """Takes the id from `X-Request-Id` where a proxy has set a plain one, and answers with it.

    Without one it is the number of the request, after what tells this process from all others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._process = token_hex(8)
        self._numbers = count(1)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._app(scope, receive, send)
        scope[FIELDS] = fields(scope["headers"])
        given = header(scope, b"x-request-id")
        id = given.decode() if given and PLAIN.fullmatch(given) else f"{self._process}-{next(self._numbers)}"
        request_id.set(id)  # in the context of the request's own task

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] in ANSWERS:
                message["headers"] = [*message["headers"], (b"x-request-id", id.encode())]
            return send(message)

        return self._app(scope, receive, send_with_id)


class CrossOrigin(CORSMiddleware):
    """Starlette's, for requests that say from which origin they come; to others it would only say so."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        says_origin = scope["type"] == "http" and scope[FIELDS].get(b"origin")
        return (super().__call__ if says_origin else self.app)(scope, receive, send)


class Shortcut:
    """Sends the requests of one path straight to what the lifespan has made under this name.

    Starlette's way there costs as much CPU as the execution of a small operation.
    """

    def __init__(self, app: ASGIApp, path: str, name: str) -> None:
        self._app = app
        self._path = path
        self._name = name

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        is_ours = scope["type"] == "http" and scope["path"] == self._path
        app: ASGIApp = scope["state"][self._name] if is_ours else self._app
        return app(scope, receive, send)
