"""What a GraphQL request says (GraphQL over HTTP, sections 5.1 to 5.4): read, and checked piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from graphql_api.errors import Code, RequestError

DRAIN_BYTES = 64_000_000
"""Read and thrown away of a body that is too long, so that its sender gets to read why it is refused."""


class Refusal(RequestError):
    """A request that is refused for its form, with an HTTP status of its own."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(Code.BAD_REQUEST, message)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parts of a well-formed request."""

    query: str
    operation_name: str | None
    variables: Mapping[str, Any]


async def read(request: Request, longest: int) -> Parameters:
    """The parameters of a GET or POST. Raises `Refusal`."""
    if request.method == "GET":
        return checked(_from_url(request))
    if request.method != "POST":
        raise Refusal(405, f"{request.method} is not answered here; send GET or POST.", {"Allow": "GET, POST"})
    content_type = request.headers.get("content-type", "")
    media, _, parameters = content_type.partition(";")
    if media.strip().lower() != "application/json":
        sent = f"is {media.strip()!r}" if content_type else "is missing"
        raise Refusal(415, f"The Content-Type {sent}; send application/json.", {"Accept-Post": "application/json"})
    charset = parameters.lower().partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8"):
        raise Refusal(415, f"The charset is {charset!r}; send utf-8.", {"Accept-Post": "application/json"})
    body = await _body(request, longest)
    if not body:
        raise Refusal(400, 'The body is empty; send an object like {"query": "{ viewer { name } }"}.')
    return checked(_json(body, "The body"))


async def _body(request: Request, longest: int) -> bytes:
    body = bytearray()
    length = 0
    try:
        async for chunk in request.stream():
            length += len(chunk)
            if length <= longest:
                body += chunk
            elif length > DRAIN_BYTES:
                break
    except ClientDisconnect:
        raise Refusal(400, "The connection was closed in the middle of the body.") from None
    if length > longest:
        raise Refusal(413, f"The body is longer than {longest} bytes, which is the most that is read.")
    return bytes(body)


def _from_url(request: Request) -> dict[str, Any]:
    """Parameters of a GET; an empty one counts as absent."""
    given: dict[str, Any] = {name: value for name, value in request.query_params.items() if value}
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _json(given[name].encode(errors="surrogatepass"), f"`{name}`")
    return given


def _json(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"{what} is not JSON in UTF-8: {error.msg}, at character {error.pos}.") from None


def checked(given: Any) -> Parameters:
    if isinstance(given, list):
        raise Refusal(400, "The body is an array; batches are not answered, send one operation at a time.")
    if not isinstance(given, dict):
        raise Refusal(400, 'The body is not an object; send one like {"query": "{ viewer { name } }"}.')
    for name, kind in (
        ("query", "a string"),
        ("operationName", "a string"),
        ("variables", "an object"),
        ("extensions", "an object"),
    ):
        value = given.get(name)
        if value is not None and _kind(value) != kind:
            raise Refusal(400, f"`{name}` is {_kind(value)}; it must be {kind}.")
    query = given.get("query")
    if not query:
        if "persistedQuery" in (given.get("extensions") or {}):
            # the very words by which Apollo's link knows that it must send the whole document from now on
            raise RequestError(Code.PERSISTED_QUERY_NOT_SUPPORTED, "PersistedQueryNotSupported")
        raise Refusal(400, "`query` is missing; send the GraphQL document in it.")
    return Parameters(query, given.get("operationName") or None, given.get("variables") or {})


def _kind(value: Any) -> str:
    """What a value of JSON is, in words."""
    return {str: "a string", dict: "an object", list: "an array", bool: "a boolean"}.get(type(value), "a number")
