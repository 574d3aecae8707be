"""How Alembic reaches the database, and which of its tables are ours.

`graphql-api migrate` (`graphql_api.migrations`) is the way to migrate: the role, its grants and the link to the
users come with it. Alembic's own command is for development: `alembic check`, `alembic revision --rev-id 0002 -m "…"`.
"""

import asyncio
from typing import Any

import sqlalchemy as sa
from alembic import context

from graphql_api import migrations
from graphql_api.settings import Settings
from graphql_api.tasks.models import TaskRow


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """True for what to compare with the models: everybody else's tables are left alone."""
    return kind != "table" or name in TaskRow.metadata.tables


def is_in_models(_item: Any, _name: str | None, kind: str, reflected: bool, _counterpart: Any) -> bool:
    """False for the keys to Better Auth's users: they are there or not, as the database has it."""
    return not (kind == "foreign_key_constraint" and reflected)


def migrate(connection: sa.Connection) -> None:
    """Carry out Alembic's command, within the transaction that the connection is in."""
    context.configure(
        connection=connection,
        target_metadata=TaskRow.metadata,
        version_table=migrations.VERSION_TABLE,
        include_name=is_ours,
        include_object=is_in_models,
        compare_server_default=True,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    with context.begin_transaction():
        context.run_migrations()


async def migrate_from_command_line() -> None:
    async with migrations.transaction(Settings.from_environment()) as connection:
        await connection.run_sync(migrate)


given: sa.Connection | None = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    asyncio.run(migrate_from_command_line())
