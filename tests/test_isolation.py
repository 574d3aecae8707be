"""Nobody reads or changes a task of another's, by any way into the graph."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from graphql import GraphQLObjectType
from sqlalchemy import Delete, Select, Update
from sqlalchemy.sql import visitors

from graphql_api import database
from graphql_api.database import IS_SET, Filled, Statement, compiled
from graphql_api.relay import cursors
from graphql_api.relay.ids import GlobalID
from graphql_api.schema import build
from graphql_api.tasks.log import OLDEST_FIRST, TaskLog
from tests.asking import bearer
from tests.client import (
    CREATE,
    CREATE_MANY,
    DELETE,
    DELETE_MANY,
    RESTORE,
    TASK,
    TOGGLE,
    UPDATE,
    UPDATE_MANY,
    Api,
    connected,
    settings,
)
from tests.issuer import Person
from tests.streams import event_stream, listening

WAYS_IN = {
    "Query": {"viewer", "node", "nodes", "task"},
    "Mutation": {
        *("createTask", "updateTask", "toggleTask", "deleteTask", "restoreTask"),
        *("createTasks", "updateTasks", "deleteTasks"),
    },
    "Subscription": {"taskChanged"},
    "Viewer": {"tasks", "assignedTasks", "taskCounts", "taskEvents", "taskEventCursor"},
}
"""Every field that reads or changes tasks; each is tried below with another user's objects."""


def test_every_way_in_is_tried_below() -> None:
    schema = build()
    for name, fields in WAYS_IN.items():
        graphql_type = schema.get_type(name)
        assert isinstance(graphql_type, GraphQLObjectType)
        plain = {"id", "user", "name", "email", "emailVerified", "image", "createdAt"} if name == "Viewer" else set()
        assert graphql_type.fields.keys() - plain == fields


@pytest.fixture(params=["policies and statements", "statements alone"])
async def guards(api: Api, request: pytest.FixtureRequest) -> None:
    """What keeps people apart: the policies of the database, and the WHERE of every statement, which is enough."""
    if request.param == "statements alone":
        for table in ("tasks", "task_events"):
            await api.issuer.connection.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


@pytest.fixture
async def secret(api: Api, bob: Person, guards: None) -> dict[str, Any]:
    """A task that Ada has nothing to do with."""
    return await api.create(bob, "Bob's secret", description="secret words", dueDate="2020-01-01T00:00:00Z")


async def test_reading_by_id(api: Api, ada: Person, secret: dict[str, Any]) -> None:
    assert await api.data(ada, TASK, id=secret["id"]) == {"task": None}
    assert await api.data(ada, "query($id: ID!) { node(id: $id) { id } }", id=secret["id"]) == {"node": None}
    assert await api.data(ada, "query($id: ID!) { nodes(ids: [$id]) { id } }", id=secret["id"]) == {"nodes": [None]}


async def test_people_with_whom_one_shares_no_task(api: Api, ada: Person, bob: Person, secret: dict[str, Any]) -> None:
    assert await api.data(ada, "query($id: ID!) { node(id: $id) { id } }", id=bob.global_id) == {"node": None}


async def test_listing(api: Api, ada: Person, bob: Person, secret: dict[str, Any]) -> None:
    listing = """query($filter: TaskFilter) { viewer {
        tasks(filter: $filter) { totalCount nodes { id } edges { cursor } pageInfo { startCursor } }
        assignedTasks(filter: $filter) { totalCount nodes { id } edges { cursor } pageInfo { startCursor } }
        taskCounts { total overdue }
    } }"""
    empty = {"totalCount": 0, "nodes": [], "edges": [], "pageInfo": {"startCursor": None}}
    filters = [
        {},
        {"or": [{"completed": True}, {"completed": False}]},
        {"not": {"search": "nothing"}},
        {"title": {"contains": "secret"}},
        {"assignee": {"isNull": True}},
        {"assignee": {"eq": bob.global_id}},
    ]
    for task_filter in filters:
        viewer = (await api.data(ada, listing, filter=task_filter))["viewer"]
        assert viewer == {"tasks": empty, "assignedTasks": empty, "taskCounts": {"total": 0, "overdue": 0}}


