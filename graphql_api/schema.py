"""Joins the rooms into one graph."""

import asyncio
from functools import cache
from typing import Annotated

import strawberry
from graphql import GraphQLSchema, is_input_object_type, print_schema
from strawberry.schema.config import StrawberryConfig

from graphql_api.context import Info
from graphql_api.errors import ForbiddenError, NotFoundError, ValidationError, bad_input
from graphql_api.relay.ids import GlobalID, Node
from graphql_api.relay.lookahead import selected
from graphql_api.scalars import SCALARS
from graphql_api.tasks.inputs import parse_task_id, shown
from graphql_api.tasks.loaders import AcquaintanceLoader, EventLoader, TaskLoader
from graphql_api.tasks.mutations import TaskMutation
from graphql_api.tasks.schema import TaskQuery, TaskSubscription
from graphql_api.tasks.types import ConflictError, Task, TaskEvent, columns_of_task, event_cursor
from graphql_api.users.types import User, user_id
from graphql_api.viewer import Viewer

DESCRIPTION = """\
The tasks of a Better Auth user: read, filter, page, and change them, and follow them live.
Sign in with Better Auth; send its JWT or signed session token as `Authorization: Bearer …`, or its session cookie.\
"""

NODES_MAX = 100


@strawberry.type(description="Where reading begins.")
class Query(TaskQuery):
    @strawberry.field(
        description="The signed-in user; null when the request carries no credential "
        "(a bad credential is a 401, never null)."
    )
    def viewer(self, info: Info) -> Viewer | None:
        return None if info.context.identity is None else Viewer(user_id=info.context.viewer_id)

    @strawberry.field(description="Any object by its global ID; null when there is none that the viewer may see.")
    async def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="ID of any object.")]
    ) -> Node | None:
        if GlobalID.parse(id) is None:
            raise bad_input(f"`id` is {shown(id)}, which is not an ID of this API.")
        return await _node(info, id, selected(info, columns_of_task))

    @strawberry.field(
        description="Many objects by global ID, in the order asked for, null in the place of each one that is missing "
        "or malformed. At most 100."
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="IDs of any objects, at most 100.")],
    ) -> list[Node | None]:
        if len(ids) > NODES_MAX:
            raise bad_input(f"`ids` has {len(ids)} IDs; at most {NODES_MAX} are allowed.")
        columns = selected(info, columns_of_task)
        return list(await asyncio.gather(*(_node(info, id, columns) for id in ids)))


@strawberry.type(description="Where changing begins.")
class Mutation(TaskMutation):
    pass


@strawberry.type(description="Where following begins: over WebSocket (graphql-transport-ws) or Server-Sent Events.")
class Subscription(TaskSubscription):
    pass


async def _node(info: Info, id: str, columns: frozenset[str]) -> Node | None:
    """The object with this id, if the viewer may see it; of a task these columns. Those of a type are read together."""
    viewer_id = info.context.viewer_id
    if parse_task_id(id):
        return await info.context.loader(TaskLoader).load((id, columns), Task.of)
    if cursor := event_cursor(id):
        row = await info.context.loader(EventLoader).load(cursor)
        return None if row is None else TaskEvent(row=row)
    if person := user_id(id):
        known = person == viewer_id or await info.context.loader(AcquaintanceLoader).load(person)
        return await User.load(person, info) if known else None
    return Viewer(user_id=viewer_id) if id == str(GlobalID("Viewer", viewer_id)) else None


@cache
def build() -> GraphQLSchema:
    """The graph as graphql-core executes it; the same one each time."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Task, TaskEvent, User, Viewer, ValidationError, NotFoundError, ForbiddenError, ConflictError],
        config=StrawberryConfig(scalar_map=SCALARS),
    )._schema
    schema.description = DESCRIPTION
    for graphql_type in schema.type_map.values():
        if is_input_object_type(graphql_type):  # Strawberry tells nobody but its own printer
            graphql_type.is_one_of = graphql_type.extensions["strawberry-definition"].is_one_of
    return schema


def sdl() -> str:
    """The graph in GraphQL's own language, as it stands in `schema.graphql`."""
    return print_schema(build()) + "\n"
