"""Every change to a task: one statement each, a transaction of its own, that names the viewer in its WHERE.

The database keeps status, `completed` and the times together, counts versions, and lets nobody change another's task.
"""

import json
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from graphql_api.database import IS_SET, STATEMENTS_MAX, VIEWER, Database, Filled, Statement, as_me
from graphql_api.errors import unauthenticated
from graphql_api.tasks import log, reads
from graphql_api.tasks.models import EventKind, table
from graphql_api.tasks.reads import COLUMNS, User

OWNER_KEY = "tasks_user_id_fkey"

TASK = sa.bindparam("task", type_=sa.Uuid)
VERSION = sa.bindparam("version", type_=sa.Integer)
OWN = as_me(reads.owned_by(VIEWER).where(table.c.id == TASK))

ASSIGNEE_MAY = frozenset({"status", "completed"})
"""What an assignee may change. Everything else is the owner's."""


class NotVisible(Exception):
    """There is no such task for this viewer."""


class NotAllowed(Exception):
    """The viewer sees the task, but this is not theirs to do."""


class Outdated(Exception):
    """The task has another version than was expected; `current` is its row."""

    def __init__(self, current: asyncpg.Record) -> None:
        super().__init__()
        self.current = current


class AssigneeGone(Exception):
    """The account of an assignee was deleted in the very moment."""


class IdTaken(Exception):
    """These ids, which a client chose, belong to tasks that are not the viewer's."""

    def __init__(self, *ids: UUID) -> None:
        super().__init__()
        self.ids = ids


def is_owned_by(user_id: User) -> sa.ColumnElement[bool]:
    return table.c.user_id == user_id


def is_workable_by(user_id: User) -> sa.ColumnElement[bool]:
    """Tasks whose status this user may set: one's own, and those assigned to one."""
    return sa.or_(is_owned_by(user_id), table.c.assigned_to == user_id)


async def create(database: Database, viewer_id: str, id: UUID | None, values: dict[str, Any]) -> asyncpg.Record:
    """The new task's row; or the row that exists, unchanged, when the viewer has a task with this id.

    One statement, and one more when the id exists. Raises `IdTaken`.
    """
    new = _insert(frozenset(values))
    rows = await carry_out(database, new(viewer=viewer_id, task=id or uuid7(), **new_values(values)))
    return rows[0] if rows or id is None else await _mine(database, viewer_id, id)


@lru_cache
def _insert(names: frozenset[str]) -> Statement:
    """A new task with values in these columns."""
    new = {"id": TASK, "user_id": VIEWER, **parameters(names)}
    row = sa.select(*new.values()).where(IS_SET)
    creation = insert(table).from_select([*new], row).on_conflict_do_nothing().returning(*COLUMNS)
    return Statement(creation)


async def made_before(database: Database, viewer_id: str, id: UUID) -> asyncpg.Record | None:
    """The viewer's own task with this id, None when there is none. One SELECT."""
    rows = await database.read(OWN(viewer=viewer_id, task=id))
    return rows[0] if rows else None


async def update(
    database: Database, viewer_id: str, id: UUID, values: dict[str, Any], if_version: int | None
) -> asyncpg.Record:
    """The task's row with these values. One statement, and one more to tell why when it changes nothing.

    Raises `NotVisible`, `NotAllowed`, `Outdated`.
    """
    owner_only = not values.keys() <= ASSIGNEE_MAY
    if not values:
        return await _current(database, viewer_id, id, if_version, owner_only=False)
    change = _update(frozenset(values), owner_only, if_version is not None)
    return await _changed(database, viewer_id, id, if_version, change, owner_only=owner_only, **new_values(values))


async def toggle(
    database: Database, viewer_id: str, id: UUID, completed: bool | None, if_version: int | None
) -> asyncpg.Record:
    """The task's row, turned around, or set to `completed`. Otherwise like `update`."""
    if completed is not None:
        return await update(database, viewer_id, id, {"completed": completed}, if_version)
    return await _changed(database, viewer_id, id, if_version, _turn(if_version is not None), owner_only=False)


@lru_cache(STATEMENTS_MAX)
def _update(names: frozenset[str], owner_only: bool, has_version: bool) -> Statement:
    """Changes these columns of a task."""
    scope = is_owned_by(VIEWER) if owner_only else is_workable_by(VIEWER)
    change = sa.update(table).values(**parameters(names)).where(scope, *_exactly(has_version))
    return as_me(change.returning(*COLUMNS))


