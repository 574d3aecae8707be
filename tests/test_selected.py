"""A page reads the columns that are selected, and no field misses one."""

from itertools import combinations
from typing import Any

import pytest

from graphql_api import schema
from tests.client import Api
from tests.conftest import Statements
from tests.issuer import Person

BELOW = {"owner": "{ id name }", "assignee": "{ id name }", "history": "{ nodes { kind } }"}
TASK: Any = schema.build().type_map["Task"]
FIELDS = [f"{name} {BELOW.get(name, '')}" for name in TASK.fields]


async def answered(api: Api, person: Person, fields: str, shape: str = "nodes {{ {} }}") -> Any:
    data = await api.data(person, f"{{ viewer {{ tasks {{ {shape.format(fields)} }} }} }}")
    return data["viewer"]["tasks"]


@pytest.fixture
async def everything(api: Api, ada: Person, bob: Person) -> dict[str, Any]:
    """The answer with all fields, of a task that has a value in each."""
    due = "2020-01-01T00:00:00Z"
    await api.create(ada, "Mine", description="More", dueDate=due, status="IN_PROGRESS", assigneeId=bob.global_id)
    [task] = (await answered(api, ada, " ".join(FIELDS)))["nodes"]
    assert task["overdue"] is True
    found: dict[str, Any] = task
    return found


@pytest.mark.parametrize("field", FIELDS)
async def test_each_field_is_read_when_it_stands_alone(
    api: Api, ada: Person, everything: dict[str, Any], field: str
) -> None:
    name = field.split()[0]
    assert await answered(api, ada, field) == {"nodes": [{name: everything[name]}]}
    assert await answered(api, ada, field, "edges {{ node {{ {} }} }}") == {
        "edges": [{"node": {name: everything[name]}}]
    }


async def test_any_two_fields_are_read_together(api: Api, ada: Person, everything: dict[str, Any]) -> None:
    for pair in combinations(FIELDS, 2):
        names = [field.split()[0] for field in pair]
        assert await answered(api, ada, " ".join(pair)) == {"nodes": [{name: everything[name] for name in names}]}


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { tasks { nodes { ...A } edges { node { id } } } } } fragment A on Task { title ...B } "
        "fragment B on Node { ... on Task { dueDate } }",
        "{ viewer { tasks { ...C } } } fragment C on TaskConnection { nodes { t: title } x: nodes { d: dueDate id } }",
        "{ viewer { tasks { nodes { title @skip(if: true) dueDate id } edges @include(if: false) { cursor } } } }",
        "{ viewer { tasks { nodes { __typename id } } a: tasks { nodes { title } } b: tasks { nodes { dueDate } } } }",
        "{ viewer { ...V tasks { nodes { title } } } } fragment V on Viewer { tasks { edges { node { dueDate } } } }",
        "query ($yes: Boolean = true) { viewer { tasks { nodes { id title @include(if: $yes) } } } }",
    ],
)
async def test_fields_are_found_wherever_they_stand(
    api: Api, ada: Person, everything: dict[str, Any], query: str
) -> None:
    tasks = (await api.data(ada, query))["viewer"]["tasks"]
    known = {"t": "title", "d": "dueDate"}
    nodes = [node for name in ("nodes", "x") for node in tasks.get(name, [])]
    for node in [*nodes, *(edge["node"] for edge in tasks.get("edges", []) if "node" in edge)]:
        for name, value in node.items():
            assert name == "__typename" or value == everything[known.get(name, name)]


async def test_only_selected_columns_are_read(api: Api, ada: Person, statements: Statements) -> None:
    await api.create(ada)
    statements.clear()
    await answered(api, ada, "title")
    [sql] = statements
    assert "tasks.title" in sql
    assert "tasks.description" not in sql


async def test_a_page_that_nobody_wants_is_not_read(api: Api, ada: Person, statements: Statements) -> None:
    await api.data(ada, "{ viewer { id } }")
    statements.clear()
    assert await api.data(ada, "{ viewer { tasks { __typename totalCount } } }")
    assert len(statements) == 1
