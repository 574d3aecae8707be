"""What the API says to values that it cannot take: a code, a sentence with the value and the bound, the place."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from graphql_api.relay.ids import GlobalID
from graphql_api.scalars import parse_uuid
from tests.client import CREATE, DELETE, TASK, TOGGLE, UPDATE, Api
from tests.issuer import Person

TASKS = """
    query ($first: Int, $after: String, $last: Int, $before: String, $filter: TaskFilter, $orderBy: [TaskOrder!]) {
      viewer { tasks(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy)
        { nodes { id } } } }
"""
SOME_UUID = "0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f"
NOWHERE = str(GlobalID("Task", SOME_UUID))
NO_USER = str(GlobalID("User", "a\0"))
"""Nobody can have this id, for the database has no such text."""


@pytest.fixture(autouse=True)
async def nothing_changes(api: Api, ada: Person) -> AsyncIterator[dict[str, Any]]:
    """A task of Ada's, which must be there in the end just as it was, and no other."""

    async def rows() -> list[str]:
        return [str(row[0]) for row in await api.issuer.connection.fetch("SELECT tasks::text FROM tasks ORDER BY id")]

    task = await api.create(ada, "As it was")
    before = await rows()
    yield task
    assert await rows() == before


# ---------------------------------------------------------------- reading

CURSOR = "which is not a cursor of this list in this order"


def nested(depth: int) -> dict[str, Any]:
    """A filter of so many levels."""
    return {"completed": True} if depth == 1 else {"not": nested(depth - 1)}


BAD_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"first": 0}, "`first` is 0; it must be from 1 to 100."),
    ({"first": -1}, "`first` is -1; it must be from 1 to 100."),
    ({"first": 101}, "`first` is 101; it must be from 1 to 100."),
    ({"last": 0}, "`last` is 0; it must be from 1 to 100."),
    ({"last": 2**31 - 1}, "`last` is 2147483647; it must be from 1 to 100."),
    ({"first": 1, "last": 2}, "Give `first` or `last`, not both: first is 1 and last is 2."),
    ({"after": ""}, f"`after` is '', {CURSOR}"),
    ({"after": "junk"}, f"`after` is 'junk', {CURSOR}"),
    ({"before": "W10"}, f"`before` is 'W10', {CURSOR}"),
    ({"after": "é\0"}, f"`after` is 'é\\x00', {CURSOR}"),
    ({"after": "a" * 100_000}, f"`after` is '{'a' * 60}…', {CURSOR}"),
    ({"orderBy": [{"field": "TITLE"}, {"field": "TITLE", "direction": "DESC"}]}, "`orderBy` has TITLE 2 times"),
    ({"filter": nested(6)}, "`filter.not.not.not.not.not` is 6 levels deep; a filter has at most 5."),
    (
        {"filter": {"and": [{"completed": True}] * 51}},
        "`filter.and[50].completed` is condition 51; a filter has at most 50.",
    ),
    ({"filter": {"title": {"in": ["a"] * 101}}}, "`filter.title.in` has 101 values; at most 100 are allowed."),
    ({"filter": {"search": "a\0"}}, "`filter.search` has a null character"),
    ({"filter": {"title": {"contains": "\0"}}}, "`filter.title.contains` has a null character"),
    ({"filter": {"assignee": {"eq": "junk"}}}, "`filter.assignee.eq` is 'junk', which is not the ID of a User."),
    ({"filter": {"assignee": {"eq": NO_USER}}}, f"`filter.assignee.eq` is '{NO_USER}', which is not the ID of a User."),
    ({"filter": {"assignee": {"in": [NOWHERE]}}}, f"`filter.assignee.in[0]` is '{NOWHERE}', which is not the ID"),
    ({"filter": {"title": {"nin": ["a", "\0"]}}}, "`filter.title.nin[1]` has a null character"),
    ({"filter": {"dueDate": {"gt": "P9999Y"}}}, "`filter.dueDate.gt` leads out of the years 2 to 9998."),
    ({"filter": {"dueDate": {"gt": "-P9999Y"}}}, "`filter.dueDate.gt` leads out of the years 2 to 9998."),
    ({"filter": {"dueDate": {"gt": "P9999999D"}}}, "`filter.dueDate.gt` leads out of the years 2 to 9998."),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS, ids=lambda value: str(value)[:60])
