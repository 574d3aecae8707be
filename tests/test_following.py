"""What those who follow their tasks get to see, whoever changed them and by whatever route."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from graphql_api.relay import cursors
from graphql_api.tasks.log import OLDEST_FIRST
from tests.asking import bearer
from tests.client import CREATE_MANY, DELETE, DELETE_MANY, RESTORE, TOGGLE, UPDATE, UPDATE_MANY, Api
from tests.issuer import Issuer, Person
from tests.streams import EventStream, Server, Socket, asking, event_cursor, event_stream, socket

FIELDS = "cursor kind taskId task { title version } changes { field before after } actor { name }"
FOLLOW = f"subscription ($after: String) {{ taskChanged(after: $after) {{ {FIELDS} }} }}"
EVENTS = f"""query ($first: Int, $after: String) {{ viewer {{ taskEvents(first: $first, after: $after) {{
    nodes {{ {FIELDS} }} pageInfo {{ hasNextPage hasPreviousPage endCursor }}
}} }} }}"""
TRANSPORTS = ["WebSocket", "event stream"]


@pytest.fixture
async def api(running: Server, issuer: Issuer) -> AsyncIterator[Api]:
    async with asking(running, issuer) as api:
        yield api


class Followers:
    """Opens streams on one server, by one transport."""

    def __init__(self, server: Server, issuer: Issuer, transport: str) -> None:
        self.server = server
        self.issuer = issuer
        self.transport = transport

    @asynccontextmanager
    async def of(self, person: Person, after: str | None) -> AsyncIterator[Socket | EventStream]:
        """What this person sees happen after the cursor."""
        token = await self.issuer.token(person)
        if self.transport == "WebSocket":
            async with socket(self.server.address, token) as client:
                await client.subscribe(FOLLOW, after=after)
                yield client
        else:
            async with event_stream(self.server.address, bearer(token), FOLLOW, after=after) as stream:
                yield stream

    async def seen(self, person: Person, after: str, until_title: str = "the end") -> list[dict[str, Any]]:
        """All that happened after the cursor, until a task of this title is made."""
        seen = []
        async with self.of(person, after) as stream:
            while not is_the_end(event := await stream.event(), until_title):
                seen.append(event)
        return seen


def is_the_end(event: dict[str, Any], title: str = "the end") -> bool:
    return {"field": "title", "before": None, "after": title} in event["changes"]


@pytest.fixture(params=TRANSPORTS)
def followers(request: pytest.FixtureRequest, running: Server, issuer: Issuer) -> Followers:
    return Followers(running, issuer, request.param)


@pytest.fixture
def following(running: Server, issuer: Issuer) -> Followers:
    """By one transport, for what does not depend on it."""
    return Followers(running, issuer, "WebSocket")


def brief(event: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Kind, title of the task as it stands, and who did it."""
    return event["kind"], event["task"] and event["task"]["title"], event["actor"] and event["actor"]["name"]


def change(field: str, before: str | None, after: str | None) -> dict[str, str | None]:
    return {"field": field, "before": before, "after": after}


# ---------------------------------------------------------------- what happens


async def test_every_change_through_the_api_arrives_once(followers: Followers, api: Api, ada: Person) -> None:
    async with followers.of(ada, await event_cursor(api, ada)) as stream:
        task = await api.create(ada, "milk")
        created = await stream.event()
        assert brief(created) == ("CREATED", "milk", "Ada")
        assert created["taskId"] == task["id"]
        assert change("title", None, "milk") in created["changes"]

        await api.data(ada, UPDATE, input={"id": task["id"], "patch": {"title": "oat milk", "priority": "HIGH"}})
        updated = await stream.event()
        assert brief(updated) == ("UPDATED", "oat milk", "Ada")
        assert updated["task"]["version"] == 2
        assert updated["changes"] == [change("title", "milk", "oat milk"), change("priority", "MEDIUM", "HIGH")]

        done = await api.data(ada, TOGGLE, input={"id": task["id"]})
        toggled = await stream.event()
        assert brief(toggled) == ("UPDATED", "oat milk", "Ada")
        assert toggled["changes"] == [
            change("status", "PENDING", "COMPLETED"),
            change("completed", "false", "true"),
            change("completedAt", None, done["toggleTask"]["task"]["completedAt"]),
        ]

        await api.data(ada, DELETE, input={"id": task["id"]})
        deleted = await stream.event()
        assert brief(deleted) == ("DELETED", None, "Ada")
        assert deleted["taskId"] == task["id"]
        assert change("title", "oat milk", None) in deleted["changes"]

        await api.data(ada, RESTORE, input={"id": task["id"]})
        restored = await stream.event()
        assert brief(restored) == ("RESTORED", "oat milk", "Ada")
        assert restored["taskId"] == task["id"]
        assert restored["task"]["version"] == 3
        cursors = [event["cursor"] for event in (created, updated, toggled, deleted, restored)]
        assert len(set(cursors)) == 5
        await api.create(ada, "the end")
        assert is_the_end(await stream.event())


