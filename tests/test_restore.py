"""Undo: a deleted task comes back as it was."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphql_api.relay.ids import GlobalID
from tests import client
from tests.client import CREATE, DELETE, DELETE_MANY, RESTORE, TASK, TOGGLE, UPDATE, Api, serving
from tests.conftest import until_somebody_waits
from tests.issuer import Issuer, Person

NOT_FOUND = [("NotFoundError", "NOT_FOUND", ["input", "id"])]
SOME_UUID = "0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f"


async def test_a_deleted_task_comes_back_as_it_was(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, "x", description="y", status="COMPLETED", priority="LOW", assigneeId=bob.global_id)
    task = await changed(api, ada, UPDATE, id=task["id"], patch={"dueDate": "2030-01-01T00:00:00Z"})
    assert (await delete(api, ada, task)) == task
    assert await restore(api, ada, task) == task
    assert await api.data(bob, TASK, id=task["id"]) == {"task": task}


async def test_the_restored_edge_fits_into_the_default_list(api: Api, ada: Person) -> None:
    tasks = [await api.create(ada, title) for title in ("old", "back", "new")]
    await delete(api, ada, tasks[1])
    edge = (await answer(api, ada, RESTORE, id=tasks[1]["id"]))["taskEdge"]
    assert edge["node"] == {"id": tasks[1]["id"]}
    listing = "query($c: String) { viewer { tasks(after: $c) { nodes { title } } } }"
    page = await api.data(ada, listing, c=edge["cursor"])
    assert page["viewer"]["tasks"]["nodes"] == [{"title": "old"}]


async def test_to_restore_can_be_repeated(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    assert await restore(api, ada, task) == task  # it was never deleted
    await delete(api, ada, task)
    assert await asyncio.gather(*(restore(api, ada, task) for _ in range(5))) == [task] * 5
    assert await kinds(api, ada, task) == ["created", "deleted", "restored"]


async def test_a_restored_task_can_be_changed_deleted_and_restored_again(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    await delete(api, ada, task)
    await restore(api, ada, task)
    task = await changed(api, ada, TOGGLE, id=task["id"])
    assert task["version"] == 2
    await delete(api, ada, task)
    assert await restore(api, ada, task) == task
    history = ["created", "deleted", "restored", "updated", "deleted", "restored"]
    assert await kinds(api, ada, task) == history


async def test_what_was_deleted_in_bulk_can_be_restored(api: Api, ada: Person) -> None:
    task = await api.create(ada, status="COMPLETED")
    assert (await answer(api, ada, DELETE_MANY, select={"filter": {"completed": True}}))["affected"] == 1
    assert await restore(api, ada, task) == task


async def test_a_task_comes_back_as_it_was_whatever_happened_to_others_since(
    api: Api, ada: Person, bob: Person
) -> None:
    tasks = [await api.create(ada, assigneeId=assignee) for assignee in (bob.global_id, None, ada.global_id)]
    for task in tasks:
        await delete(api, ada, task)
    await api.create(ada, "another")
    for task in tasks:
        assert await restore(api, ada, task) == task


async def test_an_assignee_whose_account_is_gone_is_left_out(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, assigneeId=bob.global_id)
    await delete(api, ada, task)
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', bob.id)
    assert await restore(api, ada, task) == task | {"assignee": None}


async def test_an_assignee_who_goes_in_the_very_moment_is_left_out(
    api: Api, ada: Person, bob: Person, database_url: str
) -> None:
    task = await api.create(ada, assigneeId=bob.global_id)
    await delete(api, ada, task)
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute('DELETE FROM "user" WHERE id = $1', bob.id)
            waiting = asyncio.create_task(restore(api, ada, task))  # it still sees Bob, and waits to be sure
            await until_somebody_waits(api.issuer.connection)
        assert await waiting == task | {"assignee": None}
    finally:
        await other.close()


async def test_an_assignee_of_another_database_is_kept(database_url: str, issuer: Issuer) -> None:
    async with serving(client.settings(database_url)) as first:
        api = Api(first, issuer)
        ada, bob = await api.sign_up("Ada"), await api.sign_up("Bob")
        task = await api.create(ada, assigneeId=bob.global_id)
        await delete(api, ada, task)
    await issuer.connection.execute(
        'ALTER TABLE tasks DROP CONSTRAINT tasks_assigned_to_fkey; DROP TABLE "user" CASCADE'
    )
    async with serving(client.settings(database_url)) as second:
        api.client = second
        assert (await restore(api, ada, task))["assignee"]["id"] == bob.global_id


async def test_what_never_was_is_not_found(api: Api, ada: Person) -> None:
    assert await refusal(api, ada, str(GlobalID("Task", SOME_UUID))) == NOT_FOUND


@pytest.mark.parametrize("id", ["", "junk", SOME_UUID, str(GlobalID("User", SOME_UUID))])
async def test_what_is_no_id_of_a_task_is_refused(api: Api, ada: Person, id: str) -> None:
    assert await refusal(api, ada, id) == [("ValidationError", "INVALID", ["input", "id"])]


async def test_nobody_restores_anothers_task(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, assigneeId=bob.global_id)
    assert await refusal(api, bob, task["id"]) == NOT_FOUND  # it is there, but not his
    await delete(api, ada, task)
    assert await refusal(api, bob, task["id"]) == NOT_FOUND
    assert await refusal(api, await api.sign_up("Eve"), task["id"]) == NOT_FOUND
    assert await restore(api, ada, task) == task


async def test_a_former_assignee_restores_nothing(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, assigneeId=bob.global_id)
    task = await changed(api, ada, UPDATE, id=task["id"], patch={"assigneeId": None})
    await delete(api, ada, task)
    assert await refusal(api, bob, task["id"]) == NOT_FOUND


async def test_what_was_deleted_before_the_log_begins_is_not_found(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    await delete(api, ada, task)
    await api.issuer.connection.execute("DELETE FROM task_events")
    assert await refusal(api, ada, task["id"]) == NOT_FOUND


async def test_an_id_that_another_uses_by_now_cannot_come_back(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada)
    await delete(api, ada, task)
    theirs = await api.create(bob, id=str(key(task)))
    assert await refusal(api, ada, task["id"]) == [("ValidationError", "INVALID", ["input", "id"])]
    assert await api.data(bob, TASK, id=task["id"]) == {"task": theirs}


async def test_a_new_task_under_the_old_id_is_answered_as_it_is(api: Api, ada: Person) -> None:
    task = await api.create(ada, "old")
    await delete(api, ada, task)
    new = await api.create(ada, "new", id=str(key(task)))
    assert await restore(api, ada, task) == new


async def test_nobody_signed_in_restores_nothing(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    await delete(api, ada, task)
    errors = await api.errors(None, RESTORE, input={"id": task["id"]})
    assert [error["code"] for error in errors] == ["UNAUTHENTICATED"]
    assert await api.data(ada, TASK, id=task["id"]) == {"task": None}


async def test_somebody_whose_account_is_gone_restores_nothing(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    await delete(api, ada, task)
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', ada.id)
    errors = await api.errors(ada, RESTORE, input={"id": task["id"]})
    assert [error["code"] for error in errors] == ["UNAUTHENTICATED"]


# ---------------------------------------------------------------- any life of a task

values = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["a", "ü 🦉", "x" * 255]),
        "description": st.sampled_from([None, "b", "tab\there\n'\"\\"]),
        "status": st.sampled_from(["PENDING", "IN_PROGRESS", "COMPLETED"]),
        "priority": st.sampled_from(["LOW", "MEDIUM", "HIGH", "URGENT"]),
        "dueDate": st.sampled_from([None, "0002-01-01T00:00:00Z", "9998-12-31T23:59:59.999999Z"]),
        "assignee": st.sampled_from([None, "Ada", "Bob"]),
    },
)
actions = st.tuples(st.sampled_from(["create", "update", "toggle", "delete", "restore"]), st.integers(0, 1), values)


@given(life=st.lists(actions, max_size=10))
@settings(max_examples=25)
async def test_after_whatever_happened_delete_and_restore_change_nothing(
    api: Api, ada: Person, bob: Person, life: list[tuple[str, int, dict[str, Any]]]
) -> None:
    people = {None: None, "Ada": ada.global_id, "Bob": bob.global_id}
    ids = [uuid4(), uuid4()]
    for action, number, given_values in [("create", 0, {}), *life]:
        columns = dict(given_values)
        if "assignee" in columns:
            columns["assigneeId"] = people[columns.pop("assignee")]
        id = {"id": str(GlobalID("Task", str(ids[number])))}
        match action:
            case "create":
                await answer(api, ada, CREATE, **{"title": "new", **columns, "id": str(ids[number])})
            case "update":
                await answer(api, ada, UPDATE, **id, patch=columns)
            case "toggle":
                await answer(api, bob, TOGGLE, **id)
            case "delete":
                await answer(api, ada, DELETE, **id)
            case "restore":
                await answer(api, ada, RESTORE, **id)
    for uuid in ids:
        task = {"id": str(GlobalID("Task", str(uuid)))}
        if before := await row(api, uuid):
            await delete(api, ada, task)
            assert await row(api, uuid) is None
            await restore(api, ada, task)
            assert await row(api, uuid) == before
            assert (await kinds(api, ada, task))[-2:] == ["deleted", "restored"]


async def row(api: Api, id: UUID) -> dict[str, Any] | None:
    """All columns of a task as they stand in the database."""
    found = await api.issuer.connection.fetchrow("SELECT * FROM tasks WHERE id = $1", id)
    return dict(found) if found else None


async def kinds(api: Api, person: Person, task: dict[str, Any]) -> list[str]:
    """What the person saw happen to the task, one after the other."""
    rows = await api.issuer.connection.fetch(
        "SELECT kind FROM task_events WHERE user_id = $1 AND task_id = $2 ORDER BY cursor", person.id, key(task)
    )
    return [row["kind"] for row in rows]


async def answer(api: Api, person: Person, mutation: str, **values: Any) -> Any:
    """The payload of one mutation."""
    [payload] = (await api.data(person, mutation, input=values)).values()
    return payload


async def changed(api: Api, person: Person, mutation: str, **values: Any) -> dict[str, Any]:
    """The task as a mutation leaves it that goes well."""
    payload = await answer(api, person, mutation, **values)
    assert payload["errors"] == []
    task: dict[str, Any] = payload["task"]
    return task


async def delete(api: Api, person: Person, task: dict[str, Any]) -> dict[str, Any]:
    return await changed(api, person, DELETE, id=task["id"])


async def restore(api: Api, person: Person, task: dict[str, Any]) -> dict[str, Any]:
    return await changed(api, person, RESTORE, id=task["id"])


async def refusal(api: Api, person: Person, id: str) -> list[tuple[str, str, list[str]]]:
    """Type, code and path of every error when nothing is restored."""
    payload = await answer(api, person, RESTORE, id=id)
    assert (payload["task"], payload["taskEdge"]) == (None, None)
    assert all(error["message"].endswith(".") for error in payload["errors"])
    return [(error["__typename"], error["code"], error["path"]) for error in payload["errors"]]


def key(task: dict[str, Any]) -> UUID:
    """The UUID in a task's ID."""
    found = GlobalID.parse(task["id"])
    assert found
    return UUID(found.key)
