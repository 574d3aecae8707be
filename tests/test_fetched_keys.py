"""Public keys from a JWKS address, for a Better Auth on another database."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from graphql_api.auth import fetched_keys
from graphql_api.relay.ids import GlobalID
from tests.asking import ask, bearer, refusal, who
from tests.client import serving, settings
from tests.clock import Clock
from tests.conftest import execute
from tests.issuer import ALGORITHMS, Issuer, Person, SigningKey, base64url, default_claims, signed

INVALID = "The token is not a valid JWT of this application."
UNKNOWN_KEY = "The token is signed with a key that this application does not know."


@dataclass
class KeyServer:
    """A JWKS on 127.0.0.1, as Better Auth has it at `/api/auth/jwks`."""

    origin: str
    keys: list[SigningKey] = field(default_factory=list)
    answer: Response | None = None
    """What it answers instead of the keys."""
    silence: asyncio.Event | None = None
    """It answers when this has happened."""
    fetches: int = 0

    @property
    def url(self) -> str:
        return f"{self.origin}/api/auth/jwks"

    async def respond(self, _: Request) -> Response:
        self.fetches += 1
        if self.silence:
            await self.silence.wait()
        return self.answer or JSONResponse({"keys": [key.jwk for key in self.keys]})


@pytest.fixture(scope="module")
async def listening_key_server() -> AsyncIterator[KeyServer]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        keys = KeyServer(f"http://127.0.0.1:{listening.getsockname()[1]}")
        app = Starlette(routes=[Route("/api/auth/jwks", keys.respond)])
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None))
        running = asyncio.create_task(server.serve([listening]))
        yield keys
        server.should_exit = True
        await running


@pytest.fixture
def key_server(listening_key_server: KeyServer) -> KeyServer:
    """With one key, of the default kind."""
    server = listening_key_server
    server.keys, server.answer, server.silence, server.fetches = [SigningKey.new()], None, None, 0
    return server


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.of(monkeypatch, fetched_keys)


@asynccontextmanager
async def fetching(database_url: str, key_server: KeyServer) -> AsyncIterator[httpx.AsyncClient]:
    """A server that takes its keys from there."""
    async with serving(settings(database_url, auth_jwks_url=key_server.url)) as client:
        yield client


async def test_keys_are_fetched_once(database_url: str, issuer: Issuer, key_server: KeyServer) -> None:
    ada, bob = await issuer.sign_up("Ada"), await issuer.sign_up("Bob")
    [key] = key_server.keys
    async with fetching(database_url, key_server) as client:
        assert await who(client, bearer(key.sign(default_claims(ada)))) == ada.email
        assert await who(client, bearer(key.sign(default_claims(bob)))) == bob.email
    assert key_server.fetches == 1


async def test_a_fetched_key_of_every_algorithm_counts(
    database_url: str, issuer: Issuer, key_server: KeyServer
) -> None:
    ada = await issuer.sign_up("Ada")
    key_server.keys = [SigningKey.new(algorithm) for algorithm in ALGORITHMS]
    async with fetching(database_url, key_server) as client:
        for key in key_server.keys:
            assert await who(client, bearer(key.sign(default_claims(ada)))) == ada.email


async def test_requests_at_the_same_time_share_one_fetch(
    database_url: str, issuer: Issuer, key_server: KeyServer
) -> None:
    people = [await issuer.sign_up(name) for name in ("Ada", "Bob", "Cem", "Dora")]
    [key] = key_server.keys
    async with fetching(database_url, key_server) as client:
        asking = [who(client, bearer(key.sign(default_claims(person)))) for person in people]
        assert await asyncio.gather(*asking) == [person.email for person in people]
    assert key_server.fetches == 1


async def test_the_jwks_of_auth_url_is_fetched_where_there_is_no_table(
    database_url: str, issuer: Issuer, key_server: KeyServer
) -> None:
    ada = await issuer.sign_up("Ada")
    await execute(database_url, "DROP TABLE jwks")
    [key] = key_server.keys
    async with serving(settings(database_url, auth_url=key_server.origin)) as client:
        claims = default_claims(ada) | {"iss": key_server.origin, "aud": key_server.origin}
        assert await who(client, bearer(key.sign(claims))) == ada.email


async def test_the_table_is_not_asked_once_an_address_is_set(
    database_url: str, issuer: Issuer, key_server: KeyServer
) -> None:
    token = await issuer.token(await issuer.sign_up("Ada"))
    async with fetching(database_url, key_server) as client:
        assert await refusal(client, bearer(token)) == UNKNOWN_KEY


async def test_invented_keys_make_one_fetch_in_30_seconds(
    database_url: str, issuer: Issuer, key_server: KeyServer, clock: Clock
) -> None:
    ada = await issuer.sign_up("Ada")
    [key] = key_server.keys
    async with fetching(database_url, key_server) as client:
        for seconds, fetches in [(0, 1), (29, 1), (2, 2), (0, 2), (29, 2), (2, 3)]:
            clock.ahead += seconds
            assert await refusal(client, bearer(key.sign(default_claims(ada), kid="invented"))) == UNKNOWN_KEY
            assert key_server.fetches == fetches


async def test_a_new_key_is_fetched_after_30_seconds(
    database_url: str, issuer: Issuer, key_server: KeyServer, clock: Clock
) -> None:
    ada, new = await issuer.sign_up("Ada"), SigningKey.new()
    async with fetching(database_url, key_server) as client:
        assert await refusal(client, bearer(new.sign(default_claims(ada)))) == UNKNOWN_KEY
        key_server.keys.append(new)
        clock.ahead += 31
        assert await who(client, bearer(new.sign(default_claims(ada)))) == ada.email


async def test_a_key_that_is_gone_counts_for_ten_minutes_at_most(
    database_url: str, issuer: Issuer, key_server: KeyServer, clock: Clock
) -> None:
    ada, bob = await issuer.sign_up("Ada"), await issuer.sign_up("Bob")
    [key] = key_server.keys
    async with fetching(database_url, key_server) as client:
        assert await who(client, bearer(key.sign(default_claims(ada)))) == ada.email
        key_server.keys.clear()
        clock.ahead += 601
        assert await refusal(client, bearer(key.sign(default_claims(bob)))) == UNKNOWN_KEY


BROKEN = (
    Response(status_code=500),
    Response(status_code=302, headers={"Location": "https://evil.example.com/jwks"}),
    Response("<html>"),
    JSONResponse({}),
    JSONResponse({"keys": 3}),
    JSONResponse({"keys": [{"kty": "OKP"}]}),
    JSONResponse([1]),
    JSONResponse({"keys": []}, status_code=503),
)


async def test_old_keys_stay_when_a_fetch_fails(
    database_url: str, issuer: Issuer, key_server: KeyServer, clock: Clock
) -> None:
    ada = await issuer.sign_up("Ada")
    [key] = key_server.keys
    async with fetching(database_url, key_server) as client:
        assert await who(client, bearer(key.sign(default_claims(ada)))) == ada.email
        for number, answer in enumerate(BROKEN, start=1):
            key_server.answer = answer
            clock.ahead += 601
            token = key.sign(default_claims(ada) | {"jti": str(number)})  # or it would be remembered
            assert await who(client, bearer(token)) == ada.email
            assert key_server.fetches == 1 + number


async def test_a_key_that_is_known_does_not_wait_for_a_server_that_fails(
    database_url: str, issuer: Issuer, key_server: KeyServer, clock: Clock
) -> None:
    ada = await issuer.sign_up("Ada")
    [key] = key_server.keys
    async with fetching(database_url, key_server) as client:
        for seconds, fetches in [(0, 1), (601, 2), (31, 2), (571, 3)]:
            clock.ahead += seconds
            token = key.sign(default_claims(ada) | {"jti": str(seconds)})
            assert await who(client, bearer(token)) == ada.email
            assert key_server.fetches == fetches
            key_server.answer = Response(status_code=500)


async def test_one_request_waits_for_a_silent_server_and_no_other_whose_key_is_known(
    database_url: str, issuer: Issuer, key_server: KeyServer, clock: Clock
) -> None:
    ada = await issuer.sign_up("Ada")
    [key] = key_server.keys
    first, second, third = (bearer(key.sign(default_claims(ada) | {"jti": id})) for id in "123")
    options = settings(database_url, auth_jwks_url=key_server.url, connect_timeout_seconds=60)
    async with serving(options) as client:
        assert await who(client, first) == ada.email
        key_server.silence = asyncio.Event()
        clock.ahead += 601
        waiting = asyncio.create_task(who(client, second))
        async with asyncio.timeout(10):
            while key_server.fetches < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert await who(client, third) == ada.email
        assert not waiting.done()
        key_server.silence.set()
        assert await waiting == ada.email


async def test_without_any_keys_the_server_is_not_available(
    database_url: str, issuer: Issuer, key_server: KeyServer, clock: Clock
) -> None:
    ada = await issuer.sign_up("Ada")
    [key] = key_server.keys
    key_server.answer = Response(status_code=500)
    async with fetching(database_url, key_server) as client:
        response = await ask(client, bearer(key.sign(default_claims(ada))))
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        [error] = response.json()["errors"]
        assert error["extensions"] == {"code": "SERVICE_UNAVAILABLE"}
        key_server.answer = None
        clock.ahead += 31
        assert await who(client, bearer(key.sign(default_claims(ada)))) == ada.email


async def test_a_key_server_that_is_silent_is_given_up(
    database_url: str, issuer: Issuer, key_server: KeyServer
) -> None:
    ada = await issuer.sign_up("Ada")
    [key] = key_server.keys
    key_server.silence = asyncio.Event()
    async with fetching(database_url, key_server) as client:
        [error] = (await ask(client, bearer(key.sign(default_claims(ada))))).json()["errors"]
    key_server.silence.set()
    assert error["extensions"] == {"code": "SERVICE_UNAVAILABLE"}  # and no TIMEOUT, long after


async def test_an_address_that_leads_nowhere_is_told_in_the_log(
    database_url: str, issuer: Issuer, key_server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await issuer.sign_up("Ada")
    [key] = key_server.keys
    async with serving(settings(database_url, auth_jwks_url="http://☃.test/jwks")) as client:
        response = await ask(client, bearer(key.sign(default_claims(ada))))
    assert response.status_code == 503
    assert "no keys from http://☃.test/jwks: InvalidURL" in caplog.text


async def test_a_symmetric_key_of_a_jwks_proves_nothing(
    database_url: str, issuer: Issuer, key_server: KeyServer
) -> None:
    ada, secret = await issuer.sign_up("Ada"), b"s" * 64
    shared = {"kty": "oct", "k": base64url(secret), "kid": "shared", "alg": "HS256"}
    key_server.answer = JSONResponse({"keys": [shared]})
    token = signed({"alg": "HS256", "kid": "shared"}, default_claims(ada), secret, "HS256")
    async with fetching(database_url, key_server) as client:
        assert await refusal(client, bearer(token)) == INVALID


# ---------------------------------------------------------------- Better Auth on another database

EVERYTHING = "{ viewer { name email emailVerified image createdAt user { name } } }"
CLAIMED = {
    "name": "Ada",
    "email": "ada@example.com",
    "emailVerified": True,
    "image": "https://example.com/ada.png",
    "createdAt": "2026-01-01T00:00:00Z",
    "user": {"name": "Ada"},
}


@pytest.fixture
async def elsewhere(database_url: str, key_server: KeyServer) -> AsyncIterator[httpx.AsyncClient]:
    """A server whose database has none of Better Auth's tables."""
    await execute(database_url, 'DROP TABLE "user", session, account, verification, jwks CASCADE')
    async with fetching(database_url, key_server) as client:
        yield client