async def test_bulk_changes_arrive_one_by_one(following: Followers, api: Api, ada: Person) -> None:
    after = await event_cursor(api, ada)
    made = await api.data(ada, CREATE_MANY, input={"tasks": [{"title": title} for title in ("a", "b", "c")]})
    ids = [task["id"] for task in made["createTasks"]["tasks"]]
    await api.data(ada, UPDATE_MANY, input={"select": {"filter": {}}, "patch": {"completed": True}})
    await api.data(ada, DELETE_MANY, input={"select": {"ids": ids[:2]}})
    await api.create(ada, "the end")
    seen = await following.seen(ada, after)
    assert [event["kind"] for event in seen] == ["CREATED"] * 3 + ["UPDATED"] * 3 + ["DELETED"] * 2
    for kinds in (seen[:3], seen[3:6]):
        assert sorted(event["taskId"] for event in kinds) == sorted(ids)
    assert sorted(event["taskId"] for event in seen[6:]) == sorted(ids[:2])
    assert {event["actor"]["name"] for event in seen} == {"Ada"}


async def test_what_others_do_in_the_database_arrives_as_well(
    followers: Followers, api: Api, ada: Person, bob: Person
) -> None:
    execute = api.issuer.connection.execute
    async with followers.of(ada, await event_cursor(api, ada)) as stream:
        await execute("INSERT INTO tasks (user_id, title) VALUES ($1, 'raw'), ($2, 'not hers')", ada.id, bob.id)
        assert brief(await stream.event()) == ("CREATED", "raw", None)
        await execute("UPDATE tasks SET title = 'cooked', status = 'completed'")
        assert brief(await stream.event()) == ("UPDATED", "cooked", None)
        await execute("UPDATE tasks SET title = 'cooked'")  # changes nothing
        async with api.issuer.connection.transaction():
            await execute("UPDATE tasks SET title = 'never'")
            await execute("SAVEPOINT s")
            await execute("DELETE FROM tasks")
            await execute("ROLLBACK TO s")
            await execute("UPDATE tasks SET title = 'raw again'")
        twice = [await stream.event() for _ in range(2)]
        assert [brief(event) for event in twice] == [("UPDATED", "raw again", None)] * 2  # as it stands now
        assert [event["changes"] for event in twice] == [
            [change("title", "cooked", "never")],
            [change("title", "never", "raw again")],
        ]
        await execute("DELETE FROM tasks")
        assert brief(await stream.event()) == ("DELETED", None, None)
        await execute("INSERT INTO tasks (user_id, title) VALUES ($1, 'the end')", ada.id)
        assert is_the_end(await stream.event())


