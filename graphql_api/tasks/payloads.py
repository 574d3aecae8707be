"""What mutations of tasks answer: the changed task, or every reason why nothing was changed."""

from typing import Annotated

import strawberry

from graphql_api.errors import ErrorCode, ForbiddenError, NotFoundError, PayloadError, Refused, ValidationError
from graphql_api.tasks import bulk, writes
from graphql_api.tasks.selections import Selection
from graphql_api.tasks.types import ConflictError, Task, TaskEdge

Errors = Annotated[
    list[PayloadError],
    strawberry.field(description="Why nothing was changed; empty when all went well. Every reason found is here."),
]

BulkErrors = Annotated[
    list[PayloadError],
    strawberry.field(
        description="Why tasks were not changed. What leads to one of the `ids` is about that task alone: the others "
        "were changed. Anything else has kept all from being changed."
    ),
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


@strawberry.type(description="What came of `restoreTask`. `task` is null exactly when `errors` is not empty.")
class RestoreTaskPayload:
    errors: Errors
    task: Annotated[Task | None, strawberry.field(description="The task that is there again.")] = None
    task_edge: Annotated[
        TaskEdge | None,
        strawberry.field(description="The task with its cursor in the default order, for a list at hand."),
    ] = None


@strawberry.type(description="What came of `createTasks`. There are tasks or errors, never both.")
class CreateTasksPayload:
    errors: Errors
    tasks: Annotated[
        list[Task],
        strawberry.field(
            description="The new tasks in the order of the input; in the place of an ID that the viewer had used "
            "already, the task that had it."
        ),
    ]


@strawberry.type(description="What came of `updateTasks`. Some tasks may be changed while others are refused.")
class UpdateTasksPayload:
    errors: BulkErrors
    tasks: Annotated[
        list[Task],
        strawberry.field(description="The tasks as they stand now: in the order of `ids`, or sorted by ID."),
    ]
    affected: Annotated[
        int,
        strawberry.field(description="How many tasks have the given values now, as many as are in `tasks`."),
    ]


@strawberry.type(description="What came of `deleteTasks`. Some tasks may be deleted while others are refused.")
class DeleteTasksPayload:
    errors: BulkErrors
    deleted_task_ids: Annotated[
        list[strawberry.ID],
        strawberry.field(
            description="IDs of the tasks that are no more, in the order of `ids`, or sorted; `restoreTask` brings "
            "each of them back."
        ),
    ]
    affected: Annotated[int, strawberry.field(description="How many tasks were deleted.")]


REASONS = (
    Refused,
    writes.NotVisible,
    writes.NotAllowed,
    writes.Outdated,
    writes.AssigneeGone,
    writes.IdTaken,
    bulk.TooMany,
)
"""What a change may raise that is the client's to know."""


def explain(reason: Exception, *path: str) -> list[PayloadError]:
    """The reason as data. Any of `REASONS`; the path leads to the task at fault, `input.id` unless it is said."""
    task = list(path or ("input", "id"))
    match reason:
        case Refused(errors=errors):
            return errors
        case writes.NotVisible():
            message = "There is no such task, or it is not yours to see."
            return [NotFoundError(message=message, code=ErrorCode.NOT_FOUND, path=task)]
        case writes.NotAllowed():
            message = "Only the owner of a task may do this; an assignee may set its `status` and `completed`."
            return [ForbiddenError(message=message, code=ErrorCode.FORBIDDEN, path=task)]
        case writes.Outdated(current=row):
            message = (
                f"The task has changed: its version is {row['version']} by now. Look at `current` and decide again."
            )
            version = ["input", "ifVersion"]
            return [ConflictError(message=message, code=ErrorCode.CONFLICT, path=version, current=Task(row))]
        case writes.AssigneeGone():
            message = "The user whom it should be assigned to does not exist any more."
            return [ValidationError(message=message, code=ErrorCode.INVALID, path=["input"])]
        case writes.IdTaken():
            message = "The task cannot have this `id`, which is in use. Create one with another."
            return [ValidationError(message=message, code=ErrorCode.INVALID, path=task)]
        case bulk.TooMany():
            message = f"More than {bulk.ROWS_MAX} tasks pass the filter, and no more can be changed at once. Narrow it."
            condition = ["input", "select", "filter"]
            return [ValidationError(message=message, code=ErrorCode.LIMIT_EXCEEDED, path=condition)]
    raise reason


def left_out(selection: Selection, outcome: bulk.Outcome) -> list[PayloadError]:
    """Why each of the selected ids was not changed that was not, in the order of the input."""
    errors = dict(selection.malformed)
    for id, place in (selection.places or {}).items():
        if id not in outcome.changed:
            reason = writes.NotAllowed() if id in outcome.not_allowed else writes.NotVisible()
            [errors[place]] = explain(reason, "input", "select", "ids", str(place))
    return [errors[place] for place in sorted(errors)]
