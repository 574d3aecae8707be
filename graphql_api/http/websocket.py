"""Operations over WebSocket, by the protocol `graphql-transport-ws` (graphql-ws 6.4, PROTOCOL.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from graphql_api.auth.authenticate import Headers
from graphql_api.auth.identity import Identity
from graphql_api.errors import Code, RateLimited, RequestError
from graphql_api.http.request import Refusal, checked
from graphql_api.http.service import Service, content, encoded, errors_of, formatted
from graphql_api.operations.documents import NotExecuted
from graphql_api.operations.engine import Prepared, was_executed

logger = logging.getLogger(__name__)

SUBPROTOCOL = "graphql-transport-ws"

INIT_SECONDS = 10
"""A client must introduce itself within these."""


class Closed(Exception):
    """The socket is to be closed with this code, for this reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


REASON_BYTES = 123
"""A frame that closes has no room for more."""

ID_MAX = 255
"""Characters; every message about the operation repeats them."""

INVALID, UNAUTHORIZED, FORBIDDEN, UNACCEPTABLE = 4400, 4401, 4403, 4406
INIT_TIMEOUT, TAKEN, INIT_TWICE, TRY_LATER = 4408, 4409, 4429, 1013


class Socket:
    """Serves WebSockets for as long as the server runs; each call is one of them."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, websocket: WebSocket) -> None:
        try:
            self._service.authenticator.refuse_foreign_pages(websocket.scope["headers"])
        except RequestError as error:
            logger.info("a WebSocket was refused: %s", error.message)
            await websocket.close()  # before it is accepted: 403
            return
        offered = SUBPROTOCOL in websocket.scope["subprotocols"]
        await websocket.accept(SUBPROTOCOL if offered else None)
        connection = _Connection(self._service, websocket)
        with suppress(WebSocketDisconnect):
            try:
                if not offered:
                    raise Closed(UNACCEPTABLE, f"Only the subprotocol {SUBPROTOCOL} is spoken here")
                await connection.serve()
            except Closed as closed:
                await connection.stop()
                await connection.close(closed)
            finally:
                await connection.stop()


class _Connection:
    """One client, from its introduction on, and the operations that run for it."""

    def __init__(self, service: Service, websocket: WebSocket) -> None:
        self._service = service
        self._websocket = websocket
        self._headers: Headers = websocket.scope["headers"]
        self._running: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Until the client goes. Raises `Closed` when it breaks the protocol, or may not be here."""
        try:
            identity = await self._introduction()
            with self._service.connections.one(identity):
                await self._send({"type": "connection_ack"})
                watching = asyncio.create_task(self._watch(identity))
                try:
                    while True:
                        await self._heed(await self._receive())
                        await asyncio.sleep(0)  # the next message may be there already: others have their turn
                finally:
                    watching.cancel()
        except (Closed, WebSocketDisconnect):
            raise
        except Exception as reason:
            raise _closed(formatted(errors_of(reason))) from None

    async def stop(self) -> None:
        """End all that runs, without a word to the client."""
        running, self._running = self._running, {}
        for task in running.values():
            task.cancel()
        if running:
            await asyncio.wait(running.values())

    async def close(self, closed: Closed) -> None:
        reason = closed.reason.encode()[:REASON_BYTES].decode(errors="ignore")
        with suppress(RuntimeError):  # it is closed already
            await self._websocket.close(closed.code, reason)

    async def _introduction(self) -> Identity | None:
        """Who the client is, by its `connection_init` or else by the headers of the handshake."""
        try:
            async with asyncio.timeout(INIT_SECONDS):
                while (message := await self._receive())["type"] != "connection_init":
                    if message["type"] == "subscribe":
                        raise Closed(UNAUTHORIZED, "Unauthorized: send connection_init first")
                    await self._heed(message)
        except TimeoutError:
            raise Closed(INIT_TIMEOUT, "Connection initialisation timeout") from None
        self._headers = _with_authorization(self._headers, message.get("payload"))
        return await self._identity()

    async def _identity(self) -> Identity | None:
        return await self._service.deadlines.within(self._service.authenticator.identify(self._headers))

    async def _heed(self, message: Mapping[str, Any]) -> None:
        id, payload = message.get("id"), message.get("payload")
        match message["type"]:
            case "ping" | "pong" if not isinstance(payload, dict | None):
                raise Closed(INVALID, "The payload of ping and pong must be an object")
            case "ping":
                try:
                    await self._send({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})
                except orjson.JSONEncodeError:  # it reads what is nested deeper than it writes
                    raise Closed(INVALID, "The payload of ping is nested too deep") from None
            case "pong":
                pass
            case "subscribe" if isinstance(id, str) and 0 < len(id) <= ID_MAX and isinstance(payload, dict):
                await self._start(id, payload)
            case "complete" if isinstance(id, str):
                if task := self._running.pop(id, None):
                    task.cancel()
            case "connection_init":
                raise Closed(INIT_TWICE, "Too many initialisation requests")
            case _:
                raise Closed(INVALID, "Invalid message received")

    async def _start(self, id: str, payload: Mapping[str, Any]) -> None:
        if id in self._running:
            raise Closed(TAKEN, f"Subscriber for {id} already exists")
        most = self._service.settings.max_operations_per_socket
        try:
            parameters = checked(payload)
            if len(self._running) >= most:
                raise RateLimited(f"{most} operations run on this socket, which is the most that may. End one.")
            # here, so that the message is not kept for as long as the operation runs
            prepared = self._service.engine.prepare(*parameters)
        except Refusal as refusal:
            raise Closed(INVALID, refusal.message) from None
        except Exception as reason:  # it ends with its operation: the others on the socket have no part in it
            await self._send({"type": "error", "id": id, "payload": formatted(errors_of(reason))})
        else:
            self._running[id] = asyncio.create_task(self._run(id, prepared))

    async def _run(self, id: str, prepared: Prepared) -> None:
        """One operation, to its `complete` or its `error`."""
        with suppress(WebSocketDisconnect):
            try:
                operation, _ = prepared
                if operation.is_subscription:
                    await self._follow(id, prepared)
                else:
                    answer = await self._service.deadlines.within(self._answer(prepared))
                    await self._send({"type": "next", "id": id, "payload": answer})
            except WebSocketDisconnect:
                raise
            except Exception as reason:
                last = {"type": "error", "id": id, "payload": formatted(errors_of(reason))}
            else:
                last = {"type": "complete", "id": id}
            del self._running[id]  # the client may use the id again as soon as it reads this
            await self._send(last)

    async def _answer(self, prepared: Prepared) -> dict[str, Any]:
        """Raises `NotExecuted` when the variables do not fit."""
        identity = await self._service.authenticator.identify(self._headers)
        result = await self._service.execute(prepared, identity)
        if not was_executed(result):
            raise NotExecuted(result.errors or [])
        return content(result)

    async def _follow(self, id: str, prepared: Prepared) -> None:
        async with aclosing(self._service.subscribe(prepared, await self._identity())) as results:
            async for result in results:
                await self._send({"type": "next", "id": id, "payload": content(result)})
                await asyncio.sleep(0)  # sending need not wait, nor does what comes next: others have their turn

    async def _watch(self, identity: Identity | None) -> None:
        """End everything when the credential does not count any more. The client may come again with a new one."""
        try:
            raise await self._service.authenticator.until_worthless(self._headers, identity)
        except Exception as reason:
            errors = formatted(errors_of(reason))
        ended = list(self._running)
        await self.stop()
        with suppress(WebSocketDisconnect):
            for id in ended:
                await self._send({"type": "error", "id": id, "payload": errors})
            await self.close(_closed(errors))

    async def _send(self, message: Mapping[str, Any]) -> None:
        """Raises `WebSocketDisconnect` when either side has closed the socket."""
        text = encoded(message).decode()
        try:
            await self._websocket.send_text(text)
        except RuntimeError:  # we closed it, while this was about to be sent
            raise WebSocketDisconnect from None

    async def _receive(self) -> dict[str, Any]:
        """The next message, which has a type. Raises `WebSocketDisconnect` when the client has gone."""
        received = await self._websocket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        try:
            message = orjson.loads(received.get("text") or b"")
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closed(INVALID, "Invalid message received")
        return message


def _closed(errors: Sequence[Mapping[str, Any]]) -> Closed:
    """Why a client may not be here, or not now. With 4403 it needs another credential, with 1013 only patience."""
    [error] = errors
    refused = error["extensions"]["code"] in (Code.UNAUTHENTICATED, Code.FORBIDDEN)
    return Closed(FORBIDDEN if refused else TRY_LATER, error["message"])


def _with_authorization(headers: Headers, payload: object) -> Headers:
    """The headers of the handshake, with the `Authorization` of the payload in place of their own.

    Browsers cannot set headers of a handshake. Clients put it at the top of the payload, or below `headers`.
    """
    if payload is None:
        return headers
    if not isinstance(payload, dict):
        raise Closed(INVALID, "The payload of connection_init must be an object")
    below = payload.get("headers")
    given = [*payload.items(), *(below.items() if isinstance(below, dict) else ())]
    values = [value for name, value in given if name.lower() == "authorization" and isinstance(value, str)]
    if not values:
        return headers
    own = [(name, value) for name, value in headers if name != b"authorization"]
    return [*own, *((b"authorization", value.encode("latin-1", "replace")) for value in values)]