async def test_an_argument_that_cannot_be_is_refused_at_its_field(
    api: Api, ada: Person, arguments: dict[str, Any], message: str
) -> None:
    [error] = await api.errors(ada, TASKS, **arguments)
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["viewer", "tasks"])
    assert error["message"].startswith(message)


BAD_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"first": 2**31}, "2147483648"),
    ({"first": 1.5}, "1.5"),
    ({"first": "1"}, "'1'"),
    ({"first": True}, "True"),
    ({"after": 1}, "1"),
    ({"filter": []}, "TaskFilter"),
    ({"filter": {"done": True}}, "done"),
    ({"filter": {"status": {"eq": "pending"}}}, "pending"),
    ({"filter": {"dueDate": {"gt": "2026-01-31T09:00:00"}}}, "'2026-01-31T09:00:00'"),
    ({"filter": {"dueDate": {"gt": "2026-02-30T09:00:00Z"}}}, "'2026-02-30T09:00:00Z'"),
    ({"filter": {"dueDate": {"gt": "0001-01-01T00:00:00+23:59"}}}, "'0001-01-01T00:00:00+23:59'"),
    ({"filter": {"dueDate": {"lt": "9999-12-31T23:59:59Z"}}}, "in the years 2 to 9998"),
    ({"filter": {"dueDate": {"gt": "P"}}}, "'P'"),
    ({"filter": {"dueDate": {"gt": "P1.5D"}}}, "'P1.5D'"),
    ({"filter": {"dueDate": {"gt": "P٣D"}}}, "'P٣D'"),
    ({"filter": {"dueDate": {"gt": 7}}}, "7"),
    ({"orderBy": [{"field": "ID"}]}, "ID"),
    ({"orderBy": [{}]}, "field"),
]


@pytest.mark.parametrize(("variables", "shown"), BAD_VALUES, ids=lambda value: str(value)[:60])
async def test_a_variable_of_a_wrong_type_is_refused_before_anything_runs(
    api: Api, ada: Person, variables: dict[str, Any], shown: str
) -> None:
    result = await api.result(ada, TASKS, **variables)
    assert result.keys() == {"errors"}
    [error] = result["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    [name] = variables
    assert f"'${name}'" in error["message"]
    assert shown in error["message"]
    assert "Maybe" not in error["message"]


async def test_a_cursor_of_another_order_is_refused(api: Api, ada: Person) -> None:
    query = "{ viewer { tasks(orderBy: [{ field: TITLE }]) { pageInfo { endCursor } } } }"
    cursor = (await api.data(ada, query))["viewer"]["tasks"]["pageInfo"]["endCursor"]
    order = {"orderBy": [{"field": "TITLE", "direction": "DESC"}]}
    for variables in ({"after": cursor}, {"before": cursor, **order}):
        [error] = await api.errors(ada, TASKS, **variables)
        assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["viewer", "tasks"])
        assert CURSOR in error["message"]


@pytest.mark.parametrize(
    "keys",
    [
        f'0, "{SOME_UUID}"',  # with a space, as no cursor is written
        f'0,"{SOME_UUID.upper()}"',
        f'null,"{SOME_UUID}"',
        "0,null",
        f'true,"{SOME_UUID}"',
        f'0.5,"{SOME_UUID}"',
        f'{2**62},"{SOME_UUID}"',
        f'{-(2**62)},"{SOME_UUID}"',
        f'"2026-01-01","{SOME_UUID}"',
        '0,"1"',
        "0,1",
        "0",
        f'0,"{SOME_UUID}",0',
    ],
)
async def test_a_cursor_that_is_put_together_by_hand_is_refused(api: Api, ada: Person, keys: str) -> None:
    [good, bad] = [
        b64encode(f'["created_at-,id-",{content}]'.encode()).decode() for content in (f'0,"{SOME_UUID}"', keys)
    ]
    await api.data(ada, TASKS, after=good)
    [error] = await api.errors(ada, TASKS, after=bad)
    assert error["code"] == "BAD_USER_INPUT"
    assert CURSOR in error["message"]


