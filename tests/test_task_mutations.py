"""Creating, changing, toggling and deleting tasks."""

import asyncio
import time
from typing import Any
from uuid import RFC_4122, UUID, uuid4

import pytest

from graphql_api.relay.ids import GlobalID
from tests.client import CREATE, DELETE, TASK, TOGGLE, UPDATE, Api
from tests.conftest import until_somebody_waits
from tests.issuer import Person

SOME_UUID = "0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f"
NOT_FOUND = [("NotFoundError", "NOT_FOUND", ["input", "id"])]


async def test_a_new_task_has_the_given_values_and_the_defaults(api: Api, ada: Person) -> None:
    task = await api.create(ada, "  Buy milk ", description=" oat ", dueDate="2026-12-01T09:00:00+01:00")
    assert task["title"] == "Buy milk"
    assert task["description"] == "oat"
    assert task["dueDate"] == "2026-12-01T08:00:00Z"
    assert (task["status"], task["completed"], task["priority"]) == ("PENDING", False, "MEDIUM")
    assert (task["version"], task["completedAt"], task["overdue"]) == (1, None, False)
    assert task["owner"] == {"id": ada.global_id, "name": "Ada", "image": None}
    assert task["assignee"] is None
    assert await api.data(ada, TASK, id=task["id"]) == {"task": task}


async def test_an_id_that_the_server_makes_is_a_uuid_of_version_7_of_this_moment(api: Api, ada: Person) -> None:
    before = time.time_ns() // 1_000_000
    found = GlobalID.parse((await api.create(ada))["id"])
    assert found is not None
    id = UUID(found.key)
    assert (id.version, id.variant) == (7, RFC_4122)
    assert before <= id.int >> 80 <= time.time_ns() // 1_000_000


async def test_the_new_edge_fits_into_the_default_list(api: Api, ada: Person) -> None:
    for title in ("old", "new"):
        payload = (await api.data(ada, CREATE, input={"title": title}))["createTask"]
    page = await api.data(
        ada, "query($c: String) { viewer { tasks(after: $c) { nodes { title } } } }", c=payload["taskEdge"]["cursor"]
    )
    assert page["viewer"]["tasks"]["nodes"] == [{"title": "old"}]


async def test_the_same_chosen_id_again_answers_with_the_task_that_exists(api: Api, ada: Person) -> None:
    id = str(uuid4())
    first = await api.create(ada, "first", id=id)
    again = await api.create(ada, "again", id=id, description="other")
    assert again == first


async def test_a_retry_gets_its_task_even_when_the_assignee_has_gone(api: Api, ada: Person, bob: Person) -> None:
    values = {"id": str(uuid4()), "assigneeId": bob.global_id}
    first = await api.create(ada, **values)
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', bob.id)
    assert (await api.create(ada, **values))["id"] == first["id"]


async def test_an_assignee_whose_account_goes_in_the_very_moment_is_refused(api: Api, ada: Person, bob: Person) -> None:
    database = api.issuer.connection
    leaving = database.transaction()
    await leaving.start()
    await database.execute('DELETE FROM "user" WHERE id = $1', bob.id)
    creating = asyncio.create_task(refusal(api, ada, CREATE, title="for Bob", assigneeId=bob.global_id))
    await until_somebody_waits(database)
    await leaving.commit()
    assert await creating == [("ValidationError", "INVALID", ["input"])]


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "0001-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
)
async def test_a_moment_at_either_end_of_time_is_refused(api: Api, ada: Person, moment: str) -> None:
    response = await api.post(CREATE, {"input": {"title": "x", "dueDate": moment}})
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "years 2 to 9998" in error["message"]


@pytest.mark.parametrize("moment", ["0002-01-01T00:00:00Z", "9998-12-31T23:59:59.999999Z"])
async def test_the_first_and_the_last_moment_can_be_kept(api: Api, ada: Person, moment: str) -> None:
    task = await api.create(ada, dueDate=moment)
    assert task["dueDate"] == moment
    assert await api.data(ada, TASK, id=task["id"]) == {"task": task}


async def test_the_id_of_anothers_task_cannot_be_chosen(api: Api, ada: Person, bob: Person) -> None:
    id = str(uuid4())
    await api.create(bob, "Bob's", id=id)
    assert await refusal(api, ada, CREATE, title="mine", id=id) == [("ValidationError", "INVALID", ["input", "id"])]


