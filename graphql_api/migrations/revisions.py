"""Which revisions there are, and which one a database has."""

from __future__ import annotations

from pathlib import Path

import asyncpg

VERSION_TABLE = "graphql_api_version"
"""Where Alembic notes the revision of a database; `alembic_version` may be another project's in the same schema."""

ADOPT = f"""
    DO $$ BEGIN
        IF to_regclass('{VERSION_TABLE}') IS NULL AND to_regclass('alembic_version') IS NOT NULL
            AND to_regproc('tasks_keep_rules') IS NOT NULL
        THEN
            ALTER TABLE alembic_version RENAME TO {VERSION_TABLE};
            ALTER TABLE {VERSION_TABLE} RENAME CONSTRAINT alembic_version_pkc TO {VERSION_TABLE}_pkc;
        END IF;
    END $$
"""
"""Older versions noted it in `alembic_version`: where our tables are, and the new one is not, that one is ours."""

PROJECT = Path(__file__).parent.parent.parent


def revisions() -> list[str]:
    """The revisions that this code knows, oldest first. Their files are numbered, so that Alembic is not needed."""
    return sorted(path.name.split("_")[0] for path in (PROJECT / "alembic" / "versions").glob("[0-9]*.py"))


def head() -> str:
    """The revision that this code needs."""
    return revisions()[-1]


async def current(connection: asyncpg.Connection) -> str | None:
    """The revision of a database, None when it has none."""
    if await connection.fetchval("SELECT to_regclass($1)", VERSION_TABLE) is None:
        return None
    revision: str | None = await connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  # ours
    return revision
