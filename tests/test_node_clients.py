"""Clients as front ends use them, and the official audit of GraphQL over HTTP, against the real server.

They need Node and `npm install --no-package-lock` in `tests/node`; where that was not done they are skipped.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from graphql_api.schema import sdl
from tests.issuer import Issuer
from tests.process import Server, running

FOLDER = Path(__file__).parent / "node"

pytestmark = pytest.mark.node


@pytest.fixture(autouse=True)
def installed() -> None:
    if not (FOLDER / "node_modules").exists():
        reason = "tests/node/node_modules is missing: run `npm install --no-package-lock` in tests/node"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
async def server(installed: None, database_url: str) -> AsyncIterator[Server]:
    async with running(database_url) as server:
        yield server


async def run(script: str, server: Server, issuer: Issuer, **environment: str) -> str:
    """What a script prints that calls the server as a new person."""
    process = await asyncio.create_subprocess_exec(
        *("node", script),
        cwd=FOLDER,
        env={
            "PATH": os.environ["PATH"],
            "URL": f"{server.address}/graphql",
            "TOKEN": await issuer.token(await issuer.sign_up("Ada")),
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(20):
            written, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, written.decode()
    return written.decode()


async def test_the_official_audit_finds_nothing(server: Server, issuer: Issuer) -> None:
    assert await run("audit.mjs", server, issuer) == "61 of 61 ok\n"


CLIENTS = ("apollo.mjs", "urql.mjs", "graphql-ws.mjs", "graphql-sse.mjs", "apollo-following.mjs", "urql-following.mjs")


@pytest.mark.parametrize("script", CLIENTS)
async def test_a_client_works_as_it_is(server: Server, issuer: Issuer, script: str) -> None:
    assert await run(script, server, issuer) == "ok\n"


async def test_the_function_of_the_readme_follows_through_the_end_of_its_token(server: Server, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    soon = await issuer.token(ada, exp=int(time.time()) + 2)
    assert await run("readme.mjs", server, issuer, SHORT_TOKEN=soon, TOKEN=await issuer.token(ada)) == "ok\n"


async def test_relay_compiles_the_schema_and_pages(server: Server, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text(sdl(), encoding="utf-8")
    assert (await run("relay.mjs", server, issuer, FOLDER=str(tmp_path))).endswith("ok\n")
