"""The rules of the log of events, which the database keeps for every writer: psql, an import, or this server."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import sqlalchemy as sa

from graphql_api.database import IS_SET, ROLE, VIEWER, Database, Statement
from graphql_api.tasks.models import table
from tests.client import settings
from tests.conftest import until_somebody_waits

ID = UUID(int=1)
PEOPLE = ["ada", "bob", "eve", *(f"user-{n}" for n in range(20))]

Connect = Callable[..., Awaitable[asyncpg.Connection]]


@pytest.fixture
async def connect(database_url: str) -> AsyncIterator[Connect]:
    """Make a connection of the owner of the tables, or of the server's role, that acts for a user or for nobody."""
    async with AsyncExitStack() as stack:

        async def connect(user_id: str | None = None, *, role: str | None = None) -> asyncpg.Connection:
            options = {"app.user_id": user_id, "role": role}
            given = {name: value for name, value in options.items() if value is not None}
            connection = await asyncpg.connect(database_url, server_settings=given)
            stack.push_async_callback(connection.close, timeout=5)
            for name in ("json", "jsonb"):
                await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
            return connection

        yield connect


@pytest.fixture
async def owner(connect: Connect) -> asyncpg.Connection:
    """As whom a person types SQL; the users of Better Auth are there."""
    connection = await connect()
    await connection.execute(
        'INSERT INTO "user" (id, name, email, "emailVerified") '
        "SELECT id, id, id || '@example.com', true FROM unnest($1::text[]) id",
        PEOPLE,
    )
    return connection


@pytest.fixture
async def task(owner: asyncpg.Connection) -> None:
    """Ada's task that Bob is to do; the log begins after it."""
    await owner.execute("INSERT INTO tasks (id, user_id, title, assigned_to) VALUES ($1, 'ada', 'Milk', 'bob')", ID)
    await owner.execute("TRUNCATE task_events")


async def events(connection: asyncpg.Connection, person: str | None = None) -> list[asyncpg.Record]:
    return await connection.fetch(
        "SELECT * FROM task_events WHERE user_id = $1 OR $1 IS NULL ORDER BY user_id, cursor", person
    )