async def test_a_cursor_of_events_that_is_put_together_by_hand_is_refused(api: Api, ada: Person) -> None:
    query = "query ($after: String) { viewer { taskEvents(after: $after) { nodes { id } } } }"
    [good, *bad] = [
        b64encode(f'["cursor+",{number}]'.encode()).decode()
        for number in ("0", "-1", "true", "1.5", '"1"', "null", str(2**63))
    ]
    await api.data(ada, query, after=good)
    for cursor in bad:
        [error] = await api.errors(ada, query, after=cursor)
        assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["viewer", "taskEvents"])
        assert CURSOR in error["message"]


@given(cursor=st.text() | st.binary().map(lambda data: data.decode("latin-1")))
@hypothesis_settings(max_examples=100)
async def test_any_text_as_a_cursor_is_refused_or_gives_a_page(api: Api, ada: Person, cursor: str) -> None:
    result = await api.result(ada, TASKS, after=cursor)
    codes = [error["extensions"]["code"] for error in result.get("errors", [])]
    assert codes == ["BAD_USER_INPUT"] or (codes == [] and result["data"]["viewer"]["tasks"]["nodes"] is not None)


# ---------------------------------------------------------------- IDs

NO_TASK = ["", "junk", "\0", "VGFzazo=", str(GlobalID("Task", "1")), str(GlobalID("User", "1")), "a" * 100_000]


@pytest.mark.parametrize("id", NO_TASK, ids=lambda id: repr(id)[:20])
async def test_what_is_no_id_of_a_task_is_refused(api: Api, ada: Person, id: str) -> None:
    [error] = await api.errors(ada, TASK, id=id)
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["task"])
    assert re.fullmatch(r"`id` is '.{0,64}…?', which is not the ID of a Task\.", error["message"])
    for name, mutation in (("updateTask", UPDATE), ("toggleTask", TOGGLE), ("deleteTask", DELETE)):
        patch: dict[str, Any] = {"patch": {}} if name == "updateTask" else {}
        payload = (await api.data(ada, mutation, input={"id": id, **patch}))[name]
        assert [(error["code"], error["path"]) for error in payload["errors"]] == [("INVALID", ["input", "id"])]
        assert payload["task"] is None


async def test_the_task_of_another_person_is_as_if_it_were_not_there(
    api: Api, bob: Person, nothing_changes: dict[str, Any]
) -> None:
    answers = []
    for id in (nothing_changes["id"], NOWHERE):
        assert await api.data(bob, TASK, id=id) == {"task": None}
        assert await api.data(bob, "query ($id: ID!) { node(id: $id) { id } }", id=id) == {"node": None}
        assert await api.data(bob, "query ($id: ID!) { nodes(ids: [$id]) { id } }", id=id) == {"nodes": [None]}
        changes = {
            "updateTask": (UPDATE, {"patch": {"title": "Mine"}}),
            "toggleTask": (TOGGLE, {}),
            "deleteTask": (DELETE, {}),
        }
        answers.append(
            [await api.data(bob, mutation, input={"id": id, **input}) for mutation, input in changes.values()]
        )
        for name, answer in zip(changes, answers[-1], strict=True):
            assert [error["code"] for error in answer[name]["errors"]] == ["NOT_FOUND"]
    assert answers[0] == answers[1]


async def test_malformed_ids_are_null_in_nodes_and_refused_in_node(api: Api, ada: Person) -> None:
    ids = ["junk", "", "\0", str(GlobalID("Secret", "1")), str(GlobalID("Task", "1")), NO_USER]
    assert await api.data(ada, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids) == {"nodes": [None] * 6}
    [error] = await api.errors(ada, '{ node(id: "junk") { id } }')
    assert error == {
        "code": "BAD_USER_INPUT",
        "message": "`id` is 'junk', which is not an ID of this API.",
        "path": ["node"],
    }