@lru_cache
def _turn(has_version: bool) -> Statement:
    """Turns a task around."""
    change = sa.update(table).values(completed=sa.not_(table.c.completed))
    return as_me(change.where(is_workable_by(VIEWER), *_exactly(has_version)).returning(*COLUMNS))


@lru_cache
def _delete(has_version: bool) -> Statement:
    return as_me(sa.delete(table).where(is_owned_by(VIEWER), *_exactly(has_version)).returning(*COLUMNS))


async def _changed(
    database: Database,
    viewer_id: str,
    id: UUID,
    if_version: int | None,
    change: Statement,
    *,
    owner_only: bool,
    **values: Any,
) -> asyncpg.Record:
    """The row that a statement has changed with these values, or the reason why it has changed none."""
    rows = await carry_out(database, change(viewer=viewer_id, task=id, version=if_version, **values))
    if not rows:
        raise Outdated(await _current(database, viewer_id, id, if_version, owner_only=owner_only))
    return rows[0]


async def delete(database: Database, viewer_id: str, id: UUID, if_version: int | None) -> asyncpg.Record:
    """The row that is no more. One statement, and one more to tell why when it deletes nothing.

    Raises `NotVisible`, `NotAllowed`, `Outdated`.
    """
    return await _changed(database, viewer_id, id, if_version, _delete(if_version is not None), owner_only=True)


async def deleted(database: Database, viewer_id: str, id: UUID) -> dict[str, Any] | None:
    """The viewer's own task as it was deleted, by the names of its columns.

    None when that is not the last that happened to it, or too long ago. One SELECT.
    """
    last = await log.last_of(database, viewer_id, id)
    if last is None or last["kind"] != EventKind.DELETED.value:
        return None
    before: dict[str, Any] = json.loads(last["before"])
    return before if before["user_id"] == viewer_id else None


RESTORED = sa.func.task_events_restore(VIEWER, TASK, sa.bindparam("assignee", type_=sa.Text)).table_valued(
    *(sa.column(column.name, column.type) for column in COLUMNS)
)
RESTORE = as_me(sa.select(*RESTORED.c))


async def restore(database: Database, viewer_id: str, id: UUID, assignee_id: str | None) -> asyncpg.Record:
    """The row of a `deleted` task, which is back as it was, but for the assignee; or the row that exists by now.

    An assignee who has gone in the very moment is left out. One statement, and one more when the id exists.
    Raises `IdTaken`.
    """
    try:
        rows = await carry_out(database, RESTORE(viewer=viewer_id, task=id, assignee=assignee_id))
    except AssigneeGone:
        return await restore(database, viewer_id, id, None)
    return rows[0] if rows else await _mine(database, viewer_id, id)


async def _mine(database: Database, viewer_id: str, id: UUID) -> asyncpg.Record:
    row = await made_before(database, viewer_id, id)
    if row is None:
        raise IdTaken(id)
    return row


async def carry_out(
    database: Database,
    statement: Filled,
    check: Callable[[list[asyncpg.Record]], None] | None = None,
) -> list[asyncpg.Record]:
    """The rows that the statement returns; what `check` raises at the sight of them undoes it.

    Raises UNAUTHENTICATED when the viewer's account is gone, and `AssigneeGone`.
    """
    try:
        return await database.write(statement, check=check)
    except asyncpg.ForeignKeyViolationError as error:
        if error.constraint_name != OWNER_KEY:
            raise AssigneeGone from error
        raise unauthenticated("The account of this credential no longer exists; sign in again.") from error


async def _current(
    database: Database, viewer_id: str, id: UUID, if_version: int | None, *, owner_only: bool
) -> asyncpg.Record:
    """The row as it stands. Raises the reason why the viewer may not change it, if there is one.

    There is none when the task changed hands between the two statements; then it is simply not what was expected.
    """
    rows = await reads.by_ids(database, viewer_id, [id])
    if not rows:
        raise NotVisible
    [row] = rows
    if owner_only and row["user_id"] != viewer_id:
        raise NotAllowed
    if if_version is not None and row["version"] != if_version:
        raise Outdated(row)
    return row


def _exactly(has_version: bool) -> list[sa.ColumnElement[bool]]:
    """True for the one task, at one version if that matters."""
    return [table.c.id == TASK, *([table.c.version == VERSION] if has_version else [])]


def parameters(names: frozenset[str]) -> dict[str, sa.BindParameter[Any]]:
    """What stands for the new values of these columns; `new_values` gives the values."""
    return {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in names}


def new_values(values: dict[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in values.items()}


def uuid7() -> UUID:
    """A UUID that sorts by the millisecond it was made in (RFC 9562, section 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    return UUID(int=milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1)
