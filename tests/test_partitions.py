"""What `maintain` does to the log of events: partitions for the months to come, and the end of old ones."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from graphql_api import migrations
from graphql_api.settings import Settings
from tests.conftest import execute, until_somebody_waits
from tests.process import run

PARTITIONS = """
    SELECT inhrelid::regclass::text AS name, pg_get_expr(relpartbound, c.oid) AS bounds
    FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'task_events'::regclass ORDER BY 1
"""

EVENTS = "SELECT tableoid::regclass::text AS place, * FROM task_events ORDER BY cursor"


def month(later: int = 0) -> datetime:
    """The first moment of this month in UTC, or of a later one."""
    now = datetime.now(UTC)
    years, months = divmod(now.year * 12 + now.month - 1 + later, 12)
    return datetime(years, months + 1, 1, tzinfo=UTC)


def name(later: int = 0) -> str:
    return f"task_events_{month(later):%Y_%m}"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner of the tables."""
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    yield connection
    await connection.close()


@pytest.fixture
async def forgotten(connection: asyncpg.Connection) -> None:
    """Nobody has run `maintain` for long: there is the default partition only."""
    for later in range(4):
        await connection.execute(f"DROP TABLE {name(later)}")


async def maintain(url: str, **changes: Any) -> list[str]:
    return await migrations.maintain(Settings(database_url=url, **changes))


async def add_event(connection: asyncpg.Connection, created_at: datetime, cursor: int | None = None) -> None:
    await connection.execute(
        """
        INSERT INTO task_events (user_id, cursor, task_id, kind, before, after, actor_id, created_at)
        VALUES ('ada', coalesce($2, nextval('task_events_cursor')), gen_random_uuid(), 'updated', '{"title": "x"}',
            '{"title": "y"}', 'bob', $1)
        """,
        created_at,
        cursor,
    )


async def partitions(connection: asyncpg.Connection) -> list[str]:
    return [row["name"] for row in await connection.fetch(PARTITIONS)]


async def horizon(connection: asyncpg.Connection) -> Any:
    return await connection.fetchval("SELECT cursor FROM task_events_horizon")


# ---------------------------------------------------------------- months to come


async def test_a_fresh_database_has_this_month_and_the_next_three(connection: asyncpg.Connection) -> None:
    expected = [
        (name(later), f"FOR VALUES FROM ('{month(later):%F} 00:00:00+00') TO ('{month(later + 1):%F} 00:00:00+00')")
        for later in range(4)
    ]
    found = [tuple(row) for row in await connection.fetch(PARTITIONS)]
    assert found == [*expected, ("task_events_default", "DEFAULT")]


async def test_it_is_done_once(database_url: str, connection: asyncpg.Connection) -> None:
    before = await connection.fetch("SELECT oid, relname, relfilenode FROM pg_class ORDER BY oid")
    assert await maintain(database_url) == ["Nothing to do."]
    assert await connection.fetch("SELECT oid, relname, relfilenode FROM pg_class ORDER BY oid") == before


@pytest.mark.usefixtures("forgotten")
async def test_two_at_once_do_it_once(database_url: str, connection: asyncpg.Connection) -> None:
    await add_event(connection, month())
    first, second = sorted(await asyncio.gather(maintain(database_url), maintain(database_url)))
    assert first == [
        f"Made {name()} and moved 1 events into it.",
        *(f"Made {name(later)}." for later in (1, 2, 3)),
    ]
    assert second == ["Nothing to do."]


async def test_nothing_to_do_keeps_nobody_waiting(database_url: str, connection: asyncpg.Connection) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE task_events IN ROW EXCLUSIVE MODE")
        assert await maintain(database_url) == ["Nothing to do."]


@pytest.mark.usefixtures("forgotten")
async def test_migrate_sees_to_it_too(database_url: str) -> None:
    assert await migrations.upgrade(Settings(database_url=database_url)) == [f"Made {name(n)}." for n in range(4)]
    assert await migrations.upgrade(Settings(database_url=database_url)) == ["The database was up to date."]


async def test_months_begin_in_utc_wherever_the_database_is(empty_database: str) -> None:
    database = urlsplit(empty_database).path[1:]
    await execute(
        empty_database,
        f"ALTER DATABASE {database} SET timezone = 'Pacific/Kiritimati'",
        f"ALTER DATABASE {database} SET datestyle = 'SQL, DMY'",
    )
    await migrations.upgrade(Settings(database_url=empty_database))
    assert await maintain(empty_database) == ["Nothing to do."]
    connection = await asyncpg.connect(empty_database, server_settings={"timezone": "UTC", "datestyle": "ISO"})
    [first, *_] = await connection.fetch(PARTITIONS)
    await connection.close()
    assert first["bounds"] == f"FOR VALUES FROM ('{month():%F} 00:00:00+00') TO ('{month(1):%F} 00:00:00+00')"