async def test_what_is_no_id_of_an_event_is_null(api: Api, ada: Person) -> None:
    [event] = (await api.data(ada, "{ viewer { taskEvents { nodes { id } } } }"))["viewer"]["taskEvents"]["nodes"]
    found = GlobalID.parse(event["id"])
    assert found
    keys = ["", "x", "-1", "²", "٣", f"0{found.key}", f"{found.key} ", str(2**63), "9" * 5_000]
    others = [*(GlobalID("TaskEvent", key) for key in keys), GlobalID("Event", found.key)]
    ids = [event["id"], *map(str, others)]
    data = await api.data(ada, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    assert data == {"nodes": [event, *[None] * len(others)]}


async def test_more_ids_than_100_are_refused(api: Api, ada: Person) -> None:
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    [error] = await api.errors(ada, query, ids=["a"] * 101)
    assert (error["code"], error["message"], error["path"]) == (
        "BAD_USER_INPUT",
        "`ids` has 101 IDs; at most 100 are allowed.",
        ["nodes"],
    )
    answer = await api.result(ada, query, ids=["a"] * 101)
    assert answer["data"] is None  # and not absent, for it was executed


# ---------------------------------------------------------------- changing

NOBODY = str(GlobalID("User", "nobody"))

BAD_TASKS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"title": ""}, "REQUIRED", "title", "`title` is empty"),
    ({"title": " \t\n\u3000"}, "REQUIRED", "title", "`title` is empty"),
    ({"title": "a" * 256}, "TOO_LONG", "title", "`title` has 256 characters; at most 255 are allowed."),
    ({"title": "a\0b"}, "INVALID", "title", "`title` has a null character"),
    (
        {"description": "é" * 1001},
        "TOO_LONG",
        "description",
        "`description` has 1001 characters; at most 1000 are allowed.",
    ),
    ({"description": "\0"}, "INVALID", "description", "`description` has a null character"),
    ({"assigneeId": "junk"}, "INVALID", "assigneeId", "`assigneeId` is 'junk', which is not the ID of a User."),
    ({"assigneeId": NOWHERE}, "INVALID", "assigneeId", f"`assigneeId` is '{NOWHERE}', which is not the ID of a User."),
    ({"assigneeId": NO_USER}, "INVALID", "assigneeId", f"`assigneeId` is '{NO_USER}', which is not the ID of a User."),
    ({"assigneeId": NOBODY}, "INVALID", "assigneeId", "There is no user with this ID."),
]


@pytest.mark.parametrize(("values", "code", "name", "message"), BAD_TASKS, ids=lambda value: repr(value)[:30])
async def test_a_value_that_breaks_a_rule_is_told_and_changes_nothing(
    api: Api, ada: Person, nothing_changes: dict[str, Any], values: dict[str, Any], code: str, name: str, message: str
) -> None:
    created = (await api.data(ada, CREATE, input={"title": "New", **values}))["createTask"]
    change = {"id": nothing_changes["id"], "patch": values}
    updated = (await api.data(ada, UPDATE, input=change))["updateTask"]
    for payload, path in ((created, ["input", name]), (updated, ["input", "patch", name])):
        assert payload["task"] is None
        [error] = payload["errors"]
        assert (error["__typename"], error["code"], error["path"]) == ("ValidationError", code, path)
        assert error["message"].startswith(message)


