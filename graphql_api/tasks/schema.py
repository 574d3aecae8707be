"""Where reading tasks begins in the graph."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.tasks import inputs
from graphql_api.tasks.loaders import TaskLoader
from graphql_api.tasks.types import Task


@strawberry.type
class TaskQuery:
    @strawberry.field(description="A task that the viewer owns or is assigned to; null otherwise.")
    async def task(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="ID of a `Task`.")]
    ) -> Task | None:
        key = inputs.parse_task_id(id)
        if key is None:
            raise bad_input(f"`id` is {inputs.shown(id)}, which is not the ID of a Task.")
        row = await info.context.loader(TaskLoader).load(key)
        return None if row is None else Task.of(row)
