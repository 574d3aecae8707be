"""What a client sends to change tasks, and the rules that it must keep. Every broken rule is told, not just one."""

from binascii import a2b_base64
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import strawberry
from asyncpg.pgproto import pgproto
from strawberry import UNSET, Maybe

from graphql_api.errors import ErrorCode, PayloadError, Refused, ValidationError
from graphql_api.relay import ids
from graphql_api.relay.connections import given
from graphql_api.tasks.models import DESCRIPTION_MAX, TITLE_MAX, Priority, Status
from graphql_api.users.types import user_id

NEW_MAX = 100
"""New tasks in one call."""

IfVersion = Annotated[
    int | None,
    strawberry.field(
        description="The `version` that you have seen; when the task has another by now, nothing is changed."
    ),
]


@strawberry.input(description="A new task.")
class CreateTaskInput:
    id: UUID | None = strawberry.field(
        default=UNSET,
        description="Chosen by the client for safe retries and offline work: the same ID again answers with the task "
        "that exists, unchanged.",
    )
    title: str = strawberry.field(description="1 to 255 characters after trimming.")
    description: str | None = strawberry.field(
        default=UNSET, description="At most 1000 characters; nothing but white space is the same as null."
    )
    status: Status = strawberry.field(default=Status.PENDING, description="How far it has come.")
    priority: Priority = strawberry.field(default=Priority.MEDIUM, description="How much it matters.")
    due_date: datetime | None = strawberry.field(default=UNSET, description="When it is due.")
    assignee_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="ID of the `User` who is to do it; that person then sees it too."
    )


@strawberry.input(description="New tasks: all of them, or none.")
class CreateTasksInput:
    tasks: list[CreateTaskInput] = strawberry.field(description="At most 100, each with an `id` of its own or none.")


@strawberry.input(description="Changes to a task. Absent keeps; null clears (description, dueDate, assigneeId).")
class TaskPatch:
    title: Maybe[str | None] = strawberry.field(description="1 to 255 characters after trimming; cannot be null.")
    description: Maybe[str | None] = strawberry.field(description="At most 1000 characters; null clears it.")
    status: Maybe[Status | None] = strawberry.field(description="How far it has come; cannot be null.")
    completed: Maybe[bool | None] = strawberry.field(
        description="True completes it; false reopens a completed one as pending. Not null, and not against `status`."
    )
    priority: Maybe[Priority | None] = strawberry.field(description="How much it matters; cannot be null.")
    due_date: Maybe[datetime | None] = strawberry.field(description="When it is due; null clears it.")
    assignee_id: Maybe[strawberry.ID | None] = strawberry.field(
        description="ID of the `User` who is to do it; null takes it from whoever had it."
    )


@strawberry.input(description="A change to one task.")
class UpdateTaskInput:
    id: strawberry.ID = strawberry.field(description="ID of the `Task`.")
    patch: TaskPatch = strawberry.field(description="What to change. An assignee may change `status` and `completed`.")
    if_version: IfVersion = UNSET


@strawberry.input(description="The task to complete or to reopen.")
class ToggleTaskInput:
    id: strawberry.ID = strawberry.field(description="ID of the `Task`.")
    completed: bool | None = strawberry.field(
        default=UNSET,
        description="The state to set; absent or null turns it around. With it the call can be repeated safely.",
    )
    if_version: IfVersion = UNSET


@strawberry.input(description="The task to delete.")
class DeleteTaskInput:
    id: strawberry.ID = strawberry.field(description="ID of the `Task`. Only its owner may delete it.")
    if_version: IfVersion = UNSET


@strawberry.input(description="The task to bring back.")
class RestoreTaskInput:
    id: strawberry.ID = strawberry.field(description="ID of the `Task`. Only its owner may restore it.")


def task_id(id: str) -> UUID:
    """The row's id in the global ID of a `Task`. Raises `Refused` for anything else."""
    found = parse_task_id(id)
    if found is None:
        message = f"`id` is {shown(id)}, which is not the ID of a Task."
        raise Refused(ValidationError(message=message, code=ErrorCode.INVALID, path=["input", "id"]))
    return found


def parse_task_id(id: str) -> UUID | None:
    """The row's id in the global ID of a `Task`; None for any other text."""
    key = uuid_of(id)
    return key if key is not None and ids.written("Task", key) == id else None


def uuid_of(id: str) -> UUID | None:
    """The row's id in the global ID of a `Task`. Other texts may have one too: `parse_task_id` tells them apart."""
    try:
        # as the database has them: read and compared ten times as fast as Python's own
        key: UUID = pgproto.UUID(a2b_base64(id).decode().removeprefix("Task:"))
    except ValueError:
        return None
    return key


