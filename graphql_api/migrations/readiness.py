"""Whether the server can use a database as it stands."""

from __future__ import annotations

import asyncpg

from graphql_api.auth.tables import Tables, quoted
from graphql_api.database import ROLE
from graphql_api.migrations.revisions import VERSION_TABLE, current, revisions
from graphql_api.migrations.role import MAY_ACT, may_read

MAY_LOOK = f"SELECT has_table_privilege(to_regclass('{VERSION_TABLE}'), 'SELECT')"
"""Null where there is none to look at."""


async def verdict(connection: asyncpg.Connection) -> str | None:
    """What keeps the server from using this database, and what to do about it; None when nothing does.

    The connection is a plain one of the user of DATABASE_URL, in a transaction: one under the role cannot be had before
    `migrate`.
    """
    may_act, may_look = await connection.fetchval(MAY_ACT, ROLE), await connection.fetchval(MAY_LOOK)
    if may_act and not may_look:
        await connection.execute(f"SET LOCAL ROLE {ROLE}")  # a user with NOINHERIT may do by it what it may not do else
    elif may_look is False:
        return await _may_not_act(connection)
    revision = await current(connection)
    *_, needed = known = revisions()
    if revision is None:
        return "The database is not migrated yet. Run `graphql-api migrate`."
    if revision not in known:
        return f"A newer version migrated the database to {revision}; this one ends at {needed}. Deploy the newer one."
    if revision != needed:
        return f"The database is at revision {revision}, this version needs {needed}. Run `graphql-api migrate`."
    if not may_act:
        return await _may_not_act(connection)
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        return "DATABASE_URL leads to a replica, which takes no writes. Set it to the primary."
    return None


async def _may_not_act(connection: asyncpg.Connection) -> str:
    user = await connection.fetchval("SELECT quote_ident(session_user)")
    return (
        f"The user of DATABASE_URL may not act as the role {ROLE}. "
        f"Run `graphql-api migrate` as that user, or let who ran it run: GRANT {ROLE} TO {user};"
    )


async def unreadable(connection: asyncpg.Connection, found: Tables) -> str | None:
    """Which of Better Auth's tables the role may not read yet, and what to do about it; None when it may read all.

    So it is when Better Auth makes its tables, or makes them anew, after our `migrate`.
    """
    there = [table for table in (found.user, found.session, found.jwks) if table is not None]
    closed = [quoted(table) for table in there if not await may_read(connection, table)]
    return f"The server may not read {', '.join(closed)} yet. Run `graphql-api migrate`." if closed else None
