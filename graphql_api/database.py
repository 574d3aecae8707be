"""Connecting to PostgreSQL, pooling, retrying. Statements are SQLAlchemy expressions; asyncpg carries them out.

Every statement runs under the database role `graphql_api`, and as one user: row-level security shows it that user's
tasks and nobody else's. So a statement that forgets its WHERE finds too little, never too much.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.util import LRUCache

from graphql_api.errors import Code, RequestError, Unavailable
from graphql_api.settings import Settings

logger = logging.getLogger(__name__)

ROLE = "graphql_api"
"""The role that the server acts under: row-level security applies to it, and it may do little else."""

NOBODY = ""
"""The user of statements that touch no tasks; under row-level security it owns none."""

LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that is ended in the very moment of its use
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""What a connection raises that cannot be had, or broke: the statement itself may be fine."""

UNDONE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""What PostgreSQL says when it undid a transaction only because of another one: the next time it may go well."""

BECOME = "SELECT set_config('app.user_id', $1, false)"
BECOME_LOCALLY = (
    f"SELECT set_config('role', '{ROLE}', true), set_config('app.user_id', $1, true), "
    "set_config('statement_timeout', $2, true)"
)

T = TypeVar("T")


class Database:
    """The pool of one process. Not connected before `start`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._local = settings.behind_transaction_pooler
        self._statement_timeout = str(max(1, round(settings.statement_timeout_seconds * 1000)))  # 0 is for ever
        # asyncpg's pool lets a newcomer overtake those who wait; this semaphore is first come, first served.
        self._turns = asyncio.Semaphore(settings.pool_max)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opened_at: dict[int, float] = {}

    async def start(self) -> None:
        """Open the first connections. Raises `Unavailable` when the database does not answer in time."""
        self._pool = await self._persist(self._open_pool)

    async def stop(self) -> None:
        """Let running statements end, then close every connection."""
        if self._pool is not None:
            await self._pool.close()

    async def read(self, statement: ClauseElement, *, user_id: str = NOBODY) -> list[asyncpg.Record]:
        """The rows of one SELECT as this user sees them. Tried again when the connection breaks."""
        sql, parameters = compiled(statement)

        async def attempt() -> list[asyncpg.Record]:
            async with self._connection(user_id) as connection:
                return await connection.fetch(sql, *parameters)

        return await self._persist(attempt)

    async def write(
        self,
        statement: ClauseElement,
        *,
        user_id: str,
        check: Callable[[list[asyncpg.Record]], None] | None = None,
    ) -> list[asyncpg.Record]:
        """Carry out one statement, a transaction of its own, as this user; the rows that it returns.

        What `check` raises at the sight of the rows undoes the statement; it costs the round trips of BEGIN and COMMIT.
        Once sent, it is tried again only after a deadlock or the like, which undid it for sure: where the connection
        breaks, it may have been carried out.
        """
        sql, parameters = compiled(statement)

        async def attempt() -> list[asyncpg.Record]:
            sent = False
            try:
                async with self._connection(user_id) as connection:
                    sent = True
                    if check is None:
                        return await connection.fetch(sql, *parameters)
                    async with connection.transaction():
                        rows = await connection.fetch(sql, *parameters)
                        check(rows)
                    return rows
            except LOST as error:
                if not sent:
                    raise
                logger.warning("a write was interrupted: %r", error)
                raise Unavailable from error

        return await self._persist(attempt)

    async def _open_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        settings = self._settings
        server_settings = {"application_name": "graphql-api"}
        if not self._local:
            server_settings["role"] = ROLE
            server_settings["statement_timeout"] = self._statement_timeout
        return await asyncpg.create_pool(
            settings.database_url,
            min_size=settings.pool_min,
            max_size=settings.pool_max,
            max_inactive_connection_lifetime=settings.pool_idle_seconds,
            max_queries=0x7FFFFFFF,
            timeout=settings.connect_timeout_seconds,
            # a pooler in transaction mode hands the next transaction to another connection, which has not prepared it
            statement_cache_size=0 if self._local else 1000,
            server_settings=server_settings,
            init=self._remember,
            reset=_keep_as_it_is,
        )

    @asynccontextmanager
    async def _connection(self, user_id: str) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]]:
        """A connection for one short use that acts for this user; one that is too old is closed afterwards."""
        assert self._pool is not None, "Database.start has not been called"
        async with self._turns, self._pool.acquire() as connection:
            try:
                if self._local:
                    async with connection.transaction():
                        await connection.fetchrow(BECOME_LOCALLY, user_id, self._statement_timeout)
                        yield connection
                else:
                    await connection.fetchrow(BECOME, user_id)
                    yield connection
            except asyncpg.QueryCanceledError as error:
                seconds = self._settings.statement_timeout_seconds
                message = f"The database needed more than {seconds:g} s. Ask for less at once."
                raise RequestError(Code.TIMEOUT, message) from error
            opened_at = self._opened_at.get(connection.get_server_pid(), monotonic())
            if monotonic() - opened_at > self._settings.pool_recycle_seconds:
                await connection.close()

    async def _remember(self, connection: asyncpg.Connection) -> None:
        process = connection.get_server_pid()
        self._opened_at[process] = monotonic()

        def forget(_: object) -> None:
            self._opened_at.pop(process, None)

        connection.add_termination_listener(forget)

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again, ever more slowly, while the connection is at fault, or others who change the same: a database that
        sleeps needs a moment."""
        deadline = monotonic() + self._settings.connect_timeout_seconds
        pause = 0.05
        while True:
            try:
                return await attempt()
            except (*LOST, *UNDONE) as error:
                if monotonic() + pause > deadline:
                    logger.warning("the database does not answer: %r", error)
                    raise Unavailable from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1)


_DIALECT = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]
_COMPILED: LRUCache[Any, Any] = LRUCache(500)


def compiled(statement: ClauseElement) -> tuple[str, list[Any]]:
    """The SQL of a statement, and its parameters as asyncpg wants them.

    Statements of the same shape share their SQL, through the cache key by which SQLAlchemy's own engine knows them.
    """
    result, extracted, _, _ = statement._compile_w_cache(_DIALECT, compiled_cache=_COMPILED, column_keys=[])
    assert isinstance(result, SQLCompiler)
    values = result.construct_params(extracted_parameters=extracted)
    processors = result._bind_processors
    return result.string, [
        processors[name](values[name]) if name in processors else values[name]  # type: ignore[operator]
        for name in result.positiontup or ()
    ]


async def _keep_as_it_is(connection: Any) -> None:
    """asyncpg would clean a connection on its return; ours holds no state but the user, who is set before each use."""