@pytest.mark.usefixtures("guards")
async def test_a_cursor_of_anothers_list_shows_only_ones_own(api: Api, ada: Person, bob: Person) -> None:
    mine = await api.create(ada, "mine")
    await api.create(bob, "theirs")
    page = await api.data(bob, "{ viewer { tasks { pageInfo { startCursor } } } }")
    cursor = page["viewer"]["tasks"]["pageInfo"]["startCursor"]
    data = await api.data(ada, "query($c: String) { viewer { tasks(after: $c) { nodes { id } } } }", c=cursor)
    assert data["viewer"]["tasks"]["nodes"] == [{"id": mine["id"]}]


@pytest.mark.parametrize("mutation", [UPDATE, TOGGLE, DELETE, RESTORE])
async def test_changing_looks_like_missing(
    api: Api, ada: Person, bob: Person, secret: dict[str, Any], mutation: str
) -> None:
    unknown = str(GlobalID("Task", "0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f"))
    for values in ({},) if mutation is RESTORE else ({}, {"ifVersion": 1}, {"ifVersion": 2}):
        patch = {"patch": {"title": "x"}} if mutation is UPDATE else {}
        theirs = await api.data(ada, mutation, input={"id": secret["id"], **values, **patch})
        missing = await api.data(ada, mutation, input={"id": unknown, **values, **patch})
        assert theirs == missing
    assert await api.data(bob, TASK, id=secret["id"]) == {"task": secret}


@pytest.mark.parametrize("mutation", [UPDATE_MANY, DELETE_MANY])
async def test_changing_many_looks_like_missing(
    api: Api, ada: Person, bob: Person, secret: dict[str, Any], mutation: str
) -> None:
    unknown = str(GlobalID("Task", "0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f"))
    patch = {"patch": {"title": "x"}} if mutation is UPDATE_MANY else {}
    [theirs, missing] = [
        await api.data(ada, mutation, input={"select": {"ids": [id]}, **patch}) for id in (secret["id"], unknown)
    ]
    assert theirs == missing
    for task_filter in ({}, {"title": {"contains": "secret"}}, {"not": {"search": "nothing"}}, {"overdue": True}):
        found = await api.data(ada, mutation, input={"select": {"filter": task_filter}, **patch})
        assert [payload["affected"] for payload in found.values()] == [0]
    assert await api.data(bob, TASK, id=secret["id"]) == {"task": secret}


async def test_a_deleted_task_of_anothers_is_as_if_it_had_never_been(
    api: Api, ada: Person, bob: Person, secret: dict[str, Any]
) -> None:
    await api.data(bob, DELETE, input={"id": secret["id"]})
    unknown = str(GlobalID("Task", "0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f"))
    theirs = await api.data(ada, RESTORE, input={"id": secret["id"]})
    assert theirs == await api.data(ada, RESTORE, input={"id": unknown})
    assert await api.data(ada, TASK, id=secret["id"]) == {"task": None}


EVENTS = "{ viewer { taskEvents { nodes { id cursor taskId changes { field before after } } } } }"


async def events(api: Api, person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.data(person, EVENTS))["viewer"]["taskEvents"]["nodes"]
    return found


async def test_events_of_anothers(api: Api, ada: Person, bob: Person, secret: dict[str, Any]) -> None:
    [event] = await events(api, bob)
    assert await events(api, ada) == []
    assert await api.data(ada, "query($id: ID!) { node(id: $id) { id } }", id=event["id"]) == {"node": None}
    mine = await api.create(ada, "mine")
    query = "query($c: String) { viewer { taskEvents(after: $c) { nodes { taskId } } } }"
    data = await api.data(ada, query, c=event["cursor"])
    assert data["viewer"]["taskEvents"]["nodes"] == [{"taskId": mine["id"]}]


