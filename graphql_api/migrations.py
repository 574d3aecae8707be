"""Bringing a database to the shape that this code expects, and telling whether it has it.

Every `migrate` does three things, each harmless when it is done already: Alembic's revisions make the tables; the role
`graphql_api`, under which the server acts, gets the few grants that it needs; tasks are linked to Better Auth's users.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from graphql_api.auth import tables
from graphql_api.database import ROLE
from graphql_api.settings import ConfigurationError, Settings

PROJECT = Path(__file__).parent.parent

ADVISORY_LOCK = 7_251_046_931
"""Any number, so long as every version of this project takes the same."""

LOCK_TIMEOUT = "10s"
"""A migration that waits for a table makes everybody queue behind it: better to give up and be run again."""

COLUMNS = "title, description, status, completed, priority, due_date, assigned_to"
"""What a change may touch: the owner never changes, and the rest is the trigger's."""

GRANTS = f"""
    GRANT SELECT, DELETE, INSERT (id, user_id, {COLUMNS}), UPDATE ({COLUMNS}) ON tasks TO {ROLE};
    GRANT SELECT ON alembic_version TO {ROLE};
"""

MAY_ACT = """
    SELECT coalesce(pg_has_role(session_user, to_regrole($1)::oid,
        CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END), false)
"""

MAY_READ = """
    SELECT has_schema_privilege($1, $2, 'USAGE') AND bool_and(has_column_privilege($1, $3, c, 'SELECT'))
    FROM unnest($4::text[]) c
"""

LINKED = """
    SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'tasks'::regclass AND confrelid = $1::regclass)
        OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1::regclass AND tgname = 'tasks_follow_users')
"""

KEYS = """
    ALTER TABLE tasks
        DROP CONSTRAINT IF EXISTS tasks_user_id_fkey,
        DROP CONSTRAINT IF EXISTS tasks_assigned_to_fkey,
        ADD CONSTRAINT tasks_user_id_fkey
            FOREIGN KEY (user_id) REFERENCES {users} ({id}) ON DELETE CASCADE NOT VALID,
        ADD CONSTRAINT tasks_assigned_to_fkey
            FOREIGN KEY (assigned_to) REFERENCES {users} ({id}) ON DELETE SET NULL NOT VALID
"""

FOLLOW = """
    CREATE OR REPLACE FUNCTION tasks_follow_users() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        DELETE FROM {schema}.tasks WHERE user_id = OLD.{id}::text;
        UPDATE {schema}.tasks SET assigned_to = NULL WHERE assigned_to = OLD.{id}::text;
        RETURN NULL;
    END
    $$;
    -- else anybody could hang it on a table of their own, and delete through it
    REVOKE EXECUTE ON FUNCTION tasks_follow_users() FROM PUBLIC;
    CREATE TRIGGER tasks_follow_users AFTER DELETE ON {users} FOR EACH ROW EXECUTE FUNCTION tasks_follow_users()
"""

UNCHECKED = """
    SELECT c.conname AS key, a.attname AS column
    FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.conrelid = 'tasks'::regclass AND c.contype = 'f' AND NOT c.convalidated
"""


def revisions() -> list[str]:
    """The revisions that this code knows, oldest first. Their files are numbered, so that Alembic is not needed."""
    return sorted(path.name.split("_")[0] for path in (PROJECT / "alembic" / "versions").glob("[0-9]*.py"))


def head() -> str:
    """The revision that this code needs."""
    return revisions()[-1]


