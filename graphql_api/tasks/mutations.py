"""How tasks are changed through the graph: every mutation answers with what came of it, or why nothing did."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import strawberry

from graphql_api.context import Info
from graphql_api.errors import ErrorCode, Refused, ValidationError
from graphql_api.relay.connections import given
from graphql_api.tasks import bulk, inputs, reads, selections, writes
from graphql_api.tasks.inputs import (
    CreateTaskInput,
    CreateTasksInput,
    DeleteTaskInput,
    RestoreTaskInput,
    ToggleTaskInput,
    UpdateTaskInput,
)
from graphql_api.tasks.orders import NEWEST_FIRST
from graphql_api.tasks.payloads import (
    REASONS,
    CreateTaskPayload,
    CreateTasksPayload,
    DeleteTaskPayload,
    DeleteTasksPayload,
    RestoreTaskPayload,
    ToggleTaskPayload,
    UpdateTaskPayload,
    UpdateTasksPayload,
    explain,
    left_out,
)
from graphql_api.tasks.selections import DeleteTasksInput, UpdateTasksInput
from graphql_api.tasks.types import Task, TaskEdge, global_id
from graphql_api.users.loaders import UserLoader


@strawberry.type
class TaskMutation:
    @strawberry.mutation(description="Makes a task of the viewer's own.")
    async def create_task(
        self, info: Info, input: Annotated[CreateTaskInput, strawberry.argument(description="The new task.")]
    ) -> CreateTaskPayload:
        database, viewer_id = info.context.change()
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
        return CreateTaskPayload(errors=[], task=Task(row), task_edge=_edge(row))

    @strawberry.mutation(description="Changes what is given, keeps what is absent, clears what is null.")
    async def update_task(
        self,
        info: Info,
        input: Annotated[UpdateTaskInput, strawberry.argument(description="Which task, and the changes.")],
    ) -> UpdateTaskPayload:
        database, viewer_id = info.context.change()
        try:
            id = inputs.task_id(input.id)
            values = inputs.changed_values(input.patch, "input", "patch")
            await _must_exist(info, values.get("assigned_to"), "input", "patch", "assigneeId")
            row = await writes.update(database, viewer_id, id, values, given(input.if_version))
        except REASONS as reason:
            return UpdateTaskPayload(errors=explain(reason))
        return UpdateTaskPayload(errors=[], task=Task(row))

    @strawberry.mutation(
        description="Completes an open task (pending or in progress), reopens a completed one as pending; "
        "with `completed` it sets that state, and can be repeated safely."
    )
    async def toggle_task(
        self, info: Info, input: Annotated[ToggleTaskInput, strawberry.argument(description="Which task.")]
    ) -> ToggleTaskPayload:
        database, viewer_id = info.context.change()
        try:
            id = inputs.task_id(input.id)
            row = await writes.toggle(database, viewer_id, id, given(input.completed), given(input.if_version))
        except REASONS as reason:
            return ToggleTaskPayload(errors=explain(reason))
        return ToggleTaskPayload(errors=[], task=Task(row))

    @strawberry.mutation(description="Deletes a task of the viewer's own.")
    async def delete_task(
        self, info: Info, input: Annotated[DeleteTaskInput, strawberry.argument(description="Which task.")]
    ) -> DeleteTaskPayload:
        database, viewer_id = info.context.change()
        try:
            row = await writes.delete(database, viewer_id, inputs.task_id(input.id), given(input.if_version))
        except REASONS as reason:
            return DeleteTaskPayload(errors=explain(reason))
        return DeleteTaskPayload(errors=[], deleted_task_id=global_id(row["id"]), task=Task(row))

    @strawberry.mutation(
        description="Brings a deleted task of the viewer's own back as it was, under its own ID, while its history is "
        "kept. A task that is there is answered as it is, so that the call can be repeated safely. An assignee whose "
        "account is gone is left out. What was deleted too long ago is not found."
    )
    async def restore_task(
        self, info: Info, input: Annotated[RestoreTaskInput, strawberry.argument(description="Which task.")]
    ) -> RestoreTaskPayload:
        try:
            row = await _restored(info, inputs.task_id(input.id))
        except REASONS as reason:
            return RestoreTaskPayload(errors=explain(reason))
        return RestoreTaskPayload(errors=[], task=Task(row), task_edge=_edge(row))

    @strawberry.mutation(
        description="Makes up to 100 tasks of the viewer's own: all of them, or none. With an `id` for each of them it "
        "can be repeated safely."
    )
    async def create_tasks(
        self, info: Info, input: Annotated[CreateTasksInput, strawberry.argument(description="The new tasks.")]
    ) -> CreateTasksPayload:
        database, viewer_id = info.context.change()
        try:
            tasks = inputs.new_tasks(input)
            await _assignees_must_exist(info, tasks)
            rows = await bulk.create(database, viewer_id, tasks)
        except writes.IdTaken as taken:
            places = [str(place) for place, task in enumerate(input.tasks) if task.id in taken.ids]
            errors = [error for place in places for error in explain(taken, "input", "tasks", place, "id")]
            return CreateTasksPayload(errors=errors, tasks=[])
        except REASONS as reason:
            return CreateTasksPayload(errors=explain(reason), tasks=[])
        return CreateTasksPayload(errors=[], tasks=[Task(row) for row in rows])

    @strawberry.mutation(
        description="Changes many tasks in the same way: up to 100 by their IDs, or up to 1000 of the viewer's own by "
        "a filter. Of tasks by ID, those that cannot be changed are reported and the rest go through. A filter that "
        "more tasks pass changes none."
    )
    async def update_tasks(
        self,
        info: Info,
        input: Annotated[UpdateTasksInput, strawberry.argument(description="Which tasks, and the changes.")],
    ) -> UpdateTasksPayload:
        database, viewer_id = info.context.change()
        try:
            selection, values = selections.selected_and_changed(input, info.context.now)
            await _must_exist(info, values.get("assigned_to"), "input", "patch", "assigneeId")
            outcome = await bulk.update(database, viewer_id, selection, values)
        except REASONS as reason:
            return UpdateTasksPayload(errors=explain(reason), tasks=[], affected=0)
        tasks = [Task(row) for row in outcome.in_order_of(selection)]
        return UpdateTasksPayload(errors=left_out(selection, outcome), tasks=tasks, affected=len(tasks))

    @strawberry.mutation(
        description="Deletes many tasks of the viewer's own: up to 100 by their IDs, or up to 1000 by a filter. Of "
        "tasks by ID, those that cannot be deleted are reported and the rest go through. A filter that more tasks "
        "pass deletes none."
    )
    async def delete_tasks(
        self, info: Info, input: Annotated[DeleteTasksInput, strawberry.argument(description="Which tasks.")]
    ) -> DeleteTasksPayload:
        database, viewer_id = info.context.change()
        try:
            selection = selections.selected(input.select, info.context.now)
            outcome = await bulk.delete(database, viewer_id, selection)
        except REASONS as reason:
            return DeleteTasksPayload(errors=explain(reason), deleted_task_ids=[], affected=0)
        ids = [global_id(row["id"]) for row in outcome.in_order_of(selection)]
        return DeleteTasksPayload(errors=left_out(selection, outcome), deleted_task_ids=ids, affected=len(ids))


def _edge(row: asyncpg.Record) -> TaskEdge:
    """The task with its cursor in the default order."""
    return TaskEdge(Task(row), NEWEST_FIRST)


async def _restored(info: Info, id: UUID) -> asyncpg.Record:
    """The viewer's own task, brought back where it was deleted. Raises `NotVisible`, `IdTaken`."""
    database, viewer_id = info.context.change()
    deleted = await writes.deleted(database, viewer_id, id)
    if deleted is not None:
        assignee_id = deleted["assigned_to"]
        exists = await _exists(info, assignee_id)
        return await writes.restore(database, viewer_id, id, assignee_id if exists else None)
    row = await writes.made_before(database, viewer_id, id)
    if row is None:
        raise writes.NotVisible
    return row


