"""Creating, changing and deleting many tasks in one call."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from graphql_api import database
from graphql_api.relay.ids import GlobalID
from tests.client import CREATE_MANY, DELETE_MANY, TASK, UPDATE_MANY, Api
from tests.conftest import until_somebody_waits
from tests.issuer import Person

UNKNOWN = str(GlobalID("Task", "0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f"))
MANY = "INSERT INTO tasks (user_id, title) SELECT $1, 'task ' || n FROM generate_series(1, $2::int) n"


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else who works in the same database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


# ---------------------------------------------------------------- createTasks


async def test_new_tasks_are_answered_in_the_order_of_the_input(api: Api, ada: Person, bob: Person) -> None:
    tasks: list[dict[str, Any]] = [{"title": f" task {n} "} for n in range(98)]  # and two more
    tasks.insert(50, {"title": "full", "description": "x", "status": "COMPLETED", "priority": "URGENT"})
    tasks.insert(60, {"title": "Bob's", "assigneeId": bob.global_id, "dueDate": "2030-01-01T00:00:00Z"})
    made = await create(api, ada, tasks)
    assert [task["title"] for task in made] == [task["title"].strip() for task in tasks]
    full, shared = made[50], made[60]
    assert (full["description"], full["status"], full["completed"]) == ("x", "COMPLETED", True)
    assert (full["priority"], full["version"], full["owner"]["id"]) == ("URGENT", 1, ada.global_id)
    assert (shared["assignee"]["name"], shared["dueDate"]) == ("Bob", "2030-01-01T00:00:00Z")
    assert await api.data(bob, TASK, id=shared["id"]) == {"task": shared}


async def test_new_tasks_are_listed_as_if_created_one_after_the_other(api: Api, ada: Person) -> None:
    await create(api, ada, [{"title": f"task {n}"} for n in range(9)])
    assert await titles(api, ada) == [f"task {n}" for n in reversed(range(9))]


async def test_no_tasks_at_all_are_none(api: Api, ada: Person) -> None:
    assert await create(api, ada, []) == []


async def test_every_broken_rule_of_every_task_is_told_and_none_is_created(api: Api, ada: Person) -> None:
    id = str(uuid4())
    tasks: list[dict[str, Any]] = [
        {"title": "good", "id": id},
        {"title": " ", "description": "x" * 1001},
        {"title": "good too"},
        {"title": "x" * 256, "assigneeId": "nobody", "id": id},
    ]
    assert await refusal(api, ada, CREATE_MANY, tasks=tasks) == [
        ("REQUIRED", ["input", "tasks", "1", "title"]),
        ("TOO_LONG", ["input", "tasks", "1", "description"]),
        ("INVALID", ["input", "tasks", "3", "id"]),
        ("TOO_LONG", ["input", "tasks", "3", "title"]),
        ("INVALID", ["input", "tasks", "3", "assigneeId"]),
    ]
    assert await titles(api, ada) == []


async def test_an_id_that_a_call_has_twice_is_refused_with_the_place_of_the_first(api: Api, ada: Person) -> None:
    task = {"title": "x", "id": str(uuid4())}
    payload = await answer(api, ada, CREATE_MANY, tasks=[{"title": "x"}, task, task])
    [error] = payload["errors"]
    assert (error["message"], error["path"]) == (
        "`id` is that of task 1 of this call; give each its own.",
        ["input", "tasks", "2", "id"],
    )


async def test_every_assignee_who_is_nobody_is_told(api: Api, ada: Person, bob: Person) -> None:
    nobody = str(GlobalID("User", "nobody"))
    assignees = [nobody, bob.global_id, None, nobody]
    tasks = [{"title": "x", "assigneeId": id} for id in assignees]
    assert await refusal(api, ada, CREATE_MANY, tasks=tasks) == [
        ("INVALID", ["input", "tasks", "0", "assigneeId"]),
        ("INVALID", ["input", "tasks", "3", "assigneeId"]),
    ]
    assert await titles(api, ada) == []


async def test_more_than_100_new_tasks_are_refused_with_their_number(api: Api, ada: Person) -> None:
    payload = await answer(api, ada, CREATE_MANY, tasks=[{"title": ""}] * 101)
    [error] = payload["errors"]
    assert (error["code"], error["path"]) == ("LIMIT_EXCEEDED", ["input", "tasks"])
    assert error["message"] == "`tasks` has 101 tasks; at most 100 are allowed."
    assert payload["tasks"] == []


async def test_the_same_batch_again_gives_the_same_tasks(api: Api, ada: Person, bob: Person) -> None:
    tasks = [{"title": f"task {n}", "id": str(uuid4()), "assigneeId": bob.global_id} for n in range(5)]
    made = await create(api, ada, tasks)
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', bob.id)
    again = await create(api, ada, [{**task, "title": "other"} for task in tasks] + [{"title": "new"}])
    assert [task["id"] for task in again[:5]] == [task["id"] for task in made]
    assert [task["title"] for task in again] == [*(f"task {n}" for n in range(5)), "new"]
    assert len(await titles(api, ada)) == 6


async def test_the_same_batch_twice_at_once_creates_it_once(api: Api, ada: Person) -> None:
    tasks = [{"title": "x", "id": str(uuid4())} for _ in range(50)]
    first, *others = await asyncio.gather(
        *(create(api, ada, order) for order in (tasks, tasks[::-1], tasks, tasks[::-1]))
    )
    for made in others:
        assert sorted(task["id"] for task in made) == sorted(task["id"] for task in first)
    assert len(await titles(api, ada)) == 50


async def test_an_id_of_anothers_task_keeps_all_from_being_created(api: Api, ada: Person, bob: Person) -> None:
    taken, assigned = [await api.create(bob, id=str(uuid4()), **to) for to in ({}, {"assigneeId": ada.global_id})]
    ids = [None, str(uuid4()), key(taken), key(assigned)]
    assert await refusal(api, ada, CREATE_MANY, tasks=[{"title": "mine", "id": id} for id in ids]) == [
        ("INVALID", ["input", "tasks", "2", "id"]),
        ("INVALID", ["input", "tasks", "3", "id"]),
    ]
    assert await titles(api, ada) == []


# ---------------------------------------------------------------- by ids


async def test_a_patch_by_ids_changes_them_all_and_answers_in_their_order(api: Api, ada: Person, bob: Person) -> None:
    tasks = [await api.create(ada, f"task {n}") for n in range(3)]
    ids = [tasks[n]["id"] for n in (2, 0, 1)]
    payload = await answer(
        api, ada, UPDATE_MANY, select={"ids": ids}, patch={"priority": "HIGH", "assigneeId": bob.global_id}
    )
    assert (payload["affected"], payload["errors"]) == (3, [])
    assert [task["id"] for task in payload["tasks"]] == ids
    for task in payload["tasks"]:
        assert (task["priority"], task["assignee"]["id"], task["version"]) == ("HIGH", bob.global_id, 2)
        assert await api.data(ada, TASK, id=task["id"]) == {"task": task}


async def test_tasks_that_cannot_be_changed_are_reported_and_the_rest_go_through(
    api: Api, ada: Person, bob: Person
) -> None:
    mine, last = await api.create(ada), await api.create(ada)
    secret, shared = await api.create(bob), await api.create(bob, assigneeId=ada.global_id)
    ids = [mine["id"], UNKNOWN, secret["id"], shared["id"], "junk", mine["id"], last["id"]]
    faults = [
        ("NOT_FOUND", ["input", "select", "ids", "1"]),
        ("NOT_FOUND", ["input", "select", "ids", "2"]),
        ("FORBIDDEN", ["input", "select", "ids", "3"]),
        ("INVALID", ["input", "select", "ids", "4"]),
    ]
    updated = await answer(api, ada, UPDATE_MANY, select={"ids": ids}, patch={"title": "new"})
    assert [(error["code"], error["path"]) for error in updated["errors"]] == faults
    assert [(task["id"], task["title"], task["version"]) for task in updated["tasks"]] == [
        (mine["id"], "new", 2),
        (last["id"], "new", 2),
    ]
    assert updated["affected"] == 2
    deleted = await answer(api, ada, DELETE_MANY, select={"ids": ids})
    assert [(error["code"], error["path"]) for error in deleted["errors"]] == faults
    assert (deleted["deletedTaskIds"], deleted["affected"]) == ([mine["id"], last["id"]], 2)
    assert await titles(api, ada) == []
    for task in (secret, shared):
        assert await api.data(bob, TASK, id=task["id"]) == {"task": task}


async def test_an_assignee_sets_the_status_of_many(api: Api, ada: Person, bob: Person) -> None:
    ids = [(await api.create(ada, assigneeId=bob.global_id))["id"], (await api.create(bob))["id"]]
    for patch in ({"status": "IN_PROGRESS"}, {"status": "COMPLETED", "completed": True}):
        payload = await answer(api, bob, UPDATE_MANY, select={"ids": ids}, patch=patch)
        assert (payload["affected"], payload["errors"]) == (2, [])
        assert {task["status"] for task in payload["tasks"]} == {patch["status"]}


@pytest.mark.parametrize(("mutation", "values"), [("update", {"patch": {"completed": True}}), ("delete", {})])
async def test_more_than_100_ids_are_refused_with_their_number(
    api: Api, ada: Person, mutation: str, values: dict[str, Any]
) -> None:
    task = await api.create(ada)
    ids = [task["id"], *(str(GlobalID("Task", str(uuid4()))) for _ in range(100))]
    query = {"update": UPDATE_MANY, "delete": DELETE_MANY}[mutation]
    payload = await answer(api, ada, query, select={"ids": ids}, **values)
    [error] = payload["errors"]
    assert (error["code"], error["path"]) == ("LIMIT_EXCEEDED", ["input", "select", "ids"])
    assert error["message"] == "`ids` has 101 IDs; at most 100 are allowed."
    assert payload["affected"] == 0
    assert await api.data(ada, TASK, id=task["id"]) == {"task": task}


async def test_no_ids_at_all_are_no_tasks(api: Api, ada: Person) -> None:
    await api.create(ada)
    nothing = {"errors": [], "affected": 0}
    assert await answer(api, ada, UPDATE_MANY, select={"ids": []}, patch={"completed": True}) == {
        **nothing,
        "tasks": [],
    }
    assert await answer(api, ada, DELETE_MANY, select={"ids": []}) == {**nothing, "deletedTaskIds": []}
    assert len(await titles(api, ada)) == 1


# ---------------------------------------------------------------- by filter


async def test_toggle_all_is_one_call(api: Api, ada: Person, bob: Person) -> None:
    done = await api.create(ada, "done", status="COMPLETED")
    for n in range(3):
        await api.create(ada, f"open {n}")
    theirs = await api.create(bob, assigneeId=ada.global_id)
    payload = await answer(api, ada, UPDATE_MANY, select={"filter": {"completed": False}}, patch={"completed": True})
    assert (payload["affected"], payload["errors"]) == (3, [])
    assert [(task["completed"], task["version"]) for task in payload["tasks"]] == [(True, 2)] * 3
    ids = [task["id"] for task in payload["tasks"]]
    assert ids == sorted(ids, key=lambda id: GlobalID.parse(id) or id)
    assert await api.data(ada, TASK, id=done["id"]) == {"task": done}
    assert await api.data(ada, TASK, id=theirs["id"]) == {"task": theirs}


async def test_clear_completed_is_one_call(api: Api, ada: Person, bob: Person) -> None:
    gone = sorted([(await api.create(ada, status="COMPLETED"))["id"] for _ in range(3)])
    await api.create(ada, "open")
    theirs = await api.create(bob, status="COMPLETED", assigneeId=ada.global_id)
    payload = await answer(api, ada, DELETE_MANY, select={"filter": {"completed": True}})
    assert (sorted(payload["deletedTaskIds"]), payload["affected"], payload["errors"]) == (gone, 3, [])
    assert await titles(api, ada) == ["open"]
    assert await api.data(ada, TASK, id=theirs["id"]) == {"task": theirs}


@pytest.mark.parametrize("mutation", ["update", "delete"])
async def test_a_filter_reaches_1000_tasks_and_not_one_more(api: Api, ada: Person, mutation: str) -> None:
    patch = {"patch": {"priority": "LOW"}}
    query, values = (UPDATE_MANY, patch) if mutation == "update" else (DELETE_MANY, {})
    query = query.replace("...Everything", "id").split("fragment")[0]
    await api.issuer.connection.execute(MANY, ada.id, 1001)
    payload = await answer(api, ada, query, select={"filter": {}}, **values)
    [error] = payload["errors"]
    assert (error["code"], error["path"]) == ("LIMIT_EXCEEDED", ["input", "select", "filter"])
    assert "1000" in error["message"]
    assert payload["affected"] == 0
    assert await versions(api) == {1: 1001}
    payload = await answer(api, ada, query, select={"filter": {"title": {"neq": "task 7"}}}, **values)
    assert (payload["affected"], payload["errors"]) == (1000, [])
    assert await versions(api) == ({1: 1, 2: 1000} if mutation == "update" else {1: 1})


async def test_an_assignee_can_be_taken_from_all_that_a_filter_finds(api: Api, ada: Person, bob: Person) -> None:
    await api.create(ada, assigneeId=bob.global_id)
    select = {"filter": {"assignee": {"eq": bob.global_id}}}
    payload = await answer(api, ada, UPDATE_MANY, select=select, patch={"assigneeId": None})
    assert [task["assignee"] for task in payload["tasks"]] == [None]


async def test_a_filter_that_nothing_passes_changes_nothing(api: Api, ada: Person) -> None:
    select = {"filter": {"search": "nothing"}}
    payload = await answer(api, ada, UPDATE_MANY, select=select, patch={"completed": True})
    assert payload == {"tasks": [], "affected": 0, "errors": []}


# ---------------------------------------------------------------- what both share


@pytest.mark.parametrize("by", ["ids", "filter"])
async def test_an_empty_patch_changes_nothing_and_answers_the_tasks(api: Api, ada: Person, by: str) -> None:
    tasks = [await api.create(ada) for _ in range(2)]
    select: dict[str, Any] = {"ids": [task["id"] for task in tasks]} if by == "ids" else {"filter": {}}
    payload = await answer(api, ada, UPDATE_MANY, select=select, patch={})
    assert sorted(payload["tasks"], key=lambda task: task["createdAt"]) == tasks
    assert (payload["affected"], payload["errors"]) == (2, [])


async def test_a_bad_patch_and_a_bad_filter_are_both_told(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    select = {"filter": {"or": [{"completed": True}, {"title": {"in": ["x"] * 101}}]}}
    patch = {"title": "", "status": "PENDING", "completed": True}
    in_filter = ("INVALID", ["input", "select", "filter", "or", "1", "title", "in"])
    in_patch = [("REQUIRED", ["input", "patch", "title"]), ("INVALID", ["input", "patch", "completed"])]
    assert await refusal(api, ada, UPDATE_MANY, select=select, patch=patch) == [in_filter, *in_patch]
    assert await refusal(api, ada, UPDATE_MANY, select={"ids": [task["id"]]}, patch=patch) == in_patch
    assert await refusal(api, ada, DELETE_MANY, select=select) == [in_filter]
    of_whom = {"filter": {"assignee": {"in": [ada.global_id, "junk"]}}}
    in_list = ("INVALID", ["input", "select", "filter", "assignee", "in", "1"])
    assert await refusal(api, ada, DELETE_MANY, select=of_whom) == [in_list]
    nobody = {"assigneeId": str(GlobalID("User", "nobody"))}
    refused = await refusal(api, ada, UPDATE_MANY, select={"filter": {}}, patch=nobody)
    assert refused == [("INVALID", ["input", "patch", "assigneeId"])]
    assert await api.data(ada, TASK, id=task["id"]) == {"task": task}


@pytest.mark.parametrize(
    "select", [{}, {"ids": None}, {"filter": None}, {"ids": [], "filter": {}}, {"ids": [], "filter": None}]
)
async def test_a_selection_is_either_ids_or_a_filter(api: Api, ada: Person, select: dict[str, Any]) -> None:
    await api.create(ada)
    [error] = await api.errors(ada, DELETE_MANY, input={"select": select})
    assert error["code"] == "BAD_USER_INPUT"
    literal = str(select).replace("'", "").replace("None", "null")
    response = await api.post(f"mutation {{ deleteTasks(input: {{ select: {literal} }}) {{ affected }} }}")
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert len(await titles(api, ada)) == 1


async def test_the_schema_says_that_a_selection_is_one_of(api: Api) -> None:
    data = await api.data(None, '{ __type(name: "TaskSelection") { isOneOf } }')
    assert data == {"__type": {"isOneOf": True}}


@pytest.mark.parametrize("mutation", [CREATE_MANY, UPDATE_MANY, DELETE_MANY])
async def test_nobody_signed_in_changes_nothing(api: Api, ada: Person, mutation: str) -> None:
    await api.create(ada)
    select: dict[str, Any] = {"select": {"filter": {}}}
    values = {CREATE_MANY: {"tasks": [{"title": "x"}]}, UPDATE_MANY: {**select, "patch": {"title": "x"}}}
    errors = await api.errors(None, mutation, input=values.get(mutation, select))
    assert [error["code"] for error in errors] == ["UNAUTHENTICATED"]
    assert await titles(api, ada) == ["Something to do"]


async def test_somebody_whose_account_is_gone_creates_nothing(api: Api, ada: Person) -> None:
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', ada.id)
    errors = await api.errors(ada, CREATE_MANY, input={"tasks": [{"title": "x"}]})
    assert [error["code"] for error in errors] == ["UNAUTHENTICATED"]


# ---------------------------------------------------------------- several at once


async def test_toggle_all_twice_at_once_changes_each_task_once(api: Api, ada: Person) -> None:
    await api.issuer.connection.execute(MANY, ada.id, 200)
    select = {"filter": {"completed": False}}
    payloads = await asyncio.gather(
        *(answer(api, ada, UPDATE_MANY, select=select, patch={"completed": True}) for _ in range(4))
    )
    assert sum(payload["affected"] for payload in payloads) == 200
    assert await versions(api) == {2: 200}


async def test_the_same_ids_the_other_way_round_at_once_do_not_lock_each_other_out(
    api: Api, ada: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [task["id"] for task in await create(api, ada, [{"title": "x", "assigneeId": bob.global_id}] * 100)]
    monkeypatch.setattr(database, "UNDONE", ())  # a deadlock would show
    payloads = await asyncio.gather(
        *(
            answer(api, person, UPDATE_MANY, select={"ids": order}, patch={"status": status})
            for person, order, status in [
                (ada, ids, "COMPLETED"),
                (bob, ids[::-1], "IN_PROGRESS"),
                (ada, ids[::-1], "PENDING"),
                (bob, ids[50:] + ids[:50], "COMPLETED"),
            ]
        )
    )
    assert [(payload["affected"], payload["errors"]) for payload in payloads] == [(100, [])] * 4


async def test_a_task_that_is_finished_meanwhile_is_left_alone(
    api: Api, ada: Person, other: asyncpg.Connection
) -> None:
    task = await api.create(ada)
    select = {"filter": {"completed": False}}
    async with other.transaction():
        await other.execute("UPDATE tasks SET completed = true")
        waiting = asyncio.create_task(answer(api, ada, UPDATE_MANY, select=select, patch={"title": "late"}))
        await until_somebody_waits(api.issuer.connection)
    assert (await waiting)["affected"] == 0  # what waited for a lock has looked again
    assert (await api.data(ada, TASK, id=task["id"]))["task"]["title"] == task["title"]


@pytest.mark.parametrize("by", ["ids", "filter"])
async def test_tasks_are_locked_in_the_order_of_their_ids(
    api: Api, ada: Person, other: asyncpg.Connection, by: str
) -> None:
    ids = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(8)]
    tasks = [await api.create(ada, id=id) for id in reversed(ids)]
    select: dict[str, Any] = {"ids": [task["id"] for task in tasks]} if by == "ids" else {"filter": {}}
    async with other.transaction():
        await other.execute("UPDATE tasks SET priority = 'high' WHERE id = $1::text::uuid", ids[4])
        waiting = asyncio.create_task(answer(api, ada, UPDATE_MANY, select=select, patch={"completed": True}))
        await until_somebody_waits(api.issuer.connection)
        free = await api.issuer.connection.fetch("SELECT id::text FROM tasks FOR UPDATE SKIP LOCKED")
    assert sorted(row["id"] for row in free) == ids[5:]
    assert (await waiting)["affected"] == 8


async def test_new_tasks_are_made_in_the_order_of_their_ids(api: Api, ada: Person, other: asyncpg.Connection) -> None:
    ids = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(8)]
    insert = "INSERT INTO tasks (id, user_id, title) VALUES ($1::text::uuid, $2, 'x')"
    await api.issuer.connection.execute("SET lock_timeout = '20ms'")
    async with other.transaction():
        await other.execute(insert, ids[4], ada.id)
        waiting = asyncio.create_task(create(api, ada, [{"title": "x", "id": id} for id in reversed(ids)]))
        await until_somebody_waits(api.issuer.connection)
        for id in ids[:5]:
            with pytest.raises(asyncpg.LockNotAvailableError):
                await api.issuer.connection.execute(insert, id, ada.id)
        for id in ids[5:]:
            await api.issuer.connection.execute(insert, id, ada.id)
    assert [key(task) for task in await waiting] == ids[::-1]


async def test_a_deadlock_with_somebody_else_is_tried_again(api: Api, ada: Person, other: asyncpg.Connection) -> None:
    first, second, third = sorted([key(await api.create(ada)) for _ in range(3)])
    touch = "UPDATE tasks SET priority = 'high' WHERE id = $1::text::uuid"
    select = {"ids": [str(GlobalID("Task", id)) for id in (first, second, third)]}
    async with other.transaction():
        await other.execute("SET LOCAL deadlock_timeout = '1h'")  # who looks for a circle is the one to be ended
        await other.execute(touch, third)
        async with api.issuer.connection.transaction():
            await api.issuer.connection.execute(touch, second)
            waiting = asyncio.create_task(answer(api, ada, UPDATE_MANY, select=select, patch={"completed": True}))
            await until_somebody_waits(api.issuer.connection)
            touched = asyncio.create_task(other.execute(touch, first))
            await until_somebody_waits(api.issuer.connection, 2)
        await touched
    payload = await waiting
    assert (payload["affected"], payload["errors"]) == (3, [])
    assert [(task["completed"], task["priority"]) for task in payload["tasks"]] == [(True, "HIGH")] * 3


async def answer(api: Api, person: Person, mutation: str, **values: Any) -> Any:
    """The payload of one mutation."""
    [payload] = (await api.data(person, mutation, input=values)).values()
    assert all(error["message"].endswith(".") for error in payload["errors"])
    return payload


async def refusal(api: Api, person: Person, mutation: str, **values: Any) -> list[tuple[str, list[str]]]:
    """Code and path of every error of a mutation that changes nothing."""
    payload = await answer(api, person, mutation, **values)
    assert not payload.get("affected")
    assert not payload.get("tasks")
    assert {error["__typename"] for error in payload["errors"]} == {"ValidationError"}
    return [(error["code"], error["path"]) for error in payload["errors"]]


async def create(api: Api, person: Person, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    payload = await answer(api, person, CREATE_MANY, tasks=tasks)
    assert payload["errors"] == []
    made: list[dict[str, Any]] = payload["tasks"]
    return made


async def titles(api: Api, person: Person) -> list[str]:
    """Titles of the tasks that the person owns, newest first."""
    data = await api.data(person, "{ viewer { tasks(first: 100) { nodes { title } } } }")
    return [task["title"] for task in data["viewer"]["tasks"]["nodes"]]


async def versions(api: Api) -> dict[int, int]:
    """How many tasks have each version, whoever owns them."""
    rows = await api.issuer.connection.fetch("SELECT version, count(*) FROM tasks GROUP BY version")
    return {row["version"]: row["count"] for row in rows}


def key(task: dict[str, Any]) -> str:
    """The UUID in a task's ID."""
    found = GlobalID.parse(task["id"])
    assert found
    return found.key
