"""Following the log within one process: who reads when, together with whom, and what ends it."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import asyncpg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from graphql_api import events
from graphql_api.database import Database
from graphql_api.errors import Code, RequestError, Unavailable
from graphql_api.events import Hub
from graphql_api.settings import Settings
from graphql_api.tasks.log import TaskLog
from tests.client import settings
from tests.conftest import WAITING, Statements
from tests.test_outages import Line

LISTENER = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'graphql-api events'"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RETRY_SECONDS", 0.05)


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("""INSERT INTO "user" (id, name, email, "emailVerified") VALUES ('ada', 'A', 'a', true)""")
    yield connection
    await connection.close()


@asynccontextmanager
async def hub_with(options: Settings) -> AsyncIterator[Hub]:
    database = Database(options)
    await database.start()
    hub = Hub(options, TaskLog(database))
    hub.start()
    try:
        yield hub
    finally:
        await hub.stop()
        await database.stop()


@pytest.fixture
async def hub(database_url: str, owner: asyncpg.Connection) -> AsyncIterator[Hub]:
    """A hub that listens."""
    async with hub_with(settings(database_url, connect_timeout_seconds=0.5)) as hub:
        await until_listening(owner)
        yield hub


async def until_listening(owner: asyncpg.Connection) -> None:
    while not await owner.fetch(f"SELECT {LISTENER} AND state = 'idle' AND query LIKE 'LISTEN%'"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def until_waiting(owner: asyncpg.Connection, number: int) -> None:
    """Until so many statements wait for another's lock."""
    while len(await owner.fetch(WAITING)) != number:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def until_told(hub: Hub, owner: asyncpg.Connection) -> None:
    """Until the hub has heard all that was said before: one connection hears in the order of commits."""
    feed = hub._feeds["marker"] = events.Feed()
    await owner.execute("NOTIFY task_events, '1 marker'")
    await asyncio.wait_for(feed.news(0), 5)
    del hub._feeds["marker"]
    await asyncio.sleep(0.05)  # for what is read because of it


async def add(owner: asyncpg.Connection, *titles: str) -> None:
    """Something happens to Ada, once for each title."""
    for title in titles:
        await owner.execute("INSERT INTO tasks (user_id, title) VALUES ('ada', $1)", title)


async def cursors(owner: asyncpg.Connection, person: str = "ada") -> list[int]:
    rows = await owner.fetch("SELECT cursor FROM task_events WHERE user_id = $1 ORDER BY cursor", person)
    return [row["cursor"] for row in rows]


async def take(hub: Hub, number: int, cursor: int | None = 0) -> list[int]:
    """The cursors of so many events of Ada."""
    seen: list[int] = []
    async with aclosing(hub.follow("ada", cursor)) as rows:
        while len(seen) < number:
            seen.append((await anext(rows))["cursor"])
    return seen


class Follower:
    """Reads until it is ended."""

    def __init__(self, hub: Hub, cursor: int | None = 0) -> None:
        self.seen: list[int] = []
        self.task = asyncio.create_task(self._follow(hub, cursor))

    async def _follow(self, hub: Hub, cursor: int | None) -> None:
        async with aclosing(hub.follow("ada", cursor)) as rows:
            async for row in rows:
                self.seen.append(row["cursor"])

    async def saw(self, number: int) -> None:
        async with asyncio.timeout(5):
            while len(self.seen) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


# ---------------------------------------------------------------- reading


async def test_nothing_is_read_while_nothing_happens(
    hub: Hub, owner: asyncpg.Connection, statements: Statements
) -> None:
    await add(owner, "Milk")
    followers = [Follower(hub) for _ in range(5)]
    for follower in followers:
        await follower.saw(1)
    await until_told(hub, owner)
    statements.clear()
    await asyncio.sleep(0.3)
    await owner.execute("SELECT pg_notify('task_events', '5 bob')")
    await owner.execute("SELECT pg_notify('task_events', 'nonsense')")
    await asyncio.sleep(0.1)
    assert statements == []
    for follower in followers:
        await follower.end()


