"""The role that the server acts under, and the little that it may do."""

from __future__ import annotations

import asyncpg
import sqlalchemy as sa

from graphql_api.auth.tables import quoted
from graphql_api.database import ROLE
from graphql_api.migrations.revisions import VERSION_TABLE
from graphql_api.settings import ConfigurationError

COLUMNS = "title, description, status, completed, priority, due_date, assigned_to"
"""What a change may touch: the owner never changes, and the rest is the trigger's."""

GRANTS = f"""
    GRANT SELECT, DELETE, INSERT (id, user_id, {COLUMNS}), UPDATE ({COLUMNS}) ON tasks TO {ROLE};
    GRANT SELECT ON task_events, task_events_horizon, {VERSION_TABLE} TO {ROLE};
    GRANT EXECUTE ON FUNCTION task_events_restore(text, uuid, text) TO {ROLE};
"""

MAY_ACT = """
    SELECT coalesce(pg_has_role(session_user, to_regrole($1)::oid,
        CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END), false)
"""

MAY_READ = """
    SELECT has_schema_privilege($1, $2, 'USAGE') AND bool_and(has_column_privilege($1, t.oid, c, 'SELECT'))
    FROM pg_class t, unnest($4::text[]) c WHERE relnamespace = to_regnamespace(quote_ident($2)) AND relname = $3
"""
"""By the catalogue: who may not use the schema may not name the table."""


async def admit(driver: asyncpg.Connection) -> None:
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


async def let_read(driver: asyncpg.Connection, table: sa.Table) -> list[str]:
    """Let the role read the columns that `auth.tables` knows: no password hash, no private key."""
    assert table.schema is not None, "tables are found with their schema"
    name, columns = quoted(table), ", ".join(map(quoted, table.c))
    use = f"GRANT USAGE ON SCHEMA {quoted(table.schema)} TO {ROLE}"
    grant = f"GRANT SELECT ({columns}) ON {name} TO {ROLE}"
    try:
        async with driver.transaction():
            await driver.execute(f"{use}; {grant}")
    except asyncpg.InsufficientPrivilegeError:
        pass  # somebody else may have granted it
    if await may_read(driver, table):
        return []
    return [f"The server may not read {name}, which is not yours. Let its owner run: {use}; {grant};"]


async def may_read(connection: asyncpg.Connection, table: sa.Table) -> bool:
    columns = [column.name for column in table.c]
    return bool(await connection.fetchval(MAY_READ, ROLE, table.schema, table.name, columns))


async def leave(driver: asyncpg.Connection) -> list[str]:
    """Take away the last of what is ours, after the tables have gone."""
    await driver.execute(f"DROP TABLE IF EXISTS {VERSION_TABLE}")
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
