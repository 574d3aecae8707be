"""Where reading and following tasks begin in the graph."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Annotated

import asyncpg
import strawberry
from strawberry import UNSET

from graphql_api.context import Info
from graphql_api.relay.connections import After, Window
from graphql_api.relay.lookahead import selected
from graphql_api.tasks import log
from graphql_api.tasks.loaders import TaskLoader
from graphql_api.tasks.log import TaskLog
from graphql_api.tasks.types import Task, TaskEvent, columns_of_task


@strawberry.type
class TaskQuery:
    @strawberry.field(
        graphql_type=Task | None, description="A task that the viewer owns or is assigned to; null otherwise."
    )
    def task(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="ID of a `Task`.")]
    ) -> Awaitable[Task | None]:
        return info.context.loader(TaskLoader).load((id, selected(info, columns_of_task)), Task.of)


@strawberry.type
class TaskSubscription:
    @strawberry.subscription(
        description="Every change to a task that the viewer may see, once and in commit order, whoever made it and by "
        "whatever route. With `after`, first all that happened since that cursor: a client that reconnects misses "
        "nothing. A cursor older than the kept history ends with CURSOR_EXPIRED: read the list again. The stream ends "
        "with UNAUTHENTICATED when the credential does not count any more."
    )
    async def task_changed(self, info: Info, after: After = UNSET) -> AsyncGenerator[TaskEvent, None]:
        viewer_id = info.context.viewer_id
        window = Window.of(log.OLDEST_FIRST, None, after, None, None)
        return _told(info.context.hub.follow(viewer_id, window.after[0] if window.after else None))


async def _told(rows: AsyncGenerator[asyncpg.Record, None]) -> AsyncGenerator[TaskEvent, None]:
    """Apart from the resolver, so that what graphql-core gives to a resolver is not kept until the next event."""
    async with aclosing(rows):
        async for row in rows:
            yield TaskEvent(row=row, current=TaskLog.task(row))
