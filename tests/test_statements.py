"""How many statements an operation costs: never more for more rows."""

import re
from uuid import uuid4

import pytest
from graphql import GraphQLObjectType, get_nullable_type, is_leaf_type

from graphql_api.schema import build
from tests.client import (
    CREATE,
    CREATE_MANY,
    DELETE,
    DELETE_MANY,
    RESTORE,
    TASK_FIELDS,
    TOGGLE,
    UPDATE,
    UPDATE_MANY,
    Api,
)
from tests.conftest import Statements
from tests.issuer import Person

PAGE = f"""query($first: Int) {{
  viewer {{
    name
    user {{ name }}
    tasks(first: $first) {{
      totalCount
      edges {{ cursor node {{ ...Everything }} }}
      nodes {{ ...Everything }}
      pageInfo {{ hasNextPage }}
    }}
  }}
}} {TASK_FIELDS}"""


async def test_a_page_of_100_costs_what_a_page_of_1_does(
    api: Api, ada: Person, bob: Person, statements: Statements
) -> None:
    people = [bob, *[await api.issuer.sign_up(f"Helper{n}") for n in range(9)]]
    await api.issuer.connection.executemany(
        "INSERT INTO tasks (user_id, title, assigned_to) VALUES ($1, $2, $3)",
        [(ada.id, f"task {n}", people[n % 10].id) for n in range(100)],
    )
    await api.data(ada, PAGE, first=1)
    counts = []
    for size in (1, 100):
        statements.clear()
        data = await api.data(ada, PAGE, first=size)
        assert len(data["viewer"]["tasks"]["nodes"]) == size
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 4  # the page, its count, and one or two batches of people


async def test_nodes_cost_one_statement_for_each_type(api: Api, ada: Person, statements: Statements) -> None:
    ids = [(await api.create(ada))["id"] for _ in range(20)]
    await api.data(ada, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids[:1])
    statements.clear()
    await api.data(ada, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    assert len(statements) == 1


async def test_ten_tasks_by_alias_cost_one_statement(api: Api, ada: Person, statements: Statements) -> None:
    ids = [(await api.create(ada))["id"] for _ in range(10)]
    fields = " ".join(f't{n}: task(id: "{id}") {{ title }}' for n, id in enumerate(ids))
    statements.clear()
    await api.data(ada, f"{{ {fields} }}")
    assert len(statements) == 1


async def test_a_task_asked_for_twice_is_read_once_with_all_that_anybody_wants(
    api: Api, ada: Person, statements: Statements
) -> None:
    task = await api.create(ada, title="milk", description="two litres", priority="HIGH")
    query = """query($id: ID!) {
      a: task(id: $id) { title } b: task(id: $id) { title description } node(id: $id) { ... on Task { priority } }
    }"""
    statements.clear()
    data = await api.data(ada, query, id=task["id"])
    assert data == {
        "a": {"title": "milk"},
        "b": {"title": "milk", "description": "two litres"},
        "node": {"priority": "HIGH"},
    }
    [sql] = statements
    assert columns_of(sql) == {"id", "title", "description", "priority"}


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("{ viewer { tasks { nodes { title } } } }", {"id", "title", "created_at"}),
        (
            "{ viewer { tasks { edges { node { __typename overdue } } } } }",
            {"id", "created_at", "due_date", "completed"},
        ),
        ("query($id: ID!) { task(id: $id) { dueDate title } }", {"id", "due_date", "title"}),
        ("query($id: ID!) { task(id: $id) { __typename } }", {"id"}),
        ("query($id: ID!) { node(id: $id) { ... on Task { title } ... on User { name } } }", {"id", "title"}),
        ("query($id: ID!) { nodes(ids: [$id]) { ...Some } } fragment Some on Task { status }", {"id", "status"}),
    ],
)
async def test_only_columns_that_are_selected_are_read(
    api: Api, ada: Person, statements: Statements, query: str, columns: set[str]
) -> None:
    task = await api.create(ada)
    statements.clear()
    await api.data(ada, query, **({"id": task["id"]} if "$id" in query else {}))
    [sql] = statements
    assert columns_of(sql) == columns


WAYS = """query($id: ID!) {
  task(id: $id) { ...F } node(id: $id) { ...F } nodes(ids: [$id]) { ...F }
  viewer { tasks { nodes { ...F } edges { node { ...F } } } taskEvents { nodes { task { ...F } } } }
}"""
TASK_TYPE = build().type_map["Task"]
assert isinstance(TASK_TYPE, GraphQLObjectType)
FIELDS = TASK_TYPE.fields


