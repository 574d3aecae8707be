"""The viewer, nodes, people, counts."""

from base64 import b64encode

import pytest

from graphql_api.relay.ids import GlobalID
from tests.client import TASK, Api
from tests.issuer import Person

NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Task { title } ... on User { name } } }"
NODE = "query($id: ID!) { node(id: $id) { __typename id } }"
SOME_UUID = "0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f"


async def test_nobody_signed_in_has_no_viewer(api: Api) -> None:
    assert await api.data(None, "{ viewer { id } }") == {"viewer": None}


@pytest.mark.parametrize("field", ['task(id: "%s") { id }', 'node(id: "%s") { id }', 'nodes(ids: ["%s"]) { id }'])
async def test_nobody_signed_in_reads_nothing(api: Api, ada: Person, field: str) -> None:
    task = await api.create(ada)
    [error] = await api.errors(None, f"{{ {field % task['id']} }}")
    assert error["code"] == "UNAUTHENTICATED"


async def test_the_viewer_is_the_better_auth_user(api: Api, ada: Person) -> None:
    data = await api.data(ada, "{ viewer { id name email emailVerified image createdAt user { id name image } } }")
    viewer = data["viewer"]
    assert viewer["id"] == str(GlobalID("Viewer", ada.id))
    assert (viewer["name"], viewer["email"], viewer["emailVerified"], viewer["image"]) == ("Ada", ada.email, True, None)
    assert viewer["createdAt"].endswith("Z")
    assert viewer["user"] == {"id": ada.global_id, "name": "Ada", "image": None}


async def test_the_viewer_shows_the_table_not_the_token(api: Api, ada: Person) -> None:
    await api.issuer.connection.execute("""UPDATE "user" SET name = 'Countess', image = 'https://x.test/a.png'""")
    data = await api.data(ada, "{ viewer { name image } }")
    assert data == {"viewer": {"name": "Countess", "image": "https://x.test/a.png"}}


async def test_an_empty_address_is_no_picture(api: Api, ada: Person) -> None:
    await api.issuer.connection.execute("UPDATE \"user\" SET image = ''")
    data = await api.data(ada, "{ viewer { image user { image } } }")
    assert data == {"viewer": {"image": None, "user": {"image": None}}}


async def test_the_viewer_of_a_deleted_account_is_signed_out(api: Api, ada: Person) -> None:
    await api.issuer.connection.execute('DELETE FROM "user"')
    [error] = await api.errors(ada, "{ viewer { name } }")
    assert error["code"] == "UNAUTHENTICATED"


async def test_nodes_come_in_order_with_null_for_what_is_missing(api: Api, ada: Person, bob: Person) -> None:
    mine, shared = await api.create(ada, "mine"), await api.create(bob, "shared", assigneeId=ada.global_id)
    theirs = await api.create(bob, "theirs")
    viewer = str(GlobalID("Viewer", ada.id))
    ids = [shared["id"], theirs["id"], "garbage", viewer, bob.global_id, str(GlobalID("Task", SOME_UUID)), mine["id"]]
    data = await api.data(ada, NODES, ids=ids)
    assert data["nodes"] == [
        {"__typename": "Task", "id": shared["id"], "title": "shared"},
        None,
        None,
        {"__typename": "Viewer", "id": viewer},
        {"__typename": "User", "id": bob.global_id, "name": "Bob"},
        None,
        {"__typename": "Task", "id": mine["id"], "title": "mine"},
    ]


async def test_nodes_are_at_most_100(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    assert len((await api.data(ada, NODES, ids=[task["id"]] * 100))["nodes"]) == 100
    [error] = await api.errors(ada, NODES, ids=[task["id"]] * 101)
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["nodes"])
    assert "101" in error["message"]
    assert "100" in error["message"]


async def test_a_node_of_nobodys_is_null_and_a_malformed_id_an_error(api: Api, ada: Person) -> None:
    assert await api.data(ada, NODE, id=str(GlobalID("Task", SOME_UUID))) == {"node": None}
    assert await api.data(ada, NODE, id=str(GlobalID("Viewer", "someone"))) == {"node": None}
    [error] = await api.errors(ada, NODE, id="garbage")
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["node"])