BAD_INPUTS: list[tuple[dict[str, Any], str]] = [
    ({}, "title"),
    ({"title": None}, "title"),
    ({"title": 1}, "1"),
    ({"title": "New", "userId": "bob"}, "userId"),
    ({"title": "New", "status": "DONE"}, "DONE"),
    ({"title": "New", "status": None}, "status"),
    ({"title": "New", "id": "1"}, "'1' is not a UUID; write it like"),
    ({"title": "New", "id": "{0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f}"}, "is not a UUID; write it like"),
    ({"title": "New", "id": 7}, "7 is not a UUID; write it like"),
    ({"title": "New", "dueDate": "tomorrow"}, "'tomorrow' is not a date and time with an offset"),
    ({"title": "New", "dueDate": "2026-01-31"}, "'2026-01-31' is not a date and time with an offset"),
    ({"title": "New", "dueDate": "2026-01-31T25:00:00Z"}, "is not a date and time with an offset"),
    ({"title": "New", "dueDate": "P1D"}, "'P1D' is not a date and time with an offset"),
]


@pytest.mark.parametrize(("input", "shown"), BAD_INPUTS, ids=lambda value: str(value)[:60])
async def test_an_input_of_a_wrong_type_is_refused_and_changes_nothing(
    api: Api, ada: Person, input: dict[str, Any], shown: str
) -> None:
    result = await api.result(ada, CREATE, input=input)
    assert result.keys() == {"errors"}
    assert {error["extensions"]["code"] for error in result["errors"]} == {"BAD_USER_INPUT"}
    assert any(shown in error["message"] for error in result["errors"]), result["errors"]


BAD_LITERALS = [
    ("id: 7", "7 is not a UUID; write it like"),
    (f"id: {'9' * 4_301}", f"{'9' * 60}… is not a UUID; write it like"),  # of which Python makes no int
    ("id: true", "true is not a UUID; write it like"),
    ('dueDate: "tomorrow"', "'tomorrow' is not a date and time with an offset"),
    ("dueDate: { day: 31 }", "{ day: 31 } is not a date and time with an offset"),
]


@pytest.mark.parametrize(("field", "message"), BAD_LITERALS, ids=lambda value: value[:30])
async def test_a_value_that_the_document_writes_out_is_refused_at_its_place(
    api: Api, ada: Person, field: str, message: str
) -> None:
    query = f'mutation {{ createTask(input: {{ title: "New", {field} }}) {{ task {{ id }} }} }}'
    [error] = (await api.result(ada, query))["errors"]
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert error["message"].startswith(message)
    assert error["locations"] == [{"line": 1, "column": query.index(field) + field.index(":") + 3}]


async def test_a_uuid_with_its_hyphens_elsewhere_is_refused() -> None:
    with pytest.raises(GraphQLError):
        parse_uuid("0190c2ae7a4b-7c3d-9e1f-2a6b5c4d3e2f-")


@pytest.mark.parametrize("version", [-1, 0, 2, 2**31 - 1])
async def test_another_version_is_a_conflict_and_changes_nothing(
    api: Api, ada: Person, nothing_changes: dict[str, Any], version: int
) -> None:
    change = {"id": nothing_changes["id"], "ifVersion": version}
    payload = (await api.data(ada, TOGGLE, input=change))["toggleTask"]
    [error] = payload["errors"]
    assert (error["code"], error["path"]) == ("CONFLICT", ["input", "ifVersion"])
    assert error["current"] == {"id": nothing_changes["id"], "version": 1}


async def test_one_bad_value_in_many_changes_keeps_only_itself_out(api: Api, ada: Person, bob: Person) -> None:
    result = await api.data(
        ada,
        """mutation ($long: String!) {
          a: createTask(input: { title: "" }) { errors { code } }
          b: createTask(input: { title: "Kept", description: $long }) { errors { code } }
        }""",
        long="a" * 1001,
    )
    assert result == {"a": {"errors": [{"code": "REQUIRED"}]}, "b": {"errors": [{"code": "TOO_LONG"}]}}


async def test_nobody_can_change_anything_without_signing_in(api: Api, nothing_changes: dict[str, Any]) -> None:
    id = nothing_changes["id"]
    for mutation, input in ((CREATE, {"title": "x"}), (TOGGLE, {"id": id}), (DELETE, {"id": id})):
        result = await api.result(None, mutation, input=input)
        assert [error["extensions"]["code"] for error in result["errors"]] == ["UNAUTHENTICATED"]
