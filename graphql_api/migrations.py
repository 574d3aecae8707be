"""Bringing a database to the shape that this code expects, and telling whether it has it.

Three things, each done again by every `migrate` and harmless when it is done already: Alembic's revisions make the tables;
the role `graphql_api`, which the server acts under, gets the few grants that it needs; tasks are linked to Better Auth's users.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from graphql_api.database import ROLE
from graphql_api.settings import Settings

if TYPE_CHECKING:
    pass

PROJECT = Path(__file__).parent.parent

OURS = f"""
    GRANT SELECT, DELETE ON tasks TO {ROLE};
    GRANT INSERT (id, user_id, title, description, status, completed, priority, due_date, assigned_to) ON tasks TO {ROLE};
    GRANT UPDATE (title, description, status, completed, priority, due_date, assigned_to) ON tasks TO {ROLE};
    GRANT SELECT ON alembic_version TO {ROLE};
"""


def revisions() -> list[str]:
    """The revisions that this code knows, oldest first. Their files are numbered, so that this needs no Alembic."""
    return sorted(path.name.split("_")[0] for path in (PROJECT / "alembic" / "versions").glob("[0-9]*.py"))


def head() -> str:
    return revisions()[-1]


async def current(connection: asyncpg.Connection) -> str | None:
    """The revision of a database, None when it has none."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def upgrade(settings: Settings, revision: str = "head") -> list[str]:
    """Migrate to a revision, then see to the role, its grants and the link to the users. Says what it did."""
    did: list[str] = []
    async with transaction(settings) as connection:
        await _alembic("upgrade", connection, revision, did)
        driver = await _driver(connection)
        await driver.execute(
            f"DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        await driver.execute(f"GRANT {ROLE} TO current_user")
        schema = await driver.fetchval("SELECT quote_ident(current_schema())")
        await driver.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
        await driver.execute(OURS)
    return did


async def downgrade(settings: Settings, revision: str) -> list[str]:
    did: list[str] = []
    async with transaction(settings) as connection:
        await _alembic("downgrade", connection, revision, did)
    return did


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """One transaction on a connection of its own, past the pooler where there is a way past it."""
    url = settings.database_url_direct or settings.database_url
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url, timeout=settings.connect_timeout_seconds),
        poolclass=sa.NullPool,
    )
    async with engine.begin() as connection:
        yield connection


async def _driver(connection: AsyncConnection) -> asyncpg.Connection:
    driver: asyncpg.Connection | None = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    return driver


async def _alembic(command: str, connection: AsyncConnection, revision: str, did: list[str]) -> None:
    from alembic.config import Config

    from alembic import command as commands

    config = Config(toml_file=PROJECT / "pyproject.toml")

    def apply(sync: sa.Connection) -> None:
        config.attributes["connection"] = sync
        getattr(commands, command)(config, revision)

    await connection.run_sync(apply)
