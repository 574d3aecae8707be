"""Every SELECT on tasks. Each begins at `visible_to`, `owned_by` or `assigned_to`: no task without its viewer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa

from graphql_api.database import Database
from graphql_api.relay.connections import Window
from graphql_api.tasks.filters import Condition, is_overdue
from graphql_api.tasks.models import Status, table

COLUMNS = [column for column in table.c if column.name != "words"]
"""What a `Task` is made from; the words are for searching only."""


def visible_to(user_id: str) -> sa.Select[Any]:
    """Tasks that this user owns or is assigned to."""
    return sa.select(*COLUMNS).where(sa.or_(table.c.user_id == user_id, table.c.assigned_to == user_id))


def owned_by(user_id: str) -> sa.Select[Any]:
    """Tasks that are this user's own."""
    return sa.select(*COLUMNS).where(table.c.user_id == user_id)


def assigned_to(user_id: str) -> sa.Select[Any]:
    """Tasks of other people that are assigned to this user."""
    return sa.select(*COLUMNS).where(table.c.assigned_to == user_id, table.c.user_id != user_id)


async def by_ids(database: Database, viewer_id: str, ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """Those of the tasks that the viewer may see, in no particular order. One SELECT."""
    wanted = table.c.id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid)))
    return await database.read(visible_to(viewer_id).where(wanted), user_id=viewer_id)


async def page(
    database: Database, viewer_id: str, tasks: sa.Select[Any], condition: Condition, window: Window
) -> list[asyncpg.Record]:
    """The rows of a page and one more; `Window.page` makes a page of them. One SELECT."""
    return await database.read(window.cut(tasks.where(condition)), user_id=viewer_id)


async def count(database: Database, viewer_id: str, tasks: sa.Select[Any], condition: Condition) -> int:
    """How many tasks there are in all. One SELECT."""
    matching = tasks.where(condition).with_only_columns(sa.func.count(), maintain_column_froms=True)
    [row] = await database.read(matching, user_id=viewer_id)
    total: int = row[0]
    return total


async def counts(database: Database, viewer_id: str, now: datetime) -> asyncpg.Record:
    """The viewer's own tasks counted by status, and the overdue ones. One SELECT."""

    def having(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.count().filter(condition)

    counted = owned_by(viewer_id).with_only_columns(
        sa.func.count().label("total"),
        having(table.c.status == Status.PENDING).label("pending"),
        having(table.c.status == Status.IN_PROGRESS).label("in_progress"),
        having(table.c.completed).label("completed"),
        having(is_overdue(now)).label("overdue"),
    )
    [row] = await database.read(counted, user_id=viewer_id)
    return row


async def acquaintances(database: Database, viewer_id: str, user_ids: Sequence[str]) -> set[str]:
    """Those of the users who share a task with the viewer: the only people whom the viewer may look up. One SELECT."""
    wanted = sa.literal(list(user_ids), sa.ARRAY(sa.Text))
    people = [
        visible_to(viewer_id).with_only_columns(column.label("user_id")).where(column == sa.any_(wanted))
        for column in (table.c.user_id, table.c.assigned_to)
    ]
    return {row["user_id"] for row in await database.read(sa.union(*people), user_id=viewer_id)}