async def test_following_tells_nothing_of_anothers(
    api: Api, ada: Person, bob: Person, secret: dict[str, Any], database_url: str
) -> None:
    [event] = await events(api, bob)
    first = await api.create(ada, "first")  # a cursor beyond the end of one's own log has expired
    async with (
        listening(settings(database_url)) as address,
        event_stream(address, bearer(await api.issuer.token(ada)), after=event["cursor"]) as stream,
    ):
        assert (await stream.event())["taskId"] == first["id"]
        await api.data(bob, UPDATE, input={"id": secret["id"], "patch": {"title": "still secret"}})
        mine = await api.create(ada, "mine")
        assert (await stream.event())["taskId"] == mine["id"]


async def test_following_shows_a_task_only_while_one_sees_it(
    api: Api, ada: Person, bob: Person, secret: dict[str, Any], database_url: str
) -> None:
    for assignee_id in (ada.global_id, None):
        await api.data(bob, UPDATE, input={"id": secret["id"], "patch": {"assigneeId": assignee_id}})
    query = "subscription ($after: String) { taskChanged(after: $after) { taskId task { title } } }"
    authorization = bearer(await api.issuer.token(ada))
    async with (
        listening(settings(database_url)) as address,
        event_stream(address, authorization, query, after=cursors.encode(OLDEST_FIRST, [0])) as stream,
    ):
        for _ in ("assigned", "taken away"):
            assert await stream.event() == {"taskId": secret["id"], "task": None}


async def test_what_was_before_one_sees_a_task_and_after_is_not_told(
    api: Api, ada: Person, bob: Person, secret: dict[str, Any]
) -> None:
    patches = [
        {"title": "for Ada", "assigneeId": ada.global_id},
        {"title": "said to Ada"},
        {"title": "about Ada", "assigneeId": None},
        {"title": "more about Ada"},
    ]
    for patch in patches:
        await api.data(bob, UPDATE, input={"id": secret["id"], "patch": patch})
        history = "query($id: ID!) { task(id: $id) { history { nodes { changes { before after } } } } }"
        told = json.dumps([await events(api, ada), await api.data(ada, history, id=secret["id"])])
        assert "Bob's secret" not in told
        assert "about Ada" not in told
    assert len(await events(api, ada)) == 3


async def test_assigning_does_not_open_the_other_tasks(
    api: Api, ada: Person, bob: Person, secret: dict[str, Any]
) -> None:
    await api.create(bob, "shared", assigneeId=ada.global_id)
    assert await api.data(ada, TASK, id=secret["id"]) == {"task": None}
    data = await api.data(ada, "{ viewer { assignedTasks { nodes { title } } } }")
    assert data["viewer"]["assignedTasks"]["nodes"] == [{"title": "shared"}]