async def kinds(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    """Whose events there are, and of which kind."""
    return [(event["user_id"], event["kind"]) for event in await events(connection)]


async def whole(connection: asyncpg.Connection) -> dict[str, Any]:
    """The task as an event shows it when it shows all of it."""
    shown: dict[str, Any] = await connection.fetchval("SELECT to_jsonb(t) - 'words' FROM tasks t WHERE id = $1", ID)
    return shown


@asynccontextmanager
async def listening(connection: asyncpg.Connection) -> AsyncIterator[list[tuple[int, str]]]:
    """The number and the person of every notification that came until the end of the block."""
    heard: list[str] = []
    await connection.add_listener("task_events", lambda *message: heard.append(str(message[-1])))
    parsed: list[tuple[int, str]] = []
    yield parsed
    last = asyncio.Event()
    await connection.add_listener("last", lambda *_: last.set())
    await connection.execute("NOTIFY last")
    await asyncio.wait_for(last.wait(), 5)
    parsed += [(int(number), person) for number, _, person in (payload.partition(" ") for payload in heard)]


# ---------------------------------------------------------------- what is recorded


async def test_a_new_task_is_recorded_as_it_is(owner: asyncpg.Connection) -> None:
    await owner.execute("INSERT INTO tasks (id, user_id, title) VALUES ($1, 'ada', ' Milk ')", ID)
    [event] = await events(owner)
    assert (event["user_id"], event["kind"], event["task_id"]) == ("ada", "created", ID)
    assert (event["before"], event["after"], event["actor_id"]) == (None, await whole(owner), None)
    assert event["after"]["title"] == "Milk"


@pytest.mark.usefixtures("task")
async def test_an_update_is_recorded_as_what_differs(owner: asyncpg.Connection) -> None:
    old = await whole(owner)
    await owner.execute("UPDATE tasks SET title = 'Bread', description = 'brown', priority = 'medium'")
    new = await whole(owner)
    [event, _] = await events(owner)
    differs = ["title", "description", "version", "updated_at"]
    assert event["kind"] == "updated"
    assert event["before"] == {name: old[name] for name in differs}
    assert event["after"] == {name: new[name] for name in differs}


@pytest.mark.usefixtures("task")
async def test_a_deletion_is_recorded_with_all_that_there_was(owner: asyncpg.Connection) -> None:
    old = await whole(owner)
    await owner.execute("DELETE FROM tasks")
    assert [(event["user_id"], event["kind"]) for event in await events(owner)] == [
        ("ada", "deleted"),
        ("bob", "deleted"),
    ]
    assert all((event["before"], event["after"]) == (old, None) for event in await events(owner))


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize(
    "update", ["title = title", "title = ' Milk '", "version = 7, updated_at = now()", "completed = false"]
)
async def test_an_update_that_changes_nothing_leaves_no_event(owner: asyncpg.Connection, update: str) -> None:
    assert await owner.execute(f"UPDATE tasks SET {update}") == "UPDATE 1"
    assert await events(owner) == []


async def test_an_upsert_is_recorded_as_what_it_came_to(owner: asyncpg.Connection) -> None:
    upsert = "INSERT INTO tasks (id, user_id, title) VALUES ($1, 'ada', $2) ON CONFLICT (id) DO UPDATE SET title = $2"
    for title in ("Milk", "Bread", "Bread"):
        await owner.execute(upsert, ID, title)
    assert await kinds(owner) == [("ada", "created"), ("ada", "updated")]


@pytest.mark.parametrize(("user_id", "actor"), [("eve", "eve"), ("", None), (None, None)])
async def test_the_actor_is_the_user_who_is_acted_for(
    owner: asyncpg.Connection, connect: Connect, user_id: str | None, actor: str | None
) -> None:
    writer = await connect(user_id)
    await writer.execute("INSERT INTO tasks (user_id, title) VALUES ('ada', 'Milk')")
    assert [event["actor_id"] for event in await events(owner)] == [actor]


async def test_the_actor_of_a_pooled_transaction_is_its_own(owner: asyncpg.Connection) -> None:
    async with owner.transaction():
        await owner.execute(f"SELECT set_config('app.user_id', 'ada', true), set_config('role', '{ROLE}', true)")
        await owner.execute("INSERT INTO tasks (user_id, title) VALUES ('ada', 'Milk')")
    assert [event["actor_id"] for event in await events(owner)] == ["ada"]


async def test_every_step_of_a_transaction_is_recorded_in_its_order(owner: asyncpg.Connection) -> None:
    async with owner.transaction():
        await owner.execute("INSERT INTO tasks (id, user_id, title) VALUES ($1, 'ada', 'Milk')", ID)
        await owner.execute("UPDATE tasks SET title = 'Bread'")
        await owner.execute("DELETE FROM tasks")
        assert await events(owner) == []
    found = await events(owner)
    assert [event["kind"] for event in found] == ["created", "updated", "deleted"]
    assert [event["before"] and event["before"]["title"] for event in found] == [None, "Milk", "Bread"]


@pytest.mark.usefixtures("task")
async def test_truncate_is_recorded(owner: asyncpg.Connection, connect: Connect) -> None:
    await owner.execute("INSERT INTO tasks (user_id, title, assigned_to) VALUES ('bob', 'Oil', 'bob')")
    await owner.execute("TRUNCATE task_events")
    old = await whole(owner)
    psql = await connect("eve")
    async with listening(owner) as heard:
        await psql.execute("TRUNCATE tasks")
    assert await kinds(owner) == [("ada", "deleted"), ("bob", "deleted"), ("bob", "deleted")]
    [event, *_] = found = await events(owner)
    assert (event["before"], event["after"], event["actor_id"]) == (old, None, "eve")
    assert sorted(person for _, person in heard) == ["ada", "bob"]
    assert all(number < event["cursor"] for number, _ in heard for event in found)


async def test_a_deleted_user_leaves_their_tasks_events_to_the_others(owner: asyncpg.Connection) -> None:
    insert = "INSERT INTO tasks (user_id, title, assigned_to) VALUES ('ada', 'hers', 'bob'), ('bob', 'his', 'ada')"
    for statement in (insert, "TRUNCATE task_events", """DELETE FROM "user" WHERE id = 'ada'"""):
        await owner.execute(statement)
    found = [(event["kind"], (event["after"] or event["before"])["version"]) for event in await events(owner, "bob")]
    assert sorted(found) == [("deleted", 1), ("updated", 2)]
    assert sorted(await kinds(owner))[:2] == [("ada", "deleted"), ("ada", "updated")]


async def test_a_table_of_the_same_name_earlier_in_the_search_path_gets_none(
    owner: asyncpg.Connection, connect: Connect
) -> None:
    await owner.execute("""
        CREATE SCHEMA planted;
        CREATE TABLE planted.task_events (LIKE public.task_events);
        CREATE SEQUENCE planted.task_events_cursor START 1000;
        CREATE TABLE planted.tasks (LIKE public.tasks);
        CREATE FUNCTION planted.nextval(text) RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint';
    """)
    psql = await connect()
    await psql.execute(
        "SET search_path = planted, public, pg_catalog; CREATE TEMP TABLE task_events (LIKE task_events)"
    )
    await psql.execute("INSERT INTO public.tasks (id, user_id, title) VALUES ($1, 'ada', 'Milk')", ID)
    await psql.execute("TRUNCATE public.tasks")
    assert await kinds(owner) == [("ada", "created"), ("ada", "deleted")]
    assert await psql.fetch("SELECT FROM pg_temp.task_events UNION ALL SELECT FROM planted.task_events") == []


# ---------------------------------------------------------------- who gets an event, and what it shows


@pytest.mark.usefixtures("task")
async def test_owner_and_assignee_see_the_same_of_what_both_see(owner: asyncpg.Connection) -> None:
    await owner.execute("UPDATE tasks SET completed = true")
    ada, bob = await events(owner)
    assert (ada["user_id"], bob["user_id"]) == ("ada", "bob")
    assert (ada["before"], ada["after"]) == (bob["before"], bob["after"])
    assert ada["cursor"] != bob["cursor"]


@pytest.mark.usefixtures("task")
async def test_a_newcomer_sees_no_old_values_and_a_former_assignee_no_new_ones(owner: asyncpg.Connection) -> None:
    old = await whole(owner)
    await owner.execute("UPDATE tasks SET assigned_to = 'eve', title = 'Secret'")
    new = await whole(owner)
    ada, bob, eve = await events(owner)
    assert (ada["before"]["title"], ada["after"]["title"]) == ("Milk", "Secret")
    assert (ada["before"]["assigned_to"], ada["after"]["assigned_to"]) == ("bob", "eve")
    assert (bob["kind"], bob["before"], bob["after"]) == ("updated", old, None)
    assert (eve["kind"], eve["before"], eve["after"]) == ("updated", None, new)


@pytest.mark.usefixtures("task")
async def test_an_assignment_that_ends_is_told_to_the_former_assignee(owner: asyncpg.Connection) -> None:
    await owner.execute("UPDATE tasks SET assigned_to = NULL")
    ada, bob = await events(owner)
    assert (ada["before"]["assigned_to"], ada["after"]["assigned_to"]) == ("bob", None)
    assert (bob["after"], bob["before"]["assigned_to"]) == (None, "bob")


@pytest.mark.usefixtures("task")
async def test_a_task_that_changes_hands_is_told_to_both(owner: asyncpg.Connection) -> None:
    await owner.execute("UPDATE tasks SET user_id = 'bob', assigned_to = 'ada'")
    assert [(event["before"]["user_id"], event["after"]["user_id"]) for event in await events(owner)] == [
        ("ada", "bob"),
        ("ada", "bob"),
    ]
    await owner.execute("UPDATE tasks SET user_id = 'eve', assigned_to = NULL")
    assert [
        (event["user_id"], event["before"] is None, event["after"] is None)
        for event in await events(owner)
        if "title" in (event["before"] or event["after"])
    ] == [("ada", False, True), ("bob", False, True), ("eve", True, False)]


async def test_one_who_is_owner_and_assignee_gets_one_event(owner: asyncpg.Connection) -> None:
    await owner.execute("INSERT INTO tasks (user_id, title, assigned_to) VALUES ('ada', 'Milk', 'ada')")
    await owner.execute("UPDATE tasks SET title = 'Bread'")
    await owner.execute("DELETE FROM tasks")
    assert await kinds(owner) == [("ada", "created"), ("ada", "updated"), ("ada", "deleted")]


# ---------------------------------------------------------------- what is rolled back


async def test_what_is_rolled_back_leaves_no_event_and_tells_nobody(
    owner: asyncpg.Connection, connect: Connect
) -> None:
    psql = await connect()
    async with listening(owner) as heard:
        await psql.execute("BEGIN; INSERT INTO tasks (user_id, title) VALUES ('ada', 'Milk'); ROLLBACK")
    assert (await events(owner), heard) == ([], [])


async def test_a_savepoint_that_is_rolled_back_leaves_the_rest(owner: asyncpg.Connection, connect: Connect) -> None:
    psql = await connect()
    async with listening(owner) as heard:
        await psql.execute("""
            BEGIN;
            INSERT INTO tasks (user_id, title) VALUES ('ada', 'Milk');
            SAVEPOINT one; INSERT INTO tasks (user_id, title) VALUES ('bob', 'Bread'); ROLLBACK TO one;
            SAVEPOINT two; INSERT INTO tasks (user_id, title) VALUES ('eve', 'Tea'); RELEASE two;
            COMMIT
        """)
    assert await kinds(owner) == [("ada", "created"), ("eve", "created")]
    assert sorted(person for _, person in heard) == ["ada", "eve"]


async def test_the_next_transaction_of_a_connection_begins_anew(owner: asyncpg.Connection) -> None:
    for person in ("ada", "bob"):
        await owner.execute("INSERT INTO tasks (user_id, title) VALUES ($1, 'Milk')", person)
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute("INSERT INTO tasks (user_id, title) VALUES ('eve', '')")
    assert await kinds(owner) == [("ada", "created"), ("bob", "created")]
    assert not await owner.fetchval("SELECT current_setting('task_events.locks', true)")


@pytest.mark.parametrize("forget", ["RESET ALL", "SET LOCAL task_events.locks = ''"])
async def test_a_transaction_that_resets_its_settings_is_recorded_all_the_same(
    owner: asyncpg.Connection, connect: Connect, forget: str
) -> None:
    psql = await connect()
    insert = "INSERT INTO tasks (user_id, title) VALUES ('ada', 'Milk')"
    async with listening(owner) as heard:
        await psql.execute(f"BEGIN; {insert}; {forget}; COMMIT")
    [event] = await events(owner)
    assert heard == [(event["cursor"] - 1, "ada")]


# ---------------------------------------------------------------- the order of commits


async def test_cursors_follow_commits_and_not_the_order_of_writing(owner: asyncpg.Connection, connect: Connect) -> None:
    slow, quick = await connect("slow"), await connect("quick")
    await slow.execute("BEGIN; INSERT INTO tasks (user_id, title) VALUES ('ada', 'first written')")
    await asyncio.wait_for(quick.execute("INSERT INTO tasks (user_id, title) VALUES ('ada', 'first committed')"), 5)
    [seen] = await events(owner, "ada")
    await slow.execute("COMMIT")
    [later] = await owner.fetch("SELECT * FROM task_events WHERE user_id = 'ada' AND cursor > $1", seen["cursor"])
    assert (seen["actor_id"], later["actor_id"]) == ("quick", "slow")
    assert seen["created_at"] <= later["created_at"]


async def test_a_reader_who_goes_on_from_the_last_cursor_misses_nothing(
    owner: asyncpg.Connection, connect: Connect
) -> None:
    written = 0

    async def write(number: int) -> None:
        nonlocal written
        writer, choice = await connect(), random.Random(number)
        for _ in range(10):
            rows = choice.randint(1, 80)  # many, so that commits take long enough to overlap
            await writer.execute(
                "INSERT INTO tasks (user_id, title) SELECT 'ada', 'x' FROM generate_series(1, $1)", rows
            )
            written += rows

    reader = await connect()
    following = "SELECT cursor FROM task_events WHERE user_id = 'ada' AND cursor > $1 ORDER BY cursor LIMIT 50"
    seen = [0]
    writing = asyncio.gather(*(write(number) for number in range(8)))
    while True:
        finished = writing.done()
        page = [row["cursor"] for row in await reader.fetch(following, seen[-1])]
        seen += page
        if finished and not page:
            break
    await writing
    assert seen[1:] == [event["cursor"] for event in await events(owner, "ada")]
    assert len(seen) - 1 == written


async def test_writers_for_the_same_people_in_any_order_never_wait_for_each_other_in_a_circle(
    owner: asyncpg.Connection, connect: Connect
) -> None:
    transactions = 0

    async def write(number: int) -> None:
        nonlocal transactions
        writer, choice = await connect(), random.Random(number)
        mine = [uuid4() for _ in PEOPLE]
        for id_, person in zip(mine, PEOPLE, strict=True):
            await writer.execute("INSERT INTO tasks (id, user_id, title) VALUES ($1, $2, 'x')", id_, person)
        for _ in range(20):
            async with writer.transaction():
                for id_ in choice.sample(mine, 6):
                    assignee = choice.choice([None, *PEOPLE])
                    update = "UPDATE tasks SET assigned_to = $2, completed = NOT completed WHERE id = $1"
                    await writer.execute(update, id_, assignee)
            transactions += 1

    await asyncio.wait_for(asyncio.gather(*(write(number) for number in range(8))), 60)
    assert transactions == 160
    assert await owner.fetchval("SELECT count(*) FROM task_events WHERE kind = 'updated'") >= 160 * 6


async def test_a_long_transaction_holds_nobody_up(owner: asyncpg.Connection, connect: Connect) -> None:
    long = await connect()
    await long.execute("BEGIN; INSERT INTO tasks (user_id, title) SELECT id, 'x' FROM \"user\"")
    for person in PEOPLE:
        insert = "INSERT INTO tasks (user_id, title) VALUES ($1, 'y')"
        await asyncio.wait_for(owner.execute(insert, person), 5)
    await long.execute("COMMIT")
    for person in PEOPLE:
        assert [event["after"]["title"] for event in await events(owner, person)] == ["y", "x"]


async def test_whoever_writes_for_a_person_who_is_just_committed_waits(
    owner: asyncpg.Connection, connect: Connect
) -> None:
    first, second = await connect("first"), await connect("second")
    await first.execute("""
        BEGIN; INSERT INTO tasks (user_id, title) VALUES ('ada', 'Milk'); SET CONSTRAINTS ALL IMMEDIATE
    """)
    waiting = asyncio.create_task(second.execute("INSERT INTO tasks (user_id, title) VALUES ('ada', 'Bread')"))
    await until_somebody_waits(owner)
    assert await events(owner) == []
    await first.execute("COMMIT")
    await waiting
    assert [event["actor_id"] for event in await events(owner, "ada")] == ["first", "second"]


async def test_constraints_set_immediate_write_at_once(owner: asyncpg.Connection, connect: Connect) -> None:
    psql = await connect()
    async with listening(owner) as heard:
        await psql.execute("""
            BEGIN;
            SET CONSTRAINTS ALL IMMEDIATE;
            INSERT INTO tasks (user_id, title, assigned_to) VALUES ('ada', 'Milk', 'bob'), ('bob', 'Tea', 'ada');
            SELECT 1 / (count(*) = 4)::int FROM task_events;
            UPDATE tasks SET completed = true;
            COMMIT
        """)
    found = await events(owner)
    assert [(event["user_id"], event["kind"]) for event in found] == [
        (person, kind) for person in ("ada", "bob") for kind in ("created", "created", "updated", "updated")
    ]
    assert all(
        min(number for number, person in heard if person == event["user_id"]) < event["cursor"] for event in found
    )


# ---------------------------------------------------------------- notifications


@pytest.mark.usefixtures("task")
async def test_a_notification_names_a_person_and_where_to_go_on(owner: asyncpg.Connection, connect: Connect) -> None:
    psql = await connect()
    await psql.execute("UPDATE tasks SET title = 'Tea'")
    earlier = await events(owner)
    async with listening(owner) as heard:
        await psql.execute("""
            BEGIN;
            UPDATE tasks SET title = 'Oil';
            UPDATE tasks SET assigned_to = 'eve';
            INSERT INTO tasks (user_id, title) VALUES ('ada', 'Salt');
            COMMIT
        """)
    assert sorted(person for _, person in heard) == ["ada", "bob", "eve"]
    for number, person in heard:
        cursors = [event["cursor"] for event in await events(owner, person)]
        known = [event["cursor"] for event in earlier if event["user_id"] == person]
        assert all(cursor < number for cursor in known)
        assert number <= cursors[len(known)]


async def test_the_number_of_a_notification_is_after_all_that_was_there_before(
    owner: asyncpg.Connection, connect: Connect
) -> None:
    async def write(number: int) -> None:
        writer, choice = await connect(), random.Random(number)
        for _ in range(20):
            people = choice.sample(PEOPLE, 3)
            insert = (
                "INSERT INTO tasks (user_id, title, assigned_to) SELECT person, 'x', $2 FROM unnest($1::text[]) person"
            )
            await writer.execute(insert, people[1:], people[0])

    async with listening(owner) as heard:
        await asyncio.gather(*(write(number) for number in range(6)))
    cursors = {person: [event["cursor"] for event in await events(owner, person)] for person in PEOPLE}
    seen = dict.fromkeys(PEOPLE, 0)
    for number, person in heard:  # in the order of commits
        assert number > seen[person]
        following = [cursor for cursor in cursors[person] if cursor >= number]
        assert following, "there is something to read"
        seen[person] = number
    for person, of_person in cursors.items():
        numbers = [number for number, whom in heard if whom == person]
        # between two numbers lies what one transaction wrote, and before the first lies nothing
        assert all(any(number <= cursor for number in numbers) for cursor in of_person)
        for this, following_number in zip(numbers, [*numbers[1:], 2**63], strict=True):
            assert any(this < cursor < following_number for cursor in of_person)


async def test_a_thousand_rows_are_a_thousand_events_and_one_notification(
    owner: asyncpg.Connection, connect: Connect
) -> None:
    psql = await connect()
    async with listening(owner) as heard:
        await psql.execute("INSERT INTO tasks (user_id, title) SELECT 'ada', 'x' FROM generate_series(1, 1000)")
        await psql.execute("UPDATE tasks SET completed = true")
    cursors = [event["cursor"] for event in await events(owner, "ada")]
    assert len(cursors) == 2000
    assert heard == [(cursors[0] - 1, "ada"), (cursors[1000] - 1, "ada")]


# ---------------------------------------------------------------- who may do what


@pytest.mark.usefixtures("task")
async def test_the_role_sees_the_events_of_its_user(owner: asyncpg.Connection, connect: Connect) -> None:
    await owner.execute("UPDATE tasks SET assigned_to = 'eve'")
    for person in ("ada", "bob", "eve"):
        served = await connect(person, role=ROLE)
        assert [event["user_id"] for event in await events(served)] == [person]
    for nobody in (None, "", "somebody"):
        assert await events(await connect(nobody, role=ROLE)) == []


@pytest.mark.usefixtures("task")
async def test_the_events_of_what_the_role_writes_are_written_for_all(
    owner: asyncpg.Connection, connect: Connect
) -> None:
    served = await connect("bob", role=ROLE)
    await served.execute("UPDATE tasks SET completed = true")
    assert [(event["user_id"], event["actor_id"]) for event in await events(owner)] == [("ada", "bob"), ("bob", "bob")]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO task_events (user_id, cursor, task_id, kind, created_at) "
        "VALUES ('ada', 1, gen_random_uuid(), 'created', now())",
        "UPDATE task_events SET actor_id = 'bob'",
        "DELETE FROM task_events",
        "TRUNCATE task_events",
        "SELECT * FROM task_events FOR UPDATE",
        "SELECT * FROM task_events_default",
        "INSERT INTO task_events_horizon VALUES (9)",
        "UPDATE task_events_horizon SET cursor = 9",
        "DELETE FROM task_events_horizon",
        "TRUNCATE task_events_horizon",
        "SELECT nextval('task_events_cursor')",
        "SELECT setval('task_events_cursor', 1)",
        "SELECT last_value FROM task_events_cursor",
        "ALTER TABLE tasks DISABLE TRIGGER tasks_log",
        "SET session_replication_role = replica",
        "CREATE TEMP TABLE t (LIKE tasks); "
        "CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION task_events_write()",
        "CREATE TEMP TABLE t (LIKE tasks); "
        "CREATE TRIGGER t BEFORE TRUNCATE ON t EXECUTE FUNCTION task_events_write_truncated()",
        "ALTER FUNCTION task_events_write() RESET search_path",
    ],
)
async def test_the_role_may_not(owner: asyncpg.Connection, connect: Connect, statement: str) -> None:
    served = await connect("ada", role=ROLE)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await served.execute(statement)


