"""The rules of a task that the database keeps for every writer: SQL by hand, an import, or this server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import until_somebody_waits

EARLIER = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = UUID(int=1)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner of the tables, as whom a person types SQL, and three people who may have tasks."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("""
        INSERT INTO "user" (id, name, email, "emailVerified")
        SELECT id, id, id || '@example.com', true FROM unnest('{user-123-abc,user-456-def,ada}'::text[]) id
    """)
    yield connection
    await connection.close()


@pytest.fixture
async def task(connection: asyncpg.Connection) -> "Task":
    """An open task of long ago."""
    await connection.execute(
        "INSERT INTO tasks (id, user_id, title, created_at, updated_at) "
        "VALUES ($1, 'user-123-abc', 'Buy milk', $2, $2)",
        ID,
        EARLIER,
    )
    return Task(connection)


class Task:
    """One row, and what the database makes of it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def row(self) -> dict[str, Any]:
        row = await self.connection.fetchrow("SELECT * FROM tasks WHERE id = $1", ID)
        assert row is not None
        return consistent(row)

    async def set(self, assignments: str, *values: Any) -> dict[str, Any]:
        """The row after `UPDATE … SET assignments`; its values are $2 and on."""
        await self.connection.execute(f"UPDATE tasks SET {assignments} WHERE id = $1", ID, *values)
        return await self.row()


def consistent(row: asyncpg.Record) -> dict[str, Any]:
    """The row, if it keeps every rule that can be seen in one row."""
    task = dict(row)
    assert task["completed"] == (task["status"] == "completed") == (task["completed_at"] is not None)
    assert 1 <= len(task["title"]) <= 255
    assert task["title"] == task["title"].strip()
    if task["description"] is not None:
        assert 1 <= len(task["description"]) <= 1000
        assert task["description"] == task["description"].strip()
    assert task["version"] >= 1
    assert task["created_at"] is not None
    assert task["updated_at"] is not None
    assert task["priority"] in ("low", "medium", "high", "urgent")
    return task


# ---------------------------------------------------------------- SQL from the documents that the project was made from

SAMPLE_DATA = """
    INSERT INTO tasks (user_id, title, description, completed, created_at)
    VALUES
      ('user-123-abc', 'Buy groceries', 'Milk, eggs, bread', false, NOW()),
      ('user-123-abc', 'Finish report', 'Q4 sales report', false, NOW()),
      ('user-456-def', 'Call mom', 'Birthday wishes', true, NOW());
"""

INSERTS = {
    "by hand": """
        INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at)
        VALUES ('user-123-abc', 'New task', 'Description', false, NOW(), NOW())
        RETURNING *;
    """,
    "by an ORM that writes its defaults": """
        INSERT INTO tasks (title, description, id, user_id, completed, created_at, updated_at)
        VALUES ('New task', '', gen_random_uuid(), 'user-123-abc', false, now(), NULL)
        RETURNING *
    """,
    "by an ORM that writes what it does not know": """
        INSERT INTO tasks (title, description, status, priority, due_date, user_id, assigned_to, completed,
            created_at, updated_at, completed_at)
        VALUES ('New task', NULL, NULL, NULL, NULL, 'user-123-abc', NULL, NULL, NULL, NULL, NULL)
        RETURNING *
    """,
    "with a status alone": """
        INSERT INTO tasks (title, status, priority, user_id) VALUES ('New task', 'pending', 'medium', 'user-123-abc')
        RETURNING *
    """,
}

TOGGLES = {
    "with its time": """
        UPDATE tasks
        SET completed = NOT completed,
            completed_at = CASE WHEN NOT completed THEN NOW() ELSE NULL END,
            updated_at = NOW()
        WHERE id = $1 AND user_id = 'user-123-abc'
        RETURNING *;
    """,
    "without": "UPDATE tasks SET completed = NOT completed WHERE id = $1 AND user_id = 'user-123-abc' RETURNING *",
    "by status": """
        UPDATE tasks SET status = (CASE WHEN status = 'completed' THEN 'pending' ELSE 'completed' END)::task_status
        WHERE id = $1 AND user_id = 'user-123-abc'
        RETURNING *
    """,
}

