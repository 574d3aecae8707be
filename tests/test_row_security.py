"""What the server's database role can do at worst: with statements that forgot whose tasks they are about."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import product
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from graphql_api import instants
from graphql_api.database import ROLE, Database, Filled, compiled
from graphql_api.relay.connections import Window
from graphql_api.tasks import bulk, log, reads, writes
from graphql_api.tasks.filters import EVERYTHING, Filter, StringComparator, TaskFilter, read
from graphql_api.tasks.log import NOW, OLDEST_FIRST, TaskLog
from graphql_api.tasks.models import Priority, Status
from graphql_api.tasks.orders import NEWEST_FIRST
from graphql_api.tasks.selections import Selection

pytestmark = pytest.mark.usefixtures("tasks")

HERS, SHARED, HIS = "of Ada", "of Bob, assigned to Ada", "of Bob"

CONTENT = "SELECT id, user_id, title, completed, assigned_to, version, xmin::text FROM tasks ORDER BY title"


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner of the tables, whom no policy holds."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def tasks(owner: asyncpg.Connection) -> None:
    """Ada's task, Bob's, and one of Bob's that is Ada's to do; secrets beside them."""
    await owner.execute(f"""
        INSERT INTO "user" (id, name, email, "emailVerified")
        SELECT id, id, id || '@example.com', true FROM unnest('{{ada,bob,eve}}'::text[]) id;
        INSERT INTO account (id, "accountId", "providerId", "userId", password, "updatedAt")
        VALUES ('1', 'ada', 'credential', 'ada', 'salt:hash', now());
        INSERT INTO session (id, "expiresAt", token, "updatedAt", "userId") VALUES ('1', now(), 'token', now(), 'ada');
        INSERT INTO jwks (id, "publicKey", "privateKey", "createdAt") VALUES ('1', 'public', 'private', now());
        INSERT INTO tasks (user_id, title, assigned_to) VALUES
            ('ada', '{HERS}', NULL),
            ('bob', '{SHARED}', 'ada'),
            ('bob', '{HIS}', NULL);
    """)


@asynccontextmanager
async def server_as(database_url: str, user_id: str | None) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the server has it, for one user."""
    connection = await asyncpg.connect(database_url, server_settings={"role": ROLE})
    try:
        await instants.keep(connection)
        if user_id is not None:
            await connection.execute("SELECT set_config('app.user_id', $1, false)", user_id)
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def ada(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    async with server_as(database_url, "ada") as connection:
        yield connection


@pytest.fixture(params=[None, "", "nobody"], ids=["unset", "empty", "unknown"])
async def nobody(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[asyncpg.Connection]:
    async with server_as(database_url, request.param) as connection:
        yield connection


async def titles(connection: asyncpg.Connection, statement: str) -> set[str]:
    return {row["title"] for row in await connection.fetch(statement)}


# ---------------------------------------------------------------- statements without their WHERE


@pytest.mark.parametrize(
    "source",
    [
        "tasks",
        "tasks WHERE user_id = 'bob' OR true",
        "(SELECT * FROM tasks UNION ALL SELECT * FROM tasks) all_of_them",
        "tasks JOIN (SELECT count(*) FROM tasks) counted ON true",
        """tasks JOIN "user" ON "user".id = tasks.user_id""",
    ],
)
async def test_a_select_shows_what_one_owns_and_what_one_is_assigned(ada: asyncpg.Connection, source: str) -> None:
    assert await titles(ada, f"SELECT title FROM {source}") == {HERS, SHARED}


async def test_a_count_counts_the_visible(ada: asyncpg.Connection) -> None:
    assert await ada.fetchval("SELECT count(*) FROM tasks") == 2


async def test_an_update_changes_what_one_owns_and_what_one_is_assigned(
    ada: asyncpg.Connection, owner: asyncpg.Connection
) -> None:
    assert await titles(ada, "UPDATE tasks SET completed = NOT completed RETURNING title") == {HERS, SHARED}
    assert await titles(owner, "SELECT title FROM tasks WHERE NOT completed") == {HIS}


async def test_a_delete_takes_what_one_owns(ada: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    assert await titles(ada, "DELETE FROM tasks RETURNING title") == {HERS}
    assert await titles(owner, "SELECT title FROM tasks") == {SHARED, HIS}


async def test_an_insert_for_another_is_refused(ada: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await ada.execute("INSERT INTO tasks (user_id, title) VALUES ('ada', 'x'), ('bob', 'y')")
    assert len(await owner.fetch(CONTENT)) == 3


async def test_an_upsert_cannot_reach_the_task_of_another(ada: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    before = await owner.fetch(CONTENT)
    his = await owner.fetchval("SELECT id FROM tasks WHERE title = $1", HIS)
    insert = "INSERT INTO tasks (id, user_id, title) VALUES ($1, 'ada', 'x') ON CONFLICT (id) DO"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await ada.execute(f"{insert} UPDATE SET title = excluded.title", his)
    assert await ada.execute(f"{insert} NOTHING", his) == "INSERT 0 0"
    assert await owner.fetch(CONTENT) == before


async def test_one_prepared_statement_serves_each_user_their_own(ada: asyncpg.Connection) -> None:
    prepared = await ada.prepare("SELECT title FROM tasks")
    for _ in range(6):  # the sixth time PostgreSQL may have made one plan for all
        assert {row["title"] for row in await prepared.fetch()} == {HERS, SHARED}
    await ada.execute("SELECT set_config('app.user_id', 'bob', false)")
    assert {row["title"] for row in await prepared.fetch()} == {SHARED, HIS}


async def test_nobody_sees_and_changes_nothing(nobody: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    await owner.execute("SET session_replication_role = replica")  # no foreign key lets this in
    await owner.execute("INSERT INTO tasks (user_id, title, assigned_to) VALUES ('bob', 'of the nameless', '')")
    before = await owner.fetch(CONTENT)
    assert await nobody.fetch("SELECT * FROM tasks") == []
    assert await nobody.execute("UPDATE tasks SET completed = true") == "UPDATE 0"
    assert await nobody.execute("DELETE FROM tasks") == "DELETE 0"
    for user_id in ("ada", ""):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await nobody.execute("INSERT INTO tasks (user_id, title) VALUES ($1, 'x')", user_id)
    assert await owner.fetch(CONTENT) == before


# ---------------------------------------------------------------- what nobody may do under the role


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tasks SET user_id = 'ada'",
        "UPDATE tasks SET version = 1",
        "UPDATE tasks SET updated_at = now()",
        "UPDATE tasks SET completed_at = now()",
        "UPDATE tasks SET created_at = now()",
        "INSERT INTO tasks (user_id, title, version) VALUES ('ada', 'x', 5)",
        "TRUNCATE tasks",
        "ALTER TABLE tasks DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tasks_read ON tasks",
        "CREATE TABLE public.mine ()",
        "UPDATE graphql_api_version SET version_num = '0'",
        "SELECT password FROM account",
        "SELECT * FROM verification",
        "SELECT * FROM session",
        'SELECT "ipAddress" FROM session',
        'SELECT "privateKey" FROM jwks',
        "SELECT * FROM jwks",
        """UPDATE "user" SET name = 'Eve'""",
        """INSERT INTO session (id, "expiresAt", token, "updatedAt", "userId")
           VALUES ('2', now() + '1 day', 'forged', now(), 'ada')""",
        "DELETE FROM session",
        "UPDATE session SET token = 'forged'",
        """INSERT INTO jwks (id, "publicKey", "privateKey", "createdAt") VALUES ('2', 'mine', 'mine', now())""",
        "DELETE FROM account",
        "SELECT * FROM pg_authid",
        "COPY tasks TO PROGRAM 'true'",
    ],
)
async def test_the_role_may_not(ada: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ada.execute(statement)


async def test_the_role_may_read_who_people_are_and_how_they_are_known(ada: asyncpg.Connection) -> None:
    assert len(await ada.fetch('SELECT id, name, email, "emailVerified", image, "createdAt" FROM "user"')) == 3
    assert len(await ada.fetch('SELECT id, token, "userId", "expiresAt" FROM session')) == 1
    assert len(await ada.fetch('SELECT id, "publicKey", alg, "expiresAt" FROM jwks')) == 1


async def test_the_trigger_writes_what_its_writer_may_not(ada: asyncpg.Connection) -> None:
    row = await ada.fetchrow("UPDATE tasks SET completed = true WHERE user_id = 'ada' RETURNING *")
    assert row is not None
    assert (row["version"], row["status"]) == (2, "completed")
    assert row["completed_at"] is not None


async def test_an_assignee_cannot_take_over(ada: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await ada.execute("UPDATE tasks SET assigned_to = 'eve' WHERE user_id = 'bob'")


class Direct:
    """Carries out statements on a connection, and sets no user before them."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def read(self, statement: Filled) -> list[Any]:
        sql, parameters = compiled(statement)
        rows: list[Any] = await self._connection.fetch(sql, *parameters)
        return rows

    async def write(self, statement: Filled, *, check: Callable[[list[Any]], None] | None) -> list[Any]:
        rows = await self.read(statement)
        if check is not None:
            check(rows)
        return rows


PLANNERS = {
    "as it is": "SELECT 1",
    "every plan for its values": "SET plan_cache_mode = force_custom_plan",
    "one plan for all values": "SET plan_cache_mode = force_generic_plan",
    "by index alone": "SET enable_seqscan = off; SET enable_bitmapscan = off",
    "by bitmap alone": "SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off",
    "sequential": "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off",
    "eager to work in parallel": (
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0"
    ),
    "compiled": "SET jit = on; SET jit_above_cost = 0",
}


FILTERS = [
    EVERYTHING,
    *(
        read(wanted, datetime.now(UTC))
        for wanted in (
            TaskFilter(completed=False),
            TaskFilter(title=StringComparator(contains="of")),
            TaskFilter(not_=TaskFilter(search="nothing")),
            TaskFilter(or_=[TaskFilter(overdue=True), TaskFilter(overdue=False)]),
        )
    ),
]
"""Those that each of the tasks passes."""


@pytest.fixture(params=PLANNERS.values(), ids=[*PLANNERS])
async def direct(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """The database under each planner, on a connection where a request of Eve's has left her as the user."""
    async with server_as(database_url, "eve") as connection:
        await connection.execute(request.param)
        yield cast(Database, Direct(connection))
        assert await connection.fetchval("SELECT current_setting('app.user_id')") == "eve"


@pytest.fixture
async def ids(owner: asyncpg.Connection) -> dict[str, UUID]:
    return {row["title"]: row["id"] for row in await owner.fetch("SELECT id, title FROM tasks")}


PAGE = Window.of(NEWEST_FIRST, 10, None, None, None)


async def test_a_statement_sets_its_user_before_it_looks_at_any_task(
    direct: Database, owner: asyncpg.Connection, ids: dict[str, UUID]
) -> None:
    seen = {ids[HERS], ids[SHARED]}
    assert len(await reads.by_ids(direct, "ada", [ids[HERS]])) == 1
    assert not await reads.by_ids(direct, "ada", [ids[HIS]])
    assert {row["id"] for row in await reads.by_ids(direct, "ada", list(ids.values()))} == seen
    for scope, wanted in product((reads.owned_by, reads.assigned_to), FILTERS):
        assert len(await reads.page(direct, "ada", scope, wanted, PAGE, frozenset({"title"}))) == 1, wanted
        assert await reads.count(direct, "ada", scope, wanted) == 1, wanted
    assert tuple(await reads.counts(direct, "ada", datetime.now(UTC))) == (1, 1, 0, 0, 0)
    assert await reads.acquaintances(direct, "ada", ["bob", "eve"]) == {"bob"}
    made = await writes.create(direct, "ada", None, {"title": "new"})
    assert (await writes.made_before(direct, "ada", made["id"])) == made
    for id in seen:
        assert (await writes.toggle(direct, "ada", id, None, None))["completed"]
    assert (await writes.update(direct, "ada", ids[HERS], {"title": "x"}, 2))["title"] == "x"
    assert (await writes.delete(direct, "ada", made["id"], 1))["id"] == made["id"]
    assert (await writes.restore(direct, "ada", made["id"], None))["title"] == "new"
    for change in (
        writes.update(direct, "ada", ids[HIS], {"title": "x"}, None),
        writes.delete(direct, "ada", ids[HIS], None),
    ):
        with pytest.raises(writes.NotVisible):
            await change
    assert await owner.fetchval("SELECT title FROM tasks WHERE id = $1", ids[HIS]) == HIS


async def test_a_statement_sets_its_user_before_it_looks_at_any_event(direct: Database, ids: dict[str, UUID]) -> None:
    page = await log.page(direct, "ada", Window.of(OLDEST_FIRST, 10, None, None, None))
    assert [row["task_id"] for row in page] == [ids[HERS], ids[SHARED]]
    cursors = [row["cursor"] for row in page]
    assert await log.page(direct, "ada", Window(OLDEST_FIRST, 10, False, (cursors[0],), None)) == page[1:]
    assert len(await log.by_cursors(direct, "ada", list(range(10)))) == 2
    assert await log.histories(direct, "ada", [*ids.values()], Window(OLDEST_FIRST.reversed, 10, False, None, None))
    for title, is_seen in ((HERS, True), (SHARED, True), (HIS, False)):
        assert (await log.last_of(direct, "ada", ids[title]) is not None) is is_seen
    following = await TaskLog(direct).after("ada", 0, 10)
    assert [row[f"{NOW}title"] for row in following] == [HERS, SHARED]
    assert await TaskLog(direct).end("ada") == cursors[-1]


async def test_a_statement_sets_its_user_before_it_changes_any_of_many(
    direct: Database, owner: asyncpg.Connection, ids: dict[str, UUID]
) -> None:
    everything = Selection(EVERYTHING)
    places = {id: place for place, id in enumerate(ids.values())}
    by_id = Selection(Filter(("id", "in_", "ids"), {"ids": list(places)}), places)
    seen = {ids[HERS], ids[SHARED]}
    for values in ({}, {"completed": True}):
        assert (await bulk.update(direct, "ada", everything, values)).changed.keys() == {ids[HERS]}
        assert (await bulk.update(direct, "ada", by_id, values)).changed.keys() == seen
    outcome = await bulk.update(direct, "ada", by_id, {"title": "x"})
    assert (set(outcome.changed), outcome.not_allowed) == ({ids[HERS]}, {ids[SHARED]})
    new = dict.fromkeys(bulk.GIVEN) | {"title": "new", "status": Status.PENDING, "priority": Priority.LOW}
    made = await bulk.create(direct, "ada", [{**new, "id": id} for id in (None, ids[HERS])])
    assert [row["title"] for row in made] == ["new", "x"]
    outcome = await bulk.delete(direct, "ada", by_id)
    assert (set(outcome.changed), outcome.not_allowed) == ({ids[HERS]}, {ids[SHARED]})
    assert (await bulk.delete(direct, "ada", everything)).changed.keys() == {made[0]["id"]}
    assert {row["title"] for row in await owner.fetch(CONTENT)} == {SHARED, HIS}