async def current(connection: asyncpg.Connection) -> str | None:
    """The revision of a database, None when it has none."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def verdict(connection: asyncpg.Connection) -> str | None:
    """What keeps the server from using this database, and what to do about it; None when nothing does.

    The connection is a plain one of the user of DATABASE_URL: one under the role cannot be had before `migrate`.
    """
    revision = await current(connection)
    if revision is None:
        return "The database is not migrated yet. Run `graphql-api migrate`."
    if revision not in revisions():
        return f"A newer version migrated the database to {revision}; this one ends at {head()}. Deploy the newer one."
    if revision != head():
        return f"The database is at revision {revision}, this version needs {head()}. Run `graphql-api migrate`."
    if not await connection.fetchval(MAY_ACT, ROLE):
        return f"The user of DATABASE_URL may not act as the role {ROLE}. Run `graphql-api migrate`."
    return None


async def unreadable(connection: asyncpg.Connection, found: tables.Tables) -> str | None:
    """Which of Better Auth's tables the role may not read yet, and what to do about it; None when it may read all.

    So it is when Better Auth makes its tables, or makes them anew, after our `migrate`.
    """
    there = [table for table in (found.user, found.session, found.jwks) if table is not None]
    closed = [_sql(table) for table in there if not await _may_read(connection, table)]
    return f"The server may not read {', '.join(closed)} yet. Run `graphql-api migrate`." if closed else None


async def upgrade(settings: Settings, revision: str = "head") -> list[str]:
    """Migrate; see to the role, its grants and the link to the users. Returns what was done, and left, in sentences.

    Raises `ConfigurationError` when the database or its user is not fit for it; what was begun is undone then.
    """
    async with transaction(settings) as connection:
        driver = await _driver(connection)
        await _refuse_unfit(driver)
        done = await _run("upgrade", connection, revision)
        await _admit(driver)
        found = await tables.find(driver, settings)
        for table in (found.user, found.session, found.jwks):
            if table is not None:
                done += await _let_read(driver, table)
        if settings.link_users:
            done += await _link(driver, found.user)
    if settings.link_users and found.user is not None:
        # apart from the link: the check reads every task, and the link's locks keep people from signing up
        async with transaction(settings) as connection:
            done += await _check_keys(await _driver(connection), found.user)
    return done or ["The database was up to date."]


async def downgrade(settings: Settings, revision: str) -> list[str]:
    """Go back to an older revision; `base` leaves nothing of ours, and the role only where others use it."""
    async with transaction(settings) as connection:
        done = await _run("downgrade", connection, revision)
        driver = await _driver(connection)
        if await current(driver) is None:
            done += await _leave(driver)
    return done


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """One transaction on a connection of its own, past the pooler where there is a way past it; one at a time."""
    url = settings.database_url_direct or settings.database_url
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url, timeout=settings.connect_timeout_seconds),
        poolclass=sa.NullPool,
    )
    try:
        async with engine.begin() as connection:
            # the second of two starters waits here, before the timeout counts, and then finds nothing left to do
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
            await connection.execute(sa.select(sa.func.set_config("lock_timeout", LOCK_TIMEOUT, True)))
            yield connection
    except (asyncpg.PostgresError, sa.exc.DBAPIError) as error:
        cause: Any = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        match cause.sqlstate:
            case asyncpg.LockNotAvailableError.sqlstate:
                reason = "A table is in use by a long transaction"
            case asyncpg.InsufficientPrivilegeError.sqlstate:
                reason = f"The user of DATABASE_URL may not do this ({cause})"
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

    logging.getLogger("alembic").setLevel(logging.WARNING)  # what it did is returned
    done: list[str] = []

    def tell(*, step: Any, **_: Any) -> None:
        done.append(f"{command.capitalize()}d {step.up_revision_id}: {step.up_revision.doc}")

    def run(synchronous: sa.Connection) -> None:
        attributes = {"connection": synchronous, "on_version_apply": tell}
        config = Config(toml_file=PROJECT / "pyproject.toml", attributes=attributes)
        {"upgrade": commands.upgrade, "downgrade": commands.downgrade}[command](config, revision)

    await connection.run_sync(run)
    return done


async def _admit(driver: asyncpg.Connection) -> None:
    """Make the role, give it what it needs of our tables, and let the user of DATABASE_URL act as it."""
    user = await driver.fetchval("SELECT quote_ident(session_user)")
    try:
        await _make_role(driver)
        if not await driver.fetchval(MAY_ACT, ROLE):
            await driver.execute(f"GRANT {ROLE} TO {user}")
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(
            f"The server acts under the role {ROLE}, which the user of DATABASE_URL may not set up ({error}). "
            f"Let an administrator run CREATE ROLE {ROLE} NOLOGIN; if there is none yet, and GRANT {ROLE} TO {user};"
        ) from None
    schema = await driver.fetchval("SELECT quote_ident(current_schema())")
    await driver.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
    await driver.execute(f"SET LOCAL ROLE {ROLE}")
    visible = await driver.fetchval("SELECT to_regclass('tasks') IS NOT NULL")
    await driver.execute("RESET ROLE")
    if not visible:  # "$user" in a search_path is the role's name then
        raise ConfigurationError(
            f"The tables are in the schema {schema}, where the role {ROLE} does not look. "
            f"Set it for the user of DATABASE_URL: ALTER ROLE … SET search_path = {schema}, public"
        )


async def _make_role(driver: asyncpg.Connection) -> None:
    """The role belongs to all databases of the server, and another one's migration may make or drop it just now."""
    for _ in range(5):
        try:
            async with driver.transaction():
                if await driver.fetchval("SELECT to_regrole($1)", ROLE) is None:
                    await driver.execute(f"CREATE ROLE {ROLE} NOLOGIN")
                await driver.execute(GRANTS)  # from here on it cannot be dropped
                return
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError, asyncpg.UndefinedObjectError):
            continue
    raise ConfigurationError(f"The role {ROLE} is made and dropped by others all the time. Run it again.")