SELECTS = {
    "of a user": "WHERE user_id = 'user-123-abc' ORDER BY created_at DESC",
    "pending": "WHERE user_id = 'user-123-abc' AND completed = false ORDER BY created_at DESC",
    "completed": "WHERE user_id = 'user-456-def' AND completed = true ORDER BY completed_at DESC",
    "a page": "WHERE user_id = 'user-123-abc' AND completed = false ORDER BY created_at DESC LIMIT 50 OFFSET 0",
    "a dashboard": """
        WHERE user_id = 'user-123-abc' AND status = 'pending' AND priority = 'medium' ORDER BY priority DESC, due_date
    """,
}


async def test_sample_data_of_the_seeds_can_be_loaded(connection: asyncpg.Connection) -> None:
    await connection.execute(SAMPLE_DATA)
    rows = map(consistent, await connection.fetch("SELECT * FROM tasks ORDER BY title"))
    assert [(row["title"], row["status"]) for row in rows] == [
        ("Buy groceries", "pending"),
        ("Call mom", "completed"),
        ("Finish report", "pending"),
    ]


@pytest.mark.parametrize("insert", INSERTS.values(), ids=INSERTS)
async def test_inserts_of_the_seeds_make_a_whole_task(connection: asyncpg.Connection, insert: str) -> None:
    [row] = map(consistent, await connection.fetch(insert))
    assert (row["title"], row["status"], row["priority"], row["version"]) == ("New task", "pending", "medium", 1)
    assert row["description"] in ("Description", None)


async def test_updates_of_the_seeds_count_a_version(connection: asyncpg.Connection, task: Task) -> None:
    update = """
        UPDATE tasks
        SET title = 'Updated title',
            description = 'Updated description',
            updated_at = NOW()
        WHERE id = $1 AND user_id = 'user-123-abc'
        RETURNING *;
    """
    [row] = map(consistent, await connection.fetch(update, ID))
    assert (row["title"], row["description"], row["version"]) == ("Updated title", "Updated description", 2)


@pytest.mark.parametrize("toggle", TOGGLES.values(), ids=TOGGLES)
async def test_toggles_of_the_seeds_complete_and_reopen(
    connection: asyncpg.Connection, task: Task, toggle: str
) -> None:
    [done] = map(consistent, await connection.fetch(toggle, ID))
    [open_again] = map(consistent, await connection.fetch(toggle, ID))
    assert (done["completed"], done["version"]) == (True, 2)
    assert (open_again["status"], open_again["version"]) == ("pending", 3)


@pytest.mark.parametrize("select", SELECTS.values(), ids=SELECTS)
async def test_selects_of_the_seeds_find_their_tasks(connection: asyncpg.Connection, select: str) -> None:
    await connection.execute(SAMPLE_DATA)
    assert await connection.fetch(f"SELECT * FROM tasks {select}")


async def test_deletes_of_the_seeds_take_only_their_own(connection: asyncpg.Connection, task: Task) -> None:
    delete = "DELETE FROM tasks WHERE id = $1 AND user_id = $2 RETURNING *;"
    assert await connection.fetch(delete, ID, "user-456-def") == []
    assert len(await connection.fetch(delete, ID, "user-123-abc")) == 1


# ---------------------------------------------------------------- texts


async def test_an_empty_description_is_none(task: Task) -> None:
    assert (await task.set("description = 'two litres'"))["description"] == "two litres"
    assert (await task.set("description = E' \\n\\t '"))["description"] is None


