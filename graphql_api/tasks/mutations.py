"""How tasks are changed through the graph: every mutation answers with what came of it, or why nothing did."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.errors import ErrorCode, Refused, ValidationError
from graphql_api.relay import cursors
from graphql_api.relay.connections import given
from graphql_api.tasks import inputs, writes
from graphql_api.tasks.inputs import CreateTaskInput, DeleteTaskInput, ToggleTaskInput, UpdateTaskInput
from graphql_api.tasks.orders import NEWEST_FIRST
from graphql_api.tasks.payloads import (
    REASONS,
    CreateTaskPayload,
    DeleteTaskPayload,
    ToggleTaskPayload,
    UpdateTaskPayload,
    explain,
)
from graphql_api.tasks.types import Task, TaskEdge
from graphql_api.users.loaders import UserLoader


@strawberry.type
class TaskMutation:
    @strawberry.mutation(description="Makes a task of the viewer's own.")
    async def create_task(
        self, info: Info, input: Annotated[CreateTaskInput, strawberry.argument(description="The new task.")]
    ) -> CreateTaskPayload:
        database, viewer_id = info.context.database, info.context.viewer_id
        try:
            values = inputs.new_values(input, "input")
            id = given(input.id)
            # a retry gets its task even when the assignee has gone since
            row = await writes.made_before(database, viewer_id, id) if id and values["assigned_to"] else None
            if row is None:
                await _must_exist(info, values["assigned_to"], "input", "assigneeId")
                row = await writes.create(database, viewer_id, id, values)
        except REASONS as reason:
            return CreateTaskPayload(errors=explain(reason))
        cursor = cursors.encode(NEWEST_FIRST, NEWEST_FIRST.values(row))
        task = Task.of(row)
        return CreateTaskPayload(errors=[], task=task, task_edge=TaskEdge(cursor=cursor, node=task))

    @strawberry.mutation(description="Changes what is given, keeps what is absent, clears what is null.")
    async def update_task(
        self,
        info: Info,
        input: Annotated[UpdateTaskInput, strawberry.argument(description="Which task, and the changes.")],
    ) -> UpdateTaskPayload:
        database, viewer_id = info.context.database, info.context.viewer_id
        try:
            id = inputs.task_id(input.id)
            values = inputs.changed_values(input.patch, "input", "patch")
            await _must_exist(info, values.get("assigned_to"), "input", "patch", "assigneeId")
            row = await writes.update(database, viewer_id, id, values, given(input.if_version))
        except REASONS as reason:
            return UpdateTaskPayload(errors=explain(reason))
        return UpdateTaskPayload(errors=[], task=Task.of(row))

    @strawberry.mutation(
        description="Completes an open task (pending or in progress), reopens a completed one as pending; "
        "with `completed` it sets that state, and can be repeated safely."
    )
    async def toggle_task(
        self, info: Info, input: Annotated[ToggleTaskInput, strawberry.argument(description="Which task.")]
    ) -> ToggleTaskPayload:
        database, viewer_id = info.context.database, info.context.viewer_id
        try:
            id = inputs.task_id(input.id)
            row = await writes.toggle(database, viewer_id, id, given(input.completed), given(input.if_version))
        except REASONS as reason:
            return ToggleTaskPayload(errors=explain(reason))
        return ToggleTaskPayload(errors=[], task=Task.of(row))

    @strawberry.mutation(description="Deletes a task of the viewer's own.")
    async def delete_task(
        self, info: Info, input: Annotated[DeleteTaskInput, strawberry.argument(description="Which task.")]
    ) -> DeleteTaskPayload:
        database, viewer_id = info.context.database, info.context.viewer_id
        try:
            row = await writes.delete(database, viewer_id, inputs.task_id(input.id), given(input.if_version))
        except REASONS as reason:
            return DeleteTaskPayload(errors=explain(reason))
        task = Task.of(row)
        return DeleteTaskPayload(errors=[], deleted_task_id=task.id, task=task)


async def _must_exist(info: Info, user_id: str | None, *path: str) -> None:
    """Raises `Refused` for an assignee who is nobody. Cannot tell where Better Auth's tables are elsewhere."""
    if user_id is None or info.context.tables.user is None:
        return
    if await info.context.loader(UserLoader).load(user_id) is None:
        raise Refused(ValidationError(message="There is no user with this ID.", code=ErrorCode.INVALID, path=[*path]))
