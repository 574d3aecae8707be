"""Every SELECT on the log of events. Each begins at `seen_by`: no event without its viewer.

What the log promises, and how the database keeps it, stands in `alembic/versions/0002_task_events.py`.
"""

from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa

from graphql_api.database import Database
from graphql_api.tasks.models import events


def seen_by(user_id: str) -> sa.Select[Any]:
    """Events as they were written for this user."""
    return sa.select(*events.c).where(events.c.user_id == user_id)


async def last_of(database: Database, viewer_id: str, task_id: UUID) -> asyncpg.Record | None:
    """The last that the viewer saw happen to a task, None when the log has nothing of it. One SELECT."""
    last = seen_by(viewer_id).where(events.c.task_id == task_id).order_by(events.c.cursor.desc()).limit(1)
    rows = await database.read(last, user_id=viewer_id)
    return rows[0] if rows else None
