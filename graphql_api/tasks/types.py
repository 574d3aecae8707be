"""Tasks in the graph: one of them, a page of them, and their numbers."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

import asyncpg
import sqlalchemy as sa
import strawberry

from graphql_api.context import Context, Info
from graphql_api.errors import PayloadError
from graphql_api.relay.connections import Page, PageInfo, Window
from graphql_api.relay.ids import GlobalID, Node
from graphql_api.tasks import filters, reads
from graphql_api.tasks.filters import Condition, TaskFilter
from graphql_api.tasks.models import Priority, Status
from graphql_api.users.types import User


@strawberry.type(description="Something to be done: owned by one person, and perhaps assigned to another.")
class Task(Node):
    title: Annotated[str, strawberry.field(description="What is to be done, in 1 to 255 characters.")]
    description: Annotated[str | None, strawberry.field(description="More about it, in at most 1000 characters.")]
    status: Annotated[Status, strawberry.field(description="How far it has come.")]
    completed: Annotated[bool, strawberry.field(description="True exactly when `status` is COMPLETED.")]
    priority: Annotated[Priority, strawberry.field(description="How much it matters.")]
    due_date: Annotated[datetime | None, strawberry.field(description="When it is due.")]
    version: Annotated[
        int,
        strawberry.field(
            description="Grows by one with every change; send it back as `ifVersion` to change only what you have seen."
        ),
    ]
    created_at: Annotated[datetime, strawberry.field(description="When it was created.")]
    updated_at: Annotated[datetime, strawberry.field(description="When it was last changed.")]
    completed_at: Annotated[
        datetime | None, strawberry.field(description="When it was completed; null while it is open.")
    ]
    owner_id: strawberry.Private[str]
    assignee_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(
            id=global_id(row["id"]),
            title=row["title"],
            description=row["description"],
            status=Status(row["status"]),
            completed=row["completed"],
            priority=Priority(row["priority"]),
            due_date=row["due_date"],
            version=row["version"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            completed_at=row["completed_at"],
            owner_id=row["user_id"],
            assignee_id=row["assigned_to"],
        )

    @strawberry.field(description="True when the due date has passed and the task is not completed.")
    def overdue(self, info: Info) -> bool:
        return self.due_date is not None and not self.completed and self.due_date < info.context.now

    @strawberry.field(description="Whose task it is.")
    async def owner(self, info: Info) -> User:
        return await User.load(self.owner_id, info)

    @strawberry.field(description="Who is to do it, when that is not left to the owner.")
    async def assignee(self, info: Info) -> User | None:
        return None if self.assignee_id is None else await User.load(self.assignee_id, info)


def global_id(id: UUID) -> strawberry.ID:
    return strawberry.ID(str(GlobalID("Task", str(id))))


@strawberry.type(description="A task in its place in a list.")
class TaskEdge:
    cursor: Annotated[str, strawberry.field(description="This place in the list, for `after` and `before`.")]
    node: Annotated[Task, strawberry.field(description="The task.")]

    @classmethod
    def of(cls, window: Window, row: asyncpg.Record) -> Self:
        return cls(cursor=window.cursor(row), node=Task.of(row))


@strawberry.type(description="A page of tasks. Each part is read only when it is selected.")
class TaskConnection:
    tasks: strawberry.Private[sa.Select[Any]]
    condition: strawberry.Private[Condition]
    window: strawberry.Private[Window]
    reading: strawberry.Private[asyncio.Task[Page[asyncpg.Record]] | None] = None

    @classmethod
    def of(cls, tasks: sa.Select[Any], task_filter: TaskFilter | None, window: Window, info: Info) -> Self:
        """Those of the tasks that pass the filter. Raises BAD_USER_INPUT for a bad one; reads nothing yet."""
        return cls(tasks=tasks, condition=filters.condition(task_filter, info.context.now), window=window)

    @strawberry.field(description="The tasks of the page, each with its cursor.")
    async def edges(self, info: Info) -> list[TaskEdge]:
        return [TaskEdge.of(self.window, row) for row in (await self._page(info.context)).rows]

    @strawberry.field(description="The tasks of the page, without cursors.")
    async def nodes(self, info: Info) -> list[Task]:
        return [Task.of(row) for row in (await self._page(info.context)).rows]

    @strawberry.field(description="Where the page lies in the whole list.")
    async def page_info(self, info: Info) -> PageInfo:
        page = await self._page(info.context)
        return PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=self.window.cursor(page.rows[0]) if page.rows else None,
            end_cursor=self.window.cursor(page.rows[-1]) if page.rows else None,
        )

    @strawberry.field(description="All tasks that match the filter. Counted only when asked for.")
    async def total_count(self, info: Info) -> int:
        return await reads.count(info.context.database, info.context.viewer_id, self.tasks, self.condition)

    async def _page(self, context: Context) -> Page[asyncpg.Record]:
        """The page, read once for all fields that need it: they are resolved at the same time."""
        if self.reading is None:
            self.reading = asyncio.ensure_future(self._read(context))
        return await self.reading

    async def _read(self, context: Context) -> Page[asyncpg.Record]:
        rows = await reads.page(context.database, context.viewer_id, self.tasks, self.condition, self.window)
        return self.window.page(rows)


@strawberry.type(description="How many tasks the viewer owns.")
class TaskCounts:
    total: Annotated[int, strawberry.field(description="All of them.")]
    pending: Annotated[int, strawberry.field(description="With status PENDING.")]
    in_progress: Annotated[int, strawberry.field(description="With status IN_PROGRESS.")]
    completed: Annotated[int, strawberry.field(description="With status COMPLETED.")]
    overdue: Annotated[int, strawberry.field(description="Past their due date and not completed.")]


@strawberry.type(description="The task has changed since `ifVersion`; nothing was changed now.")
class ConflictError(PayloadError):
    current: Annotated[Task, strawberry.field(description="The task as it stands.")]