async def test_who_waits_at_a_place_that_is_dropped_from_the_log_waits_in_peace(
    hub: Hub, owner: asyncpg.Connection, statements: Statements
) -> None:
    """`maintain` moves the end of an empty log beyond those who wait; and then the LISTEN connection breaks."""
    await add(owner, "Milk")
    follower = Follower(hub)
    await follower.saw(1)
    await owner.execute("TRUNCATE task_events; UPDATE task_events_horizon SET cursor = 1000")
    statements.clear()
    await owner.execute(f"SELECT pg_terminate_backend(pid) {LISTENER}")
    await asyncio.sleep(0.5)
    assert len(statements) <= 3
    await follower.end()


async def test_a_notification_of_nothing_is_looked_after_once(
    hub: Hub, owner: asyncpg.Connection, statements: Statements
) -> None:
    """Anybody who may connect may send one."""
    await add(owner, "Milk")
    follower = Follower(hub)
    await follower.saw(1)
    await until_told(hub, owner)
    statements.clear()
    await owner.execute(f"SELECT pg_notify('task_events', '{2**63 - 1} ada')")
    await until_told(hub, owner)
    assert len(statements) == 1
    await add(owner, "Bread")
    await follower.saw(2)
    await follower.end()


async def test_a_log_that_is_slow_to_read_is_followed_all_the_same(
    hub: Hub, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes longer to read than a page stays fresh is read once, and not for ever."""
    monkeypatch.setattr(events, "FRESH_SECONDS", 0.05)
    await owner.execute("CREATE POLICY slow ON task_events AS RESTRICTIVE USING (pg_sleep(0.1) IS NOT NULL)")
    await add(owner, "Milk")
    assert await asyncio.wait_for(take(hub, 1), 5) == await cursors(owner)


async def test_what_was_not_taken_in_time_is_read_again(
    hub: Hub, owner: asyncpg.Connection, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "FRESH_SECONDS", 0.1)
    await add(owner, "Milk", "Bread", "Salt")
    async with aclosing(hub.follow("ada", 0)) as rows:
        first = await anext(rows)
        await asyncio.sleep(0.15)
        await owner.execute("UPDATE tasks SET title = 'Tea' WHERE title = 'Bread'")
        statements.clear()
        second, third = await anext(rows), await anext(rows)
    assert (first["now_title"], second["now_title"], third["now_title"]) == ("Milk", "Tea", "Salt")
    assert [row["cursor"] for row in (first, second, third)] == (await cursors(owner))[:3]
    assert len(statements) == 1


async def test_who_waits_holds_no_page(hub: Hub, owner: asyncpg.Connection) -> None:
    """It could be a hundred events, for days."""
    await owner.execute("INSERT INTO tasks (user_id, title) SELECT 'ada', 'x' FROM generate_series(1, 150)")
    follower = Follower(hub)
    await follower.saw(150)
    await asyncio.sleep(0.1)
    gc.collect()
    assert [found for found in gc.get_objects() if isinstance(found, events.Page)] == []
    await follower.end()


# ---------------------------------------------------------------- reading together


async def test_one_who_goes_while_many_read_takes_nobody_along(
    hub: Hub, owner: asyncpg.Connection, statements: Statements
) -> None:
    await add(owner, "Milk")
    await until_told(hub, owner)
    async with owner.transaction():
        await owner.execute("LOCK task_events")
        followers = [Follower(hub) for _ in range(3)]
        await until_waiting(owner, 1)
        for leaving in followers[:2]:  # the first has begun to read
            await leaving.end()
    await followers[2].saw(1)
    assert followers[2].seen == await cursors(owner)
    assert len(statements) == 2  # the page, and that nothing before it was dropped
    await followers[2].end()


async def test_who_is_so_slow_that_what_follows_is_dropped_is_told(hub: Hub, owner: asyncpg.Connection) -> None:
    await owner.execute("INSERT INTO tasks (user_id, title) SELECT 'ada', n FROM generate_series(1, 150) n")
    async with aclosing(hub.follow("ada", 0)) as rows:
        await anext(rows)
        await owner.execute("DELETE FROM task_events; UPDATE task_events_horizon SET cursor = 1000")
        for _ in range(events.PAGE_SIZE - 1):
            await anext(rows)
        with pytest.raises(RequestError, match="taskEventCursor") as ended:
            await anext(rows)
    assert ended.value.code == Code.CURSOR_EXPIRED


async def test_what_nobody_waits_for_is_read_no_further(hub: Hub, owner: asyncpg.Connection) -> None:
    async with owner.transaction():
        await owner.execute("LOCK task_events")
        followers = [Follower(hub) for _ in range(3)]
        await until_waiting(owner, 1)
        for follower in followers:
            await follower.end()
        await asyncio.wait_for(until_waiting(owner, 0), 5)
    assert hub._feeds == {}


async def test_who_leaves_leaves_nothing_behind(hub: Hub, owner: asyncpg.Connection) -> None:
    before = len(asyncio.all_tasks())
    for cursor in (None, 0):
        followers = [Follower(hub, cursor) for _ in range(20)]
        await asyncio.sleep(random.random() / 20)
        await add(owner, "Milk")
        for follower in followers:
            await follower.end()
    await asyncio.sleep(0.1)
    assert hub._feeds == {}
    assert len(asyncio.all_tasks()) == before


async def test_news_that_come_while_a_page_is_read_are_not_missed(hub: Hub, owner: asyncpg.Connection) -> None:
    """The page was begun before them, and is answered after."""
    await owner.execute("CREATE POLICY slow ON task_events AS RESTRICTIVE USING (pg_sleep(0.1) IS NOT NULL)")
    await add(owner, "Milk")
    follower = Follower(hub)
    for title in ("Bread", "Salt", "Tea"):
        await asyncio.sleep(0.07)
        await add(owner, title)
    await follower.saw(4)
    assert follower.seen == await cursors(owner)
    await follower.end()


async def test_a_newcomer_is_not_given_what_was_asked_before_the_news(hub: Hub, owner: asyncpg.Connection) -> None:
    await owner.execute("CREATE POLICY slow ON task_events AS RESTRICTIVE USING (pg_sleep(0.1) IS NOT NULL)")
    await add(owner, "Milk")
    first = Follower(hub)
    await asyncio.sleep(0.05)
    await add(owner, "Bread")
    second = Follower(hub)
    for follower in (first, second):
        await follower.saw(2)
        assert follower.seen == await cursors(owner)
        await follower.end()


# ---------------------------------------------------------------- what goes wrong


async def test_an_error_that_nobody_expects_ends_all_who_read_and_no_later_ones(
    hub: Hub, owner: asyncpg.Connection
) -> None:
    await add(owner, "Milk")
    followers = [Follower(hub) for _ in range(3)]
    for follower in followers:
        await follower.saw(1)
    await owner.execute("ALTER TABLE task_events RENAME TO gone")
    await owner.execute("NOTIFY task_events, '1 ada'")
    await asyncio.wait([follower.task for follower in followers], timeout=5)
    assert [type(follower.task.exception()) for follower in followers] == [asyncpg.UndefinedTableError] * 3
    assert hub._feeds == {}
    await owner.execute("ALTER TABLE gone RENAME TO task_events")
    assert await take(hub, 1) == await cursors(owner)


async def test_a_beginning_without_a_database_is_refused_and_all_else_waits(
    database_url: str, owner: asyncpg.Connection
) -> None:
    line = Line(database_url)
    await line.mend()
    async with hub_with(settings(line.url, connect_timeout_seconds=0.2)) as hub:
        await until_listening(owner)
        await line.cut()
        with pytest.raises(Unavailable):
            await take(hub, 1, None)
        assert hub._feeds == {}
        follower = Follower(hub)
        await add(owner, "Milk")
        await asyncio.sleep(0.5)
        await line.mend()
        await follower.saw(1)
        await follower.end()
    await line.cut()


async def test_who_follows_hears_more_after_every_connection_has_gone_silent(
    database_url: str, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PROBE_SECONDS", 0.1)
    line = Line(database_url)
    await line.mend()
    async with hub_with(settings(line.url, connect_timeout_seconds=0.5, request_timeout_seconds=0.3)) as hub:
        await until_listening(owner)
        follower = Follower(hub)
        await add(owner, "Milk")
        await follower.saw(1)
        line.hush()
        await add(owner, "Bread")
        await follower.saw(2)
        await follower.end()
    await line.cut()


async def test_an_address_that_nothing_can_come_of_stops_no_listening(
    database_url: str, owner: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever connecting raises, it is tried again, and meanwhile the log is looked at."""
    direct = f"postgresql://nobody@{'a' * 64}.example.com/none"  # a name that cannot even be looked up
    async with hub_with(settings(database_url, database_url_direct=direct)) as hub:
        follower = Follower(hub)
        for number in range(1, 4):
            await add(owner, "Milk")
            await follower.saw(number)
        assert follower.seen == await cursors(owner)
        await follower.end()
    assert any("not listening for events" in record.message for record in caplog.records)


async def test_a_listener_that_breaks_while_the_log_cannot_be_read_misses_nothing(
    database_url: str, owner: asyncpg.Connection
) -> None:
    """The log is locked from before the event until long after there is a new connection to listen on."""
    async with hub_with(settings(database_url, statement_timeout_seconds=0.1)) as hub:
        await until_listening(owner)
        await add(owner, "Milk")
        follower = Follower(hub)
        await follower.saw(1)
        async with owner.transaction():
            await owner.execute("LOCK task_events")
            await owner.execute(f"SELECT pg_terminate_backend(pid) {LISTENER}")
            await asyncio.sleep(0.02)
            await until_listening(owner)
            await asyncio.sleep(0.3)
            await owner.execute("SET LOCAL session_replication_role = replica")  # so that it is not notified
            await add(owner, "Bread")
            await owner.execute("""
                INSERT INTO task_events (user_id, cursor, task_id, kind, created_at)
                SELECT 'ada', nextval('task_events_cursor'), id, 'created', now() FROM tasks WHERE title = 'Bread'
            """)
        await follower.saw(2)
        assert follower.seen == await cursors(owner)
        await follower.end()


@pytest.mark.parametrize("reads", [False, True])
async def test_a_hub_that_stops_ends_what_it_reads(database_url: str, owner: asyncpg.Connection, reads: bool) -> None:
    await add(owner, "Milk")
    before = len(asyncio.all_tasks())
    async with hub_with(settings(database_url)) as hub:
        await until_listening(owner)
        await until_told(hub, owner)
        transaction = owner.transaction()
        await transaction.start()
        if reads:
            await owner.execute("LOCK task_events")
        followers = [Follower(hub) for _ in range(3)]
        await (until_waiting(owner, 1) if reads else followers[0].saw(1))
        await asyncio.wait_for(hub.stop(), 3)
        await transaction.rollback()
    for follower in followers:
        await follower.end()
    assert len(asyncio.all_tasks()) == before
    assert hub._feeds == {}


# ---------------------------------------------------------------- in general


STEPS = ("write", "write many", "notify", "look", "leave", "join", "pause", "go on")


@given(
    page_size=st.integers(1, 5),
    fresh_seconds=st.sampled_from([0, 0.002, 5]),
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 12)), min_size=3, max_size=20),
)
@hypothesis_settings(max_examples=60)
async def test_every_event_is_delivered_once_whatever_the_pages_and_the_order_of_wake_ups(
    hub: Hub, owner: asyncpg.Connection, page_size: int, fresh_seconds: float, steps: list[tuple[str, int]]
) -> None:
    await owner.execute("TRUNCATE task_events")
    followers: list[tuple[int, Follower]] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(events, "PAGE_SIZE", page_size)
        monkeypatch.setattr(events, "FRESH_SECONDS", fresh_seconds)
        for step, number in steps:
            match step:
                case "write":
                    await add(owner, "Milk")
                case "write many":
                    insert = "INSERT INTO tasks (user_id, title) SELECT 'ada', 'x' FROM generate_series(1, $1)"
                    await owner.execute(insert, number)
                case "notify":
                    await owner.execute("SELECT pg_notify('task_events', $1)", f"{number} ada")
                case "look":
                    await hub._look()
                case "join":
                    starts = [0, *await cursors(owner)]
                    start = starts[number % len(starts)]
                    followers.append((start, Follower(hub, start)))
                case "leave" if followers:
                    start, follower = followers.pop(number % len(followers))
                    await follower.end()
                    expected = [cursor for cursor in await cursors(owner) if cursor > start]
                    assert follower.seen == expected[: len(follower.seen)]
                case "pause":
                    await asyncio.sleep(number / 2000)
                case _:
                    await asyncio.sleep(0)
        for start, follower in followers:
            expected = [cursor for cursor in await cursors(owner) if cursor > start]
            await follower.saw(len(expected))
            assert follower.seen == expected
        for _, follower in followers:
            await follower.end()
    assert hub._feeds == {}
