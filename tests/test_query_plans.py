"""How PostgreSQL finds a user's tasks among 200,000: through an index, with and without row-level security."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from graphql_api.database import ROLE
from tests.conftest import new_database

ROWS = """
    SET session_replication_role = replica; -- no triggers: the rows keep the rules as they are, and are loaded sooner

    INSERT INTO tasks (user_id, title, status, completed, completed_at, priority, due_date, assigned_to, created_at)
    SELECT 'user-' || n % 200, 'Task ' || n,
        (ARRAY['completed', 'pending', 'completed', 'in_progress']::task_status[])[1 + n / 200 % 4],
        n / 200 % 2 = 0,
        CASE WHEN n / 200 % 2 = 0 THEN now() - n * interval '1 second' END,
        (ARRAY['low', 'medium', 'high', 'urgent']::task_priority[])[1 + n / 800 % 4],
        CASE WHEN n / 200 % 3 > 0 THEN now() + n * interval '1 minute' END,
        CASE WHEN n % 10 = 0 THEN 'user-' || n / 10 % 200 END,
        now() - n * interval '1 second'
    FROM generate_series(1, 200000) n;

    ANALYZE tasks;
"""

QUERIES = {
    "newest first": "user_id = $1 ORDER BY created_at DESC",
    "pending, newest first": "user_id = $1 AND completed = false ORDER BY created_at DESC",
    "completed, newest first": "user_id = $1 AND completed = true ORDER BY created_at DESC",
    "completed, last completed first": "user_id = $1 AND completed = true ORDER BY completed_at DESC",
    "a page by number": "user_id = $1 AND completed = false ORDER BY created_at DESC LIMIT 50 OFFSET 50",
    "a dashboard": "user_id = $1 AND status = 'pending' AND priority = 'high'",
    "a dashboard, most urgent first": "user_id = $1 AND status = 'pending' ORDER BY priority DESC, created_at DESC",
    "due first": "user_id = $1 ORDER BY due_date",
    "overdue": "user_id = $1 AND NOT completed AND due_date < now() ORDER BY due_date",
    "assigned, newest first": "assigned_to = $1 ORDER BY created_at DESC",
    "one": "id = '00000000-0000-7000-8000-000000000000' AND user_id = $1",
    "all that one may see": "user_id = $1 OR assigned_to = $1",
}
"""What the seeds ask for, after `SELECT * FROM tasks WHERE`; $1 is the user."""

EARLIER = "< ('2026-01-01T00:00:00Z', '00000000-0000-7000-8000-000000000000')"

PAGES = {
    "the first": "user_id = $1 ORDER BY created_at DESC, id DESC LIMIT 21",
    "a later one": f"user_id = $1 AND (created_at, id) {EARLIER} ORDER BY created_at DESC, id DESC LIMIT 21",
    "the last": "user_id = $1 ORDER BY created_at, id LIMIT 21",
    "of the open": "user_id = $1 AND NOT completed ORDER BY created_at DESC, id DESC LIMIT 21",
    "of the open, due first": "user_id = $1 AND NOT completed ORDER BY due_date, id LIMIT 21",
    "of the assigned": "assigned_to = $1 ORDER BY created_at DESC, id DESC LIMIT 21",
}


@pytest.fixture(scope="module")
async def many_tasks(template: str) -> AsyncIterator[str]:
    """The URL of a database with 200,000 tasks of 200 people."""
    async with new_database(template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(ROWS)
        await connection.close()
        yield url


@pytest.fixture(params=["custom", "generic"])
async def owner(many_tasks: str, request: pytest.FixtureRequest) -> AsyncIterator[asyncpg.Connection]:
    """The owner of the tables, whom no policy holds; each kind of plan that a prepared statement may get."""
    connection = await asyncpg.connect(many_tasks)
    await connection.execute(f"SET plan_cache_mode = force_{request.param}_plan")
    yield connection
    await connection.close()


@pytest.fixture
async def server(owner: asyncpg.Connection) -> asyncpg.Connection:
    """The same under the server's role, as one user."""
    await owner.execute(f"SET ROLE {ROLE}; SELECT set_config('app.user_id', 'user-7', false)")
    return owner


async def plan(connection: asyncpg.Connection, condition: str) -> list[dict[str, Any]]:
    """The nodes of the plan for one user's tasks."""
    await connection.execute(f"PREPARE query (text) AS SELECT * FROM tasks WHERE {condition}")
    explained = await connection.fetchval("EXPLAIN (FORMAT JSON) EXECUTE query ('user-7')")
    return list(nodes(json.loads(explained)[0]["Plan"]))


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes(child)


def is_served_by_an_index(found: list[dict[str, Any]]) -> bool:
    scans = [node for node in found if node.get("Relation Name") == "tasks"]
    return bool(scans) and all("Index Cond" in node or "Recheck Cond" in node for node in scans)


@pytest.mark.parametrize("condition", QUERIES.values(), ids=QUERIES)
async def test_an_index_serves_sql_typed_by_hand(owner: asyncpg.Connection, condition: str) -> None:
    assert is_served_by_an_index(await plan(owner, condition))


@pytest.mark.parametrize("condition", QUERIES.values(), ids=QUERIES)
async def test_an_index_serves_it_under_row_level_security(server: asyncpg.Connection, condition: str) -> None:
    assert is_served_by_an_index(await plan(server, condition))


@pytest.mark.parametrize("condition", PAGES.values(), ids=PAGES)
async def test_a_page_is_read_in_order_and_no_further(server: asyncpg.Connection, condition: str) -> None:
    found = await plan(server, condition)
    assert [node["Node Type"] for node in found if node.get("Parent Relationship") != "InitPlan"] == [
        "Limit",
        "Index Scan",
    ]