async def test_every_broken_rule_is_told(api: Api, ada: Person) -> None:
    values = {"title": " ", "description": "x" * 1001, "assigneeId": "nobody"}
    assert await refusal(api, ada, CREATE, **values) == [
        ("ValidationError", "REQUIRED", ["input", "title"]),
        ("ValidationError", "TOO_LONG", ["input", "description"]),
        ("ValidationError", "INVALID", ["input", "assigneeId"]),
    ]


@pytest.mark.parametrize("title", ["x" * 255, "ü" * 255, "🦉" * 255, "  " + "x" * 255 + "\n"])
async def test_a_title_may_have_255_characters(api: Api, ada: Person, title: str) -> None:
    assert (await api.create(ada, title))["title"] == title.strip()


@pytest.mark.parametrize(
    ("title", "code"),
    [
        ("", "REQUIRED"),
        (" \t\n\u2003", "REQUIRED"),
        ("x" * 256, "TOO_LONG"),
        ("🦉" * 256, "TOO_LONG"),
        ("a\x00b", "INVALID"),
    ],
)
async def test_a_bad_title_is_refused(api: Api, ada: Person, title: str, code: str) -> None:
    expected = [("ValidationError", code, ["input", "title"])]
    assert await refusal(api, ada, CREATE, title=title) == expected
    task = await api.create(ada)
    patched = await refusal(api, ada, UPDATE, id=task["id"], patch={"title": title})
    assert patched == [("ValidationError", code, ["input", "patch", "title"])]
    assert await api.data(ada, TASK, id=task["id"]) == {"task": task}


async def test_a_description_of_nothing_but_space_is_none(api: Api, ada: Person) -> None:
    assert (await api.create(ada, description=" \n "))["description"] is None


async def test_a_patch_changes_what_is_given_and_keeps_the_rest(api: Api, ada: Person) -> None:
    task = await api.create(ada, description="keep", dueDate="2026-12-01T00:00:00Z")
    changed = await update(api, ada, task, title="New", priority="URGENT")
    assert changed == task | {"title": "New", "priority": "URGENT", "version": 2, "updatedAt": changed["updatedAt"]}
    assert changed["updatedAt"] > task["updatedAt"]


async def test_null_clears(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, description="x", dueDate="2026-12-01T00:00:00Z", assigneeId=bob.global_id)
    changed = await update(api, ada, task, description=None, dueDate=None, assigneeId=None)
    assert (changed["description"], changed["dueDate"], changed["assignee"]) == (None, None, None)


@pytest.mark.parametrize("field", ["title", "status", "completed", "priority"])
async def test_what_must_be_there_cannot_be_null(api: Api, ada: Person, field: str) -> None:
    task = await api.create(ada)
    expected = [("ValidationError", "REQUIRED", ["input", "patch", field])]
    assert await refusal(api, ada, UPDATE, id=task["id"], patch={field: None}) == expected


@pytest.mark.parametrize("patch", [{}, {"title": "Something to do"}, {"completed": False}, {"status": "PENDING"}])
async def test_a_patch_without_a_change_is_no_change(api: Api, ada: Person, patch: dict[str, Any]) -> None:
    task = await api.create(ada)
    assert await update(api, ada, task, **patch) == task


async def test_status_and_completed_stay_together(api: Api, ada: Person) -> None:
    task = await api.create(ada, status="IN_PROGRESS")
    done = await update(api, ada, task, completed=True)
    assert (done["status"], done["completed"]) == ("COMPLETED", True)
    assert done["completedAt"] == done["updatedAt"]
    begun = await update(api, ada, task, status="IN_PROGRESS")
    assert (begun["status"], begun["completed"], begun["completedAt"]) == ("IN_PROGRESS", False, None)


@pytest.mark.parametrize(("status", "completed"), [("COMPLETED", False), ("PENDING", True), ("IN_PROGRESS", True)])
async def test_a_contradiction_is_refused(api: Api, ada: Person, status: str, completed: bool) -> None:
    task = await api.create(ada)
    patch = {"status": status, "completed": completed}
    expected = [("ValidationError", "INVALID", ["input", "patch", "completed"])]
    assert await refusal(api, ada, UPDATE, id=task["id"], patch=patch) == expected


