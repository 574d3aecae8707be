"""The log of events: what it promises, and every SELECT on it. Each begins at `seen_by`: no event without its viewer.

The rules of the log. Triggers keep them, for every writer: see `alembic/versions/0002_task_events.py`.

1. Each change that is committed leaves one event for each person who sees the task before or after it: the owner, the
   assignee, the former assignee. TRUNCATE deletes every task. What is rolled back, in part or whole, leaves none.
2. An event shows its person what they may see: `before` if they saw the task before, `after` if they see it after. Seen
   on both sides it is what differs, seen on one side the whole task.
3. For one person, cursors grow in the order of commits. Whoever has read up to a cursor has read all before it.
   For that, events are written at commit, under a lock for each person, which is held until the commit is visible:
   nobody can draw a later cursor and be visible sooner. A transaction takes all its locks at once and in one order, so
   that two of them never wait for each other; one that takes long holds nobody up, for the locks last as long as the
   commit. After SET CONSTRAINTS … IMMEDIATE neither is so: then events are written with each statement.
4. The log is written by these triggers and by nothing else: the server's role may only read its own user's events.
5. `NOTIFY task_events, '<cursor> <person>'` tells that the person has events after this cursor; once for each person
   and transaction, and never what happened. Nobody may depend on it: it is a reason to look. (A transaction that
   notifies cannot be prepared for two-phase commit.)
6. The actor is who `app.user_id` says when the transaction commits; null outside of the API.
7. A task is restored by `task_events_restore` alone: with its id, version and times, for the owner who saw it deleted.
8. Events are kept for EVENT_RETENTION_DAYS, by whole months. `maintain` notes in `task_events_horizon` the last cursor
   that was dropped; what is asked for after an earlier one is answered with CURSOR_EXPIRED.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa

from graphql_api.database import ME, Database, Rows, Statement, as_me
from graphql_api.errors import Code, RequestError
from graphql_api.relay.connections import Shape, Window
from graphql_api.relay.cursors import BadCursor
from graphql_api.relay.keyset import Key, Order
from graphql_api.tasks import reads
from graphql_api.tasks.models import events, horizon
from graphql_api.tasks.reads import User

CURSOR_MAX = 2**63 - 1


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= CURSOR_MAX:
        raise BadCursor
    return value


OLDEST_FIRST = Order((Key("cursor", events.c.cursor, _number),))
NEWEST_FIRST = OLDEST_FIRST.reversed

NOW = "now_"
"""Before the names of a task's columns where they stand beside those of an event."""


def seen_by(user_id: User) -> sa.Select[Any]:
    """Events as they were written for this user."""
    return sa.select(*events.c).where(events.c.user_id == user_id)


async def page(database: Database, viewer_id: str, window: Window) -> list[asyncpg.Record]:
    """The rows of a page of what the viewer saw happen, and one more. One SELECT, and one more after a cursor.

    Raises CURSOR_EXPIRED.
    """
    rows = await database.read(_page(window.shape)(viewer=viewer_id, **window.values))
    if window.after is not None:
        await check_kept(database, viewer_id, window.after[0])
    return rows


@lru_cache
def _page(shape: Shape) -> Statement:
    return as_me(shape.cut(seen_by(ME)))


LAST = seen_by(ME).with_only_columns(sa.func.max(events.c.cursor)).scalar_subquery()
END = sa.func.greatest(LAST, horizon.c.cursor).label("end")
"""Of the viewer's log: the last cursor there is, or was."""
KEPT = as_me(sa.select(horizon.c.cursor, END))


async def check_kept(database: Database, viewer_id: str, cursor: int) -> None:
    """Raises CURSOR_EXPIRED when events may have followed the cursor that are not kept any more, and when the log has
    never come so far: then the database was restored from a time before. One SELECT.

    To be asked after what follows is read: meanwhile more may be dropped.
    """
    [row] = await database.read(KEPT(viewer=viewer_id))
    if not row["cursor"] <= cursor <= row["end"]:
        raise RequestError(
            Code.CURSOR_EXPIRED,
            "Not all that happened after this cursor is kept any more. Ask for `viewer.taskEventCursor`, read the "
            "tasks again, and go on after that cursor.",
        )


def histories(database: Database, viewer_id: str, task_ids: Sequence[UUID | str], window: Window) -> Rows:
    """For each of the tasks the rows of a page of what the viewer saw happen to it, and one more. One SELECT."""
    return database.read(_histories(window.shape)(viewer=viewer_id, tasks=list(task_ids), **window.values))


@lru_cache
def _histories(shape: Shape) -> Statement:
    ids = sa.func.unnest(sa.bindparam("tasks", type_=sa.ARRAY(sa.Uuid)))
    tasks = ids.table_valued(sa.column("id", sa.Uuid)).render_derived()
    history = shape.cut(seen_by(ME).where(events.c.task_id == tasks.c.id)).lateral()
    found = sa.select(history).select_from(tasks.join(history, sa.true())).order_by(history.c.cursor.desc())
    return as_me(found)


BY_CURSORS = as_me(
    seen_by(ME).where(events.c.cursor == sa.any_(sa.bindparam("cursors", type_=sa.ARRAY(sa.BigInteger))))
)


def by_cursors(database: Database, viewer_id: str, cursors: Sequence[int]) -> Rows:
    """Those of the events that are the viewer's, in no particular order. One SELECT."""
    return database.read(BY_CURSORS(viewer=viewer_id, cursors=list(cursors)))


LAST_OF = as_me(
    seen_by(ME).where(events.c.task_id == sa.bindparam("task", type_=sa.Uuid)).order_by(events.c.cursor.desc()).limit(1)
)


async def last_of(database: Database, viewer_id: str, task_id: UUID) -> asyncpg.Record | None:
    """The last that the viewer saw happen to a task, None when the log has nothing of it. One SELECT."""
    rows = await database.read(LAST_OF(viewer=viewer_id, task=task_id))
    return rows[0] if rows else None


def _after() -> Statement:
    task = reads.visible_to(ME).subquery()
    columns = [task.c[column.name].label(f"{NOW}{column.name}") for column in reads.COLUMNS]
    later = seen_by(ME).where(events.c.cursor > sa.bindparam("cursor", type_=sa.BigInteger))
    following = later.order_by(events.c.cursor).limit(sa.bindparam("limit", type_=sa.Integer)).subquery()
    joined = following.outerjoin(task, task.c.id == following.c.task_id)
    return as_me(sa.select(*following.c, *columns).select_from(joined).order_by(following.c.cursor))


AFTER = _after()


@dataclass(frozen=True, slots=True)
class TaskLog:
    """The log as `graphql_api.events` follows it."""

    database: Database

    def after(self, person: str, cursor: int, limit: int) -> Rows:
        """The first events after the cursor, each with its task as it stands now, all null when it is not to be seen.

        One SELECT.
        """
        return self.database.read(AFTER(viewer=person, cursor=cursor, limit=limit))

    async def check_kept(self, person: str, cursor: int) -> None:
        """Raises CURSOR_EXPIRED. One SELECT."""
        await check_kept(self.database, person, cursor)

    @staticmethod
    def task(row: asyncpg.Record) -> dict[str, Any] | None:
        """The task that `after` has put beside an event, None when it is not to be seen."""
        return {column.name: row[f"{NOW}{column.name}"] for column in reads.COLUMNS} if row[f"{NOW}id"] else None

    async def end(self, person: str) -> int:
        """The last cursor there is, or was. One SELECT."""
        [row] = await self.database.read(KEPT(viewer=person))
        return int(row["end"])
