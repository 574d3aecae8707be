"""/graphql: one request, one operation, one answer (GraphQL over HTTP, the draft that its official audit tests)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from graphql import ExecutionResult, GraphQLError, OperationType
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from graphql_api.auth.authenticate import Authenticator
from graphql_api.auth.tables import Tables
from graphql_api.context import Context
from graphql_api.database import Database
from graphql_api.errors import Code, RequestError, presentable
from graphql_api.http import request as graphql_request
from graphql_api.http.graphiql import PAGE
from graphql_api.http.negotiation import GRAPHQL_RESPONSE, HTML, JSON, preferred
from graphql_api.http.request import Refusal
from graphql_api.operations.documents import InvalidDocument
from graphql_api.operations.engine import Engine, was_executed
from graphql_api.settings import Settings
from graphql_api.telemetry.logs import request_id

STATUS = {
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.TIMEOUT: 504,
    Code.SERVICE_UNAVAILABLE: 503,
    Code.INTERNAL_SERVER_ERROR: 500,
}
"""Of a request that was not executed, by its first error; whatever the media type."""

STATUS_OF_MISTAKES = {GRAPHQL_RESPONSE: 400, JSON: 200}
"""Of a well-formed request whose document or variables are at fault. Clients that ask for plain JSON take anything but
200 for a broken network. The draft of August 2026 has 422 for both; no popular client or server does yet."""

HEADERS = {"Vary": "Accept", "Cache-Control": "private, no-store"}
RETRY_AFTER_SECONDS = "5"
MESSAGE_MAX = 500
"""Characters of an error's message; what is beyond is cut off."""


class Endpoint:
    """Answers requests for as long as the server runs."""

    def __init__(
        self, settings: Settings, engine: Engine, authenticator: Authenticator, database: Database, tables: Tables
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._authenticator = authenticator
        self._database = database
        self._tables = tables

    async def __call__(self, request: Request) -> Response:
        accept = ",".join(request.headers.getlist("accept"))
        offered = (JSON, GRAPHQL_RESPONSE, HTML)
        if self._settings.graphiql and request.method == "GET" and preferred(accept, offered) == HTML:
            return HTMLResponse(PAGE, headers={"Vary": "Accept"})
        media = preferred(accept, (JSON, GRAPHQL_RESPONSE))
        if media is None:
            message = f"Nothing in the Accept header can be answered; {JSON} and {GRAPHQL_RESPONSE} can."
            return _refused([Refusal(406, message)], JSON)
        try:
            async with asyncio.timeout(self._settings.request_timeout_seconds):
                return await self._answer(request, media)
        except TimeoutError:
            seconds = self._settings.request_timeout_seconds
            message = f"The request took more than {seconds:g} s and was ended. Ask for less at once."
            return _refused([RequestError(Code.TIMEOUT, message)], media)
        except InvalidDocument as invalid:
            return _refused(invalid.errors, media)
        except RequestError as error:
            return _refused([error], media)
        except Exception as error:
            masked = presentable(GraphQLError(str(error), original_error=error), request_id.get())
            return _refused([masked], media)

    async def _answer(self, request: Request, media: str) -> Response:
        parameters = await graphql_request.read(request, self._settings.max_body_bytes)
        identity = await self._authenticator.identify(request.scope["headers"])
        operation = self._engine.prepare(parameters.query, parameters.operation_name, parameters.variables)
        if request.method == "GET" and operation.type is not OperationType.QUERY:
            raise Refusal(
                405, f"A {operation.type.value} is not executed over GET; send it by POST.", {"Allow": "POST"}
            )
        context = Context(self._database, self._tables, identity)
        return _answered(await self._engine.execute(operation, context), media)


def _answered(result: ExecutionResult, media: str) -> Response:
    errors = [presentable(error, request_id.get()) for error in result.errors or ()]
    if not was_executed(result):
        return _refused(errors, media)
    content: dict[str, Any] = {"data": result.data}
    if errors:
        content["errors"] = [_formatted(error) for error in errors]
    # an outage in the middle of an operation is still an outage: proxies and clients should try again
    unavailable = any((error.extensions or {}).get("code") == Code.SERVICE_UNAVAILABLE for error in errors)
    return _response(503 if unavailable else 200, content, media)


def _refused(errors: Sequence[GraphQLError], media: str) -> Response:
    """A response without `data`: nothing was executed."""
    first = errors[0]
    code = Code((first.extensions or {})["code"])
    headers: Mapping[str, str] = {}
    if isinstance(first, Refusal):
        status, headers = first.status, first.headers
    else:
        status = STATUS.get(code, STATUS_OF_MISTAKES[media])
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return _response(status, {"errors": [_formatted(error) for error in errors]}, media, headers)


def _formatted(error: GraphQLError) -> dict[str, Any]:
    """graphql-core repeats what it refuses, be it as long as the body."""
    message = error.message if len(error.message) <= MESSAGE_MAX else f"{error.message[:MESSAGE_MAX]}…"
    return {**error.formatted, "message": message}


def _response(status: int, content: Any, media: str, headers: Mapping[str, str] | None = None) -> Response:
    retry = {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else {}
    return Response(
        orjson.dumps(content),
        status_code=status,
        headers={**HEADERS, **retry, **(headers or {})},
        media_type=f"{media}; charset=utf-8",
    )
