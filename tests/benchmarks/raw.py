"""The same answers without GraphQL, as somebody writes them who wants nothing but speed: the measure of all others.

An ASGI application without a framework, one SQL statement a request, signatures checked once for each token. It has
no error messages, no limits and no row-level security: it trusts its clients, and the WHERE of each statement.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import asyncpg
import jwt
import orjson
from starlette.types import Receive, Scope, Send

COLUMNS = "id, title, description, completed, created_at, updated_at"
PAGE = f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
ONE = f"SELECT {COLUMNS} FROM tasks WHERE id = $2 AND (user_id = $1 OR assigned_to = $1)"
SOME = f"SELECT {COLUMNS} FROM tasks WHERE id = ANY ($2::uuid[]) AND (user_id = $1 OR assigned_to = $1)"
CREATE = f"INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3) RETURNING {COLUMNS}"
TOGGLE = (
    "UPDATE tasks SET completed = NOT completed "
    f"WHERE id = $2 AND (user_id = $1 OR assigned_to = $1) RETURNING {COLUMNS}"
)

ALIASES = "abcdefghij"
CONNECTIONS = 10
HEADERS = [(b"content-type", b"application/json; charset=utf-8")]


class Raw:
    """The application of one process."""

    def __init__(self, database_url: str, origin: str) -> None:
        self._database_url = database_url
        self._origin = origin
        self._known: dict[bytes, tuple[float, Mapping[str, Any]]] = {}
        self._keys: dict[str, Any] = {}
        self._free: asyncio.Queue[asyncpg.Connection] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        claims = self._claims(scope["headers"])
        if claims is None:
            status, body = 401, b"{}"
        else:
            data = await self._data(scope, receive, claims)
            status, body = 200, orjson.dumps({"data": data}, option=orjson.OPT_UTC_Z)
        headers = [*HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _data(self, scope: Scope, receive: Receive, claims: Mapping[str, Any]) -> dict[str, Any]:
        path, query = scope["path"], scope["query_string"]
        user = claims["sub"]
        if scope["method"] == "GET":
            if query.startswith(b"first="):
                return await self._page(claims, int(query[6:]))
            if query.startswith(b"ids="):
                ids = query[4:].decode().split(",")
                rows = await self._rows(SOME, user, [key(id) for id in ids])
                found = {node["id"]: node for node in map(task, rows)}
                return {alias: found.get(id) for alias, id in zip(ALIASES, ids, strict=False)}
            [row] = await self._rows(ONE, user, key(path[7:]))
            return {"task": task(row)}
        if path == "/tasks":
            values = orjson.loads(await body_of(receive))
            [row] = await self._rows(CREATE, user, values["title"], values["description"])
            return {"createTask": {"task": task(row), "errors": []}}
        [row] = await self._rows(TOGGLE, user, key(path[7:-7]))
        return {"toggleTask": {"task": task(row), "errors": []}}

    async def _page(self, claims: Mapping[str, Any], first: int) -> dict[str, Any]:
        rows = await self._rows(PAGE, claims["sub"], first + 1)
        edges = [{"cursor": cursor(row), "node": task(row)} for row in rows[:first]]
        info = {"hasNextPage": len(rows) > first, "endCursor": edges[-1]["cursor"] if edges else None}
        return {
            "viewer": {
                "id": b64encode(f"Viewer:{claims['sub']}".encode()).decode(),
                "name": claims["name"],
                "tasks": {"edges": edges, "pageInfo": info},
            }
        }

    def _claims(self, headers: list[tuple[bytes, bytes]]) -> Mapping[str, Any] | None:
        """What the bearer token says; its signature is checked the first time."""
        for name, value in headers:
            if name == b"authorization":
                known = self._known.get(value)
                if known is None:
                    claims = self._verified(value[7:].decode())
                    known = self._known[value] = claims["exp"], claims
                return known[1] if known[0] > time.time() else None
        return None

    def _verified(self, token: str) -> Mapping[str, Any]:
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(token, key, algorithms=["EdDSA"], issuer=self._origin, audience=self._origin)

    async def _rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        connection = await self._free.get()
        try:
            return await connection.fetch(sql, *values)
        finally:
            self._free.put_nowait(connection)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        connections = [await asyncpg.connect(self._database_url) for _ in range(CONNECTIONS)]
        for connection in connections:
            self._free.put_nowait(connection)
        for row in await self._rows('SELECT id, "publicKey" FROM jwks'):
            self._keys[row[0]] = jwt.PyJWK(json.loads(row[1]), algorithm="EdDSA").key
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for connection in connections:
            await connection.close()
        await send({"type": "lifespan.shutdown.complete"})


def application() -> Raw:
    """The application of this process, by its environment."""
    return Raw(os.environ["DATABASE_URL"], os.environ["AUTH_URL"])


def task(row: Any) -> dict[str, Any]:
    id, title, description, completed, created_at, updated_at = row
    return {
        "id": b64encode(b"Task:%b" % str(id).encode()).decode(),
        "title": title,
        "description": description,
        "completed": completed,
        "createdAt": created_at,
        "updatedAt": updated_at,
    }


def key(global_id: str | bytes) -> str:
    """The UUID in the global id of a task."""
    return b64decode(global_id)[5:].decode()


def cursor(row: Any) -> str:
    """All that a page after this row would need."""
    text = orjson.dumps(["created_at-,id-", row[4], str(row[0])], option=orjson.OPT_UTC_Z)
    return b64encode(text).decode()


async def body_of(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body
