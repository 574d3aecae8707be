"""Tasks in the graph: one of them, a page of them, and their numbers."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Self
from uuid import UUID

import asyncpg
import orjson
import sqlalchemy as sa
import strawberry
from strawberry import UNSET

from graphql_api.context import Info
from graphql_api.errors import PayloadError
from graphql_api.relay import cursors
from graphql_api.relay.connections import After, First, PageInfo, Reading, Window
from graphql_api.relay.ids import GlobalID, Node
from graphql_api.tasks import filters, log, reads
from graphql_api.tasks.changes import TaskFieldChange, changes
from graphql_api.tasks.filters import Condition, TaskFilter
from graphql_api.tasks.loaders import HistoryLoader, TaskLoader
from graphql_api.tasks.models import EventKind, Priority, Status
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
    key: strawberry.Private[UUID]
    owner_id: strawberry.Private[str]
    assignee_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: asyncpg.Record | Mapping[str, Any]) -> Self:
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
            key=row["id"],
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

    @strawberry.field(
        description="What happened to this task since the viewer sees it, newest first; as far back as it is kept."
    )
    def history(self, info: Info, first: First = UNSET, after: After = UNSET) -> "TaskEventConnection":
        window = Window.of(log.NEWEST_FIRST, first, after, None, None)
        read = partial(info.context.loader(HistoryLoader).load, (self.key, window))
        return TaskEventConnection(reading=Reading(window, read))


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
    reading: strawberry.Private[Reading[asyncpg.Record]]

    @classmethod
    def of(cls, tasks: sa.Select[Any], task_filter: TaskFilter | None, window: Window, info: Info) -> Self:
        """Those of the tasks that pass the filter. Raises BAD_USER_INPUT for a bad one; reads nothing yet."""
        context = info.context
        condition = filters.condition(task_filter, context.now)
        read = partial(reads.page, context.database, context.viewer_id, tasks, condition, window)
        return cls(tasks=tasks, condition=condition, reading=Reading(window, read))

    @strawberry.field(description="The tasks of the page, each with its cursor.")
    async def edges(self) -> list[TaskEdge]:
        return [TaskEdge.of(self.reading.window, row) for row in (await self.reading.page()).rows]

    @strawberry.field(description="The tasks of the page, without cursors.")
    async def nodes(self) -> list[Task]:
        return [Task.of(row) for row in (await self.reading.page()).rows]

    @strawberry.field(description="Where the page lies in the whole list.")
    async def page_info(self) -> PageInfo:
        return await self.reading.page_info()

    @strawberry.field(description="All tasks that match the filter. Counted only when asked for.")
    async def total_count(self, info: Info) -> int:
        return await reads.count(info.context.database, info.context.viewer_id, self.tasks, self.condition)


@strawberry.type(description="How many tasks the viewer owns.")
class TaskCounts:
    total: Annotated[int, strawberry.field(description="All of them.")]
    pending: Annotated[int, strawberry.field(description="With status PENDING.")]
    in_progress: Annotated[int, strawberry.field(description="With status IN_PROGRESS.")]
    completed: Annotated[int, strawberry.field(description="With status COMPLETED.")]
    overdue: Annotated[int, strawberry.field(description="Past their due date and not completed.")]


@strawberry.type(description="Something that happened to a task, as far as the viewer may know.")
class TaskEvent(Node):
    cursor: Annotated[
        str,
        strawberry.field(
            description="This place among the events of the viewer: keep the last one, and go on after it with "
            "`taskChanged` or `taskEvents`."
        ),
    ]
    kind: Annotated[EventKind, strawberry.field(description="What happened.")]
    task_id: Annotated[strawberry.ID, strawberry.field(description="ID of the `Task`, also when it is no more.")]
    created_at: Annotated[datetime, strawberry.field(description="When it happened.")]
    row: strawberry.Private[asyncpg.Record]
    current: strawberry.Private[Mapping[str, Any] | None]
    """The row of the task if it was read with the event; UNSET when it was not."""

    @classmethod
    def of(cls, row: asyncpg.Record, current: Mapping[str, Any] | None = UNSET) -> Self:
        return cls(
            id=strawberry.ID(str(GlobalID("TaskEvent", str(row["cursor"])))),
            cursor=cursors.encode(log.OLDEST_FIRST, [row["cursor"]]),
            kind=EventKind(row["kind"]),
            task_id=global_id(row["task_id"]),
            created_at=row["created_at"],
            row=row,
            current=current,
        )

    @strawberry.field(description="The task as it stands now; null once it is deleted or no longer visible.")
    async def task(self, info: Info) -> Task | None:
        row: asyncpg.Record | Mapping[str, Any] | None = self.current
        if row is UNSET:
            row = await info.context.loader(TaskLoader).load(self.row["task_id"])
        return None if row is None else Task.of(row)

    @strawberry.field(
        description="The values that changed: all of them when the task came into the viewer's sight or left it. "
        "`version` and `updatedAt`, which change with everything, are not among them."
    )
    def changes(self) -> list[TaskFieldChange]:
        before, after = (orjson.loads(self.row[side] or "null") for side in ("before", "after"))
        return changes(before, after)

    @strawberry.field(description="Who did it; null when it was not done through this API.")
    async def actor(self, info: Info) -> User | None:
        return None if self.row["actor_id"] is None else await User.load(self.row["actor_id"], info)


def event_cursor(id: str) -> int | None:
    """The cursor in the global ID of a `TaskEvent`; None for any other text."""
    found = GlobalID.parse(id)
    if not found or found.type_name != "TaskEvent" or not found.key.isdecimal():
        return None
    cursor = int(found.key[:20])
    return cursor if str(cursor) == found.key and cursor <= log.CURSOR_MAX else None


@strawberry.type(description="An event in its place in a list.")
class TaskEventEdge:
    cursor: Annotated[str, strawberry.field(description="This place in the list, for `after`.")]
    node: Annotated[TaskEvent, strawberry.field(description="The event.")]


@strawberry.type(description="A page of events. They are read when the first part of it is selected.")
class TaskEventConnection:
    reading: strawberry.Private[Reading[asyncpg.Record]]

    @strawberry.field(description="The events of the page, each with its cursor in this list.")
    async def edges(self) -> list[TaskEventEdge]:
        rows = (await self.reading.page()).rows
        return [TaskEventEdge(cursor=self.reading.window.cursor(row), node=TaskEvent.of(row)) for row in rows]

    @strawberry.field(description="The events of the page, without cursors in this list.")
    async def nodes(self) -> list[TaskEvent]:
        return [TaskEvent.of(row) for row in (await self.reading.page()).rows]

    @strawberry.field(description="Where the page lies in the whole list.")
    async def page_info(self) -> PageInfo:
        return await self.reading.page_info()


@strawberry.type(description="The task has changed since `ifVersion`; nothing was changed now.")
class ConflictError(PayloadError):
    current: Annotated[Task, strawberry.field(description="The task as it stands.")]
