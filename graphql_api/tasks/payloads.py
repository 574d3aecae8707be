"""What mutations of tasks answer: the changed task, or every reason why nothing was changed."""

from typing import Annotated

import strawberry

from graphql_api.errors import ErrorCode, ForbiddenError, NotFoundError, PayloadError, Refused, ValidationError
from graphql_api.tasks import writes
from graphql_api.tasks.types import ConflictError, Task, TaskEdge

Errors = Annotated[
    list[PayloadError],
    strawberry.field(description="Why nothing was changed; empty when all went well. Every reason found is here."),
]


@strawberry.type(description="What came of `createTask`. `task` is null exactly when `errors` is not empty.")
class CreateTaskPayload:
    errors: Errors
    task: Annotated[Task | None, strawberry.field(description="The new task, or the one that had this ID already.")] = (
        None
    )
    task_edge: Annotated[
        TaskEdge | None,
        strawberry.field(description="The task with its cursor in the default order, for a list at hand."),
    ] = None


@strawberry.type(description="What came of `updateTask`. `task` is null exactly when `errors` is not empty.")
class UpdateTaskPayload:
    errors: Errors
    task: Annotated[Task | None, strawberry.field(description="The task as it stands now.")] = None


@strawberry.type(description="What came of `toggleTask`. `task` is null exactly when `errors` is not empty.")
class ToggleTaskPayload:
    errors: Errors
    task: Annotated[Task | None, strawberry.field(description="The task as it stands now.")] = None


@strawberry.type(description="What came of `deleteTask`. `task` is null exactly when `errors` is not empty.")
class DeleteTaskPayload:
    errors: Errors
    deleted_task_id: Annotated[
        strawberry.ID | None, strawberry.field(description="ID of the task that is no more, to take it out of a list.")
    ] = None
    task: Annotated[Task | None, strawberry.field(description="The task as it was.")] = None


REASONS = (Refused, writes.NotVisible, writes.NotAllowed, writes.Outdated, writes.IdTaken)
"""What a change may raise that is the client's to know."""


def explain(reason: Exception) -> list[PayloadError]:
    """The reason as data. Any of `REASONS`."""
    match reason:
        case Refused(errors=errors):
            return errors
        case writes.NotVisible():
            message = "There is no such task, or it is not yours to see."
            return [NotFoundError(message=message, code=ErrorCode.NOT_FOUND, path=["input", "id"])]
        case writes.NotAllowed():
            message = "Only the owner of a task may do this; an assignee may set its `status` and `completed`."
            return [ForbiddenError(message=message, code=ErrorCode.FORBIDDEN, path=["input", "id"])]
        case writes.Outdated(current=row):
            message = (
                f"The task has changed: its version is {row['version']} by now. Look at `current` and decide again."
            )
            path = ["input", "ifVersion"]
            return [ConflictError(message=message, code=ErrorCode.CONFLICT, path=path, current=Task.of(row))]
        case writes.IdTaken():
            message = "This `id` cannot be used for a new task; make another one."
            return [ValidationError(message=message, code=ErrorCode.INVALID, path=["input", "id"])]
    raise reason
