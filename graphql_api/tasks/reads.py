"""Every SELECT on tasks. Each begins at `visible_to`, `owned_by` or `assigned_to`: no task without its viewer."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa

from graphql_api.database import ME, STATEMENTS_MAX, VIEWER, Database, Rows, Statement, as_me
from graphql_api.relay.connections import Shape, Window
from graphql_api.tasks import conditions
from graphql_api.tasks.conditions import condition, is_overdue
from graphql_api.tasks.filters import Filter
from graphql_api.tasks.models import Status, table

COLUMNS = [column for column in table.c if column.name != "words"]
"""What a `Task` is made from; the words are for searching only."""

ALL = frozenset(column.name for column in COLUMNS)

ID_TEXT = sa.cast(table.c.id, sa.Text).label("id")
"""For many rows: asyncpg would make an object of each id, only for its text to be asked for."""

User = str | sa.ColumnElement[str]
"""A user's id, or what stands for it in a `Statement`: `VIEWER` or `ME`."""

Scope = Callable[[User], sa.Select[Any]]
"""Tasks that a user has to do with in one way."""


def visible_to(user_id: User) -> sa.Select[Any]:
    """Tasks that this user owns or is assigned to."""
    return sa.select(*COLUMNS).where(sa.or_(table.c.user_id == user_id, table.c.assigned_to == user_id))


def owned_by(user_id: User) -> sa.Select[Any]:
    """Tasks that are this user's own."""
    return sa.select(*COLUMNS).where(table.c.user_id == user_id)


def assigned_to(user_id: User) -> sa.Select[Any]:
    """Tasks of other people that are assigned to this user."""
    return sa.select(*COLUMNS).where(table.c.assigned_to == user_id, table.c.user_id != user_id)


def by_ids(database: Database, viewer_id: str, ids: Sequence[UUID], columns: frozenset[str] = ALL) -> Rows:
    """These columns of those of the tasks that the viewer may see, in no particular order. One SELECT."""
    # PostgreSQL takes half as long to find one id as to find a list of one
    if len(ids) == 1:
        return database.read(_by_id(columns)(viewer=viewer_id, id=ids[0]))
    return database.read(_by_ids(columns)(viewer=viewer_id, ids=list(ids)))


@lru_cache(STATEMENTS_MAX)
def _by_id(columns: frozenset[str]) -> Statement:
    return as_me(_only(columns, visible_to(VIEWER)).where(table.c.id == sa.bindparam("id")))


@lru_cache(STATEMENTS_MAX)
def _by_ids(columns: frozenset[str]) -> Statement:
    ids = sa.bindparam("ids", type_=sa.ARRAY(sa.Uuid))
    return as_me(_only(columns, visible_to(VIEWER)).where(table.c.id == sa.any_(ids)))


def page(
    database: Database,
    viewer_id: str,
    scope: Scope,
    wanted: Filter,
    window: Window,
    columns: frozenset[str],
) -> Rows:
    """These columns, and the sort keys, of the rows of a page and one more; `Window.page` makes a page of them.

    Ids are text. One SELECT.
    """
    statement = _page(scope, wanted.shape, window.shape, columns)
    return database.read(statement(viewer=viewer_id, **wanted.values, **window.values))


@lru_cache(STATEMENTS_MAX)
def _page(scope: Scope, wanted: conditions.Shape, shape: Shape, columns: frozenset[str]) -> Statement:
    read = columns | {key.name for key in shape.order.keys}
    return as_me(shape.cut(_only(read, scope(ME), ID_TEXT).where(condition(wanted))))


def _only(columns: frozenset[str], tasks: sa.Select[Any], id: sa.ColumnElement[Any] = table.c.id) -> sa.Select[Any]:
    """These columns of tasks, and their ids."""
    return tasks.with_only_columns(id, *(column for column in COLUMNS if column.name in columns - {"id"}))


async def count(database: Database, viewer_id: str, scope: Scope, wanted: Filter) -> int:
    """How many tasks there are in all. One SELECT."""
    statement = _count(scope, wanted.shape)
    [row] = await database.read(statement(viewer=viewer_id, **wanted.values))
    total: int = row[0]
    return total


@lru_cache(STATEMENTS_MAX)
def _count(scope: Scope, wanted: conditions.Shape) -> Statement:
    counted = scope(ME).with_only_columns(sa.func.count().label("total"), maintain_column_froms=True)
    return as_me(counted.where(condition(wanted)))


COUNTED: list[sa.ColumnElement[Any]] = [
    sa.func.count().label("total"),
    sa.func.count().filter(table.c.status == Status.PENDING).label("pending"),
    sa.func.count().filter(table.c.status == Status.IN_PROGRESS).label("in_progress"),
    sa.func.count().filter(table.c.completed).label("completed"),
    sa.func.count().filter(is_overdue(sa.bindparam("now", type_=table.c.due_date.type))).label("overdue"),
]
COUNTS = as_me(owned_by(ME).with_only_columns(*COUNTED))


async def counts(database: Database, viewer_id: str, now: datetime) -> asyncpg.Record:
    """The viewer's own tasks counted by status, and the overdue ones. One SELECT."""
    [row] = await database.read(COUNTS(viewer=viewer_id, now=now))
    return row


def _people(column: sa.ColumnElement[str]) -> sa.Select[Any]:
    """Those of some users who stand in this column of a task that the viewer may see."""
    users = sa.bindparam("users", type_=sa.ARRAY(sa.Text))
    return visible_to(ME).with_only_columns(column.label("user_id")).where(column == sa.any_(users))


ACQUAINTANCES = as_me(sa.union(_people(table.c.user_id), _people(table.c.assigned_to)))


async def acquaintances(database: Database, viewer_id: str, user_ids: Sequence[str]) -> set[str]:
    """Those of the users who share a task with the viewer: the only people whom the viewer may look up. One SELECT."""
    rows = await database.read(ACQUAINTANCES(viewer=viewer_id, users=list(user_ids)))
    return {row["user_id"] for row in rows}