async def test_an_id_of_one_type_never_gives_another(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    found = GlobalID.parse(task["id"])
    assert found is not None
    for name in ("User", "Viewer", "TaskConnection", "task", "TASK"):
        assert await api.data(ada, NODE, id=str(GlobalID(name, found.key))) == {"node": None}
    [error] = await api.errors(ada, TASK, id=str(GlobalID("User", found.key)))
    assert error["code"] == "BAD_USER_INPUT"


async def test_a_stranger_cannot_be_looked_up(api: Api, ada: Person, bob: Person) -> None:
    assert await api.data(ada, NODE, id=bob.global_id) == {"node": None}
    await api.create(bob, "shared", assigneeId=ada.global_id)
    assert await api.data(ada, NODE, id=bob.global_id) == {"node": {"__typename": "User", "id": bob.global_id}}
    assert await api.data(bob, NODE, id=ada.global_id) == {"node": {"__typename": "User", "id": ada.global_id}}


async def test_a_task_is_overdue_from_its_due_date_until_it_is_completed(api: Api, ada: Person) -> None:
    past, future = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    for due_date, status, overdue in (
        (past, "PENDING", True),
        (past, "IN_PROGRESS", True),
        (past, "COMPLETED", False),
        (future, "PENDING", False),
        (None, "PENDING", False),
    ):
        task = await api.create(ada, dueDate=due_date, status=status)
        assert (await api.data(ada, TASK, id=task["id"]))["task"]["overdue"] == task["overdue"] == overdue


async def test_counts_are_of_the_viewers_own_tasks(api: Api, ada: Person, bob: Person) -> None:
    await api.create(ada, dueDate="2020-01-01T00:00:00Z")
    await api.create(ada, status="IN_PROGRESS", dueDate="2999-01-01T00:00:00Z")
    await api.create(ada, status="COMPLETED", dueDate="2020-01-01T00:00:00Z")
    await api.create(bob, assigneeId=ada.global_id)
    data = await api.data(ada, "{ viewer { taskCounts { total pending inProgress completed overdue } } }")
    assert data["viewer"]["taskCounts"] == {"total": 3, "pending": 1, "inProgress": 1, "completed": 1, "overdue": 1}


async def test_assigned_tasks_are_those_of_others(api: Api, ada: Person, bob: Person) -> None:
    await api.create(ada, "own", assigneeId=ada.global_id)
    await api.create(bob, "bob's", assigneeId=ada.global_id)
    data = await api.data(ada, "{ viewer { assignedTasks { totalCount nodes { title owner { name } } } } }")
    assert data["viewer"]["assignedTasks"] == {"totalCount": 1, "nodes": [{"title": "bob's", "owner": {"name": "Bob"}}]}


async def test_an_owner_without_a_user_row_is_unknown(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(bob, assigneeId=ada.global_id)
    await api.issuer.connection.execute("ALTER TABLE tasks DROP CONSTRAINT tasks_user_id_fkey")
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', bob.id)
    data = await api.data(ada, "query($id: ID!) { task(id: $id) { owner { id name } } }", id=task["id"])
    assert data["task"]["owner"] == {"id": bob.global_id, "name": "Unknown user"}
    assert await api.data(ada, NODE, id=bob.global_id) == {"node": {"__typename": "User", "id": bob.global_id}}


async def test_another_way_to_write_the_id_of_a_task_is_none(api: Api, ada: Person) -> None:
    id = (await api.create(ada))["id"]
    key = GlobalID.parse(id).key  # type: ignore[union-attr]
    ways = {
        "in upper case": str(GlobalID("Task", key.upper())),
        "without hyphens": str(GlobalID("Task", key.replace("-", ""))),
        "without its type": b64encode(key.encode()).decode(),
        "without padding": id.rstrip("="),
        "with bits that say nothing": f"{id[:-2]}{chr(ord(id[-2]) + 1)}=",
        "with more behind": f"{id}\n",
    }
    fields = " ".join(f"a{n}: task(id: $a{n}) {{ id }}" for n in range(len(ways)))
    types = ", ".join(f"$a{n}: ID!" for n in range(len(ways)))
    query = f"query ($right: ID!, {types}) {{ {fields} right: task(id: $right) {{ id }} }}"
    result = await api.result(ada, query, right=id, **{f"a{n}": way for n, way in enumerate(ways.values())})
    assert result["data"] == {**dict.fromkeys(f"a{n}" for n in range(len(ways))), "right": {"id": id}}
    assert [error["extensions"]["code"] for error in result["errors"]] == ["BAD_USER_INPUT"] * len(ways)