async def test_every_value_is_told_as_text(following: Followers, api: Api, ada: Person, bob: Person) -> None:
    after = await event_cursor(api, ada)
    due = "2031-02-03T04:05:06+02:00"
    task = await api.create(ada, "all of it", description="d", dueDate=due, priority="URGENT", assigneeId=bob.global_id)
    patch = {"description": None, "dueDate": None, "status": "IN_PROGRESS", "assigneeId": None}
    await api.data(ada, UPDATE, input={"id": task["id"], "patch": patch})
    await api.create(ada, "the end")
    created, updated = await following.seen(ada, after)
    values = {found["field"]: found["after"] for found in created["changes"]}
    assert {found["before"] for found in created["changes"]} == {None}
    assert values == {
        "title": "all of it",
        "description": "d",
        "status": "PENDING",
        "completed": "false",
        "priority": "URGENT",
        "dueDate": "2031-02-03T02:05:06Z",
        "owner": ada.global_id,
        "assignee": bob.global_id,
        "createdAt": task["createdAt"],
    }
    assert task["dueDate"] == values["dueDate"]
    assert updated["changes"] == [
        change("description", "d", None),
        change("status", "PENDING", "IN_PROGRESS"),
        change("dueDate", "2031-02-03T02:05:06Z", None),
        change("assignee", bob.global_id, None),
    ]


# ---------------------------------------------------------------- who sees what


async def test_who_is_assigned_sees_the_task_come_and_go(
    followers: Followers, api: Api, ada: Person, bob: Person
) -> None:
    task = await api.create(ada, "to share")
    start = await event_cursor(api, bob)
    await api.data(ada, UPDATE, input={"id": task["id"], "patch": {"title": "shared"}})

    async def assign(person: Person | None) -> None:
        patch = {"assigneeId": person and person.global_id}
        await api.data(ada, UPDATE, input={"id": task["id"], "patch": patch})

    async with followers.of(bob, start) as stream:
        await assign(bob)
        came = await stream.event()
        assert brief(came) == ("UPDATED", "shared", "Ada")
        assert {found["before"] for found in came["changes"]} == {None}
        told = {found["field"]: found["after"] for found in came["changes"]}
        assert told["title"] == "shared"
        assert (told["owner"], told["assignee"]) == (ada.global_id, bob.global_id)

        await api.data(ada, UPDATE, input={"id": task["id"], "patch": {"title": "for Bob"}})
        assert (await stream.event())["changes"] == [change("title", "shared", "for Bob")]

        await assign(None)
        went = await stream.event()
        assert brief(went) == ("UPDATED", None, "Ada")
        assert {found["after"] for found in went["changes"]} == {None}
        assert change("title", "for Bob", None) in went["changes"]

        await api.data(ada, UPDATE, input={"id": task["id"], "patch": {"title": "no longer Bob's"}})
        await api.data(ada, DELETE, input={"id": task["id"]})
        await api.create(bob, "the end")
        assert is_the_end(await stream.event())

    again = await followers.seen(bob, start)
    assert [event["cursor"] for event in again] == [came["cursor"], again[1]["cursor"], went["cursor"]]
    assert [event["task"] for event in again] == [None] * 3  # as it stands now: out of sight
    assert not [event for event in again if "no longer" in str(event)]
    assert await followers.seen(bob, went["cursor"]) == []


async def test_who_is_assigned_sees_the_task_deleted_and_restored(
    following: Followers, api: Api, ada: Person, bob: Person
) -> None:
    task = await api.create(ada, "shared", assigneeId=bob.global_id)
    after = await event_cursor(api, bob)
    await api.data(ada, DELETE, input={"id": task["id"]})
    await api.data(ada, RESTORE, input={"id": task["id"]})
    await api.create(bob, "the end")
    deleted, restored = await following.seen(bob, after)
    assert brief(deleted) == ("DELETED", "shared", "Ada")  # it is there again
    assert change("title", "shared", None) in deleted["changes"]
    assert brief(restored) == ("RESTORED", "shared", "Ada")
    assert change("assignee", None, bob.global_id) in restored["changes"]


async def test_nobody_sees_the_events_of_others_whichever_cursor_they_have(
    followers: Followers, api: Api, ada: Person, bob: Person
) -> None:
    start = await event_cursor(api, bob)
    async with followers.of(ada, await event_cursor(api, ada)) as of_ada:
        task = await api.create(bob, "Bob's secret")
        await api.data(bob, UPDATE, input={"id": task["id"], "patch": {"title": "still secret"}})
        of_bob = (await api.data(bob, EVENTS))["viewer"]["taskEvents"]["nodes"]
        await api.data(bob, DELETE, input={"id": task["id"]})
        await api.create(ada, "the end")
        assert is_the_end(await of_ada.event())
    for cursor in (start, *(event["cursor"] for event in of_bob)):
        assert await followers.seen(ada, cursor) == []
        page = await api.data(ada, EVENTS, after=cursor)
        assert [is_the_end(event) for event in page["viewer"]["taskEvents"]["nodes"]] == [True]