@pytest.mark.parametrize("field", FIELDS)
async def test_each_field_can_be_read_alone_on_every_way_to_a_task(
    api: Api, ada: Person, bob: Person, field: str
) -> None:
    is_leaf = is_leaf_type(get_nullable_type(FIELDS[field].type))
    selection = field if is_leaf else f"{field} {{ __typename }}"
    values = {"description": "two litres", "dueDate": "2001-01-01T00:00:00Z", "assigneeId": bob.global_id}
    task = await api.create(ada, **values, status="COMPLETED")
    data = await api.data(ada, f"{WAYS} fragment F on Task {{ {selection} }}", id=task["id"])
    viewer = data["viewer"]
    found = [data["task"], data["node"], *data["nodes"], *viewer["tasks"]["nodes"]]
    found += [edge["node"] for edge in viewer["tasks"]["edges"]]
    found += [event["task"] for event in viewer["taskEvents"]["nodes"]]
    assert found == [found[0]] * 6
    assert found[0][field] is not None


def columns_of(sql: str) -> set[str]:
    """What a SELECT reads of tasks."""
    return set(re.findall(r"tasks\.(\w+)", sql.partition("FROM")[0]))


async def test_filters_that_differ_in_values_share_statements_that_set_their_user(
    api: Api, ada: Person, statements: Statements
) -> None:
    query = "query($filter: TaskFilter) { viewer { tasks(filter: $filter) { totalCount nodes { id } } } }"
    await api.data(ada, "{ viewer { id } }")
    statements.clear()
    for word, status, days in (("milk", ["PENDING"], "P1D"), ("oats", ["COMPLETED", "IN_PROGRESS"], "-P7D")):
        wanted = {"search": word, "title": {"contains": word}, "status": {"in": status}, "dueDate": {"lt": days}}
        await api.data(ada, query, filter={"or": [wanted, {"overdue": True}], "not": {"priority": {"eq": "LOW"}}})
    page, count, *again = statements
    assert again == [page, count]
    assert all("set_config('app.user_id'" in sql for sql in (page, count))


LOOK = """query($after: String) {
  viewer {
    taskCounts { total } taskEvents(after: $after) { nodes { task { id } } } taskEventCursor
    tasks(after: null) { nodes { history(first: 1) { nodes { id } } } }
  }
}"""


async def test_every_statement_is_made_once_and_asks_as_its_user(
    api: Api, ada: Person, bob: Person, statements: Statements
) -> None:
    sent: list[Statements] = []
    for person, words, done in ((ada, ["milk", "oats"], True), (bob, ["bread", "cheese", "wine"], False)):
        await api.data(person, "{ viewer { id } }")
        statements.clear()
        tasks = [{"title": word} for word in words]
        made = (await api.data(person, CREATE_MANY, input={"tasks": tasks}))["createTasks"]["tasks"]
        ids = [task["id"] for task in made]
        cursor = (await api.data(person, "{ viewer { taskEventCursor } }"))["viewer"]["taskEventCursor"]
        for select in ({"ids": ids}, {"filter": {"title": {"in": words}}}):
            for patch in ({}, {"completed": done}, {"title": words[-1], "description": words[0]}):
                await api.data(person, UPDATE_MANY, input={"select": select, "patch": patch})
        await api.data(person, LOOK, after=cursor)
        await api.data(person, DELETE_MANY, input={"select": {"ids": ids[1:]}})
        await api.data(person, DELETE_MANY, input={"select": {"filter": {"title": {"eq": words[-1]}}}})
        await api.data(person, RESTORE, input={"id": ids[0]})
        sent.append(Statements(statements))
    hers, his = sent
    assert sorted(map(id, hers)) == sorted(map(id, his))  # the very same texts, those of a request in any order
    for sql in hers:
        assert "set_config('app.user_id'" in sql or not re.search(r"\b(tasks|task_events)\b", sql)


@pytest.mark.parametrize(
    ("selection", "cost"),
    [
        ("id", 0),
        ("name email image createdAt user { name }", 1),
        ("tasks { edges { cursor node { id } } nodes { id } pageInfo { endCursor } }", 1),
        ("tasks { totalCount }", 1),
        ("tasks { totalCount nodes { id } }", 2),
        ("taskCounts { total overdue }", 1),
        ("taskEvents { edges { cursor node { id } } nodes { id } pageInfo { endCursor } }", 1),
        ("taskEventCursor again: taskEventCursor", 1),
    ],
)
async def test_only_what_is_selected_is_read(
    api: Api, ada: Person, statements: Statements, selection: str, cost: int
) -> None:
    await api.data(ada, "{ viewer { id } }")
    statements.clear()
    await api.data(ada, f"{{ viewer {{ {selection} }} }}")
    assert len(statements) == cost


