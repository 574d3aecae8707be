"""/graphql: one request, one operation, one answer (GraphQL over HTTP, the draft that its official audit tests)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import ExecutionResult, GraphQLError
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from graphql_api.errors import Code, Stopping
from graphql_api.http import request as graphql_request
from graphql_api.http import sse
from graphql_api.http.answer import Answer
from graphql_api.http.graphiql import PAGE
from graphql_api.http.negotiation import EVENT_STREAM, GRAPHQL_RESPONSE, HTML, JSON, preferred
from graphql_api.http.request import Refusal
from graphql_api.http.service import Service, content, encoded, errors_of, formatted
from graphql_api.http.sse import EventStream
from graphql_api.operations.engine import was_executed

STATUS = {
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.TIMEOUT: 504,
    Code.RATE_LIMITED: 429,
    Code.SERVICE_UNAVAILABLE: 503,
    Code.INTERNAL_SERVER_ERROR: 500,
}
"""Of a request that was not executed, by its first error; whatever the media type."""

STATUS_OF_MISTAKES = {GRAPHQL_RESPONSE: 400, JSON: 200, EVENT_STREAM: 200}
"""Of a well-formed request whose document or variables are at fault. Clients that ask for plain JSON take anything but
200 for a broken network. The draft of August 2026 has 422 for both; no popular client or server does yet."""

OF = {
    media: [
        (b"content-type", f"{media}; charset=utf-8".encode()),
        (b"vary", b"Accept, Origin"),
        (b"cache-control", b"private, no-store"),
    ]
    for media in (JSON, GRAPHQL_RESPONSE, EVENT_STREAM)
}
"""Headers of an answer of each kind, in the form in which ASGI has them."""

ANSWERS = tuple(OF)
PAGE_OR_ANSWERS = (JSON, GRAPHQL_RESPONSE, HTML, EVENT_STREAM)
"""What can be asked for, first what those get who do not mind."""

RETRY_AFTER_SECONDS = "5"


class Endpoint:
    """Answers requests for as long as the server runs; an ASGI application."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._graphiql = service.settings.graphiql
        self._max_body_bytes = service.settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accept = graphql_request.header(scope, b"accept")
        if self._graphiql and scope["method"] == "GET" and preferred(accept, PAGE_OR_ANSWERS) == HTML:
            await HTMLResponse(PAGE, headers={"Vary": "Accept"})(scope, receive, send)
            return
        media = preferred(accept, ANSWERS)
        if media is None:
            message = f"Nothing in the Accept header can be answered; {', '.join(ANSWERS)} can."
            response: ASGIApp = _refused([Refusal(406, message)], JSON)
        else:
            try:
                response = await self._service.deadlines.within(self._answer(scope, receive, media))
            except asyncio.CancelledError:  # the server has been told to stop, and waits no longer
                response = _refused([Stopping()], media)
            except Exception as reason:
                response = _refused(errors_of(reason), media)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, media: str) -> ASGIApp:
        parameters = await graphql_request.read(scope, receive, self._max_body_bytes)
        headers = scope["headers"]
        identity = await self._service.authenticator.identify(headers)
        operation, _ = prepared = self._service.engine.prepare(*parameters)
        if operation.is_mutation and scope["method"] == "GET":
            raise Refusal(405, "A mutation is not executed over GET; send it by POST.", {"Allow": "POST"})
        if not operation.is_subscription:
            return _answered(await self._service.execute(prepared, identity), media)
        if media != EVENT_STREAM:
            raise Refusal(406, f"A subscription is answered as {EVENT_STREAM}, named first in Accept, or by WebSocket.")
        return EventStream(self._service, prepared, identity, headers)


def _answered(result: ExecutionResult, media: str) -> Answer:
    if not result.errors and media != EVENT_STREAM:
        return Answer(200, encoded({"data": result.data}), OF[media])
    if not was_executed(result):
        return _refused(result.errors or [], media)
    answer = content(result)
    # an outage in the middle of an operation is still an outage: proxies and clients should try again
    unavailable = any(error["extensions"]["code"] == Code.SERVICE_UNAVAILABLE for error in answer.get("errors", []))
    return _response(503 if unavailable else 200, answer, media)


def _refused(errors: Sequence[GraphQLError], media: str) -> Answer:
    """A response without `data`: nothing was executed."""
    answer = formatted(errors)
    headers: Mapping[str, str] = {}
    if isinstance(errors[0], Refusal):
        status, headers = errors[0].status, errors[0].headers
    else:
        status = STATUS.get(answer[0]["extensions"]["code"], STATUS_OF_MISTAKES[media])
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return _response(status, {"errors": answer}, media, headers)


def _response(status: int, answer: Any, media: str, headers: Mapping[str, str] | None = None) -> Answer:
    retry = {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else {}
    if media == EVENT_STREAM and status != 200:
        media = JSON  # what is refused at the door is no stream
    body = sse.only(answer) if media == EVENT_STREAM else encoded(answer)
    more = [(name.lower().encode(), value.encode()) for name, value in (retry | dict(headers or {})).items()]
    return Answer(status, body, [*OF[media], *more])