@pytest.mark.parametrize("function", ["task_events_write()", "task_events_write_truncated()", "task_events_gather()"])
async def test_nobody_may_call_what_only_triggers_do(connect: Connect, function: str) -> None:
    served = await connect("ada", role=ROLE)
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError)):
        await served.execute(f"SELECT {function}")


async def test_what_runs_with_the_rights_of_the_owner_has_a_search_path_of_its_own(owner: asyncpg.Connection) -> None:
    configured = await owner.fetch("""
        SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY 1
    """)
    assert [tuple(row) for row in configured] == [
        (name, ["search_path=pg_catalog, pg_temp", "TimeZone=UTC"])
        for name in ("task_events_restore", "task_events_write", "task_events_write_truncated")
    ]


# ---------------------------------------------------------------- a log that cannot be written


async def test_a_write_whose_events_cannot_be_written_fails_and_does_nothing(
    owner: asyncpg.Connection, database_url: str
) -> None:
    row = sa.select(VIEWER, sa.literal("Milk")).where(IS_SET)
    insert = Statement(sa.insert(table).from_select(["user_id", "title"], row).returning(table.c.id))
    for pooler in ("none", "transaction"):
        database = Database(settings(database_url, database_pooler=pooler))
        await database.start()
        await owner.execute("ALTER SEQUENCE task_events_cursor RENAME TO gone")
        with pytest.raises(asyncpg.UndefinedTableError, match="task_events_cursor"):
            await database.write(insert(viewer="ada"))
        assert await owner.fetchval("SELECT count(*) FROM tasks WHERE title = 'Milk'") == 0
        await owner.execute("ALTER SEQUENCE gone RENAME TO task_events_cursor")
        assert len(await database.write(insert(viewer="ada"))) == 1
        await owner.execute("DELETE FROM tasks")
        await database.stop()


