"""Up and down, one starter at a time."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
import sqlalchemy as sa

from graphql_api.auth import tables
from graphql_api.database import connect
from graphql_api.migrations.partitions import renew
from graphql_api.migrations.readiness import verdict
from graphql_api.migrations.revisions import ADOPT, PROJECT, current, revisions
from graphql_api.migrations.role import admit, leave, let_read
from graphql_api.migrations.users import check_keys, link
from graphql_api.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

ADVISORY_LOCK = 7_251_046_931
"""Any number, so long as every version of this project takes the same."""

LOCK_TIMEOUT = "10s"
"""A migration that waits for a table makes everybody queue behind it: better to give up and be run again."""

WITHOUT_TIMEOUTS = """
    SELECT set_config(name, '0', true) FROM pg_settings
    WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout')
"""
"""Of those that this PostgreSQL has: `transaction_timeout` is new in 17."""

NOT_AS_IT_STANDS = {
    asyncpg.DuplicateTableError.sqlstate,  # somebody else's is called as ours
    asyncpg.DuplicateObjectError.sqlstate,
    asyncpg.InvalidSchemaNameError.sqlstate,  # the search path leads nowhere
    asyncpg.ReadOnlySQLTransactionError.sqlstate,  # a replica
}
"""What PostgreSQL says when something is to be mended in the database, and not here."""


async def upgrade(settings: Settings, revision: str = "head") -> list[str]:
    """Migrate; see to the role, its grants, the link to the users and the log's partitions.

    Returns what was done, and left, in sentences.
    Raises `ConfigurationError` when the database or its user is not fit for it; what was begun is undone then.
    """
    async with transaction(settings) as connection:
        driver = await _driver(connection)
        await _refuse_unfit(driver)
        done = await _run("upgrade", connection, revision)
        await admit(driver)
        found = await tables.find(driver, settings)
        for table in (found.user, found.session, found.jwks):
            if table is not None:
                done += await let_read(driver, table)
        if settings.link_users:
            done += await link(driver, found.user)
        # after all that locks tasks: writers lock tasks first and the log of events later, too
        done += await renew(driver, settings.event_retention_days)
    if settings.link_users and found.user is not None:
        # apart from the link: the check reads every task, and the link's locks keep people from signing up
        async with transaction(settings) as connection:
            done += await check_keys(await _driver(connection), found.user)
    return done or ["The database was up to date."]


async def downgrade(settings: Settings, revision: str) -> list[str]:
    """Go back to an older revision; `base` leaves nothing of ours, and the role only where others use it."""
    async with transaction(settings) as connection:
        driver = await _driver(connection)
        await _refuse_unfit(driver)
        done = await _run("downgrade", connection, revision)
        if await current(driver) is None:
            done += await leave(driver)
    return done


async def maintain(settings: Settings) -> list[str]:
    """See to the partitions of the log of events. Returns what was done, in sentences; harmless to repeat.

    Raises `ConfigurationError` when the database is not migrated to this version.
    """
    async with transaction(settings) as connection:
        driver = await _driver(connection)
        if unfit := await verdict(driver):
            raise ConfigurationError(unfit)
        return await renew(driver, settings.event_retention_days) or ["Nothing to do."]


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """One transaction on a connection of its own, past the pooler where there is a way past it; one at a time."""
    from sqlalchemy.ext.asyncio import create_async_engine  # the server, which imports this room, needs none

    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={
            "async_creator_fn": lambda **_: connect(settings, past_pooler=True),
            # behind a pooler, what is prepared under a name stays on the connection, and is in the way of the next run
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": str,
        },
        poolclass=sa.NullPool,
    )
    try:
        async with engine.begin() as connection:
            # whatever the user's statements may take: a large table takes its time, and so does another starter
            await connection.execute(sa.text(WITHOUT_TIMEOUTS))
            # the second of two starters waits here, before the timeout counts, and then finds nothing left to do
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
            await connection.execute(sa.select(sa.func.set_config("lock_timeout", LOCK_TIMEOUT, True)))
            await connection.execute(sa.text(ADOPT))
            yield connection
    except (asyncpg.PostgresError, sa.exc.DBAPIError) as error:
        cause: Any = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        match cause.sqlstate:
            case asyncpg.LockNotAvailableError.sqlstate:
                reason = "A table is in use by a long transaction"
            case asyncpg.InsufficientPrivilegeError.sqlstate:
                reason = f"The user of DATABASE_URL may not do this ({cause})"
            case state if state in NOT_AS_IT_STANDS:
                reason = f"The database does not allow it as it stands ({cause})"
            case _:
                raise
        raise ConfigurationError(f"{reason}; what was begun is undone. Mend that and run it again.") from error


async def _driver(connection: AsyncConnection) -> asyncpg.Connection:
    """The connection below SQLAlchemy's; `transaction()` on it is a savepoint."""
    driver: asyncpg.Connection | None = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    return driver


async def _refuse_unfit(driver: asyncpg.Connection) -> None:
    encoding = await driver.fetchval("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database of DATABASE_URL holds {encoding}, which cannot hold every text; "
            "make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if await current(driver) not in [None, *revisions()]:
        raise ConfigurationError(str(await verdict(driver)))


async def _run(command: Literal["upgrade", "downgrade"], connection: AsyncConnection, revision: str) -> list[str]:
    """Alembic's command, within the connection's transaction. Slow to import, so it is imported here.

    Alembic keeps its context in module globals: one at a time in a process.
    """
    from alembic import command as commands
    from alembic.config import Config
    from alembic.util import CommandError

    logging.getLogger("alembic").setLevel(logging.WARNING)  # what it did is returned
    done: list[str] = []

    def tell(*, step: Any, **_: Any) -> None:
        done.append(f"{command.capitalize()}d {step.up_revision_id}: {step.up_revision.doc}")

    def run(synchronous: sa.Connection) -> None:
        attributes = {"connection": synchronous, "on_version_apply": tell}
        config = Config(toml_file=PROJECT / "pyproject.toml", attributes=attributes)
        {"upgrade": commands.upgrade, "downgrade": commands.downgrade}[command](config, revision)

    try:
        await connection.run_sync(run)
    except CommandError as error:
        raise ConfigurationError(
            f"Cannot {command} to {revision}: {error}. This version has {', '.join(revisions())}."
        ) from None
    return done