@pytest.mark.parametrize(
    ("assignment", "constraint"),
    [
        ("title = ' '", "tasks_title_length"),
        ("description = repeat('x', 1001)", "tasks_description_length"),
        ("user_id = ''", "tasks_has_owner"),
    ],
)
async def test_a_text_out_of_bounds_is_refused(task: Task, assignment: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await task.set(assignment)


async def test_a_title_may_be_255_characters_in_any_script(task: Task) -> None:
    assert (await task.set("title = repeat('🥛', 255)"))["title"] == "🥛" * 255
    with pytest.raises(asyncpg.StringDataRightTruncationError):
        await task.set("title = repeat('x', 256)")


# ---------------------------------------------------------------- status, completed, completed_at


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"completed": True}, "completed"),
        ({"status": "completed"}, "completed"),
        ({"status": "completed", "completed": False}, "completed"),
        ({"status": "pending", "completed": True}, "completed"),
        ({"status": "in_progress"}, "in_progress"),
        ({"status": "in_progress", "completed_at": EARLIER}, "in_progress"),
    ],
)
async def test_a_new_task_is_completed_if_either_column_says_so(
    connection: asyncpg.Connection, columns: dict[str, Any], status: str
) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    row = await connection.fetchrow(
        f"INSERT INTO tasks (user_id, title, {', '.join(columns)}) VALUES ('ada', 'x', {places}) RETURNING *",
        *columns.values(),
    )
    assert row is not None
    assert consistent(row)["status"] == status


async def test_completed_follows_status(task: Task) -> None:
    assert (await task.set("status = 'completed'"))["completed"] is True
    assert (await task.set("status = 'in_progress'"))["completed"] is False
    assert (await task.set("status = 'completed'"))["completed"] is True


async def test_status_follows_completed(task: Task) -> None:
    await task.set("status = 'in_progress'")
    assert (await task.set("completed = true"))["status"] == "completed"
    assert (await task.set("completed = false"))["status"] == "pending"


async def test_both_may_be_changed_together(task: Task) -> None:
    assert (await task.set("completed = true, status = 'completed'"))["status"] == "completed"
    assert (await task.set("completed = false, status = 'in_progress'"))["status"] == "in_progress"


async def test_a_contradiction_is_refused(task: Task) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="tasks_completed_is_status"):
        await task.set("completed = true, status = 'in_progress'")


async def test_the_time_of_completion_is_now_unless_the_writer_knows_better(task: Task) -> None:
    now = await task.connection.fetchval("SELECT now()")
    assert (await task.set("completed = true"))["completed_at"] >= now
    await task.set("completed = false")
    assert (await task.set("completed = true, completed_at = $2", EARLIER))["completed_at"] == EARLIER


async def test_the_time_of_completion_stays_while_the_task_is_completed(task: Task) -> None:
    first = (await task.set("completed = true"))["completed_at"]
    assert (await task.set("completed_at = NULL, title = 'Buy cream'"))["completed_at"] == first
    assert (await task.set("status = 'completed'"))["completed_at"] == first
    assert (await task.set("completed_at = $2", EARLIER))["completed_at"] == EARLIER
    assert (await task.set("completed = false, completed_at = $2", EARLIER))["completed_at"] is None


# ---------------------------------------------------------------- version and updated_at


@pytest.mark.parametrize(
    "assignments",
    [
        "title = title",
        "title = ' Buy milk '",
        "description = ''",
        "completed = false",
        "version = 9, updated_at = now()",
    ],
)
async def test_a_change_that_changes_nothing_is_none(task: Task, assignments: str) -> None:
    before = await task.row()
    assert await task.set(assignments) == before


async def test_every_change_counts_whatever_the_writer_says_of_it(task: Task) -> None:
    row = await task.set("title = 'Buy cream', version = 40, updated_at = $2", EARLIER - timedelta(days=1))
    assert row["version"] == 2
    assert row["updated_at"] > EARLIER
    assert (await task.set("due_date = now()"))["version"] == 3