# ---------------------------------------------------------------- cursors


async def test_after_a_cursor_comes_first_what_was_missed_and_then_what_happens(
    followers: Followers, api: Api, ada: Person
) -> None:
    after, titles, seen = await event_cursor(api, ada), [], []
    for batch in range(4):
        for n in range(3):
            titles.append(f"{batch}, missed {n}")
            await api.create(ada, titles[-1])
        async with followers.of(ada, after) as stream:
            for n in range(3):
                titles.append(f"{batch}, live {n}")
                await api.create(ada, titles[-1])
            seen += [await stream.event() for _ in range(5)]  # leaves before the last
            after = seen[-1]["cursor"]
    await api.create(ada, "the end")
    seen += await followers.seen(ada, after)
    assert [event["task"]["title"] for event in seen] == titles


async def test_a_stream_goes_on_where_another_transport_has_left(
    running: Server, api: Api, ada: Person, issuer: Issuer
) -> None:
    after, seen = await event_cursor(api, ada), []
    for n in range(6):
        await api.create(ada, f"{n}")
    for n in range(6):
        async with Followers(running, issuer, TRANSPORTS[n % 2]).of(ada, after) as stream:
            seen.append(await stream.event())
            after = seen[-1]["cursor"]
    assert [event["task"]["title"] for event in seen] == list("012345")


async def test_without_a_cursor_comes_only_what_is_new(followers: Followers, api: Api, ada: Person) -> None:
    for n in range(3):
        await api.create(ada, f"old {n}")
    async with followers.of(ada, None) as stream:
        # nobody is told when the stream has begun: so many are made that the last of them come for sure
        made = 0
        while not followers.server.followed:
            await api.create(ada, f"{made}")
            made += 1
        for _ in range(20):
            await api.create(ada, f"{made}")
            made += 1
        first = int((await stream.event())["task"]["title"])
        assert [(await stream.event())["task"]["title"] for _ in range(made - 1 - first)] == [
            str(n) for n in range(first + 1, made)
        ]
        await api.create(ada, "the end")
        assert is_the_end(await stream.event())


async def errors(followers: Followers, person: Person, after: str) -> list[tuple[str, list[str]]]:
    """Code and path of why a stream does not go on."""
    async with followers.of(person, after) as stream:
        message = await stream.receive()
        if isinstance(message, dict):
            assert message["type"] == "error"
            found = message["payload"]
        else:
            name, answer = message
            assert (name, answer.keys()) == ("next", {"errors"})
            found = answer["errors"]
            assert await stream.receive() == ("complete", None)
    return [(error["extensions"]["code"], error["path"]) for error in found]


async def test_what_is_no_cursor_of_events_is_refused(followers: Followers, api: Api, ada: Person) -> None:
    await api.create(ada)
    page = await api.data(ada, "{ viewer { tasks { pageInfo { endCursor } nodes { history { edges { cursor } } } } } }")
    foreign = page["viewer"]["tasks"]["pageInfo"]["endCursor"]
    of_history = page["viewer"]["tasks"]["nodes"][0]["history"]["edges"][0]["cursor"]
    for cursor in ("", "x", "0", "WyJjdXJzb3IrIiwtMV0", "☃" * 1000, foreign, of_history):
        assert await errors(followers, ada, cursor) == [("BAD_USER_INPUT", ["taskChanged"])], cursor
        refused = await api.errors(ada, EVENTS, after=cursor)
        assert [(error["code"], error["path"]) for error in refused] == [
            ("BAD_USER_INPUT", ["viewer", "taskEvents"])
        ], cursor