async def test_toggle_turns_around(api: Api, ada: Person) -> None:
    task = await api.create(ada, status="IN_PROGRESS")
    done = await toggle(api, ada, task)
    assert (done["status"], done["completed"], done["version"]) == ("COMPLETED", True, 2)
    reopened = await toggle(api, ada, task)
    assert (reopened["status"], reopened["completedAt"], reopened["version"]) == ("PENDING", None, 3)


async def test_toggle_to_a_state_can_be_repeated(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    done = await toggle(api, ada, task, completed=True)
    assert await toggle(api, ada, task, completed=True) == done


async def test_a_deleted_task_is_answered_as_it_was_and_gone(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    payload = (await api.data(ada, DELETE, input={"id": task["id"]}))["deleteTask"]
    assert payload == {"deletedTaskId": task["id"], "task": task, "errors": []}
    assert await api.data(ada, TASK, id=task["id"]) == {"task": None}
    assert await refusal(api, ada, DELETE, id=task["id"]) == NOT_FOUND


@pytest.mark.parametrize(
    ("mutation", "values"), [(UPDATE, {"patch": {"title": "x"}}), (UPDATE, {"patch": {}}), (TOGGLE, {}), (DELETE, {})]
)
async def test_a_change_since_the_version_seen_is_a_conflict(
    api: Api, ada: Person, mutation: str, values: dict[str, Any]
) -> None:
    task = await api.create(ada)
    await toggle(api, ada, task)
    payload = await answer(api, ada, mutation, id=task["id"], ifVersion=1, **values)
    [error] = payload["errors"]
    assert (error["__typename"], error["code"], error["path"]) == ("ConflictError", "CONFLICT", ["input", "ifVersion"])
    assert error["current"] == {"id": task["id"], "version": 2}
    assert payload["task"] is None
    assert (await answer(api, ada, mutation, id=task["id"], ifVersion=2, **values))["errors"] == []


async def test_an_assignee_sees_toggles_and_sets_the_status(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, assigneeId=bob.global_id)
    assert await api.data(bob, TASK, id=task["id"]) == {"task": task}
    assert (await update(api, bob, task, status="IN_PROGRESS"))["status"] == "IN_PROGRESS"
    assert (await toggle(api, bob, task))["completed"] is True
    assert (await update(api, bob, task, status="PENDING", completed=False))["completed"] is False


@pytest.mark.parametrize("patch", [{"title": "x"}, {"status": "COMPLETED", "priority": "LOW"}, {"assigneeId": None}])
async def test_the_rest_is_the_owners(api: Api, ada: Person, bob: Person, patch: dict[str, Any]) -> None:
    task = await api.create(ada, assigneeId=bob.global_id)
    forbidden = [("ForbiddenError", "FORBIDDEN", ["input", "id"])]
    assert await refusal(api, bob, UPDATE, id=task["id"], patch=patch) == forbidden
    assert await refusal(api, bob, DELETE, id=task["id"]) == forbidden
    assert await api.data(ada, TASK, id=task["id"]) == {"task": task}


async def test_a_former_assignee_sees_it_no_more(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, assigneeId=bob.global_id)
    await update(api, ada, task, assigneeId=None)
    assert await api.data(bob, TASK, id=task["id"]) == {"task": None}
    assert await refusal(api, bob, TOGGLE, id=task["id"]) == NOT_FOUND


@pytest.mark.parametrize("id", ["", "nobody", str(GlobalID("User", "unknown")), str(GlobalID("Task", SOME_UUID))])
async def test_a_task_cannot_be_assigned_to_nobody(api: Api, ada: Person, id: str) -> None:
    task = await api.create(ada)
    expected = [("ValidationError", "INVALID", ["input", "assigneeId"])]
    assert await refusal(api, ada, CREATE, title="x", assigneeId=id) == expected
    expected = [("ValidationError", "INVALID", ["input", "patch", "assigneeId"])]
    assert await refusal(api, ada, UPDATE, id=task["id"], patch={"assigneeId": id}) == expected


@pytest.mark.parametrize("id", ["", "1", SOME_UUID, str(GlobalID("Task", "1")), str(GlobalID("User", SOME_UUID))])
async def test_what_is_no_id_of_a_task_is_refused(api: Api, ada: Person, id: str) -> None:
    expected = [("ValidationError", "INVALID", ["input", "id"])]
    assert await refusal(api, ada, UPDATE, id=id, patch={"title": "x"}) == expected
    assert await refusal(api, ada, TOGGLE, id=id) == expected
    assert await refusal(api, ada, DELETE, id=id) == expected


async def test_two_who_change_at_once_get_one_conflict(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    values = {"id": task["id"], "ifVersion": 1}
    payloads = await asyncio.gather(*(answer(api, ada, UPDATE, patch={"title": f"t{n}"}, **values) for n in range(8)))
    assert sorted(len(payload["errors"]) for payload in payloads) == [0, 1, 1, 1, 1, 1, 1, 1]


async def test_mutations_of_one_document_run_one_after_the_other(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    toggles = " ".join(f"t{n}: toggleTask(input: {{id: $id}}) {{ task {{ version completed }} }}" for n in range(4))
    data = await api.data(ada, f"mutation($id: ID!) {{ {toggles} }}", id=task["id"])
    assert [(t["task"]["version"], t["task"]["completed"]) for t in data.values()] == [
        (2, True),
        (3, False),
        (4, True),
        (5, False),
    ]


async def test_what_a_mutation_answers_is_no_older_than_itself(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    history = "task { title version history { nodes { kind task { id title version } } } }"
    data = await api.data(
        ada,
        f"""mutation($id: ID!) {{
            a: updateTask(input: {{id: $id, patch: {{title: "one"}}}}) {{ {history} }}
            b: updateTask(input: {{id: $id, patch: {{title: "two"}}}}) {{ {history} }}
            c: deleteTask(input: {{id: $id}}) {{ {history} }}
            d: restoreTask(input: {{id: $id}}) {{ {history} }}
        }}""",
        id=task["id"],
    )
    kinds = ["CREATED", "UPDATED", "UPDATED", "DELETED", "RESTORED"]
    for number, title in enumerate(["one", "two", None, "two"]):
        nodes = data["abcd"[number]]["task"]["history"]["nodes"]
        assert [node["kind"] for node in reversed(nodes)] == kinds[: number + 2]
        assert {node["task"] and node["task"]["title"] for node in nodes} == {title}


@pytest.mark.parametrize("mutation", [CREATE, UPDATE, TOGGLE, DELETE])
async def test_nobody_signed_in_changes_nothing(api: Api, ada: Person, mutation: str) -> None:
    task = await api.create(ada)
    values = {CREATE: {"title": "x"}, UPDATE: {"id": task["id"], "patch": {"title": "x"}}}
    errors = await api.errors(None, mutation, input=values.get(mutation, {"id": task["id"]}))
    assert [error["code"] for error in errors] == ["UNAUTHENTICATED"]
    assert await api.data(ada, TASK, id=task["id"]) == {"task": task}


async def test_somebody_whose_account_is_gone_creates_nothing(api: Api, ada: Person) -> None:
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', ada.id)
    errors = await api.errors(ada, CREATE, input={"title": "x"})
    assert [error["code"] for error in errors] == ["UNAUTHENTICATED"]


async def answer(api: Api, person: Person, mutation: str, **values: Any) -> Any:
    """The payload of one mutation."""
    [payload] = (await api.data(person, mutation, input=values)).values()
    return payload


async def refusal(api: Api, person: Person, mutation: str, **values: Any) -> list[tuple[str, str, list[str]]]:
    """Type, code and path of every error of a mutation that changes nothing."""
    payload = await answer(api, person, mutation, **values)
    assert payload["task"] is None
    assert all(error["message"].endswith(".") for error in payload["errors"])
    return [(error["__typename"], error["code"], error["path"]) for error in payload["errors"]]


async def update(api: Api, person: Person, task: dict[str, Any], **patch: Any) -> dict[str, Any]:
    payload = await answer(api, person, UPDATE, id=task["id"], patch=patch)
    assert payload["errors"] == []
    changed: dict[str, Any] = payload["task"]
    return changed


async def toggle(api: Api, person: Person, task: dict[str, Any], **values: Any) -> dict[str, Any]:
    payload = await answer(api, person, TOGGLE, id=task["id"], **values)
    assert payload["errors"] == []
    changed: dict[str, Any] = payload["task"]
    return changed