# ---------------------------------------------------------------- restoring

RESTORE = "SELECT * FROM task_events_restore($1, $2, $3)"


@pytest.fixture
async def deleted(task: None, owner: asyncpg.Connection) -> dict[str, Any]:
    """Ada's task as it was when she deleted it: an old one, and changed before."""
    await owner.execute("ALTER TABLE tasks DISABLE TRIGGER tasks_keep_rules")
    await owner.execute("UPDATE tasks SET created_at = '2025-01-01', updated_at = '2025-01-02', version = 8")
    await owner.execute("ALTER TABLE tasks ENABLE TRIGGER tasks_keep_rules")
    old = await whole(owner)
    await owner.execute("DELETE FROM tasks")
    return old


async def test_a_task_comes_back_to_its_owner_as_it_was(
    owner: asyncpg.Connection, connect: Connect, deleted: dict[str, Any]
) -> None:
    served = await connect("ada", role=ROLE)
    [row] = await served.fetch(RESTORE, "ada", ID, "eve")
    assert (row["id"], row["version"], row["assigned_to"]) == (ID, 8, "eve")
    assert await whole(owner) == deleted | {"assigned_to": "eve"}
    for person in ("ada", "eve"):
        last = (await events(owner, person))[-1]
        assert (last["kind"], last["before"], last["after"]) == ("restored", None, await whole(owner))
        assert last["actor_id"] == "ada"
    assert [event["kind"] for event in await events(owner, "bob")][-1] == "deleted"