async def test_a_cursor_older_than_what_is_kept_has_expired(followers: Followers, api: Api, ada: Person) -> None:
    old = await event_cursor(api, ada)
    await api.create(ada, "dropped")
    dropped = await event_cursor(api, ada)
    await api.create(ada, "kept")
    await api.issuer.connection.execute(
        "UPDATE task_events_horizon SET cursor = (SELECT min(cursor) FROM task_events WHERE user_id = $1)", ada.id
    )
    assert await errors(followers, ada, old) == [("CURSOR_EXPIRED", ["taskChanged"])]
    [refused] = await api.errors(ada, EVENTS, after=old)
    assert (refused["code"], refused["path"][:2]) == ("CURSOR_EXPIRED", ["viewer", "taskEvents"])
    await api.create(ada, "the end")
    for seen in (
        await followers.seen(ada, dropped),
        (await api.data(ada, EVENTS, after=dropped))["viewer"]["taskEvents"]["nodes"][:1],
    ):
        assert [event["task"]["title"] for event in seen] == ["kept"]


async def test_what_ends_a_stream_names_the_field_as_the_client_does(api: Api, ada: Person) -> None:
    follow = "subscription Follow($after: String) { changes: taskChanged(after: $after) { kind } }"
    body = {"query": f"query Other {{ viewer {{ id }} }} {follow}", "operationName": "Follow"}
    headers = bearer(await api.issuer.token(ada)) | {"Accept": "text/event-stream"}
    told = []
    for after in (cursors.encode(OLDEST_FIRST, [1000]), "x", 7):
        response = await api.client.post("/graphql", json={**body, "variables": {"after": after}}, headers=headers)
        [error] = json.loads(response.text.splitlines()[1].removeprefix("data: "))["errors"]
        told.append((error["extensions"]["code"], error.get("path")))
    assert told == [("CURSOR_EXPIRED", ["changes"]), ("BAD_USER_INPUT", ["changes"]), ("BAD_USER_INPUT", None)]


async def test_a_cursor_of_a_log_that_was_restored_from_before_has_expired(
    followers: Followers, api: Api, ada: Person
) -> None:
    await api.create(ada, "in the backup")
    kept = await event_cursor(api, ada)
    await api.create(ada, "too late for it")
    lost = await event_cursor(api, ada)
    await api.issuer.connection.execute(
        "DELETE FROM task_events WHERE cursor = (SELECT max(cursor) FROM task_events WHERE user_id = $1)", ada.id
    )
    assert await errors(followers, ada, lost) == [("CURSOR_EXPIRED", ["taskChanged"])]
    [refused] = await api.errors(ada, EVENTS, after=lost)
    assert (refused["code"], refused["path"][:2]) == ("CURSOR_EXPIRED", ["viewer", "taskEvents"])
    assert (await api.data(ada, EVENTS, after=kept))["viewer"]["taskEvents"]["nodes"] == []


async def test_the_cursor_of_now_is_never_one_that_has_expired(following: Followers, api: Api, ada: Person) -> None:
    await api.create(ada, "before what is kept begins")
    await api.issuer.connection.execute(
        "UPDATE task_events_horizon SET cursor = (SELECT setval('task_events_cursor', 1000))"
    )
    after = await event_cursor(api, ada)
    await api.create(ada, "new")
    await api.create(ada, "the end")
    assert [event["task"]["title"] for event in await following.seen(ada, after)] == ["new"]


# ---------------------------------------------------------------- pages