async def _let_read(driver: asyncpg.Connection, table: sa.Table) -> list[str]:
    """Let the role read the columns that `auth.tables` knows: no password hash, no private key."""
    name, columns = _sql(table), ", ".join(map(_sql, table.c))
    grant = f"GRANT SELECT ({columns}) ON {name} TO {ROLE}"
    try:
        async with driver.transaction():
            await driver.execute(f"GRANT USAGE ON SCHEMA {_quote(table.schema)} TO {ROLE}; {grant}")
    except asyncpg.InsufficientPrivilegeError:
        pass  # somebody else may have granted it
    if await _may_read(driver, table):
        return []
    return [f"The server may not read {name}, which is not yours. Let its owner run: {grant};"]


async def _may_read(connection: asyncpg.Connection, table: sa.Table) -> bool:
    columns = [column.name for column in table.c]
    return bool(await connection.fetchval(MAY_READ, ROLE, table.schema, _sql(table), columns))


async def _link(driver: asyncpg.Connection, user: sa.Table | None) -> list[str]:
    """Let tasks go with their owner, and assignments with the assignee: by foreign keys, or by a trigger."""
    if user is None:
        return ["Better Auth's user table is not here, so tasks are not linked to it. Run it again when it is."]
    users = _sql(user)
    if await driver.fetchval(LINKED, users):
        return []
    names = {
        "users": users,
        "id": _sql(user.c.id),
        "schema": await driver.fetchval(
            "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'tasks'::regclass"
        ),
    }
    try:
        try:
            async with driver.transaction():
                await driver.execute(KEYS.format(**names))
        except asyncpg.DatatypeMismatchError:  # uuid or integer there, text here
            async with driver.transaction():
                await driver.execute(FOLLOW.format(**names))
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidForeignKeyError, asyncpg.WrongObjectTypeError) as error:
        return [f"Could not link tasks to {users} ({error}): the tasks of a deleted user stay."]
    return [f"Linked tasks to {users}: they are deleted with their owner."]


async def _check_keys(driver: asyncpg.Connection, user: sa.Table) -> list[str]:
    """Check the rows that were there before the keys; those without a user stay, and new ones are refused."""
    lines = []
    for key, column in await driver.fetch(UNCHECKED):
        try:
            async with driver.transaction():
                await driver.execute(f"ALTER TABLE tasks VALIDATE CONSTRAINT {key}")
        except asyncpg.ForeignKeyViolationError:
            orphans = await driver.fetchval(
                f"SELECT count(*) FROM tasks WHERE {column} IS NOT NULL "  # noqa: S608  # names, from the catalogue
                f"AND NOT EXISTS (SELECT FROM {_sql(user)} u WHERE u.{_sql(user.c.id)} = tasks.{column})"
            )
            lines.append(f"{orphans} tasks have a {column} that is no user's. They stay as they are.")
    return lines


async def _leave(driver: asyncpg.Connection) -> list[str]:
    """Take away the last of what is ours, after the tables have gone."""
    await driver.execute("DROP TABLE IF EXISTS alembic_version")
    try:
        async with driver.transaction():
            await driver.execute(f"DROP OWNED BY {ROLE}")  # its grants in this database
        async with driver.transaction():
            await driver.execute(f"DROP ROLE {ROLE}")
    except (
        asyncpg.UndefinedObjectError,
        asyncpg.DependentObjectsStillExistError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        return [f"Left the role {ROLE} ({error})."]
    return [f"Dropped the role {ROLE}."]


_PREPARER = asyncpg_dialect.dialect().identifier_preparer  # type: ignore[no-untyped-call]


def _sql(item: sa.Table | sa.Column[Any]) -> str:
    """The name as SQL wants it; a table's with its schema."""
    return _PREPARER.format_table(item) if isinstance(item, sa.Table) else _quote(item.name)


def _quote(name: str | None) -> str:
    assert name is not None, "tables are found with their schema"
    return _PREPARER.quote(name)
