"""Operations as Server-Sent Events (graphql-sse 2.6, PROTOCOL.md, distinct connections)."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import asyncpg
import httpx
import orjson
import pytest

from graphql_api import migrations
from graphql_api.auth import authenticate, tokens
from graphql_api.events import PAGE_SIZE
from graphql_api.http import protocol, sse
from graphql_api.settings import Settings
from tests.asking import bearer, cookie
from tests.client import CREATE, UPDATE, Api, settings
from tests.issuer import Issuer, Person
from tests.streams import FOLLOW, EventStream, Server, asking, event_cursor, event_stream, server, socket, until

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong")

WHO = "{ viewer { email } }"
STREAM = {"Accept": "text/event-stream"}
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)


@pytest.fixture
async def api(running: Server, issuer: Issuer) -> AsyncIterator[Api]:
    async with asking(running, issuer) as api:
        yield api


@pytest.fixture
async def adas(api: Api, ada: Person) -> dict[str, str]:
    """The headers that say that Ada asks."""
    return bearer(await api.issuer.token(ada))


def frames(answer: bytes) -> list[Any]:
    """What a stream says that has ended, read as strictly as it may be: LF, one `data` for each event."""
    assert b"\r" not in answer
    found = re.findall(rb"event: next\ndata: (.*)\n\n|(event: complete\ndata:\n\n)", answer)
    assert b"".join(b"event: next\ndata: %s\n\n" % data if data else end for data, end in found) == answer
    assert [bool(end) for _, end in found] == [False] * (len(found) - 1) + [True]
    return [orjson.loads(data) for data, _ in found[:-1]]


# ---------------------------------------------------------------- one answer


async def test_a_query_is_one_next_and_a_complete(api: Api, ada: Person, adas: dict[str, str]) -> None:
    answers = [
        await api.post(WHO, headers=adas | STREAM),
        await api.client.get("/graphql", params={"query": WHO}, headers=adas | STREAM),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "private, no-store"
        data = orjson.dumps({"data": {"viewer": {"email": ada.email}}})
        assert answer.content == b"event: next\ndata: %s\n\nevent: complete\ndata:\n\n" % data


async def test_a_mutation_is_one_next_and_a_complete(api: Api, adas: dict[str, str]) -> None:
    title = "one line\r\n\r\nevent: complete\n\nof JSON"
    answer = await api.post(CREATE, {"input": {"title": title}}, headers=adas | STREAM)
    [result] = frames(answer.content)
    assert result["data"]["createTask"]["errors"] == []
    [listed] = frames((await api.post("{ viewer { tasks { nodes { title } } } }", headers=adas | STREAM)).content)
    [task] = listed["data"]["viewer"]["tasks"]["nodes"]
    assert task["title"] == result["data"]["createTask"]["task"]["title"]


async def test_a_mutation_over_get_is_refused(api: Api, ada: Person, adas: dict[str, str]) -> None:
    params = {"query": 'mutation { createTask(input: {title: "x"}) { errors { message } } }'}
    answer = await api.client.get("/graphql", params=params, headers=adas | STREAM)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert await api.data(ada, "{ viewer { tasks { totalCount } } }") == {"viewer": {"tasks": {"totalCount": 0}}}


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
async def test_other_methods_are_refused(api: Api, adas: dict[str, str], method: str) -> None:
    """graphql-sse's single connections would begin with a PUT."""
    answer = await api.client.request(method, "/graphql", params={"query": FOLLOW}, headers=adas | STREAM)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("accept", [URQL, "application/json, text/event-stream", "text/event-stream;q=0.9, */*"])
