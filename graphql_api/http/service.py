"""What every transport needs to answer operations, and the form in which all of them answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from graphql import ExecutionResult, GraphQLError

from graphql_api.auth.authenticate import Authenticator
from graphql_api.auth.identity import Identity
from graphql_api.auth.tables import Tables
from graphql_api.context import Context
from graphql_api.database import Database
from graphql_api.errors import Code, RateLimited, RequestError, Stopping, presentable
from graphql_api.events import Hub
from graphql_api.memory import Memory
from graphql_api.operations.documents import NotExecuted
from graphql_api.operations.engine import Engine, Prepared
from graphql_api.settings import Settings
from graphql_api.telemetry.logs import request_id

T = TypeVar("T")

MESSAGE_MAX = 500
"""Characters of an error's message; what is beyond is cut off."""

AS_SCALARS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
"""Times are written as the scalar `DateTime` has them: in UTC, also where a time does not say so."""


class Connections:
    """The sockets and event streams that are open, counted by user; None for those who are not signed in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str | None] = Counter()
        self._stopping = False
        self.streams: set[asyncio.Task[None]] = set()
        """What each event stream waits for to end; whoever cancels it ends the stream."""

    @contextmanager
    def one(self, identity: Identity | None) -> Iterator[None]:
        """Counts as one more while it lasts. Raises RATE_LIMITED when there are too many."""
        user_id = identity.user_id if identity else None
        if self._stopping:
            raise Stopping
        if self._open[user_id] >= self._most:
            raise RateLimited(
                f"{self._most} connections are open, which is the most that one user may have. Close some."
            )
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]

    def stop(self) -> None:
        """Let nobody in any more, and end the event streams: their clients come back by themselves."""
        self._stopping = True
        for stream in self.streams:
            stream.cancel()


class Deadlines:
    """Ends what takes too long. All have the same time, so that the first to begin is the first to end, and one timer
    is enough for all of them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._running: dict[asyncio.Task[Any], float] = {}
        """In the order in which they began, each with its deadline by the clock of the loop."""
        self._overdue: set[asyncio.Task[Any]] = set()
        self._is_watching = False

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives; a task does one at a time. Raises TIMEOUT when it takes longer."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._running[task] = self._loop.time() + self._seconds
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_later(self._seconds, self._watch)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._overdue and task.uncancel() <= 0:
                message = f"The request took more than {self._seconds:g} s and was ended. Ask for less at once."
                raise RequestError(Code.TIMEOUT, message) from None
            raise
        finally:
            self._running.pop(task, None)
            self._overdue.discard(task)

    def _watch(self) -> None:
        """End what is overdue, and look again when the next one would be."""
        for task, deadline in list(self._running.items()):
            if deadline > self._loop.time():
                self._loop.call_at(deadline, self._watch)
                return
            del self._running[task]
            self._overdue.add(task)
            task.cancel()
        self._is_watching = False


@dataclass(frozen=True, slots=True)
class Service:
    """Made once for as long as the server runs."""

    settings: Settings
    engine: Engine
    authenticator: Authenticator
    database: Database
    tables: Tables
    hub: Hub
    people: Memory[str, Any]
    connections: Connections
    deadlines: Deadlines

    def execute(self, prepared: Prepared, identity: Identity | None) -> Coroutine[Any, Any, ExecutionResult]:
        return self.engine.execute(prepared, self._context(identity))

    def subscribe(self, prepared: Prepared, identity: Identity | None) -> AsyncGenerator[ExecutionResult, None]:
        return self.engine.subscribe(prepared, lambda: self._context(identity))

    def _context(self, identity: Identity | None) -> Context:
        return Context(self.database, self.tables, self.hub, self.people, identity)


def encoded(answer: Any) -> bytes:
    """An answer as JSON."""
    return orjson.dumps(answer, option=AS_SCALARS)


def content(result: ExecutionResult) -> dict[str, Any]:
    """An answer with `data`, and with `errors` where there are any."""
    data = {"data": result.data}
    return data | {"errors": formatted(result.errors)} if result.errors else data


def formatted(errors: Sequence[GraphQLError]) -> list[dict[str, Any]]:
    """Errors as clients may see them."""
    return [_formatted(presentable(error, request_id.get())) for error in errors]


def _formatted(error: GraphQLError) -> dict[str, Any]:
    """graphql-core repeats what it refuses, be it as long as the body."""
    message = error.message if len(error.message) <= MESSAGE_MAX else f"{error.message[:MESSAGE_MAX]}…"
    return {**error.formatted, "message": message}


def errors_of(reason: Exception) -> Sequence[GraphQLError]:
    """Why an operation was not executed, or its stream has ended."""
    match reason:
        case NotExecuted(errors=errors):
            return errors
        case GraphQLError():
            return [reason]
    return [GraphQLError(str(reason), original_error=reason)]