async def viewer(client: httpx.AsyncClient, key: SigningKey, query: str = EVERYTHING, **claims: Any) -> Any:
    token = key.sign(default_claims(Person("ada", "Ada", "ada@example.com")) | claims)
    response = await client.post("/graphql", json={"query": query}, headers=bearer(token))
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_viewer_is_known_from_the_claims(elsewhere: httpx.AsyncClient, key_server: KeyServer) -> None:
    answer = await viewer(elsewhere, key_server.keys[0], image="https://example.com/ada.png")
    assert answer == {"data": {"viewer": CLAIMED}}


async def test_who_shares_a_task_is_found_by_id_and_nobody_else(
    elsewhere: httpx.AsyncClient, key_server: KeyServer
) -> None:
    [key] = key_server.keys
    ada, bob, eve = (str(GlobalID("User", id)) for id in ("ada", "bob", "eve"))
    creation = (
        f'mutation {{ createTask(input: {{title: "x", assigneeId: "{bob}"}}) {{ task {{ assignee {{ id }} }} }} }}'
    )
    assert (await viewer(elsewhere, key, creation))["data"]["createTask"] == {"task": {"assignee": {"id": bob}}}
    people = f'{{ node(id: "{bob}") {{ id }} nodes(ids: ["{ada}", "{bob}", "{eve}"]) {{ id }} }}'
    both = {"node": {"id": bob}, "nodes": [{"id": ada}, {"id": bob}, None]}
    assert await viewer(elsewhere, key, people) == {"data": both}
    assert await viewer(elsewhere, key, people, sub="bob") == {"data": both}
    assert await viewer(elsewhere, key, people, sub="eve") == {
        "data": {"node": None, "nodes": [None, None, {"id": eve}]}
    }


