"""What a request needs is free again as soon as it is answered: nothing is left for Python's collector of garbage.

What refers to itself stays until the collector comes, thousands of requests later: meanwhile every request takes new
memory, which no cache of the processor knows.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.client import Api

TASK = "id title createdAt owner { id name } assignee { name }"
QUERIES = {
    "one task": f"query ($id: ID!) {{ task(id: $id) {{ {TASK} }} }}",
    "by alias": f"query ($id: ID!) {{ a: task(id: $id) {{ {TASK} }} b: task(id: $id) {{ title }} }}",
    "page": f"{{ viewer {{ name tasks {{ totalCount edges {{ cursor node {{ {TASK} }} }} }} }} }}",
    "log": "{ viewer { taskEvents { nodes { cursor task { title } actor { name } } } } }",
    "change": "mutation ($id: ID!) { toggleTask(input: { id: $id }) { task { completed } errors { message } } }",
}
"""Not all there is: SQLAlchemy's expressions, where a statement is made anew, and graphql-core's executor, where
something is left to it, refer to themselves."""


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """What only the collector would have freed of all that was made meanwhile."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    found: list[Any] = []
    try:
        yield found
        gc.collect()
    finally:
        gc.set_debug(0)
        found += gc.garbage
        gc.garbage.clear()


@pytest.mark.parametrize("query", QUERIES.values(), ids=list(QUERIES))
async def test_a_request_leaves_no_garbage(api: Api, query: str) -> None:
    john = await api.sign_up("John")
    task = await api.create(john)
    variables = {"id": task["id"]} if "$id" in query else {}
    await api.result(john, query, **variables)  # plans and statements are made once, and may leave something
    with garbage() as found:
        for _ in range(10):
            await api.result(john, query, **variables)
    assert [one for one in found if type(one).__module__.partition(".")[0] in ("graphql_api", "asyncpg")] == []