async def _exists(info: Info, assignee_id: str | None) -> bool:
    """False for an assignee who is nobody. Cannot tell where Better Auth's tables are elsewhere."""
    if assignee_id is None or info.context.tables.user is None:
        return True
    return await info.context.loader(UserLoader).load(assignee_id) is not None


async def _must_exist(info: Info, assignee_id: str | None, *path: str) -> None:
    """Raises `Refused` for an assignee who is nobody."""
    if not await _exists(info, assignee_id):
        raise Refused(_nobody(*path))


async def _assignees_must_exist(info: Info, tasks: list[dict[str, Any]]) -> None:
    """Raises `Refused` for every assignee who is nobody, but where the viewer has the task already: a retry gets its
    tasks even when an assignee has gone since. One batch, and one SELECT when somebody is missing."""
    exist = await asyncio.gather(*(_exists(info, task["assigned_to"]) for task in tasks))
    alone = {place: task["id"] for place, task in enumerate(tasks) if not exist[place]}
    if alone:
        database, viewer_id = info.context.database, info.context.viewer_id
        rows = await reads.by_ids(database, viewer_id, [id for id in alone.values() if id])
        made_before = {row["id"] for row in rows if row["user_id"] == viewer_id}
        errors = [
            _nobody("input", "tasks", str(place), "assigneeId") for place, id in alone.items() if id not in made_before
        ]
        if errors:
            raise Refused(*errors)


def _nobody(*path: str) -> ValidationError:
    return ValidationError(message="There is no user with this ID.", code=ErrorCode.INVALID, path=[*path])