async def test_a_task_comes_back_once(connect: Connect, deleted: dict[str, Any]) -> None:
    served = await connect("ada", role=ROLE)
    assert len(await served.fetch(RESTORE, "ada", ID, None)) == 1
    assert await served.fetch(RESTORE, "ada", ID, None) == []
    await served.execute("DELETE FROM tasks")
    assert len(await served.fetch(RESTORE, "ada", ID, None)) == 1


async def test_two_who_restore_at_once_restore_once(connect: Connect, deleted: dict[str, Any]) -> None:
    servers = [await connect("ada", role=ROLE) for _ in range(4)]
    rows = await asyncio.gather(*(served.fetch(RESTORE, "ada", ID, None) for served in servers))
    assert sorted(map(len, rows)) == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("user_id", "viewer", "id_"),
    [
        ("bob", "bob", ID),
        ("eve", "eve", ID),
        ("eve", "ada", ID),
        (None, "ada", ID),
        ("ada", "bob", ID),
        ("ada", "ada", UUID(int=2)),
    ],
    ids=[
        "an assignee",
        "a stranger",
        "a stranger as the owner",
        "nobody as the owner",
        "the owner as another",
        "no task",
    ],
)
async def test_there_is_nothing_to_restore_for(
    connect: Connect, deleted: dict[str, Any], user_id: str | None, viewer: str, id_: UUID
) -> None:
    served = await connect(user_id, role=ROLE)
    assert await served.fetch(RESTORE, viewer, id_, None) == []


@pytest.mark.usefixtures("task")
async def test_a_task_that_is_there_is_not_restored(owner: asyncpg.Connection, connect: Connect) -> None:
    served = await connect("ada", role=ROLE)
    assert await served.fetch(RESTORE, "ada", ID, None) == []
    await owner.execute("DELETE FROM tasks")
    await owner.execute("TRUNCATE task_events")  # too long ago
    assert await served.fetch(RESTORE, "ada", ID, None) == []


async def test_a_new_task_beside_a_restored_one_keeps_the_rules(
    owner: asyncpg.Connection, connect: Connect, deleted: dict[str, Any]
) -> None:
    served = await connect("ada", role=ROLE)
    async with served.transaction():
        await served.fetch(RESTORE, "ada", ID, None)
        await served.execute("INSERT INTO tasks (user_id, title, completed) VALUES ('ada', ' Bread ', true)")
    row = await owner.fetchrow("SELECT title, status::text, version FROM tasks WHERE id <> $1", ID)
    assert row is not None
    assert tuple(row) == ("Bread", "completed", 1)
    assert [event["kind"] for event in await events(owner, "ada")][-2:] == ["restored", "created"]
