"""Which revisions there are, and which one a database has."""

from __future__ import annotations

from pathlib import Path

import asyncpg

PROJECT = Path(__file__).parent.parent.parent


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
