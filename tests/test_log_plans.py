"""How PostgreSQL finds a user's events among 200,000, in partitions and under row-level security: through an index."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from graphql_api import migrations
from graphql_api.database import ROLE, Database, Filled, compiled
from graphql_api.relay import cursors
from graphql_api.relay.connections import Window
from graphql_api.tasks import log
from graphql_api.tasks.log import NEWEST_FIRST, OLDEST_FIRST, TaskLog
from tests.client import settings
from tests.conftest import execute, new_database

EVENTS = """
    INSERT INTO task_events (user_id, cursor, task_id, kind, after, created_at)
    SELECT 'user-' || n % 200, n, md5((n / 10)::text)::uuid, 'updated', '{"title": "x"}',
        now() - interval '62 days' + n * interval '26 seconds'
    FROM generate_series(1, 200000) n
"""


class Explaining:
    """Carries out nothing; keeps the plans of what it is asked."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.plans: list[dict[str, Any]] = []

    async def read(self, statement: Filled) -> list[Any]:
        sql, parameters = compiled(statement)
        explained = await self._connection.fetchval(f"EXPLAIN (FORMAT JSON, ANALYZE) {sql}", *parameters)
        self.plans.append(json.loads(explained)[0]["Plan"])
        return [{"cursor": 0, "end": log.CURSOR_MAX}]


@pytest.fixture(scope="module")
async def many_events(template: str) -> AsyncIterator[str]:
    """The URL of a database with 200,000 events of 200 people, of the last two months."""
    async with new_database(template) as url:
        await execute(url, EVENTS)
        await migrations.maintain(settings(url))
        await execute(url, "ANALYZE task_events")
        yield url


@pytest.fixture
async def explaining(many_events: str) -> AsyncIterator[Explaining]:
    connection = await asyncpg.connect(many_events, server_settings={"role": ROLE})
    yield Explaining(connection)
    await connection.close()


def window(after: int | None = None) -> Window:
    cursor = None if after is None else cursors.encode(OLDEST_FIRST, [after])
    return Window.of(OLDEST_FIRST, 20, cursor, None, None)


TASKS = [UUID("cfcd2084-95d5-65ef-66e7-dff9f98764da"), UUID("98f13708-2101-94c4-7568-7be6106a3b84")]

QUESTIONS: dict[str, Callable[[Database], Awaitable[Any]]] = {
    "the first page": lambda database: log.page(database, "user-7", window()),
    "a later page": lambda database: log.page(database, "user-7", window(150_000)),
    "histories": lambda database: log.histories(
        database, "user-7", TASKS, Window.of(NEWEST_FIRST, 20, None, None, None)
    ),
    "the last of a task": lambda database: log.last_of(database, "user-7", TASKS[0]),
    "some": lambda database: log.by_cursors(database, "user-7", [7, 207, 8]),
    "what follows": lambda database: TaskLog(database).after("user-7", 199_000, 100),
    "the end": lambda database: TaskLog(database).end("user-7"),
}


def scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if str(node.get("Relation Name", "")).startswith("task_events_20"):
        yield node
    for child in node.get("Plans", []):
        yield from scans(child)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
async def test_an_index_leads_to_the_events_and_hardly_more_are_read(
    explaining: Explaining, question: Callable[[Database], Awaitable[Any]]
) -> None:
    await question(cast("Database", explaining))
    found = [node for plan in explaining.plans for node in scans(plan) if node["Actual Rows"]]
    assert found
    for node in found:
        assert "Index Cond" in node or "Recheck Cond" in node, node
        assert node.get("Rows Removed by Filter", 0) == 0
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in found) <= 110
