"""One PostgreSQL for the whole run, one database for each test."""

import asyncio
import gc
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import hypothesis
import psutil
import pytest

from graphql_api import database, migrations
from graphql_api.database import Filled, compiled
from graphql_api.dev import better_auth, postgres
from graphql_api.settings import Settings
from tests.client import Api, serving, settings
from tests.issuer import Issuer, Person
from tests.process import postgres_processes
from tests.streams import Server, server

SERVER = "TEST_POSTGRES_URL"
FAST = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
"""The server is thrown away after the run: it need not survive a power cut."""

stack = pytest.StashKey[ExitStack]()

# machines are shared: nothing fails for having been slow; and what a fixture keeps, all examples may use
hypothesis.settings.register_profile(
    "here",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("here")


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL once, in the process that all test processes come from."""
    if SERVER not in os.environ:
        config.stash[stack] = ExitStack()
        folder = config.stash[stack].enter_context(
            tempfile.TemporaryDirectory(dir=fast_folder(), ignore_cleanup_errors=True)
        )
        os.environ[SERVER] = config.stash[stack].enter_context(postgres.running(Path(folder) / "data"))
        asyncio.run(execute(os.environ[SERVER], *(f"ALTER SYSTEM SET {option}" for option in FAST)))
        asyncio.run(execute(os.environ[SERVER], "SELECT pg_reload_conf()"))


def fast_folder() -> str | None:
    """Memory, where there is enough of it: to clone a database takes 10 ms there, and up to 200 ms on a disk."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 4_000_000_000 else None


def pytest_unconfigure(config: pytest.Config) -> None:
    if stack in config.stash:
        config.stash[stack].close()
        del os.environ[SERVER]


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
"""A row for each statement in this database that waits for another's lock."""


async def until_somebody_waits(connection: asyncpg.Connection, how_many: int = 1) -> None:
    """Until so many statements in this database wait for another's lock."""
    while len(await connection.fetch(WAITING)) < how_many:
        await asyncio.sleep(0.01)
        await connection.execute("SELECT pg_stat_clear_snapshot()")  # within a transaction it would never change


@asynccontextmanager
async def new_database(template: str = "template0") -> AsyncIterator[str]:
    """A database of its own, dropped afterwards; yields its URL."""
    server, name = os.environ[SERVER], f"test_{uuid4().hex}"
    await execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield postgres.database_url(server, name)
    finally:
        await execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_database() -> AsyncIterator[str]:
    """The URL of a database with nothing in it."""
    async with new_database() as url:
        yield url


@pytest.fixture(scope="session")
def template() -> Iterator[str]:
    """The name of a migrated database with Better Auth's tables, and nobody in them."""
    server, name = os.environ[SERVER], f"template_{uuid4().hex}"
    url = postgres.database_url(server, name)

    async def build() -> None:
        await execute(server, f"CREATE DATABASE {name}")
        await execute(url, better_auth.TABLES)
        await migrations.upgrade(Settings(database_url=url))

    asyncio.run(build())
    yield name
    asyncio.run(execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def database_url(template: str) -> AsyncIterator[str]:
    """The URL of a migrated database with Better Auth's tables, and nobody in them."""
    async with new_database(template) as url:
        yield url


@pytest.fixture
async def issuer(database_url: str) -> AsyncIterator[Issuer]:
    """Better Auth on the database of this test."""
    connection = await asyncpg.connect(database_url)
    yield Issuer(connection)
    await connection.close()


@pytest.fixture
async def api(database_url: str, issuer: Issuer) -> AsyncIterator[Api]:
    """A server on the database of this test."""
    async with serving(settings(database_url)) as client:
        yield Api(client, issuer)


class Statements(list[str]):
    """What was sent to the database."""


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    """Every statement that the server carries out."""
    seen = Statements()

    def counting(statement: Filled) -> tuple[str, list[object]]:
        sql, parameters = compiled(statement)
        seen.append(sql)
        return sql, parameters

    monkeypatch.setattr(database, "compiled", counting)
    return seen


@pytest.fixture
async def running(database_url: str) -> AsyncIterator[Server]:
    """A server on a port of its own, on the database of this test."""
    async with server(settings(database_url)) as running:
        yield running


@pytest.fixture
def nothing_goes_wrong(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a client does wrong, and how it leaves, is no error of the server's."""
    yield
    gc.collect()  # a task that failed unseen is logged when it goes
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.sign_up("Ada")


@pytest.fixture
async def bob(api: Api) -> Person:
    return await api.sign_up("Bob")


@pytest.fixture
def development() -> Iterator[Path]:
    """A folder to run `dev` in; a database that is left running there is stopped.

    Not pytest's `tmp_path`: every run of pytest closes that to other users, and root's PostgreSQL is another user.
    """
    with tempfile.TemporaryDirectory(dir=fast_folder(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        yield folder
        for process in postgres_processes(folder):
            process.terminate()
        psutil.wait_procs(postgres_processes(folder), timeout=10)


@pytest.fixture
def collects_afterwards() -> Iterator[None]:
    """graphql-core leaves coroutines behind when it cancels what has not begun.

    Python says so when they are collected; in the middle of making a named tuple it fails to look at filters then.
    """
    gc.disable()
    yield
    gc.enable()
    gc.collect()
