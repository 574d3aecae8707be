"""What a GraphQL request says (GraphQL over HTTP, sections 5.1 to 5.4): read, and checked piece by piece."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope

from graphql_api.errors import Code, RequestError

DRAIN_BYTES = 64_000_000
"""Read and thrown away of a body that is too long, so that its sender gets to read why it is refused."""


HEADER_MAX = 1000
"""Bytes of a header that is read and remembered: nobody bounds what a client may send."""

FIELDS = "graphql_api.fields"
"""Where `RequestId`, the first layer, puts the headers into a scope by their names."""


class Refusal(RequestError):
    """A request that is refused for its form, with an HTTP status of its own."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(Code.BAD_REQUEST, message)
        self.status = status
        self.headers = headers or {}


KINDS = {"query": str, "operationName": str, "variables": dict, "extensions": dict}
WORDS = {str: "a string", dict: "an object", list: "an array", bool: "a boolean"}


Parameters = tuple[str, str | None, Mapping[str, Any]]
"""Of a well-formed request: its document, the name of the operation to execute, and the variables."""


async def read(scope: Scope, receive: Receive, longest: int) -> Parameters:
    """The parameters of a GET or POST. Raises `Refusal`."""
    method = scope["method"]
    if method == "GET":
        return checked(_from_url(scope))
    if method != "POST":
        raise Refusal(405, f"{method} is not answered here; send GET or POST.", {"Allow": "GET, POST"})
    check_type(header(scope, b"content-type"))
    body = await _body(receive, longest)
    if not body:
        raise Refusal(400, 'The body is empty; send an object like {"query": "{ viewer { name } }"}.')
    return checked(_json(body, "The body"))


def header(scope: Scope, name: bytes) -> bytes:
    """All values of a header, as one list; empty without any. What goes beyond `HEADER_MAX` is not looked at."""
    value: bytes = scope[FIELDS].get(name, b"")
    return value[:HEADER_MAX]


def fields(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """The values of each header by its name, several as one list (RFC 9110, section 5.3)."""
    found = dict(headers)
    if len(found) == len(headers):
        return found
    several = defaultdict(list)
    for name, value in headers:
        several[name].append(value)
    return {name: b",".join(values) for name, values in several.items()}


@lru_cache(1000)
def check_type(content_type: bytes) -> None:
    """Raises `Refusal` for a body that is no JSON in UTF-8."""
    media, _, parameters = content_type.decode("latin-1").partition(";")
    if media.strip().lower() != "application/json":
        sent = f"is {media.strip()!r}" if content_type else "is missing"
        raise Refusal(415, f"The Content-Type {sent}; send application/json.", {"Accept-Post": "application/json"})
    charset = parameters.lower().partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8"):
        raise Refusal(415, f"The charset is {charset!r}; send utf-8.", {"Accept-Post": "application/json"})


async def _body(receive: Receive, longest: int) -> bytes:
    body = b""
    length = 0
    is_more = True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "The connection was closed in the middle of the body.")
        chunk = message.get("body", b"")
        length += len(chunk)
        if length <= longest:
            body = body + chunk if body else chunk
        elif length > DRAIN_BYTES:
            break
        is_more = message.get("more_body", False)
    if length > longest:
        raise Refusal(413, f"The body is longer than {longest} bytes, which is the most that is read.")
    return body


def _from_url(scope: Scope) -> dict[str, Any]:
    """Parameters of a GET; an empty one counts as absent."""
    given: dict[str, Any] = {name: value for name, value in QueryParams(scope["query_string"]).items() if value}
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
    for name, value in given.items():
        kind = KINDS.get(name)
        if kind is not None and value is not None and type(value) is not kind:
            raise Refusal(400, f"`{name}` is {WORDS.get(type(value), 'a number')}; it must be {WORDS[kind]}.")
    query = given.get("query")
    if not query:
        if "persistedQuery" in (given.get("extensions") or {}):
            # the very words by which Apollo's link knows that it must send the whole document from now on
            raise RequestError(Code.PERSISTED_QUERY_NOT_SUPPORTED, "PersistedQueryNotSupported")
        raise Refusal(400, "`query` is missing; send the GraphQL document in it.")
    return query, given.get("operationName") or None, given.get("variables") or {}