async def test_pages_of_one_lead_through_everything(following: Followers, api: Api, ada: Person, bob: Person) -> None:
    start = await event_cursor(api, ada)
    tasks = [await api.create(ada, f"{n}") for n in range(3)]
    await api.create(bob, "not hers")
    for task in tasks:
        await api.data(ada, DELETE, input={"id": task["id"]})
    nodes, cursor = [], start
    while True:
        page = (await api.data(ada, EVENTS, first=1, after=cursor))["viewer"]["taskEvents"]
        [node] = page["nodes"]
        nodes.append(node)
        assert node["cursor"] == page["pageInfo"]["endCursor"]  # either leads on
        cursor = node["cursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [event["kind"] for event in nodes] == ["CREATED"] * 3 + ["DELETED"] * 3
    assert cursor == await event_cursor(api, ada)
    end = (await api.data(ada, EVENTS, after=cursor))["viewer"]["taskEvents"]
    assert (end["nodes"], end["pageInfo"]["hasNextPage"]) == ([], False)
    assert (await api.data(ada, EVENTS))["viewer"]["taskEvents"]["nodes"] == nodes
    await api.create(ada, "the end")
    assert await following.seen(ada, start) == nodes


HISTORY = """query ($id: ID!, $first: Int, $after: String) { task(id: $id) { history(first: $first, after: $after) {
    nodes { kind changes { field before after } actor { name } } pageInfo { hasNextPage endCursor }
} } }"""


async def test_a_history_goes_back_to_the_beginning_page_by_page(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, "0", assigneeId=bob.global_id)
    await api.create(ada, "another")
    for n in range(1, 5):
        who = bob if n == 2 else ada
        patch = {"status": "IN_PROGRESS"} if n == 2 else {"title": f"{n}"}
        await api.data(who, UPDATE, input={"id": task["id"], "patch": patch})
    for person in (ada, bob):
        whole = (await api.data(person, HISTORY, id=task["id"]))["task"]["history"]
        assert [(node["kind"], node["actor"]["name"]) for node in whole["nodes"]] == [
            ("UPDATED", "Ada"),
            ("UPDATED", "Ada"),
            ("UPDATED", "Bob"),
            ("UPDATED", "Ada"),
            ("CREATED", "Ada"),
        ]
        assert whole["nodes"][0]["changes"] == [change("title", "3", "4")]
        nodes: list[dict[str, Any]] = []
        page: dict[str, Any] = {"pageInfo": {"hasNextPage": True, "endCursor": None}}
        while page["pageInfo"]["hasNextPage"]:
            after = page["pageInfo"]["endCursor"]
            page = (await api.data(person, HISTORY, id=task["id"], first=2, after=after))["task"]["history"]
            nodes += page["nodes"]
        assert nodes == whole["nodes"]


async def test_pages_of_several_sizes_of_one_history_can_be_asked_for_together(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    await api.data(ada, DELETE, input={"id": task["id"]})
    await api.data(ada, RESTORE, input={"id": task["id"]})
    pages = " ".join(f"first{n}: history(first: {n}) {{ nodes {{ kind }} }}" for n in (1, 2, 3))
    data = await api.data(ada, f"query ($id: ID!) {{ task(id: $id) {{ {pages} }} }}", id=task["id"])
    kinds = [{"kind": kind} for kind in ("RESTORED", "DELETED", "CREATED")]
    assert data["task"] == {f"first{n}": {"nodes": kinds[:n]} for n in (1, 2, 3)}


async def test_an_assignee_sees_of_a_history_what_they_saw_happen(api: Api, ada: Person, bob: Person) -> None:
    task = await api.create(ada, "Ada's draft")
    await api.data(ada, UPDATE, input={"id": task["id"], "patch": {"title": "for Bob"}})
    await api.data(ada, UPDATE, input={"id": task["id"], "patch": {"assigneeId": bob.global_id}})
    of_bob = (await api.data(bob, HISTORY, id=task["id"]))["task"]["history"]["nodes"]
    assert [node["kind"] for node in of_bob] == ["UPDATED"]
    assert "draft" not in str(of_bob)


NODE = "query ($id: ID!) { node(id: $id) { id ... on TaskEvent { kind changes { after } task { title } } } }"


async def test_an_event_is_found_by_its_id_by_those_for_whom_it_is(api: Api, ada: Person, bob: Person) -> None:
    await api.create(ada, "Ada's")
    page = await api.data(ada, "{ viewer { taskEvents { nodes { id } } } }")
    [event] = page["viewer"]["taskEvents"]["nodes"]
    found = (await api.data(ada, NODE, id=event["id"]))["node"]
    assert (found["id"], found["kind"], found["task"]) == (event["id"], "CREATED", {"title": "Ada's"})
    assert {"after": "Ada's"} in found["changes"]
    assert await api.data(bob, NODE, id=event["id"]) == {"node": None}
    both = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert await api.data(bob, both, ids=[event["id"], bob.global_id]) == {"nodes": [None, {"id": bob.global_id}]}