async def test_a_later_change_has_a_later_time_however_early_it_began(task: Task, database_url: str) -> None:
    early = await asyncpg.connect(database_url)
    try:
        await early.execute("BEGIN; SELECT now()")
        async with task.connection.transaction():
            await task.connection.execute("SELECT FROM tasks FOR UPDATE")
            waiting = asyncio.create_task(early.execute("UPDATE tasks SET completed = true"))
            await until_somebody_waits(task.connection)
            first = await task.set("title = 'Buy cream'")
        await waiting
        await early.execute("COMMIT")
        second = await task.row()
        assert second["version"] == first["version"] + 1
        assert first["updated_at"] < second["updated_at"] == second["completed_at"]
    finally:
        await early.close()


async def test_the_times_of_a_new_task_are_equal(connection: asyncpg.Connection) -> None:
    insert = "INSERT INTO tasks (user_id, title, completed, updated_at) VALUES ('ada', 'x', true, NULL) RETURNING *"
    row = await connection.fetchrow(insert)
    assert row is not None
    assert row["created_at"] == row["updated_at"] == row["completed_at"]


async def test_a_new_task_begins_at_version_one(connection: asyncpg.Connection) -> None:
    insert = "INSERT INTO tasks (user_id, title, version, updated_at) VALUES ('ada', 'x', 7, $1) RETURNING *"
    row = await connection.fetchrow(insert, EARLIER)
    assert row is not None
    assert (row["version"], row["updated_at"]) == (1, EARLIER)


# ---------------------------------------------------------------- every sequence of writes

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
write = st.one_of(
    st.tuples(st.sampled_from(["title", "description"]), st.none() | texts | st.text(" \n\u2003x", max_size=4)),
    st.tuples(st.just("status"), st.sampled_from(["pending", "in_progress", "completed", None])),
    st.tuples(st.just("completed"), st.sampled_from([True, False, None])),
    st.tuples(st.just("priority"), st.sampled_from(["low", "urgent", None])),
    st.tuples(st.just("assigned_to"), st.sampled_from(["ada", "nobody", None])),
    st.tuples(st.sampled_from(["due_date", "completed_at", "created_at", "updated_at"]), st.none() | moments),
    st.tuples(st.just("version"), st.none() | st.integers(-5, 5)),
)


@given(writes=st.lists(write, max_size=8))
@settings(max_examples=60)
async def test_every_sequence_of_writes_leaves_a_consistent_task(task: Task, writes: list[tuple[str, Any]]) -> None:
    before = await task.row()
    for column, value in writes:
        try:
            after = await task.set(f"{column} = $2", value)
        except asyncpg.IntegrityConstraintViolationError:
            after = await task.row()
            assert after == before
        told = {"version", "updated_at"}
        changed = any(before[name] != after[name] for name in before.keys() - told)
        assert after["version"] == before["version"] + changed
        assert changed or after["updated_at"] == before["updated_at"]
        before = after


@given(text=texts, around=st.text("\t\v\x1c \x85\xa0\u2003\u3000\u200b", max_size=3))
@settings(max_examples=60)
async def test_every_text_is_trimmed_as_python_does(task: Task, text: str, around: str) -> None:
    written = around + text + around
    assert (await task.set("description = $2", written))["description"] == (written.strip() or None)


@pytest.mark.parametrize("column", ["due_date", "created_at", "updated_at", "completed_at"])
@pytest.mark.parametrize(
    "moment", ["infinity", "-infinity", "20000-01-01 00:00Z", "4713-01-01 00:00Z BC", "0001-06-01 00:00Z"]
)
async def test_a_moment_that_no_program_can_read_is_refused(database_url: str, column: str, moment: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("""INSERT INTO "user" (id, name, email, "emailVerified") VALUES ('a', 'A', 'a', true)""")
    with pytest.raises(asyncpg.CheckViolationError, match="tasks_times_in_bounds"):
        await connection.execute(
            f"INSERT INTO tasks (user_id, title, completed, {column}) VALUES ('a', 'x', true, '{moment}')"
        )
    await connection.close()