async def test_a_client_that_can_also_read_streams_gets_json(api: Api, adas: dict[str, str], accept: str) -> None:
    """Streams for urql's queries would be as right, but every query would then be one."""
    answer = await api.post(WHO, headers=adas | {"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] in ("application/json", "application/graphql-response+json")
    assert "data" in answer.json()


@pytest.mark.parametrize("accept", [None, "application/json", "application/graphql-response+json", URQL, "*/*"])
async def test_a_subscription_is_answered_as_a_stream_or_not_at_all(
    running: Server, api: Api, adas: dict[str, str], accept: str | None
) -> None:
    for _ in range(2):
        answer = await api.post(FOLLOW, headers=adas | ({"Accept": accept} if accept else {}))
        assert answer.status_code == 406
        [error] = answer.json()["errors"]
        assert error == {
            "message": "A subscription is answered as text/event-stream, named first in Accept, or by WebSocket.",
            "extensions": {"code": "BAD_REQUEST"},
        }
    assert not running.followed
    assert not running.connections


REFUSED = {
    "GRAPHQL_PARSE_FAILED": {"query": "subscription {"},
    "GRAPHQL_VALIDATION_FAILED": {"query": "subscription { nothing }"},
    "OPERATION_RESOLUTION_FAILURE": {"query": f"{FOLLOW}", "operationName": "B"},
    "BAD_USER_INPUT": {"query": FOLLOW, "variables": {"after": 1}},
    "COST_LIMIT_EXCEEDED": {"query": "subscription { taskChanged { task { history(first: 100) { nodes { id } } } } }"},
}


@pytest.mark.parametrize(("code", "payload"), REFUSED.items(), ids=REFUSED)
async def test_what_cannot_be_executed_is_told_in_the_stream(
    database_url: str, issuer: Issuer, code: str, payload: dict[str, Any]
) -> None:
    """A status other than 200 would tell an EventSource nothing."""
    async with server(settings(database_url, max_cost=50)) as running, asking(running, issuer) as api:
        headers = bearer(await issuer.token(await issuer.sign_up("Ada")))
        answer = await api.client.post("/graphql", json=payload, headers=headers | STREAM)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        [result] = frames(answer.content)
        assert result.keys() == {"errors"}
        assert [error["extensions"]["code"] for error in result["errors"]] == [code]
        assert not running.connections


async def test_what_is_no_request_is_refused_in_json(api: Api) -> None:
    for body, status in ((b"{", 400), (b"[]", 400), (b"{}", 400)):
        headers = {"Content-Type": "application/json", **STREAM}
        answer = await api.client.post("/graphql", content=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json; charset=utf-8")
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "BAD_REQUEST"


# ---------------------------------------------------------------- following


async def test_a_stream_has_a_head_that_lets_it_through_proxies(running: Server, adas: dict[str, str]) -> None:
    async with event_stream(running.address, adas | {"X-Request-Id": "mine-1"}) as stream:
        headers = stream.response.headers
        assert stream.response.status_code == 200
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "private, no-store"
        assert headers["x-accel-buffering"] == "no"
        assert "Accept" in headers["vary"].split(", ")
        assert headers["x-request-id"] == "mine-1"
        assert "content-length" not in headers


async def raw(response: httpx.Response) -> AsyncIterator[bytes]:
    """The blocks of a stream, as they come."""
    held = b""
    async for chunk in response.aiter_raw():
        *blocks, held = (held + chunk).split(b"\n\n")
        for block in blocks:
            yield block


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_events_come_as_they_happen_with_heartbeats_between(
    running: Server, api: Api, ada: Person, adas: dict[str, str], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.05)
    request: dict[str, Any] = {"query": FOLLOW, "variables": {"after": await event_cursor(api, ada)}}
    if method == "GET":
        request = {"params": request | {"variables": orjson.dumps(request["variables"]).decode()}}
    else:
        request = {"json": request}
    async with api.client.stream(method, "/graphql", headers=adas | STREAM, **request) as response:
        blocks = raw(response)
        for title in ("one", "two"):
            async with asyncio.timeout(10):
                assert [await anext(blocks) for _ in range(3)] == [b":"] * 3
                task = await api.create(ada, title)
                while (block := await anext(blocks)) == b":":
                    pass
            assert b"\r" not in block
            name, data = block.split(b"\n")
            assert name == b"event: next"
            assert orjson.loads(data.removeprefix(b"data: "))["data"]["taskChanged"]["taskId"] == task["id"]


async def test_a_page_with_a_cookie_follows_by_get(running: Server, api: Api, ada: Person) -> None:
    """So does the EventSource of browsers; that of a foreign page does not."""
    params = {"query": "subscription { taskChanged { cursor } }"}
    headers = STREAM | cookie(await api.issuer.sign_in(ada))
    async with api.client.stream("GET", "/graphql", params=params, headers=headers) as response:
        assert response.status_code == 200
    foreign = await api.client.get("/graphql", params=params, headers=headers | {"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.headers["content-type"]) == (403, "application/json; charset=utf-8")
    assert "access-control-allow-origin" not in foreign.headers


async def test_each_event_sees_what_is_so_now(running: Server, api: Api, ada: Person, adas: dict[str, str]) -> None:
    query = "subscription ($after: String) { taskChanged(after: $after) { task { title owner { name } } } }"
    async with event_stream(running.address, adas, query, after=await event_cursor(api, ada)) as stream:
        task = await api.create(ada, "mine")
        assert await stream.event() == {"task": {"title": "mine", "owner": {"name": "Ada"}}}
        await api.issuer.connection.execute('UPDATE "user" SET name = $1 WHERE id = $2', "Countess", ada.id)
        await api.data(ada, UPDATE, input={"id": task["id"], "patch": {"title": "still mine"}})
        assert await stream.event() == {"task": {"title": "still mine", "owner": {"name": "Countess"}}}


async def test_nobody_follows_nothing(api: Api) -> None:
    answer = await api.post(FOLLOW, headers=STREAM)
    [result] = frames(answer.content)
    [error] = result.pop("errors")
    assert result == {}
    assert (error["extensions"]["code"], error["path"]) == ("UNAUTHENTICATED", ["taskChanged"])


async def test_a_bad_credential_is_refused_in_json(api: Api, ada: Person) -> None:
    for headers in (bearer("nonsense"), cookie("nonsense"), bearer(await api.issuer.token(ada, exp=1))):
        answer = await api.post(FOLLOW, headers=headers | STREAM)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def test_so_many_streams_are_open_for_one_user_and_no_more(database_url: str, issuer: Issuer) -> None:
    async with server(settings(database_url, max_connections_per_user=2)) as running, asking(running, issuer) as api:
        ada, bob = await api.sign_up("Ada"), await api.sign_up("Bob")
        adas, bobs = bearer(await issuer.token(ada)), bearer(await issuer.token(bob))
        async with (
            socket(running.address, await issuer.token(ada)),  # counts as one of them
            event_stream(running.address, bobs) as of_bob,
        ):
            assert of_bob.response.status_code == 200
            for _ in range(3):  # who has gone is not counted any more
                async with event_stream(running.address, adas) as second:
                    assert second.response.status_code == 200
                    third = await api.post(FOLLOW, headers=adas | STREAM)
                    assert (third.status_code, third.headers["content-type"]) == (
                        429,
                        "application/json; charset=utf-8",
                    )
                    assert third.json()["errors"] == [
                        {
                            "message": "2 connections are open, which is the most that one user may have. Close some.",
                            "extensions": {"code": "RATE_LIMITED"},
                        }
                    ]
                    assert "data" in (await api.post(WHO, headers=adas)).json()
                await until(lambda: running.connections == {ada.id: 1, bob.id: 1})
        await until(lambda: not running.connections)


async def test_a_client_that_goes_is_forgotten(running: Server, api: Api, ada: Person, adas: dict[str, str]) -> None:
    after = await event_cursor(api, ada)
    async with event_stream(running.address, adas, after=after) as stays:
        async with event_stream(running.address, adas, after=after) as goes:
            await api.create(ada, "one")
            assert (await goes.event())["task"]["title"] == "one"
        await until(lambda: running.connections == {ada.id: 1})
        await api.create(ada, "two")
        assert [(await stays.event())["task"]["title"] for _ in range(2)] == ["one", "two"]
        assert running.followed == {ada.id}
    await until(lambda: not running.connections)
    assert not running.followed


UPGRADE = "GET /graphql HTTP/1.1\r\nHost: tasks.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize(
    "more", ["GET / HTTP/1.1\r\nHost: tasks.test\r\n\r\n" * 2, UPGRADE], ids=["more", "a WebSocket"]
)
async def test_a_client_that_asks_for_more_behind_a_stream_and_goes_is_forgotten(
    running: Server, adas: dict[str, str], more: str
) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in (adas | STREAM).items())
    stream = f"GET /graphql?{urlencode({'query': FOLLOW})} HTTP/1.1\r\nHost: tasks.test\r\n{headers}\r\n"
    _, connection = await asyncio.open_connection(*running.address.split(":"))
    connection.write((stream + more).encode())
    await until(lambda: running.followed)
    connection.close()
    await until(lambda: not running.connections)
    assert not running.followed


# ---------------------------------------------------------------- the end of a credential


async def ends(stream: EventStream) -> str:
    """The stream says why it ends, then it ends."""
    name, answer = await stream.receive()
    assert (name, answer.keys()) == ("next", {"errors"})
    [error] = answer["errors"]
    assert error == {"message": error["message"], "extensions": {"code": "UNAUTHENTICATED"}}
    assert await stream.receive() == ("complete", None)
    with pytest.raises(EOFError):
        await stream.receive()
    message: str = error["message"]
    return message


async def test_a_token_that_expires_ends_the_stream(
    running: Server, api: Api, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LEEWAY_SECONDS", 3600)  # a new request would be believed for so long
    exp = int(time.time()) - 3
    async with event_stream(running.address, bearer(await api.issuer.token(ada, exp=exp))) as stream:
        assert await ends(stream) == "The token has expired; fetch a new one from Better Auth."
    assert not running.connections


async def test_a_sign_out_ends_the_stream(
    running: Server, api: Api, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticate, "RECHECK_SECONDS", 0.1)
    session, after = await api.issuer.sign_in(ada), await event_cursor(api, ada)
    async with (
        event_stream(running.address, bearer(session), after=after) as with_token,
        event_stream(running.address, cookie(session), after=after) as with_cookie,
        event_stream(running.address, bearer(await api.issuer.sign_in(ada)), after=after) as elsewhere,
    ):
        await api.create(ada, "before")
        for stream in (with_token, with_cookie, elsewhere):
            assert (await stream.event())["task"]["title"] == "before"
        await api.issuer.connection.execute("DELETE FROM session WHERE token = $1", session.partition(".")[0])
        for stream in (with_token, with_cookie):
            assert await ends(stream) == "The session has ended; sign in again."
        await api.create(ada, "after")
        assert (await elsewhere.event())["task"]["title"] == "after"
        assert running.connections == {ada.id: 1}


async def test_a_ban_ends_the_stream(database_url: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "RECHECK_SECONDS", 0.1)
    await issuer.connection.execute('ALTER TABLE "user" ADD COLUMN banned boolean')
    await migrations.upgrade(Settings(database_url=database_url))  # the server may read it
    # however long the session is remembered
    async with server(settings(database_url, session_cache_seconds=3600)) as running:
        ada = await issuer.sign_up("Ada")
        async with event_stream(running.address, bearer(await issuer.sign_in(ada))) as stream:
            await issuer.connection.execute('UPDATE "user" SET banned = true WHERE id = $1', ada.id)
            assert await ends(stream) == "This account is banned."


# ---------------------------------------------------------------- slow clients


MANY = 1500
SLOW = f"""subscription ($after: String) {{ taskChanged(after: $after) {{ task {{
    title {" ".join(f"d{n}: description" for n in range(10))}
}} }} }}"""
"""10 kB for each event: together more than the network takes from the server."""


def events_in_memory() -> int:
    gc.collect()
    return sum(isinstance(found, asyncpg.Record) and "cursor" in found for found in gc.get_objects())


async def much_happens(api: Api, person: Person) -> None:
    await api.issuer.connection.execute(
        "INSERT INTO tasks (user_id, title, description) "
        "SELECT $1, 'task ' || n || ' ' || repeat('x', 200), repeat('y', 1000) FROM generate_series(1, $2::int) n",
        person.id,
        MANY,
    )


@pytest.mark.parametrize("transport", ["event stream", "WebSocket"])
async def test_a_client_that_does_not_read_costs_little_and_gets_everything_once_it_does(
    running: Server, api: Api, ada: Person, adas: dict[str, str], transport: str
) -> None:
    after = await event_cursor(api, ada)
    if transport == "WebSocket":
        slow_one = socket(running.address, await api.issuer.token(ada), max_queue=1)
    else:
        slow_one = event_stream(running.address, adas, SLOW, after=after)  # type: ignore[assignment]
    async with slow_one as slow, event_stream(running.address, adas, after=after) as quick:
        if transport == "WebSocket":
            await slow.subscribe(SLOW, after=after)
        await much_happens(api, ada)
        for number in range(1, MANY + 1):
            assert (await quick.event())["task"]["title"].startswith(f"task {number} ")
        # the page in the middle of which the slow one stands, and the last event of the quick one
        await until(lambda: PAGE_SIZE <= events_in_memory() <= PAGE_SIZE + 1)
        for number in range(1, MANY + 1):
            assert (await slow.event())["task"]["title"].startswith(f"task {number} ")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux cuts a silent client off")
@pytest.mark.parametrize("transport", ["event stream", "WebSocket"])
async def test_a_client_that_reads_nothing_for_long_is_forgotten(
    running: Server, api: Api, ada: Person, adas: dict[str, str], transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "SILENT_SECONDS", 0.2)
    if transport == "WebSocket":
        async with socket(running.address, await api.issuer.token(ada), max_queue=1, close_timeout=0.1) as silent:
            await silent.subscribe(SLOW)
            await until(lambda: running.followed)
            await much_happens(api, ada)
            await until(lambda: not running.connections)
    else:
        async with event_stream(running.address, adas, SLOW):
            await until(lambda: running.followed)
            await much_happens(api, ada)
            await until(lambda: not running.connections)
