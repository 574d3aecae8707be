"""Every SELECT on the log of events. Each begins at `seen_by`: no event without its viewer.

What the log promises, and how the database keeps it, stands in `alembic/versions/0002_task_events.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa

from graphql_api.database import Database
from graphql_api.errors import Code, RequestError
from graphql_api.relay.connections import Window
from graphql_api.relay.cursors import BadCursor
from graphql_api.relay.keyset import Key, Order
from graphql_api.tasks import reads
from graphql_api.tasks.models import events, horizon

CURSOR_MAX = 2**63 - 1


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= CURSOR_MAX:
        raise BadCursor
    return value


OLDEST_FIRST = Order((Key("cursor", events.c.cursor, _number),))
NEWEST_FIRST = OLDEST_FIRST.reversed()

NOW = "now_"
"""Before the names of a task's columns where they stand beside those of an event."""


def seen_by(user_id: str) -> sa.Select[Any]:
    """Events as they were written for this user."""
    return sa.select(*events.c).where(events.c.user_id == user_id)


async def page(database: Database, viewer_id: str, window: Window) -> list[asyncpg.Record]:
    """The rows of a page of what the viewer saw happen, and one more. One SELECT, and one more after a cursor.

    Raises CURSOR_EXPIRED.
    """
    rows = await database.read(window.cut(seen_by(viewer_id)), user_id=viewer_id)
    await check_kept(database, viewer_id, window)
    return rows


async def check_kept(database: Database, viewer_id: str, window: Window) -> None:
    """Raises CURSOR_EXPIRED when events may have followed the window's cursor that are not kept any more. One SELECT.

    To be asked after the page is read: meanwhile more may be dropped.
    """
    if window.after is None:
        return
    [row] = await database.read(sa.select(horizon.c.cursor), user_id=viewer_id)
    if window.after[0] < row["cursor"]:
        raise RequestError(
            Code.CURSOR_EXPIRED,
            "What happened after this cursor is not kept any more. Read the tasks again, and go on without a cursor.",
        )


async def histories(
    database: Database, viewer_id: str, task_ids: Sequence[UUID], window: Window
) -> list[asyncpg.Record]:
    """For each of the tasks the rows of a page of what the viewer saw happen to it, and one more. One SELECT."""
    tasks = (
        sa.func.unnest(sa.literal(list(task_ids), sa.ARRAY(sa.Uuid)))
        .table_valued(sa.column("id", sa.Uuid))
        .render_derived()
    )
    history = window.cut(seen_by(viewer_id).where(events.c.task_id == tasks.c.id)).lateral()
    found = sa.select(history).select_from(tasks.join(history, sa.true())).order_by(history.c.cursor.desc())
    return await database.read(found, user_id=viewer_id)


async def by_cursors(database: Database, viewer_id: str, cursors: Sequence[int]) -> list[asyncpg.Record]:
    """Those of the events that are the viewer's, in no particular order. One SELECT."""
    wanted = events.c.cursor == sa.any_(sa.literal(list(cursors), sa.ARRAY(sa.BigInteger)))
    return await database.read(seen_by(viewer_id).where(wanted), user_id=viewer_id)


async def last_of(database: Database, viewer_id: str, task_id: UUID) -> asyncpg.Record | None:
    """The last that the viewer saw happen to a task, None when the log has nothing of it. One SELECT."""
    last = seen_by(viewer_id).where(events.c.task_id == task_id).order_by(events.c.cursor.desc()).limit(1)
    rows = await database.read(last, user_id=viewer_id)
    return rows[0] if rows else None


@dataclass(frozen=True, slots=True)
class TaskLog:
    """The log as `graphql_api.events` follows it."""

    database: Database

    async def after(self, person: str, cursor: int, limit: int) -> list[asyncpg.Record]:
        """The first events after the cursor, each with its task as it stands now, all null when it is not to be seen.

        One SELECT.
        """
        task = reads.visible_to(person).subquery()
        columns = [task.c[column.name].label(f"{NOW}{column.name}") for column in reads.COLUMNS]
        following = seen_by(person).where(events.c.cursor > cursor).order_by(events.c.cursor).limit(limit).subquery()
        joined = following.outerjoin(task, task.c.id == following.c.task_id)
        statement = sa.select(*following.c, *columns).select_from(joined).order_by(following.c.cursor)
        return await self.database.read(statement, user_id=person)

    @staticmethod
    def task(row: asyncpg.Record) -> dict[str, Any] | None:
        """The task that `after` has put beside an event, None when it is not to be seen."""
        return {column.name: row[f"{NOW}{column.name}"] for column in reads.COLUMNS} if row[f"{NOW}id"] else None

    async def end(self, person: str) -> int:
        """The last cursor there is, or was. One SELECT."""
        last = seen_by(person).with_only_columns(sa.func.max(events.c.cursor)).scalar_subquery()
        [row] = await self.database.read(sa.select(sa.func.greatest(last, horizon.c.cursor)), user_id=person)
        return int(row[0])