HISTORY = """query($first: Int) {
  viewer {
    taskEvents(first: $first) { nodes { id kind changes { field } actor { name } task { id } } }
    tasks(first: $first) { nodes { history(first: 2) { nodes { id kind } edges { cursor } pageInfo { hasNextPage } } } }
  }
}"""


async def test_what_happened_to_100_tasks_costs_what_it_does_for_1(
    api: Api, ada: Person, statements: Statements
) -> None:
    await api.data(ada, CREATE_MANY, input={"tasks": [{"title": f"task {n}"} for n in range(100)]})
    await api.data(ada, HISTORY, first=1)
    counts = []
    for size in (1, 100):
        statements.clear()
        viewer = (await api.data(ada, HISTORY, first=size))["viewer"]
        assert len(viewer["taskEvents"]["nodes"]) == len(viewer["tasks"]["nodes"]) == size
        assert all(task["history"]["nodes"] for task in viewer["tasks"]["nodes"])
        counts.append(len(statements))
    assert counts == [5, 5]  # the events, their actors, their tasks; the tasks, their histories


async def test_a_change_costs_one_statement(api: Api, ada: Person, statements: Statements) -> None:
    task = await api.create(ada)
    for mutation, values in (
        (CREATE, {"title": "x"}),
        (UPDATE, {"id": task["id"], "patch": {"title": "x"}}),
        (TOGGLE, {"id": task["id"]}),
        (DELETE, {"id": task["id"]}),
    ):
        statements.clear()
        await api.data(ada, without_people(mutation), input=values)
        assert len(statements) == 1, statements


@pytest.mark.parametrize("size", [1, 100])
async def test_a_change_of_many_costs_one_statement(api: Api, ada: Person, statements: Statements, size: int) -> None:
    tasks = [{"title": f"task {n}", "id": str(uuid4())} for n in range(size)]
    made = (await api.data(ada, CREATE_MANY, input={"tasks": tasks}))["createTasks"]["tasks"]
    ids = {"ids": [task["id"] for task in made]}
    for mutation, values in (
        (CREATE_MANY, {"tasks": tasks}),
        (CREATE_MANY, {"tasks": [{"title": "x"}] * size}),
        (UPDATE_MANY, {"select": ids, "patch": {"completed": True}}),
        (UPDATE_MANY, {"select": {"filter": {"completed": True}}, "patch": {"title": "x"}}),
        (UPDATE_MANY, {"select": ids, "patch": {}}),
        (DELETE_MANY, {"select": ids}),
        (DELETE_MANY, {"select": {"filter": {"completed": False}}}),
    ):
        statements.clear()
        [payload] = (await api.data(ada, without_people(mutation), input=values)).values()
        assert len(payload.get("tasks", payload.get("deletedTaskIds"))) == size
        assert len(statements) == 1, statements


async def test_assignees_of_many_new_tasks_are_read_together(api: Api, ada: Person, statements: Statements) -> None:
    people = [await api.issuer.sign_up(f"Helper{n}") for n in range(10)]
    tasks = [{"title": "x", "assigneeId": people[n % 10].global_id} for n in range(100)]
    await api.data(ada, "{ viewer { id } }")
    statements.clear()
    await api.data(ada, without_people(CREATE_MANY), input={"tasks": tasks})
    assert len(statements) == 2


async def test_to_restore_costs_three_statements_at_most(
    api: Api, ada: Person, bob: Person, statements: Statements
) -> None:
    """Its last event, its assignee, and the task itself."""
    for values, cost in (({}, 2), ({"assigneeId": bob.global_id}, 3)):
        task = await api.create(ada, **values)
        for _ in range(5):
            await api.data(ada, TOGGLE, input={"id": task["id"]})
        await api.data(ada, DELETE, input={"id": task["id"]})
        for expected in (cost, 2):  # the second time it is there
            statements.clear()
            await api.data(ada, without_people(RESTORE), input={"id": task["id"]})
            assert len(statements) == expected, statements


def without_people(mutation: str) -> str:
    """The same, but without owners and assignees, who are read apart."""
    return mutation.replace("owner { id name image }", "").replace("assignee { id name image }", "")
