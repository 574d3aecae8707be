"""The signed-in person's corner of the graph."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from graphql_api.context import Info
from graphql_api.errors import Code, RequestError, unauthenticated
from graphql_api.relay import cursors, ids
from graphql_api.relay.connections import After, Before, First, FirstAlone, Last, Window, given
from graphql_api.relay.ids import ID_DESCRIPTION, Node
from graphql_api.scalars import URL
from graphql_api.tasks import log, orders, reads
from graphql_api.tasks.filters import TaskFilter
from graphql_api.tasks.loaders import LogEndLoader
from graphql_api.tasks.orders import TaskOrder
from graphql_api.tasks.types import TaskConnection, TaskCounts, TaskEventConnection
from graphql_api.users.loaders import UserLoader
from graphql_api.users.models import UserRow
from graphql_api.users.types import User

Filter = Annotated[TaskFilter | None, strawberry.argument(description="Only tasks for which this holds.")]
OrderBy = Annotated[
    list[TaskOrder] | None,
    strawberry.argument(
        description="Several orders sort one after the other; the ID breaks ties. Default: CREATED_AT DESC."
    ),
]


@strawberry.type(
    description="The signed-in person's corner of the graph. Its ID differs from the ID of the same person as a `User`."
)
class Viewer(Node):
    user_id: strawberry.Private[str]

    @strawberry.field(description=ID_DESCRIPTION)
    def id(self) -> strawberry.ID:
        return ids.written("Viewer", self.user_id)

    @strawberry.field(graphql_type=User, description="The viewer as others may see them.")
    def user(self, info: Info) -> Awaitable[User]:
        return User.load(self.user_id, info)

    @strawberry.field(description="What the person is called.")
    def name(self, info: Info) -> str:
        return self._told(info, attrgetter("name"))

    @strawberry.field(description="The address that the person signs in with, in lower case.")
    def email(self, info: Info) -> str:
        return self._told(info, attrgetter("email"))

    @strawberry.field(description="True when the person has shown that the address is theirs.")
    def email_verified(self, info: Info) -> bool:
        return self._told(info, attrgetter("email_verified"))

    @strawberry.field(description="Address of the person's picture, if there is one.")
    def image(self, info: Info) -> URL | None:
        return self._told(info, lambda row: URL(row.image) if row.image else None)

    @strawberry.field(description="When the account was made.")
    def created_at(self, info: Info) -> datetime:
        return self._told(info, _created_at)

    @strawberry.field(description="Tasks that the viewer owns.")
    async def tasks(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
        filter: Filter = UNSET,
        order_by: OrderBy = UNSET,
    ) -> TaskConnection:
        window = Window.of(orders.order(given(order_by)), first, after, last, before)
        return await TaskConnection.of(reads.owned_by, given(filter), window, info)

    @strawberry.field(description="Tasks of other people that are assigned to the viewer.")
    async def assigned_tasks(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
        filter: Filter = UNSET,
        order_by: OrderBy = UNSET,
    ) -> TaskConnection:
        window = Window.of(orders.order(given(order_by)), first, after, last, before)
        return await TaskConnection.of(reads.assigned_to, given(filter), window, info)

    @strawberry.field(description="The viewer's own tasks, counted.")
    async def task_counts(self, info: Info) -> TaskCounts:
        row = await reads.counts(info.context.database, self.user_id, info.context.now)
        return TaskCounts(
            total=row["total"],
            pending=row["pending"],
            in_progress=row["in_progress"],
            completed=row["completed"],
            overdue=row["overdue"],
        )

    @strawberry.field(
        description="What happened to the viewer's tasks, oldest first: page with `after` to catch up from any cursor "
        "ever received. One that is older than what is kept ends with CURSOR_EXPIRED."
    )
    async def task_events(self, info: Info, first: FirstAlone = UNSET, after: After = UNSET) -> TaskEventConnection:
        window = Window.of(log.OLDEST_FIRST, first, after, None, None)
        return TaskEventConnection(page=window.page(await log.page(info.context.database, self.user_id, window)))

    @strawberry.field(
        description="The end of `taskEvents` as it is now. Ask for it first, then read the tasks, then follow "
        "`taskChanged` after it: whatever happens meanwhile is not missed."
    )
    async def task_event_cursor(self, info: Info) -> str:
        return cursors.encode(log.OLDEST_FIRST, [await info.context.loader(LogEndLoader).load(self.user_id)])

    def _told(self, info: Info, read: Callable[[UserRow], Any]) -> Any:
        """What is read of the person's row: at once if they asked a few seconds ago, else to be awaited."""
        row = info.context.people.get(self.user_id)
        return self._looked_up(info, read) if row is None else read(row)

    async def _looked_up(self, info: Info, read: Callable[[UserRow], Any]) -> Any:
        row = await info.context.loader(UserLoader).load(self.user_id)
        if row is None:
            raise unauthenticated("The account of this credential no longer exists; sign in again.")
        info.context.people.keep(self.user_id, row)
        return read(row)


def _created_at(row: UserRow) -> datetime:
    if row.created_at is None:
        message = "The credential does not tell `createdAt`; keep it in `definePayload` of Better Auth."
        raise RequestError(Code.UNAUTHENTICATED, message)
    return row.created_at