@pytest.mark.usefixtures("guards")
async def test_an_assignee_sets_the_status_and_changes_nothing_else(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(bob, assigneeId=ada.global_id)
    ids = {"select": {"ids": [task["id"]]}}
    for mutation, values in (
        (UPDATE, {"id": task["id"], "patch": {"status": "COMPLETED", "title": "x"}}),
        (DELETE, {"id": task["id"]}),
        (UPDATE_MANY, {**ids, "patch": {"status": "COMPLETED", "title": "x"}}),
        (DELETE_MANY, ids),
    ):
        [payload] = (await api.data(ada, mutation, input=values)).values()
        assert [error["code"] for error in payload["errors"]] == ["FORBIDDEN"]
    assert await api.data(bob, TASK, id=task["id"]) == {"task": task}
    for mutation, values in ((TOGGLE, {"id": task["id"]}), (UPDATE_MANY, {**ids, "patch": {"status": "PENDING"}})):
        [payload] = (await api.data(ada, mutation, input=values)).values()
        assert payload["errors"] == []


FORGETFUL = """query Everything($id: ID!) {
  task(id: $id) { id } node(id: $id) { id } nodes(ids: [$id]) { id }
  viewer {
    tasks(filter: {not: {title: {eq: "none"}}}) { totalCount nodes { id title } }
    assignedTasks { totalCount nodes { id title history { nodes { taskId } } } }
    taskCounts { total }
    taskEvents { nodes { taskId task { id } } }
    taskEventCursor
  }
}"""


SETS_USER = r"WHERE \(SELECT set_config\('app.user_id', [^)]*\) AS \w+\) IS NOT NULL"
SKIPS_NONE = r"OFFSET CAST\(set_config\('app.user_id', [^)]*\) IS NULL AS INTEGER\)$"


@pytest.mark.parametrize("guards", ["policies alone"], indirect=True)
async def test_a_statement_that_forgets_its_where_shows_and_changes_nothing_of_anothers(
    api: Api,
    ada: Person,
    bob: Person,
    secret: dict[str, Any],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = await api.create(ada, "mine")
    forgotten: list[str] = []

    def without_where(statement: Filled) -> tuple[str, list[Any]]:
        shape, values = statement
        if not re.search(r"\b(tasks|task_events)\b", shape.sql):
            return compiled(statement)
        expression: Any = visitors.replacement_traverse(shape.expression, {}, lambda element, **_: None)  # a copy
        for part in visitors.iterate(expression):
            if isinstance(part, Select | Update | Delete):
                part._where_criteria = tuple(one for one in part._where_criteria if one.compare(IS_SET))
        sql, parameters = compiled(Statement(expression)(**values))
        setting = re.findall(SETS_USER, sql)
        assert sql.replace("FILTER (WHERE ", "").count("WHERE ") == len(setting)
        assert setting or re.search(SKIPS_NONE, sql)
        forgotten.append(type(expression).__name__)
        return sql, parameters

    monkeypatch.setattr(database, "compiled", without_where)
    data = await api.data(ada, FORGETFUL, id=secret["id"])
    assert secret["id"] not in json.dumps(data)
    assert data["viewer"]["tasks"] == {"totalCount": 1, "nodes": [{"id": mine["id"], "title": "mine"}]}
    assert data["viewer"]["taskCounts"] == {"total": 1}
    assert data["viewer"]["taskEvents"]["nodes"] == [{"taskId": mine["id"], "task": {"id": mine["id"]}}]
    async with connected(settings(database_url)) as connection:
        [row] = await TaskLog(connection).after(ada.id, 0, 100)
        assert row["now_title"] == "mine"
    for mutation, values in (
        (UPDATE, {"id": secret["id"], "patch": {"title": "x"}}),
        (TOGGLE, {"id": secret["id"]}),
        (DELETE, {"id": secret["id"]}),
        (CREATE, {"title": "x", "id": str(uuid4())}),
        (RESTORE, {"id": secret["id"]}),
        (CREATE_MANY, {"tasks": [{"title": "x", "id": str(uuid4())}]}),
        (UPDATE_MANY, {"select": {"ids": [secret["id"]]}, "patch": {"title": "x"}}),
        (UPDATE_MANY, {"select": {"ids": [secret["id"]]}, "patch": {}}),
        (UPDATE_MANY, {"select": {"filter": {"search": "secret"}}, "patch": {"title": "x"}}),
        (DELETE_MANY, {"select": {"ids": [secret["id"]]}}),
        (DELETE_MANY, {"select": {"filter": {"search": "secret"}}}),
    ):
        assert secret["id"] not in json.dumps(await api.data(ada, mutation, input=values))
    assert set(forgotten) == {"Select", "Update", "Delete", "Insert", "CompoundSelect"}
    monkeypatch.undo()
    assert await api.data(bob, TASK, id=secret["id"]) == {"task": secret}
