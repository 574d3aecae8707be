"""Every credential of a real Better Auth counts here, for exactly as long as it should.

Needs Node and `npm install` in tests/better_auth. BETTER_AUTH_PROJECT names a copy of that folder with another version.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from graphql_api import migrations
from tests.asking import bearer, refusal, who
from tests.client import CREATE, serving, settings
from tests.conftest import new_database
from tests.issuer import SECRET

pytestmark = pytest.mark.node

PROJECT = Path(os.environ.get("BETTER_AUTH_PROJECT", Path(__file__).parent / "better_auth"))
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Running:
    """A Better Auth that listens; `changes` is the number of tables that its migration made or changed."""

    origin: str
    changes: int


@asynccontextmanager
async def better_auth(database_url: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *("node", "server.mjs"),
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        assert line, "Better Auth did not start; what it says is above"
        yield Running(**json.loads(line))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@dataclass(frozen=True, slots=True)
class Browser:
    """Somebody with an account, signed in: what Better Auth answered, and the jar that holds its cookie."""

    client: httpx.AsyncClient
    email: str
    user_id: str
    set_auth_token: str

    @property
    def cookie(self) -> dict[str, str]:
        return {"Cookie": f"better-auth.session_token={self.client.cookies['better-auth.session_token']}"}

    async def post(self, path: str, **body: str) -> httpx.Response:
        response = await self.client.post(f"/api/auth{path}", json=body)
        assert response.status_code == 200, response.text
        return response

    async def token(self) -> str:
        token: str = (await self.client.get("/api/auth/token")).json()["token"]
        return token


@dataclass(frozen=True, slots=True)
class Pair:
    """A real Better Auth and this server, on one database."""

    database_url: str
    origin: str
    tasks: httpx.AsyncClient
    stack: AsyncExitStack

    async def sign_up(self, name: str) -> Browser:
        client = await self.stack.enter_async_context(
            httpx.AsyncClient(base_url=self.origin, headers={"Origin": self.origin})
        )
        email, password = f"{name}@example.com", {"password": PASSWORD}
        made = await client.post("/api/auth/sign-up/email", json={"name": name, "email": email, **password})
        assert made.status_code == 200, made.text
        client.cookies.clear()
        signed_in = await client.post("/api/auth/sign-in/email", json={"email": email, **password})
        assert signed_in.status_code == 200, signed_in.text
        return Browser(client, email, made.json()["user"]["id"], signed_in.headers["set-auth-token"])

    async def fetch(self, statement: str, *values: object) -> Any:
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def pair() -> AsyncIterator[Pair]:
    """Better Auth first, as in a project that has it already; then our migration, then our server."""
    if not (PROJECT / "node_modules").is_dir():
        reason = f"{PROJECT} has no node_modules: run `npm install` there"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(new_database())
        real = await stack.enter_async_context(better_auth(url))
        assert real.changes > 0
        options = settings(url, auth_url=real.origin)
        await migrations.upgrade(options)
        yield Pair(url, real.origin, await stack.enter_async_context(serving(options)), stack)


async def test_its_jwt_counts(pair: Pair) -> None:
    ada = await pair.sign_up("jwt")
    assert await who(pair.tasks, bearer(await ada.token())) == ada.email


async def test_its_signed_bearer_counts(pair: Pair) -> None:
    ada = await pair.sign_up("bearer")
    assert await who(pair.tasks, bearer(ada.set_auth_token)) == ada.email


async def test_its_cookie_counts(pair: Pair) -> None:
    ada = await pair.sign_up("cookie")
    assert await who(pair.tasks, ada.cookie) == ada.email


async def test_its_raw_session_token_does_not_count(pair: Pair) -> None:
    ada = await pair.sign_up("raw")
    raw = ada.set_auth_token.partition(".")[0]
    await refusal(pair.tasks, bearer(raw))


async def test_sign_out_ends_cookie_and_bearer(pair: Pair) -> None:
    ada = await pair.sign_up("sign-out")
    cookie = ada.cookie
    await ada.post("/sign-out")
    assert await refusal(pair.tasks, cookie) == "The session has ended; sign in again."
    assert await refusal(pair.tasks, bearer(ada.set_auth_token)) == "The session has ended; sign in again."


async def test_a_ban_ends_cookie_and_bearer(pair: Pair) -> None:
    root, ada = await pair.sign_up("root"), await pair.sign_up("banned")
    await pair.fetch("""UPDATE "user" SET role = 'admin' WHERE id = $1""", root.user_id)
    await root.post("/admin/ban-user", userId=ada.user_id)
    await refusal(pair.tasks, ada.cookie)
    await refusal(pair.tasks, bearer(ada.set_auth_token))


async def test_its_jwt_outlives_the_sign_out(pair: Pair) -> None:
    """For 15 minutes: whoever wants otherwise lets the front end send the cookie or the signed bearer."""
    ada = await pair.sign_up("outlived")
    token = await ada.token()
    await ada.post("/sign-out")
    assert await who(pair.tasks, bearer(token)) == ada.email


async def test_a_deleted_user_takes_their_tasks_along(pair: Pair) -> None:
    ada = await pair.sign_up("deleted")
    body = {"query": CREATE, "variables": {"input": {"title": "Buy milk"}}}
    made = await pair.tasks.post("/graphql", json=body, headers=bearer(ada.set_auth_token))
    assert made.json()["data"]["createTask"]["errors"] == []
    assert len(await pair.fetch("SELECT FROM tasks WHERE user_id = $1", ada.user_id)) == 1
    await ada.post("/delete-user", password=PASSWORD)
    assert await pair.fetch("SELECT FROM tasks WHERE user_id = $1", ada.user_id) == []
    await refusal(pair.tasks, bearer(ada.set_auth_token))


async def test_a_jwt_counts_by_its_keys_over_http(pair: Pair) -> None:
    ada = await pair.sign_up("jwks")
    async with serving(
        settings(pair.database_url, auth_url=pair.origin, auth_jwks_url=f"{pair.origin}/api/auth/jwks")
    ) as client:
        assert await who(client, bearer(await ada.token())) == ada.email


async def test_better_auth_starts_on_a_database_that_we_migrated(pair: Pair) -> None:
    async with better_auth(pair.database_url) as real, AsyncExitStack() as stack:
        assert real.changes == 0
        ada = await Pair(pair.database_url, real.origin, pair.tasks, stack).sign_up("after")
        assert await who(pair.tasks, ada.cookie) == ada.email
