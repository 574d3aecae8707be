"""Statements as one user, compiled once and tried again where that is safe. SQLAlchemy writes them, asyncpg carries
them out.

Every statement runs under the database role `graphql_api`, as the one user whom it sets: row-level security shows it
that user's tasks and nobody else's. So a statement that forgets its WHERE finds too little, never too much, and one
that sets no user finds nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property
from time import monotonic
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from graphql_api import instants
from graphql_api.errors import Code, RequestError, Unavailable
from graphql_api.pool import Pool
from graphql_api.settings import ConfigurationError, Settings

logger = logging.getLogger(__name__)

ROLE = "graphql_api"
"""The role that the server acts under: row-level security applies to it, and it may do little else."""

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

UNDONE = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,  # where the user of DATABASE_URL has a lock_timeout
)
"""What PostgreSQL says when it undid a transaction only because of another one: the next time it may go well."""

BECOME = f"SELECT set_config('role', '{ROLE}', true), set_config('statement_timeout', $1, true)"
"""For one transaction, on a connection that a pooler lends for no longer."""

STATEMENTS_MAX = 200
"""Prepared on one connection at most: each takes memory of PostgreSQL's."""

T = TypeVar("T")

Rows = Coroutine[Any, Any, list[asyncpg.Record]]
"""To be awaited."""

VIEWER = sa.bindparam("viewer", type_=sa.String)
"""The user of a statement."""

ME = sa.select(VIEWER).scalar_subquery()
"""`VIEWER`, in a form that tells the planner nothing.

For a page, where it might know more of one user than of others and plan anew each time: so one plan serves all.
"""

_SET = sa.func.set_config(sa.text("'app.user_id'"), VIEWER, sa.true())
"""Makes `VIEWER` the user until the statement ends; never null."""

IS_SET = sa.select(_SET).scalar_subquery().is_not(None)
"""Makes `VIEWER` the user before PostgreSQL looks at any row. Always true.

A condition that asks for no column is a one-time filter (`pseudoconstant` in the planner): it is evaluated before the
scans below it, and the policies of row-level security ask who the user is when they see the first row. If it ever came
later, a statement would find too little, never too much: the policies and its own WHERE would name two users.
"""

SKIPPING_NONE = sa.cast(_SET.is_(None), sa.Integer)
"""The same as an OFFSET, always 0: PostgreSQL has to know it before it fetches any row (`recompute_limits` in its
executor). It costs less than the filter, which takes a node of its own; only a SELECT can have it."""


class Statement:
    """A statement, compiled once: `statement(name=value)` gives each `sa.bindparam` in it a value."""

    def __init__(self, expression: ClauseElement) -> None:
        self.expression = expression

    def __call__(self, **values: Any) -> Filled:
        return self, {**self._constants, **values}

    @cached_property
    def sql(self) -> str:
        return self._compiled.string

    @cached_property
    def parameters(self) -> list[tuple[str, Callable[[Any], Any] | None]]:
        """The names of the values in the order of the SQL, each with what makes its value one of asyncpg's."""
        processors = self._compiled._bind_processors
        return [(name, processors.get(name)) for name in self._compiled.positiontup or ()]  # type: ignore[misc]

    @cached_property
    def _constants(self) -> dict[str, Any]:
        """The values that stand in it already."""
        return {name: value.value for name, value in self._compiled.binds.items() if not value.required}

    @cached_property
    def _compiled(self) -> SQLCompiler:
        result = self.expression.compile(dialect=_DIALECT)
        assert isinstance(result, SQLCompiler)
        return result


Filled = tuple[Statement, dict[str, Any]]
"""A statement with the values of its parameters."""


def as_me(statement: sa.GenerativeSelect | sa.Update | sa.Delete) -> Statement:
    """The statement, which sets its user: one round trip, where it takes two to set the user first."""
    if isinstance(statement, sa.GenerativeSelect):
        return Statement(statement.offset(SKIPPING_NONE))
    return Statement(statement.where(IS_SET))


