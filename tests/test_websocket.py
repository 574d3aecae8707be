"""Operations over WebSocket, by the protocol graphql-transport-ws (graphql-ws 6.4, PROTOCOL.md)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from websockets import ConnectionClosed, InvalidStatus, Origin

from graphql_api import migrations
from graphql_api.auth import authenticate
from graphql_api.http import websocket
from graphql_api.settings import Settings
from tests import process
from tests.asking import bearer, cookie
from tests.client import CREATE, UPDATE, Api, settings
from tests.issuer import ORIGIN, Issuer, Person
from tests.streams import FOLLOW, Server, Socket, asking, event_cursor, event_stream, server, socket, stranger, until
from tests.test_outages import Line

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong")

WHO = "{ viewer { email } }"
NAMES = """subscription { taskChanged { task { title owner { name } assignee { name } } } }"""
RENAME = 'UPDATE "user" SET name = $1 WHERE id = $2'
TOO_DEEP = '{"a":' * 300 + "1" + "}" * 300


@pytest.fixture
async def api(running: Server, issuer: Issuer) -> AsyncIterator[Api]:
    async with asking(running, issuer) as api:
        yield api


@pytest.fixture
async def token(api: Api, ada: Person) -> str:
    return await api.issuer.token(ada)


@pytest.fixture
async def adas(running: Server, token: str) -> AsyncIterator[Socket]:
    """A socket on which Ada is signed in."""
    async with socket(running.address, token) as socket_of_ada:
        yield socket_of_ada


# ---------------------------------------------------------------- the protocol


async def test_a_ping_is_answered_at_any_time_with_what_it_carries(running: Server) -> None:
    async with stranger(running.address) as client:
        for _ in range(2):
            await client.says_no_more()
            await client.send(type="ping", payload={"at": [1, None]})
            assert await client.receive() == {"type": "pong", "payload": {"at": [1, None]}}
            await client.send(type="ping", payload=None)
            assert await client.receive() == {"type": "pong"}
            await client.send(type="pong", payload={"unasked": True})
            if not _:
                await client.send(type="connection_init", payload=None)
                assert await client.receive() == {"type": "connection_ack"}


async def test_a_slash_at_the_end_makes_no_difference(running: Server) -> None:
    async with stranger(running.address, path="/graphql/") as client:
        await client.send(type="connection_init")
        assert await client.receive() == {"type": "connection_ack"}


async def test_the_handshake_is_answered_with_the_id_of_its_request(running: Server) -> None:
    for headers in ({"X-Request-Id": "r-1"}, {}):
        async with stranger(running.address, additional_headers=headers) as client:
            assert client.connection.response is not None
            id = client.connection.response.headers["X-Request-Id"]
            assert id == headers.get("X-Request-Id", id)


async def test_who_subscribes_without_an_introduction_is_sent_away(running: Server) -> None:
    async with stranger(running.address) as client:
        await client.subscribe(WHO)
        assert await client.closing() == (4401, "Unauthorized: send connection_init first")


async def test_what_follows_the_introduction_at_once_is_answered_after_it(running: Server) -> None:
    async with stranger(running.address) as client:
        await client.send(type="connection_init")
        await client.subscribe(WHO)
        types = [(await client.receive())["type"] for _ in range(3)]
        assert types == ["connection_ack", "next", "complete"]


async def test_nobody_introduces_himself_twice(adas: Socket) -> None:
    await adas.send(type="connection_init")
    assert await adas.closing() == (4429, "Too many initialisation requests")


async def test_who_never_introduces_himself_is_sent_away(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "INIT_SECONDS", 0.2)
    async with stranger(running.address) as client:
        await client.says_no_more()  # a ping is no introduction
        assert await client.closing() == (4408, "Connection initialisation timeout")


INVALID: dict[str, str | bytes] = {
    "no JSON": "{",
    "nothing": "",
    "an array": "[1]",
    "a string": '"x"',
    "null": "null",
    "a number": "3",
    "not a number": '{"type": NaN}',
    "half a character": r'{"type": "ping", "payload": {"x": "\ud800"}}',
    "bytes": b'{"type": "ping"}',
    "no type": "{}",
    "a type that is no text": '{"type": 1}',
    "an unknown type": '{"type": "start"}',
    "a type of the server's": '{"type": "next", "id": "1", "payload": {}}',
    "a ping with a number": '{"type": "ping", "payload": 3}',
    "a pong with an array": '{"type": "pong", "payload": []}',
    "a ping too deep to be sent back": f'{{"type": "ping", "payload": {TOO_DEEP}}}',
    "a complete without an id": '{"type": "complete"}',
    "a complete with a number as id": '{"type": "complete", "id": 1}',
}
SUBSCRIBE: dict[str, dict[str, Any]] = {
    "no id": {"payload": {"query": WHO}},
    "a number as id": {"id": 1, "payload": {"query": WHO}},
    "null as id": {"id": None, "payload": {"query": WHO}},
    "an empty id": {"id": "", "payload": {"query": WHO}},
    "no payload": {"id": "1"},
    "null as payload": {"id": "1", "payload": None},
    "an array as payload": {"id": "1", "payload": [{"query": WHO}]},
    "a text as payload": {"id": "1", "payload": WHO},
    "no query": {"id": "1", "payload": {}},
    "null as query": {"id": "1", "payload": {"query": None}},
    "an object as query": {"id": "1", "payload": {"query": {}}},
    "an array as variables": {"id": "1", "payload": {"query": WHO, "variables": []}},
    "a number as operationName": {"id": "1", "payload": {"query": WHO, "operationName": 1}},
    "a text as extensions": {"id": "1", "payload": {"query": WHO, "extensions": "x"}},
}
INVALID |= {name: orjson.dumps({"type": "subscribe", **rest}).decode() for name, rest in SUBSCRIBE.items()}


async def test_what_is_no_message_closes_the_socket(running: Server, token: str) -> None:
    for name, message in INVALID.items():
        async with socket(running.address, token) as client:
            await client.connection.send(message)
            code, reason = await client.closing()
            assert (code, bool(reason)) == (4400, True), name


async def test_what_is_no_introduction_closes_the_socket(running: Server) -> None:
    for payload in ([], [1], "x", 3, False):
        async with stranger(running.address) as client:
            await client.send(type="connection_init", payload=payload)
            assert await client.closing() == (4400, "The payload of connection_init must be an object")
    messages: list[str | bytes] = ["{", "[1]", "null", b"{}"]
    for message in messages:
        async with stranger(running.address) as client:
            await client.connection.send(message)
            assert (await client.closing())[0] == 4400


@pytest.mark.parametrize("subprotocols", [(), ("graphql-ws",), ("soap", "mqtt")])
async def test_only_one_subprotocol_is_spoken(running: Server, subprotocols: tuple[str, ...]) -> None:
    async with stranger(running.address, subprotocols) as client:
        assert client.connection.subprotocol is None
        assert await client.closing() == (4406, "Only the subprotocol graphql-transport-ws is spoken here")


async def test_the_subprotocol_may_stand_among_others(running: Server) -> None:
    async with stranger(running.address, ("graphql-ws", "graphql-transport-ws")) as client:
        assert client.connection.subprotocol == "graphql-transport-ws"
        await client.says_no_more()


async def test_an_id_is_taken_while_its_operation_runs(adas: Socket) -> None:
    for _ in range(2):
        await adas.send(id="☃" * 100, type="subscribe", payload={"query": FOLLOW})
    code, reason = await adas.closing()
    assert code == 4409
    assert reason.startswith("Subscriber for ☃☃☃")  # a frame that closes has no room for all of them


async def test_an_id_may_be_used_again_after_the_end_of_its_operation(api: Api, ada: Person, adas: Socket) -> None:
    for query, last in ((WHO, "complete"), ("{ nothing }", "error"), (WHO, "complete")):
        await adas.send(id="same", type="subscribe", payload={"query": query})
        while (message := await adas.receive())["type"] != last:
            assert message["type"] == "next"
    for title in ("one", "two"):
        variables = {"after": await event_cursor(api, ada)}
        await adas.send(id="same", type="subscribe", payload={"query": FOLLOW, "variables": variables})
        await api.create(ada, title)
        assert (await adas.event())["task"]["title"] == title
        await adas.send(id="same", type="complete")
    await adas.says_no_more()


async def test_a_complete_of_something_unknown_is_passed_over(adas: Socket) -> None:
    await adas.send(id="7", type="complete")
    await adas.says_no_more()


# ---------------------------------------------------------------- operations


async def test_queries_and_mutations_are_answered_once(ada: Person, adas: Socket) -> None:
    assert await adas.result(WHO) == {"data": {"viewer": {"email": ada.email}}}
    created = await adas.result(CREATE, input={"title": "over the socket"})
    assert created["data"]["createTask"]["task"]["title"] == "over the socket"
    listed = await adas.result("{ viewer { tasks { nodes { title } } } }")
    assert listed["data"]["viewer"]["tasks"]["nodes"] == [{"title": "over the socket"}]
    partly = await adas.result('{ viewer { email } task(id: "x") { id } }')
    assert partly["data"] == {"viewer": {"email": ada.email}, "task": None}
    assert [(error["path"], error["extensions"]["code"]) for error in partly["errors"]] == [
        (["task"], "BAD_USER_INPUT")
    ]


REFUSED = {
    "GRAPHQL_PARSE_FAILED": {"query": "{"},
    "GRAPHQL_VALIDATION_FAILED": {"query": "{ nothing }"},
    "OPERATION_RESOLUTION_FAILURE": {"query": "query A { viewer { id } }", "operationName": "B"},
    "BAD_USER_INPUT": {"query": "query ($id: ID!) { task(id: $id) { id } }", "variables": {"id": None}},
    "COST_LIMIT_EXCEEDED": {"query": "subscription { taskChanged { task { history(first: 100) { nodes { id } } } } }"},
    "PERSISTED_QUERY_NOT_SUPPORTED": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0"}}},
}


@pytest.mark.parametrize(("code", "payload"), REFUSED.items(), ids=REFUSED)
async def test_what_cannot_be_executed_ends_with_an_error_alone(
    database_url: str, issuer: Issuer, code: str, payload: dict[str, Any]
) -> None:
    async with server(settings(database_url, max_cost=50)) as running, socket(running.address) as client:
        await client.send(id="1", type="subscribe", payload=payload)
        message = await client.receive()
        assert message.keys() == {"id", "type", "payload"}
        assert (message["id"], message["type"]) == ("1", "error")
        assert [error["extensions"]["code"] for error in message["payload"]] == [code]
        assert "path" not in message["payload"][0]
        await client.says_no_more()


async def test_an_unexpected_failure_ends_one_operation_masked_and_is_logged_once(
    running: Server,
    api: Api,
    ada: Person,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    async with socket(running.address, token, additional_headers={"X-Request-Id": "r-1"}) as client:
        await client.subscribe(after=await event_cursor(api, ada))
        await client.says_no_more()
        with monkeypatch.context() as patch:  # whatever document is known to make it fail will be mended
            patch.setattr(running.service.engine, "prepare", fails)
            [error] = await client.errors(WHO)
        assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "r-1"}
        assert "secret" not in error["message"]
        [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert "r-1" in record.getMessage()
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], ZeroDivisionError)
        caplog.clear()
        await api.create(ada, "the others go on")
        assert (await client.event())["task"]["title"] == "the others go on"


async def test_an_operation_is_ended_when_it_takes_too_long(database_url: str, issuer: Issuer) -> None:
    async with server(settings(database_url, request_timeout_seconds=0.2)) as running, asking(running, issuer) as api:
        ada = await api.sign_up("Ada")
        async with socket(running.address, await issuer.token(ada)) as client:
            assert "data" in await client.result(WHO)
            async with issuer.connection.transaction():
                await issuer.connection.execute("LOCK tasks")
                [error] = await client.errors("{ viewer { tasks { totalCount } } }")
            assert error["extensions"]["code"] == "TIMEOUT"


async def test_nobody_waits_longer_for_the_look_at_a_credential(database_url: str, issuer: Issuer) -> None:
    async with server(settings(database_url, request_timeout_seconds=0.2)) as running:
        session = await issuer.sign_in(await issuer.sign_up("Ada"))
        async with socket(running.address, session) as client, stranger(running.address) as late:
            async with issuer.connection.transaction():
                await issuer.connection.execute("LOCK session")
                for query in (WHO, FOLLOW):
                    [error] = await client.errors(query)
                    assert error["extensions"]["code"] == "TIMEOUT"
                await late.send(type="connection_init", payload=bearer(session))
                code, reason = await late.closing()
                assert (code, "0.2 s" in reason) == (1013, True)
            assert "data" in await client.result(WHO)


async def test_what_the_client_completes_is_ended_and_not_spoken_of_again(
    running: Server, api: Api, ada: Person, token: str, adas: Socket
) -> None:
    after = await event_cursor(api, ada)
    async with socket(running.address, token) as other:
        first, second = await adas.subscribe(after=after), await adas.subscribe(after=after)
        await other.subscribe(after=after)
        await api.create(ada, "one")
        assert {(await adas.receive())["id"] for _ in range(2)} == {first, second}
        await adas.send(id=first, type="complete")
        await adas.says_no_more()
        await api.create(ada, "two")
        assert [(await other.event())["task"]["title"] for _ in range(2)] == ["one", "two"]
        assert (await adas.receive())["id"] == second
        await adas.says_no_more()
    await adas.send(id=second, type="complete")
    await until(lambda: not running.followed)


async def test_a_query_that_the_client_completes_is_not_answered(issuer: Issuer, ada: Person, adas: Socket) -> None:
    async with issuer.connection.transaction():
        await issuer.connection.execute("LOCK tasks")
        id = await adas.subscribe("{ viewer { tasks { totalCount } } }")
        await adas.says_no_more()
        await adas.send(id=id, type="complete")
        await adas.says_no_more()
    assert await adas.result(WHO) == {"data": {"viewer": {"email": ada.email}}}


async def test_each_operation_sees_what_is_so_now(api: Api, ada: Person, adas: Socket) -> None:
    for name in ("Ada", "Countess"):
        await api.issuer.connection.execute(RENAME, name, ada.id)
        assert await adas.result("{ viewer { name user { name } } }") == {
            "data": {"viewer": {"name": name, "user": {"name": name}}}
        }


async def test_each_event_sees_what_is_so_now(api: Api, ada: Person, bob: Person, adas: Socket) -> None:
    after = await event_cursor(api, ada)
    task = await api.create(ada, "shared", assigneeId=bob.global_id)
    await adas.subscribe(NAMES.replace("taskChanged", f'taskChanged(after: "{after}")'))
    named = {"title": "shared", "owner": {"name": "Ada"}, "assignee": {"name": "Bob"}}
    assert (await adas.event())["task"] == named
    await api.issuer.connection.execute(RENAME, "Countess", ada.id)
    await api.issuer.connection.execute(RENAME, "Robert", bob.id)
    await api.data(ada, UPDATE, input={"id": task["id"], "patch": {"title": "ours"}})
    assert (await adas.event())["task"] == {
        "title": "ours",
        "owner": {"name": "Countess"},
        "assignee": {"name": "Robert"},
    }


async def test_those_who_follow_take_turns(api: Api, ada: Person, adas: Socket) -> None:
    """Sending waits for nobody: a burst for many followers would keep everybody else waiting, for seconds."""
    after = await event_cursor(api, ada)
    ids = {await adas.subscribe(after=after) for _ in range(2)}
    await api.create(ada, "both wait for more after this")
    assert {(await adas.receive())["id"] for _ in ids} == ids
    await api.issuer.connection.execute(
        "INSERT INTO tasks (user_id, title) SELECT $1, 'burst' FROM generate_series(1, 50)", ada.id
    )
    told = [(await adas.receive())["id"] for _ in range(100)]
    assert set(told[:10]) == set(told[-10:]) == ids


async def test_who_sends_much_at_once_keeps_nobody_waiting(running: Server) -> None:
    """Whatever is there already is received without waiting for it."""
    async with socket(running.address, max_queue=None) as busy, socket(running.address) as other:
        for _ in range(300):
            await busy.subscribe("{ nonsense }")

        async def read() -> None:
            for _ in range(300):
                assert (await busy.receive())["type"] == "error"

        reading = asyncio.create_task(read())
        for _ in range(5):
            await other.says_no_more()
        assert not reading.done()
        await reading


# ---------------------------------------------------------------- limits


async def test_so_many_operations_run_on_one_socket_and_no_more(database_url: str, issuer: Issuer) -> None:
    options = settings(database_url, max_operations_per_socket=2)
    async with server(options) as running, asking(running, issuer) as api:
        ada = await api.sign_up("Ada")
        async with socket(running.address, await issuer.token(ada)) as client:
            first = await client.subscribe()
            await client.subscribe()
            for query in (FOLLOW, WHO):
                assert await client.errors(query) == [
                    {
                        "message": "2 operations run on this socket, which is the most that may. End one.",
                        "extensions": {"code": "RATE_LIMITED"},
                    }
                ]
            await client.send(id=first, type="complete")
            for _ in range(3):
                assert "data" in await client.result(WHO)


async def test_so_many_connections_are_open_for_one_user_and_no_more(database_url: str, issuer: Issuer) -> None:
    async with server(settings(database_url, max_connections_per_user=2)) as running, asking(running, issuer) as api:
        ada, bob = await api.sign_up("Ada"), await api.sign_up("Bob")
        token = await issuer.token(ada)
        full = (1013, "2 connections are open, which is the most that one user may have. Close some.")
        async with socket(running.address, token), socket(running.address, await issuer.token(bob)):
            async with event_stream(running.address, bearer(token)) as stream:  # counts as one of them
                assert stream.response.status_code == 200
                async with stranger(running.address) as third:
                    await third.send(type="connection_init", payload=bearer(token))
                    assert await third.closing() == full
            await until(lambda: running.connections == {ada.id: 1, bob.id: 1})
            async with socket(running.address, token) as second:
                await second.says_no_more()
        await until(lambda: not running.connections)


# ---------------------------------------------------------------- who is asking


@pytest.mark.parametrize("signed_in", [True, False])
async def test_pages_of_foreign_origins_are_refused_at_the_handshake(
    running: Server, api: Api, ada: Person, signed_in: bool
) -> None:
    headers = cookie(await api.issuer.sign_in(ada)) if signed_in else {}
    for origin in ("https://evil.example", "https://evil.app.example.com", f"http://{running.address}0", "null"):
        with pytest.raises(InvalidStatus) as refused:
            async with stranger(running.address, origin=Origin(origin), additional_headers=headers):
                pass
        assert refused.value.response.status_code == 403
    assert not running.connections


@pytest.mark.parametrize("signed_in", [True, False])
async def test_own_and_trusted_pages_and_programs_come_in(database_url: str, issuer: Issuer, signed_in: bool) -> None:
    friend = "https://friend.example"
    async with server(settings(database_url, trusted_origins=[friend])) as running:
        ada = await issuer.sign_up("Ada")
        headers = cookie(await issuer.sign_in(ada)) if signed_in else {}
        for origin in (friend, ORIGIN, f"http://{running.address}", f"https://{running.address}", None):
            page = Origin(origin) if origin else None
            async with socket(running.address, origin=page, additional_headers=headers) as client:
                assert await who(client) == (ada.email if signed_in else None)


async def who(client: Socket) -> str | None:
    viewer = (await client.result(WHO))["data"]["viewer"]
    email: str | None = viewer and viewer["email"]
    return email


async def test_nobody_may_ask_but_follows_nothing(running: Server) -> None:
    async with socket(running.address) as client:
        assert await client.result("{ viewer { id } }") == {"data": {"viewer": None}}
        [error] = await client.errors()
        assert (error["extensions"]["code"], error["path"]) == ("UNAUTHENTICATED", ["taskChanged"])
        await client.says_no_more()


@pytest.mark.parametrize("kind", ["JWT", "signed session token"])
async def test_a_credential_may_come_in_the_payload_or_with_the_handshake(
    running: Server, api: Api, ada: Person, bob: Person, kind: str
) -> None:
    credential = await (api.issuer.token(ada) if kind == "JWT" else api.issuer.sign_in(ada))
    [(_, value)] = bearer(credential).items()
    for payload in (
        {"Authorization": value},
        {"authorization": value},
        {"AUTHORIZATION": value, "theme": "dark", "headers": None},
        {"headers": {"Authorization": value}},
        {"headers": {"authorization": value}, "lazy": True},
    ):
        async with socket(running.address, payload=payload) as client:
            assert await who(client) == ada.email, payload
        of_bob = bearer(await api.issuer.token(bob)) | cookie(await api.issuer.sign_in(bob))
        async with socket(running.address, payload=payload, additional_headers=of_bob) as client:
            assert await who(client) == ada.email, payload  # the payload decides
    for headers in (bearer(credential), {"authorization": value}):
        async with socket(running.address, payload={"theme": "dark"}, additional_headers=headers) as client:
            assert await who(client) == ada.email


async def test_the_cookie_of_the_handshake_counts(running: Server, api: Api, ada: Person, bob: Person) -> None:
    headers = cookie(await api.issuer.sign_in(ada))
    async with socket(running.address, additional_headers=headers) as client:
        assert await who(client) == ada.email
        after = await event_cursor(api, ada)
        await client.subscribe(after=after)
        await api.create(ada, "mine")
        assert (await client.event())["task"]["title"] == "mine"
    async with socket(running.address, additional_headers=headers | bearer(await api.issuer.token(bob))) as client:
        assert await who(client) == bob.email


BAD = {
    "no token of ours": {"Authorization": "Bearer nonsense"},
    "a token below headers": {"headers": {"Authorization": "Bearer nonsense"}},
    "letters beyond latin-1": {"Authorization": "Bearer ☃"},
    "a type of many bytes": {"Authorization": ""},
    "two tokens": {"Authorization": "Bearer a", "authorization": "Bearer b"},
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_credential_is_sent_away(running: Server, api: Api, ada: Person, bad: str) -> None:
    payload = BAD[bad]
    if bad == "a type of many bytes":
        key = await api.issuer.new_key()
        payload = bearer(key.sign({"sub": ada.id}, typ="☃" * 200))
    headers = cookie(await api.issuer.sign_in(ada))  # a good one does not help
    async with stranger(running.address, additional_headers=headers) as client:
        await client.send(type="connection_init", payload=payload)
        code, reason = await client.closing()
        assert (code, bool(reason)) == (4403, True)


async def test_a_bad_credential_of_the_handshake_is_sent_away(running: Server) -> None:
    for headers in (bearer("nonsense"), cookie("nonsense")):
        async with stranger(running.address, additional_headers=headers) as client:
            await client.send(type="connection_init")
            assert (await client.closing())[0] == 4403


async def test_an_unexpected_failure_of_the_introduction_is_masked_and_logged_once(
    running: Server, issuer: Issuer, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in = await issuer.sign_in(ada)
    await issuer.connection.execute("ALTER TABLE session DROP COLUMN token")
    async with stranger(running.address, additional_headers={"X-Request-Id": "r-1"}) as client:
        await client.send(type="connection_init", payload=bearer(signed_in))
        masked = "Something went wrong on our side. If it happens again, report this request: r-1"
        assert await client.closing() == (1013, masked)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "r-1" in record.getMessage()
    caplog.clear()


async def test_without_the_database_a_client_is_told_to_come_again(database_url: str, issuer: Issuer) -> None:
    line = Line(database_url)
    await line.mend()
    token = await issuer.token(await issuer.sign_up("Ada"))
    async with server(settings(line.url, connect_timeout_seconds=0.3)) as running:
        await line.cut()
        async with stranger(running.address) as client:
            await client.send(type="connection_init", payload=bearer(token))
            assert await client.closing() == (
                1013,
                "The database does not answer right now. Try again in a few seconds.",
            )
        await line.mend()
        async with socket(running.address, token) as client:
            await client.says_no_more()
    await line.cut()


async def test_without_the_keys_of_the_sign_in_server_a_client_is_told_to_come_again(
    database_url: str, issuer: Issuer
) -> None:
    token = await issuer.token(await issuer.sign_up("Ada"))
    async with (
        server(settings(database_url, auth_jwks_url="http://127.0.0.1:9/jwks")) as running,
        stranger(running.address) as client,
    ):
        await client.send(type="connection_init", payload=bearer(token))
        assert await client.closing() == (
            1013,
            "The keys of the sign-in server cannot be fetched right now. Try again soon.",
        )


# ---------------------------------------------------------------- the end of a credential


async def ends(client: Socket, ids: list[str]) -> str:
    """Everything that runs on the socket ends, then the socket; why."""
    ended: list[str] = []
    while len(ended) < len(ids):
        message = await client.receive()
        if message["type"] == "next":  # the credential counts until it is looked at again
            assert not ended
            continue
        assert message["type"] == "error"
        [error] = message["payload"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        ended.append(message["id"])
    assert sorted(ended) == sorted(ids)
    assert await client.closing() == (4403, error["message"])
    return str(error["message"])


async def test_a_token_that_expires_ends_all_that_runs(running: Server, api: Api, ada: Person) -> None:
    exp = int(time.time()) - 3  # believed for 5 s after it has expired
    after = await event_cursor(api, ada)
    async with socket(running.address, await api.issuer.token(ada, exp=exp)) as client:
        ids = [await client.subscribe(after=after) for _ in range(2)]
        assert await ends(client, ids) == "The token has expired; fetch a new one from Better Auth."


async def test_a_sign_out_ends_all_that_runs(
    running: Server, api: Api, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticate, "RECHECK_SECONDS", 0.1)
    session, after = await api.issuer.sign_in(ada), await event_cursor(api, ada)
    async with (
        socket(running.address, session) as with_token,
        socket(running.address, additional_headers=cookie(session)) as with_cookie,
        socket(running.address, await api.issuer.sign_in(ada)) as elsewhere,
    ):
        sockets = (with_token, with_cookie, elsewhere)
        ids = {client: [await client.subscribe(after=after) for _ in range(2)] for client in (with_token, with_cookie)}
        await elsewhere.subscribe(after=after)
        await api.create(ada, "before")
        for client in sockets:
            assert (await client.event())["task"]["title"] == "before"
        await api.issuer.connection.execute("DELETE FROM session WHERE token = $1", session.partition(".")[0])
        for client, running_ids in ids.items():
            assert await ends(client, running_ids) == "The session has ended; sign in again."
        await api.create(ada, "after")
        assert (await elsewhere.event())["task"]["title"] == "after"
    await until(lambda: not running.followed)


async def test_a_ban_ends_all_that_runs(database_url: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "RECHECK_SECONDS", 0.1)
    await issuer.connection.execute('ALTER TABLE "user" ADD COLUMN banned boolean')
    await migrations.upgrade(Settings(database_url=database_url))  # the server may read it
    async with server(settings(database_url)) as running:
        ada = await issuer.sign_up("Ada")
        async with socket(running.address, await issuer.sign_in(ada)) as client:
            ids = [await client.subscribe()]
            await client.says_no_more()
            await issuer.connection.execute('UPDATE "user" SET banned = true WHERE id = $1', ada.id)
            assert await ends(client, ids) == "This account is banned."


async def test_an_outage_is_not_the_end_of_a_credential(
    database_url: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticate, "RECHECK_SECONDS", 0.05)
    line = Line(database_url)
    await line.mend()
    async with (
        server(settings(line.url, connect_timeout_seconds=0.2)) as running,
        asking(running, issuer) as api,
    ):
        ada = await api.sign_up("Ada")
        after = await event_cursor(api, ada)
        async with socket(running.address, await issuer.sign_in(ada)) as client:
            await client.subscribe(after=after)
            await api.create(ada, "before")
            assert (await client.event())["task"]["title"] == "before"
            await line.cut()
            await asyncio.sleep(0.6)
            await line.mend()
            await api.create(ada, "when it was over")
            assert (await client.event())["task"]["title"] == "when it was over"
    await line.cut()


async def test_a_client_that_reads_nothing_is_closed_as_well(
    running: Server, api: Api, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers to its pings fill the line, so that the server has something to say in the moment it closes."""
    monkeypatch.setattr(authenticate, "RECHECK_SECONDS", 0.1)
    async with socket(running.address, await api.issuer.sign_in(ada), max_queue=1) as client:

        async def ping() -> None:
            while True:
                await client.send(type="ping", payload={"x": "x" * 100_000})

        async def read() -> None:
            while True:
                assert (await client.receive())["type"] == "pong"

        pinging = asyncio.create_task(ping())
        await asyncio.sleep(0.3)
        await api.issuer.connection.execute("DELETE FROM session")
        await asyncio.sleep(0.3)
        with pytest.raises(ConnectionClosed):
            await read()
        await asyncio.wait([pinging])
        assert isinstance(pinging.exception(), ConnectionClosed)
    await until(lambda: not running.connections)