def new_values(task: CreateTaskInput, *path: str) -> dict[str, Any]:
    """Values of the columns of a new task. Raises `Refused` with every rule that is broken."""
    rules = _Rules(path)
    values: dict[str, Any] = {
        "title": rules.title(task.title),
        "description": rules.description(given(task.description)),
        "status": task.status,
        "priority": task.priority,
        "due_date": given(task.due_date),
        "assigned_to": rules.assignee(given(task.assignee_id)),
    }
    rules.check()
    return values


def new_tasks(input: CreateTasksInput) -> list[dict[str, Any]]:
    """Values of the columns of each new task, and its chosen `id` or None.

    Raises `Refused` with every rule that is broken, in whichever task.
    """
    if len(input.tasks) > NEW_MAX:
        message = f"`tasks` has {len(input.tasks)} tasks; at most {NEW_MAX} are allowed."
        raise Refused(ValidationError(message=message, code=ErrorCode.LIMIT_EXCEEDED, path=["input", "tasks"]))
    ids = [given(task.id) for task in input.tasks]
    tasks: list[dict[str, Any]] = []
    broken: list[PayloadError] = []
    for number, (id, task) in enumerate(zip(ids, input.tasks, strict=True)):
        path = ["input", "tasks", str(number)]
        if id and id in ids[:number]:
            message = f"`id` is that of task {ids.index(id)} of this call; give each its own."
            broken.append(ValidationError(message=message, code=ErrorCode.INVALID, path=[*path, "id"]))
        try:
            tasks.append({"id": id, **new_values(task, *path)})
        except Refused as refused:
            broken += refused.errors
    if broken:
        raise Refused(*broken)
    return tasks


def changed_values(patch: TaskPatch, *path: str) -> dict[str, Any]:
    """Values of the columns that a patch changes, and no others. Raises `Refused` with every rule that is broken."""
    rules = _Rules(path)
    values: dict[str, Any] = {}
    if patch.title is not None:
        values["title"] = rules.title(rules.required("title", patch.title.value))
    if patch.description is not None:
        values["description"] = rules.description(patch.description.value)
    if patch.status is not None:
        values["status"] = rules.required("status", patch.status.value)
    if patch.completed is not None:
        values["completed"] = rules.required("completed", patch.completed.value)
    if patch.priority is not None:
        values["priority"] = rules.required("priority", patch.priority.value)
    if patch.due_date is not None:
        values["due_date"] = patch.due_date.value
    if patch.assignee_id is not None:
        values["assigned_to"] = rules.assignee(patch.assignee_id.value)
    rules.consistent(values.get("status"), values.get("completed"))
    rules.check()
    return values


class _Rules:
    """The rules for the values of one task; collects what is broken."""

    def __init__(self, path: Sequence[str]) -> None:
        self._path = path
        self._broken: list[ValidationError] = []

    def check(self) -> None:
        if self._broken:
            raise Refused(*self._broken)

    def required(self, name: str, value: Any) -> Any:
        if value is None:
            self._break(ErrorCode.REQUIRED, name, f"`{name}` cannot be null; leave it out to keep what is there.")
        return value

    def title(self, value: str | None) -> str | None:
        text = self._text("title", value, TITLE_MAX)
        if value is not None and not text:
            self._break(ErrorCode.REQUIRED, "title", "`title` is empty; it needs at least 1 character besides spaces.")
        return text

    def description(self, value: str | None) -> str | None:
        return self._text("description", value, DESCRIPTION_MAX) or None

    def assignee(self, id: str | None) -> str | None:
        found = None if id is None else user_id(id)
        if id is not None and found is None:
            message = f"`assigneeId` is {shown(id)}, which is not the ID of a User."
            self._break(ErrorCode.INVALID, "assigneeId", message)
        return found

    def consistent(self, status: Enum | None, completed: bool | None) -> None:
        if status is not None and completed is not None and completed != (status is Status.COMPLETED):
            message = f"`completed` is {str(completed).lower()} but `status` is {status.name}; give one of them."
            self._break(ErrorCode.INVALID, "completed", message)

    def _text(self, name: str, value: str | None, longest: int) -> str | None:
        if value is None:
            return None
        text = value.strip()
        if "\x00" in text:
            self._break(ErrorCode.INVALID, name, f"`{name}` has a null character; take it out.")
        elif len(text) > longest:
            message = f"`{name}` has {len(text)} characters; at most {longest} are allowed."
            self._break(ErrorCode.TOO_LONG, name, message)
        return text

    def _break(self, code: ErrorCode, name: str, message: str) -> None:
        self._broken.append(ValidationError(message=message, code=code, path=[*self._path, name]))


def shown(text: str) -> str:
    """A client's text inside a message: quoted, and not endless."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
