"""Time to execute a page of tasks that is in memory already: graphql-core's executor and the compiled one.

    python -m tests.benchmarks.execution

Prints µs of CPU per execution, the least of several rounds; documents are parsed and validated before. "ready" is the
executor alone: resolvers give objects that exist. The others are the real graph, from rows as the database gives them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from inspect import isawaitable
from typing import Any
from unittest import mock
from uuid import UUID

import strawberry
from graphql import ExecutionResult, GraphQLSchema, OperationDefinitionNode, execute, parse, validate
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api import scalars, schema
from graphql_api.context import Context
from graphql_api.execution.executor import Plan
from graphql_api.instants import instant
from graphql_api.relay import cursors
from graphql_api.relay.connections import Page, PageInfo
from graphql_api.tasks import log, orders, reads
from graphql_api.tasks.types import Task, global_id

TEXTS = "id title description completed"
FIELDS = f"{TEXTS} createdAt updatedAt"
EDGES = "edges {{ cursor node {{ {} }} }} pageInfo {{ hasNextPage endCursor }}"
REAL = "query ($first: Int) {{ viewer {{ tasks(first: $first) {{ {} }} }} }}"
READY = "query ($first: Int) {{ tasks(first: $first) {{ {} }} }}"
ROUNDS = 9


@dataclass(frozen=True)
class Somebody:
    user_id: str = "a-user"


def rows(count: int) -> list[dict[str, Any]]:
    start = datetime(2026, 1, 1, 9, 30, 15, 123456, tzinfo=UTC)
    return [
        {
            "id": UUID(int=number + 2**120),
            "title": f"Task {number}",
            "description": None if number % 3 else "More about it",
            "status": "pending",
            "completed": False,
            "priority": "medium",
            "due_date": None,
            "version": 1,
            "created_at": instant(start + timedelta(minutes=number)),
            "updated_at": instant(start + timedelta(hours=number)),
            "completed_at": None,
            "user_id": "a-user",
            "assigned_to": None,
        }
        for number in range(count)
    ]


@strawberry.type
class Edge:
    cursor: str
    node: Task


@strawberry.type
class Connection:
    edges: list[Edge]
    page_info: PageInfo


def ready_graph(known: Sequence[Mapping[str, Any]]) -> GraphQLSchema:
    edges = [Edge(cursor=f"cursor {row['id']}", node=Task(row)) for row in known]
    info = PageInfo(page=Page(known, has_next=True, has_previous=False, order=orders.order(None)))
    page = Connection(edges=edges, page_info=info)

    def tasks(first: int | None) -> Connection:
        return page

    query = strawberry.type(type("Query", (), {"tasks": strawberry.field(resolver=tasks)}))
    return strawberry.Schema(query, config=StrawberryConfig(scalar_map=scalars.SCALARS))._schema


async def cost(one: Callable[[], Any], each: int = 60) -> float:
    """µs of CPU for one, in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(each):
            result = one()
            if isawaitable(result):
                await result
        best = min(best, (time.process_time() - start) / each * 1e6)
    return best


async def compare(name: str, graph: GraphQLSchema, text: str, first: int) -> None:
    document = parse(text)
    assert not validate(graph, document)
    [definition] = document.definitions
    assert isinstance(definition, OperationDefinitionNode)
    core = StrawberryGraphQLCoreExecutionContext
    plan = Plan(graph, document, definition, core)

    def context() -> Any:
        return Context(None, None, None, None, Somebody())  # type: ignore[arg-type]

    def theirs() -> Any:
        return execute(graph, document, variable_values={"first": first}, context_value=context(), executor_class=core)

    def ours() -> Any:
        return plan.execute({"first": first}, context())

    expected = await _awaited(theirs())
    assert expected == await _awaited(ours())
    assert expected.errors is None
    slow, fast = await cost(theirs), await cost(ours)
    print(f"{first:4} {name:28} graphql-core {slow:7.1f}   compiled {fast:7.1f}   {slow / fast:5.1f} times")


async def _awaited(result: ExecutionResult | Awaitable[ExecutionResult]) -> ExecutionResult:
    return await result if isawaitable(result) else result


async def parts(known: Sequence[Mapping[str, Any]]) -> None:
    """What is not the executor's in the real graph, for one page."""
    order = orders.order(None)
    made: dict[str, Callable[[], Any]] = {
        "tasks": lambda: [Task(row) for row in known],
        "  global_id in it": lambda: [global_id(row["id"]) for row in known],
        "cursors": lambda: [cursors.encode(order, order.keys_of(row)) for row in known],
        "cursors.encode of one event": lambda: cursors.encode(log.OLDEST_FIRST, [5]),
    }
    for name, part in made.items():
        print(f"{len(known):4} {name:28} {await cost(part):7.1f}")


async def main() -> None:
    for first in (20, 100):
        known = rows(first + 1)

        async def page(*_: Any, known: Sequence[Mapping[str, Any]] = known) -> Sequence[Mapping[str, Any]]:
            return known

        ready = ready_graph(known[:-1])
        await compare("ready, edges without times", ready, READY.format(EDGES.format(TEXTS)), first)
        await compare("ready, edges", ready, READY.format(EDGES.format(FIELDS)), first)
        with mock.patch.object(reads, "page", page):
            await compare("real, edges", schema.build(), REAL.format(EDGES.format(FIELDS)), first)
            await compare("real, nodes", schema.build(), REAL.format(f"nodes {{ {FIELDS} }}"), first)
        await parts(known[:-1])


if __name__ == "__main__":
    asyncio.run(main())