async def test_other_people_have_no_names(elsewhere: httpx.AsyncClient, key_server: KeyServer) -> None:
    [key] = key_server.keys
    for id in ("ada", "bob", "eve"):
        task = f'{{ title: "x", assigneeId: "{GlobalID("User", id)}" }}'
        await viewer(elsewhere, key, f"mutation {{ createTask(input: {task}) {{ errors {{ code }} }} }}")
    query = "{ viewer { tasks { nodes { owner { name } assignee { name } } } } }"
    people = [
        {"owner": {"name": "Ada"}, "assignee": {"name": name}} for name in ("Unknown user", "Unknown user", "Ada")
    ]
    assert await viewer(elsewhere, key, query) == {"data": {"viewer": {"tasks": {"nodes": people}}}}


async def test_the_claims_may_leave_name_and_email_out(elsewhere: httpx.AsyncClient, key_server: KeyServer) -> None:
    answer = await viewer(elsewhere, key_server.keys[0], "{ viewer { name email } }", name=None, email=None)
    assert answer == {"data": {"viewer": {"name": "ada", "email": ""}}}
    answer = await viewer(elsewhere, key_server.keys[0], "{ viewer { name } }", name=None)
    assert answer == {"data": {"viewer": {"name": "ada@example.com"}}}


@pytest.mark.parametrize(
    "moment", [1767225600, "soon", ["2026"], "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"], ids=repr
)
async def test_a_claim_that_is_no_moment_leaves_the_rest_alone(
    elsewhere: httpx.AsyncClient, key_server: KeyServer, moment: object
) -> None:
    answer = await viewer(elsewhere, key_server.keys[0], "{ viewer { name } }", createdAt=moment)
    assert answer == {"data": {"viewer": {"name": "Ada"}}}


async def test_a_claim_of_another_kind_is_no_fault_of_ours(elsewhere: httpx.AsyncClient, key_server: KeyServer) -> None:
    claims = {"image": 3, "name": ["Ada"], "email": {"of": "Ada"}, "emailVerified": "no"}
    answer = await viewer(elsewhere, key_server.keys[0], "{ viewer { image name email emailVerified } }", **claims)
    assert answer["data"]["viewer"] == {
        "image": None,
        "name": "['Ada']",
        "email": "{'of': 'Ada'}",
        "emailVerified": False,
    }