SHARED = """query ($id: ID!) {
  a: task(id: $id) { id owner { name } history(first: 1000) { edges { cursor } } }
  b: task(id: $id) { owner { name } }
}"""


async def test_a_field_that_fails_leaves_alone_those_who_wait_for_the_same_person(
    api: Api, ada: Person, adas: Socket
) -> None:
    task = await api.create(ada)
    over_http = await api.result(ada, SHARED, id=task["id"])
    await adas.subscribe(SHARED, id=task["id"])
    over_the_socket = (await adas.receive())["payload"]
    assert (await adas.receive())["type"] == "complete"
    for result in (over_http, over_the_socket):
        assert result["data"] == {"a": None, "b": {"owner": {"name": "Ada"}}}
        [error] = result["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["a", "history"], "BAD_USER_INPUT")


async def test_no_credential_is_ever_logged(database_url: str, issuer: Issuer) -> None:
    person = await issuer.sign_up("Ada")
    session, token = await issuer.sign_in(person), await issuer.token(person)
    async with process.running(database_url, LOG_LEVEL="DEBUG") as server:
        address = f"127.0.0.1:{server.port}"
        async with socket(address, token, additional_headers=cookie(session)) as client:
            await client.says_no_more()
    log = "".join(server.log)
    assert "Uvicorn running on" in log
    assert [part for part in (session[:32], token[:20], token[-20:]) if part in log] == []