class Database:
    """The connections of one process. None are open before `start`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connect_seconds = settings.connect_timeout_seconds
        self._local = settings.behind_transaction_pooler
        self._statement_timeout = str(max(1, round(settings.statement_timeout_seconds * 1000)))  # 0 is for ever
        self._pool = Pool(
            self._connect,
            smallest=settings.pool_min,
            largest=settings.pool_max,
            patience_seconds=settings.connect_timeout_seconds,
            use_seconds=settings.request_timeout_seconds,
            idle_seconds=settings.pool_idle_seconds,
            recycle_seconds=settings.pool_recycle_seconds,
        )

    async def start(self) -> None:
        """Open the first connections. Raises `ConfigurationError` when they cannot be had in time, or do not act under
        the role."""
        try:
            await self._persist(self._pool.start)
        except Unavailable as error:
            number = self._settings.pool_min
            message = f"DATABASE_URL: POOL_MIN asks for {number} connections, which cannot be had: {error.__cause__!r}"
            raise ConfigurationError(message) from error

    async def stop(self) -> None:
        """Let running statements end, then close every connection."""
        await self._pool.stop()

    def read(self, statement: Filled) -> Rows:
        """The rows of one SELECT. Tried again when the connection breaks."""
        return self._persist(self._carry_out, *compiled(statement))

    def write(self, statement: Filled, *, check: Callable[[list[asyncpg.Record]], None] | None = None) -> Rows:
        """Carry out one statement, a transaction of its own; the rows that it returns.

        What `check` raises at the sight of the rows undoes the statement; it costs the round trips of BEGIN and COMMIT.
        Once sent, it is tried again only after a deadlock or the like, which undid it for sure: where the connection
        breaks, it may have been carried out.
        """
        return self._persist(self._carry_out, *compiled(statement), check, True)

    async def _carry_out(
        self,
        sql: str,
        parameters: list[Any],
        check: Callable[[list[asyncpg.Record]], None] | None = None,
        is_write: bool = False,
    ) -> list[asyncpg.Record]:
        kept = await self._pool.take()
        connection = kept.connection
        is_sent = False
        try:
            if self._local or check is not None:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    if self._local:
                        await connection.fetchrow(BECOME, self._statement_timeout)
                    is_sent = is_write
                    rows = await connection.fetch(sql, *parameters)
                    if check is not None:
                        check(rows)
                except Exception:
                    await transaction.rollback()
                    raise
                await transaction.commit()
            else:
                is_sent = is_write
                rows = await connection.fetch(sql, *parameters)
        except asyncio.CancelledError:
            self._pool.drop(kept)  # which undoes a transaction: a ROLLBACK might wait for ever
            raise
        except asyncpg.InternalServerError:
            self._pool.drop(kept)  # what it has prepared may name types that were dropped, and made anew by a restore
            raise
        except BaseException as error:
            self._pool.give_back(kept)
            if isinstance(error, asyncpg.QueryCanceledError):
                seconds = self._settings.statement_timeout_seconds
                message = f"The database needed more than {seconds:g} s. Ask for less at once."
                raise RequestError(Code.TIMEOUT, message) from error
            if is_sent and isinstance(error, LOST):
                logger.warning("a write was interrupted: %r", error)
                raise Unavailable from error
            raise
        self._pool.give_back(kept)
        return rows

    async def _connect(self) -> asyncpg.Connection:
        """Raises `ConfigurationError` where it is not under the role: nothing is asked without row-level security."""
        settings = self._settings
        server_settings = {"application_name": "graphql-api"}
        if not self._local:
            server_settings["role"] = ROLE
            server_settings["statement_timeout"] = self._statement_timeout
        connection = await asyncpg.connect(
            settings.database_url,
            timeout=self._connect_seconds,
            # a pooler in transaction mode hands the next transaction to another connection, which has not prepared it
            statement_cache_size=0 if self._local else STATEMENTS_MAX,
            server_settings=server_settings,
        )
        try:
            if not self._local and await connection.fetchval("SELECT current_user") != ROLE:
                raise ConfigurationError(
                    f"DATABASE_URL: statements would not run under the role {ROLE}: a pooler in between drops the "
                    "settings of connections; set DATABASE_POOLER=transaction"
                )
            await instants.keep(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _persist(self, attempt: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Try again, ever more slowly, while the connection is at fault, or others who change the same: a database that
        sleeps needs a moment."""
        deadline = monotonic() + self._connect_seconds
        pause = 0.05
        while True:
            try:
                return await attempt(*arguments)
            except (*LOST, *UNDONE) as error:
                if monotonic() + pause > deadline:
                    logger.warning("the database does not answer: %r", error)
                    raise Unavailable from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1)


async def connect(settings: Settings, *, past_pooler: bool = False) -> asyncpg.Connection:
    """A connection of its own, as the user of DATABASE_URL and not under the role, for what comes before serving.

    `past_pooler`: by DATABASE_URL_DIRECT, where that is set. Nothing stays prepared on it: a pooler would hand that to
    somebody else. Raises `ConfigurationError` with the name of the variable when there is no connection.
    """
    name, url, server_settings = "DATABASE_URL", settings.database_url, {}
    if past_pooler:
        if settings.database_url_direct:
            name, url = "DATABASE_URL_DIRECT", settings.database_url_direct
    elif not settings.behind_transaction_pooler:
        server_settings["role"] = "none"  # to be refused now where the role itself would be refused later
    try:
        return await asyncpg.connect(
            url, timeout=settings.connect_timeout_seconds, statement_cache_size=0, server_settings=server_settings
        )
    except (*LOST, asyncpg.PostgresError, ValueError) as error:
        message = f"{name}: no connection to the database: {str(error) or repr(error)}"
        if isinstance(error, asyncpg.ProtocolViolationError):
            message += "; if it leads to a pooler, set DATABASE_POOLER=transaction"
        raise ConfigurationError(message) from error


_DIALECT = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]


def compiled(statement: Filled) -> tuple[str, list[Any]]:
    """The SQL of a statement, and its parameters as asyncpg wants them."""
    shape, given = statement
    return shape.sql, [given[name] if process is None else process(given[name]) for name, process in shape.parameters]