async def test_it_works_where_the_log_is(empty_database: str) -> None:
    database = urlsplit(empty_database).path[1:]
    await execute(
        empty_database,
        'CREATE SCHEMA "our App"',
        f"""ALTER DATABASE {database} SET search_path = 'our App', public""",
    )
    await migrations.upgrade(Settings(database_url=empty_database))
    await execute(
        empty_database,
        f'DROP TABLE "our App".{name(3)}; CREATE SCHEMA first;'
        f"ALTER DATABASE {database} SET search_path = first, 'our App', public",
    )
    assert await maintain(empty_database) == [f"Made {name(3)}."]
    assert await maintain(empty_database) == ["Nothing to do."]
    connection = await asyncpg.connect(empty_database)
    schemas = await connection.fetchval(
        "SELECT array_agg(DISTINCT relnamespace::regnamespace::text) FROM pg_class WHERE relname ~ '^task_events'"
    )
    await connection.close()
    assert schemas == ['"our App"']


async def test_the_command_says_what_it_did_and_that_there_was_nothing_to_do(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(f"DROP TABLE {name(3)}")
    for said in (f"Made {name(3)}.\n", "Nothing to do.\n"):
        done = run("maintain", folder=tmp_path, DATABASE_URL=database_url)
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


async def test_a_database_that_is_not_migrated_is_refused(empty_database: str, tmp_path: Path) -> None:
    refused = run("maintain", folder=tmp_path, DATABASE_URL=empty_database)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "graphql-api: The database is not migrated yet. Run `graphql-api migrate`.\n"


# ---------------------------------------------------------------- a default partition that has filled


@pytest.mark.usefixtures("forgotten")
async def test_events_of_every_month_move_and_none_is_lost_or_changed(
    database_url: str, connection: asyncpg.Connection
) -> None:
    edge = timedelta(microseconds=1)
    for moment in (month(-2), month(-1) - edge, month() - edge, month(), month(1) - edge, month(1), month(3), month(9)):
        await add_event(connection, moment)
    before = [dict(row, place=None) for row in await connection.fetch(EVENTS)]
    done = await maintain(database_url)
    after = await connection.fetch(EVENTS)
    assert [dict(row, place=None) for row in after] == before
    places = [name(-2), name(-2), name(-1), name(), name(), name(1), name(3), "task_events_default"]
    assert [row["place"] for row in after] == places
    assert done == [
        f"Made {name(-2)} and moved 2 events into it.",
        f"Made {name(-1)} and moved 1 events into it.",
        f"Made {name()} and moved 2 events into it.",
        f"Made {name(1)} and moved 1 events into it.",
        f"Made {name(2)}.",
        f"Made {name(3)} and moved 1 events into it.",
    ]
    assert await horizon(connection) == 0
    assert await maintain(database_url) == ["Nothing to do."]


@pytest.mark.usefixtures("forgotten")
async def test_writers_who_go_on_meanwhile_lose_nothing(database_url: str, connection: asyncpg.Connection) -> None:
    written: list[int] = []
    stop = asyncio.Event()

    async def write(number: int) -> None:
        writer = await asyncpg.connect(database_url)
        while not stop.is_set():
            await writer.execute("INSERT INTO tasks (user_id, title) VALUES ($1, 'x')", f"user-{number}")
            written.append(number)
        await writer.close()

    await connection.execute("ALTER TABLE tasks DROP CONSTRAINT tasks_user_id_fkey")
    writers = [asyncio.create_task(write(number)) for number in range(3)]
    enough = "SELECT count(*) > $1 FROM tasks, pg_sleep(0.01)"
    while not await connection.fetchval(enough, 30):
        pass
    done = await maintain(database_url)
    before = len(written)
    while not await connection.fetchval(enough, before + 30):
        pass
    stop.set()
    await asyncio.gather(*writers)
    assert done[0].startswith(f"Made {name()} and moved ")
    places = await connection.fetch("SELECT tableoid::regclass::text, count(*)::int FROM task_events GROUP BY 1")
    assert [tuple(row) for row in places] == [(name(), len(written))]
    assert await connection.fetchval("SELECT count(DISTINCT task_id) FROM task_events") == len(written)


@pytest.mark.usefixtures("forgotten")
async def test_an_event_that_is_written_but_not_committed_is_waited_for(
    database_url: str, connection: asyncpg.Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await add_event(connection, month())
    maintaining = asyncio.create_task(maintain(database_url))
    await until_somebody_waits(connection)
    await transaction.commit()
    assert (await maintaining)[0] == f"Made {name()} and moved 1 events into it."
    assert [row["place"] for row in await connection.fetch(EVENTS)] == [name()]


# ---------------------------------------------------------------- retention


@pytest.mark.usefixtures("forgotten")
async def test_months_past_retention_go_and_the_horizon_tells_how_far(
    database_url: str, connection: asyncpg.Connection
) -> None:
    for later in (-5, -4, -3, 0):
        await add_event(connection, month(later) + timedelta(days=1))
    assert len(await maintain(database_url, event_retention_days=200)) == 7
    kept_from = month(-3) + timedelta(days=5)
    days = (datetime.now(UTC) - kept_from).days
    done = await maintain(database_url, event_retention_days=days)
    assert done == [f"Dropped {name(-5)}.", f"Dropped {name(-4)}."]
    assert [row["cursor"] for row in await connection.fetch(EVENTS)] == [3, 4]
    assert await horizon(connection) == 2
    assert await maintain(database_url, event_retention_days=days) == ["Nothing to do."]


@pytest.mark.usefixtures("forgotten")
async def test_expired_events_of_the_default_partition_go_as_well(
    database_url: str, connection: asyncpg.Connection
) -> None:
    for later in (-9, -8, -1):
        await add_event(connection, month(later))
    done = await maintain(database_url, event_retention_days=100)
    assert done[:2] == [
        "Deleted 2 expired events from task_events_default.",
        f"Made {name(-1)} and moved 1 events into it.",
    ]
    assert [row["cursor"] for row in await connection.fetch(EVENTS)] == [3]
    assert await horizon(connection) == 2


async def test_the_horizon_never_sinks(database_url: str, connection: asyncpg.Connection) -> None:
    await add_event(connection, month(-9), cursor=50)
    await maintain(database_url)
    assert await horizon(connection) == 50
    await add_event(connection, month(-9), cursor=7)
    assert await maintain(database_url) == ["Deleted 1 expired events from task_events_default."]
    await connection.execute(
        f"CREATE TABLE by_hand PARTITION OF task_events FOR VALUES FROM (MINVALUE) TO ('{month(-8)}')"
    )
    assert await maintain(database_url) == ["Dropped by_hand."]
    assert await horizon(connection) == 50


# ---------------------------------------------------------------- partitions of other shapes


@pytest.mark.usefixtures("forgotten")
async def test_partitions_made_by_hand_are_left_as_they_are(database_url: str, connection: asyncpg.Connection) -> None:
    halfway = month(1) + timedelta(days=14)
    await connection.execute(f"""
        CREATE TABLE "a Quarter" PARTITION OF task_events FOR VALUES FROM ('{month(-1)}') TO ('{halfway}');
        CREATE TABLE {name(2)} (note text);
        CREATE TABLE later PARTITION OF task_events FOR VALUES FROM ('{month(4)}') TO (MAXVALUE)
            PARTITION BY HASH (user_id);
        CREATE TABLE sooner PARTITION OF task_events FOR VALUES FROM (MINVALUE) TO ('0044-03-15 BC');
        CREATE TABLE later_still PARTITION OF later FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    """)
    for moment in (month(), halfway, month(2), month(9)):
        await add_event(connection, moment)
    assert await maintain(database_url, event_retention_days=36_500) == [f"Made {name(3)}.", "Dropped sooner."]
    assert await maintain(database_url) == ["Nothing to do."]
    places = [row["place"] for row in await connection.fetch(EVENTS)]
    assert places == ['"a Quarter"', "task_events_default", "task_events_default", "later_still"]


# ---------------------------------------------------------------- walls and indexes


async def test_the_role_reads_a_partition_only_through_the_log(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")  # as some hosts have it
    await connection.execute(f"DROP TABLE {name(3)}")
    await maintain(database_url)
    await add_event(connection, month())
    await add_event(connection, month(3))
    served = await asyncpg.connect(database_url, server_settings={"role": "graphql_api", "app.user_id": "ada"})
    assert len(await served.fetch("SELECT * FROM task_events")) == 2
    for partition in (name(), "task_events_default"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await served.fetch(f"SELECT * FROM {partition}")
    await connection.execute("GRANT SELECT ON task_events_default TO PUBLIC")
    await add_event(connection, month(9))
    for partition in (name(3), "task_events_default"):
        assert await served.fetch(f"SELECT * FROM {partition}") == []
    await served.close()


async def test_every_partition_has_the_indexes_of_the_log(connection: asyncpg.Connection) -> None:
    columns = """
        SELECT indrelid::regclass::text AS place, array_agg(indkey::text || indisprimary ORDER BY indkey::text) AS keys
        FROM pg_index WHERE indrelid::regclass::text ~ '^task_events(_2|_default|$)' GROUP BY 1
    """
    rows = await connection.fetch(columns)
    assert len(rows) == 6
    assert len({tuple(row["keys"]) for row in rows}) == 1
