"""Tasks in the graph: one of them, a page of them, and their numbers."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Self
from uuid import UUID

import asyncpg
import orjson
import strawberry
from strawberry import UNSET

from graphql_api.context import Info
from graphql_api.errors import PayloadError
from graphql_api.instants import answered, moment
from graphql_api.relay import cursors, ids
from graphql_api.relay.connections import After, FirstAlone, Page, PageInfo, Window
from graphql_api.relay.ids import ID_DESCRIPTION, GlobalID, Node
from graphql_api.relay.keyset import Order
from graphql_api.relay.lookahead import Selected, selected
from graphql_api.tasks import filters, log, reads
from graphql_api.tasks.changes import TaskFieldChange, changes
from graphql_api.tasks.filters import Filter, TaskFilter
from graphql_api.tasks.loaders import HistoryLoader, TaskLoader
from graphql_api.tasks.models import EventKind, Priority, Status
from graphql_api.tasks.reads import Scope
from graphql_api.users.types import User

Row = asyncpg.Record | Mapping[str, Any]
"""Values by the names of columns."""


@strawberry.type(description="Something to be done: owned by one person, and perhaps assigned to another.")
class Task(Node):
    __slots__ = ("row",)

    row: strawberry.Private[Row]
    """At least the columns that `columns_of_task` gives for the selected fields. The id is a UUID, or its text."""

    def __init__(self, row: Row) -> None:  # takes half as long as Strawberry's, which wants keywords
        self.row = row

    @classmethod
    def of(cls, row: Row | None) -> Self | None:
        """The task of a row, if there is one."""
        return None if row is None else cls(row)

    @strawberry.field(description=ID_DESCRIPTION)
    def id(self) -> strawberry.ID:
        return ids.written("Task", self.row["id"])

    @strawberry.field(description="What is to be done, in 1 to 255 characters.")
    def title(self) -> str:
        return self.row["title"]

    @strawberry.field(description="More about it, in at most 1000 characters.")
    def description(self) -> str | None:
        return self.row["description"]

    @strawberry.field(description="How far it has come.")
    def status(self) -> Status:
        return Status(self.row["status"])

    @strawberry.field(description="True exactly when `status` is COMPLETED.")
    def completed(self) -> bool:
        return self.row["completed"]

    @strawberry.field(description="How much it matters.")
    def priority(self) -> Priority:
        return Priority(self.row["priority"])

    @strawberry.field(description="When it is due.")
    def due_date(self) -> datetime | None:
        return answered(self.row["due_date"])

    @strawberry.field(
        description="Grows by one with every change; send it back as `ifVersion` to change only what you have seen."
    )
    def version(self) -> int:
        return self.row["version"]

    @strawberry.field(description="When it was created.")
    def created_at(self) -> datetime:
        return answered(self.row["created_at"])

    @strawberry.field(description="When it was last changed.")
    def updated_at(self) -> datetime:
        return answered(self.row["updated_at"])

    @strawberry.field(description="When it was completed; null while it is open.")
    def completed_at(self) -> datetime | None:
        return answered(self.row["completed_at"])

    @strawberry.field(description="True when the due date has passed and the task is not completed.")
    def overdue(self, info: Info) -> bool:
        due_date = moment(self.row["due_date"])
        return due_date is not None and not self.row["completed"] and due_date < info.context.now

    @strawberry.field(graphql_type=User, description="Whose task it is.")
    def owner(self, info: Info) -> Awaitable[User]:
        return User.load(self.row["user_id"], info)

    @strawberry.field(graphql_type=User | None, description="Who is to do it, when that is not left to the owner.")
    def assignee(self, info: Info) -> Awaitable[User] | None:
        assignee_id = self.row["assigned_to"]
        return None if assignee_id is None else User.load(assignee_id, info)

    @strawberry.field(
        description="What happened to this task since the viewer sees it, newest first; as far back as it is kept."
    )
    async def history(self, info: Info, first: FirstAlone = UNSET, after: After = UNSET) -> "TaskEventConnection":
        window = Window.of(log.NEWEST_FIRST, first, after, None, None)
        rows = await info.context.loader(HistoryLoader).load((str(self.row["id"]), window))
        return TaskEventConnection(page=window.page(rows))


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "dueDate": ("due_date",),
    "createdAt": ("created_at",),
    "updatedAt": ("updated_at",),
    "completedAt": ("completed_at",),
    "overdue": ("due_date", "completed"),
    "owner": ("user_id",),
    "assignee": ("assigned_to",),
    "history": ("id",),
    "__typename": (),
}
"""What fields of a `Task` read, by their names in the graph; any other reads the column of its own name."""


def columns_of_task(fields: Iterable[str]) -> frozenset[str]:
    """The columns that a task with these fields reads; equal ones are one object, for they are often compared."""
    return _one(frozenset(column for field in fields for column in COLUMNS.get(field, (field,))))


@lru_cache(1000)
def _one(columns: frozenset[str]) -> frozenset[str]:
    """The first that was equal to these."""
    return columns


def columns_of_page(of_connection: Selected) -> frozenset[str] | None:
    """The columns that a page of tasks reads with these fields of its connection; None where it reads no row."""
    if not of_connection.keys() & {"edges", "nodes", "pageInfo"}:
        return None
    return columns_of_task({*of_connection.get("edges", {}).get("node", ()), *of_connection.get("nodes", ())})


def global_id(id: UUID) -> strawberry.ID:
    return ids.written("Task", id)


@strawberry.type(description="A task in its place in a list.")
class TaskEdge:
    __slots__ = ("node", "order")

    node: Annotated[Task, strawberry.field(description="The task.")]
    order: strawberry.Private[Order]

    def __init__(self, node: Task, order: Order) -> None:  # see `Task`
        self.node = node
        self.order = order

    @strawberry.field(description="This place in the list, for `after` and `before`.")
    def cursor(self) -> str:
        return cursors.encode(self.order, self.order.keys_of(self.node.row))


@strawberry.type(description="A page of tasks. Each part is read only when it is selected.")
class TaskConnection:
    scope: strawberry.Private[Scope]
    wanted: strawberry.Private[Filter]
    page: strawberry.Private[Page[asyncpg.Record]]

    @classmethod
    async def of(cls, scope: Scope, task_filter: TaskFilter | None, window: Window, info: Info) -> Self:
        """Those of the tasks that pass the filter. Raises BAD_USER_INPUT for a bad one. One SELECT, if that."""
        context = info.context
        wanted = filters.read(task_filter, context.now) if task_filter else filters.EVERYTHING
        names = selected(info, columns_of_page)
        rows: Sequence[asyncpg.Record] = []
        if names is not None:
            rows = await reads.page(context.database, context.viewer_id, scope, wanted, window, names)
        return cls(scope=scope, wanted=wanted, page=window.page(rows))

    @strawberry.field(description="The tasks of the page, each with its cursor.")
    def edges(self) -> list[TaskEdge]:
        order = self.page.order
        return [TaskEdge(Task(row), order) for row in self.page.rows]

    @strawberry.field(description="The tasks of the page, without cursors.")
    def nodes(self) -> list[Task]:
        return [Task(row) for row in self.page.rows]

    @strawberry.field(description="Where the page lies in the whole list.")
    def page_info(self) -> PageInfo:
        return PageInfo(page=self.page)

    @strawberry.field(description="All tasks that match the filter. Counted only when asked for.")
    async def total_count(self, info: Info) -> int:
        return await reads.count(info.context.database, info.context.viewer_id, self.scope, self.wanted)


@strawberry.type(description="How many tasks the viewer owns.")
class TaskCounts:
    total: Annotated[int, strawberry.field(description="All of them.")]
    pending: Annotated[int, strawberry.field(description="With status PENDING.")]
    in_progress: Annotated[int, strawberry.field(description="With status IN_PROGRESS.")]
    completed: Annotated[int, strawberry.field(description="With status COMPLETED.")]
    overdue: Annotated[int, strawberry.field(description="Past their due date and not completed.")]


@strawberry.type(description="Something that happened to a task, as far as the viewer may know.")
class TaskEvent(Node):
    row: strawberry.Private[asyncpg.Record]
    current: strawberry.Private[Row | None] = UNSET
    """The row of the task if it was read with the event; UNSET when it was not."""

    @strawberry.field(description=ID_DESCRIPTION)
    def id(self) -> strawberry.ID:
        return ids.written("TaskEvent", self.row["cursor"])

    @strawberry.field(
        description="This place among the events of the viewer: keep the last one, and go on after it with "
        "`taskChanged` or `taskEvents`."
    )
    def cursor(self) -> str:
        return cursors.encode(log.OLDEST_FIRST, [self.row["cursor"]])

    @strawberry.field(description="What happened.")
    def kind(self) -> EventKind:
        return EventKind(self.row["kind"])

    @strawberry.field(description="ID of the `Task`, also when it is no more.")
    def task_id(self) -> strawberry.ID:
        return global_id(self.row["task_id"])

    @strawberry.field(description="When it happened.")
    def created_at(self) -> datetime:
        return answered(self.row["created_at"])

    @strawberry.field(description="The task as it stands now; null once it is deleted or no longer visible.")
    async def task(self, info: Info) -> Task | None:
        row = self.current
        if row is UNSET:
            row = await info.context.loader(TaskLoader).load((self.task_id(), selected(info, columns_of_task)))
        return Task.of(row)

    @strawberry.field(
        description="The values that changed: all of them when the task came into the viewer's sight or left it. "
        "`version` and `updatedAt`, which change with everything, are not among them."
    )
    def changes(self) -> list[TaskFieldChange]:
        before, after = (orjson.loads(self.row[side] or "null") for side in ("before", "after"))
        return changes(before, after)

    @strawberry.field(graphql_type=User | None, description="Who did it; null when it was not done through this API.")
    def actor(self, info: Info) -> Awaitable[User] | None:
        return None if self.row["actor_id"] is None else User.load(self.row["actor_id"], info)


def event_cursor(id: str) -> int | None:
    """The cursor in the global ID of a `TaskEvent`; None for any other text."""
    found = GlobalID.parse(id)
    if not found or found.type_name != "TaskEvent" or not found.key.isdecimal():
        return None
    cursor = int(found.key[:20])
    return cursor if str(cursor) == found.key and cursor <= log.CURSOR_MAX else None


@strawberry.type(description="An event in its place in a list.")
class TaskEventEdge:
    row: strawberry.Private[asyncpg.Record]
    order: strawberry.Private[Order]

    @strawberry.field(description="This place in the list, for `after`.")
    def cursor(self) -> str:
        return cursors.encode(self.order, self.order.keys_of(self.row))

    @strawberry.field(description="The event.")
    def node(self) -> TaskEvent:
        return TaskEvent(row=self.row)


@strawberry.type(description="A page of events.")
class TaskEventConnection:
    page: strawberry.Private[Page[asyncpg.Record]]

    @strawberry.field(description="The events of the page, each with its cursor in this list.")
    def edges(self) -> list[TaskEventEdge]:
        return [TaskEventEdge(row=row, order=self.page.order) for row in self.page.rows]

    @strawberry.field(description="The events of the page, without cursors in this list.")
    def nodes(self) -> list[TaskEvent]:
        return [TaskEvent(row=row) for row in self.page.rows]

    @strawberry.field(description="Where the page lies in the whole list.")
    def page_info(self) -> PageInfo:
        return PageInfo(page=self.page)


@strawberry.type(description="The task has changed since `ifVersion`; nothing was changed now.")
class ConflictError(PayloadError):
    current: Annotated[Task, strawberry.field(description="The task as it stands.")]
