"""Connections are handed out in turn, and none is lost, whatever happens to those who use them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import asyncpg
import psutil
import pytest
import sqlalchemy as sa

from graphql_api.database import Database, Statement
from graphql_api.errors import RequestError
from graphql_api.pool import Kept, Pool
from tests.client import settings
from tests.issuer import Issuer

SLEEP = Statement(sa.select(sa.func.pg_sleep(30)))()
BACKEND = Statement(sa.select(sa.func.pg_backend_pid()))()
SECONDS = 5


@asynccontextmanager
async def pool(url: str, **changes: Any) -> AsyncIterator[Pool]:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url)

    options = {
        "smallest": 0,
        "largest": 2,
        "patience_seconds": 2,
        "use_seconds": 30,
        "idle_seconds": 300,
        "recycle_seconds": 3600,
    } | changes
    made = Pool(connect, **options)
    await made.start()
    try:
        yield made
    finally:
        async with asyncio.timeout(SECONDS):
            await made.stop()
    assert made._size == 0


async def until_waiting(pool: Pool, number: int) -> None:
    async with asyncio.timeout(SECONDS):
        while len(pool._waiting) != number:  # noqa: ASYNC110  # nothing rings when it does
            await asyncio.sleep(0)


async def test_who_gives_up_waiting_passes_the_turn_on(database_url: str) -> None:
    async with pool(database_url, largest=1) as shared:
        first = await shared.take()
        waiters = [asyncio.create_task(shared.take()) for _ in range(3)]
        await until_waiting(shared, 3)
        shared.give_back(first)
        waiters[0].cancel()  # in the very moment in which it is given the connection
        waiters[1].cancel()
        async with asyncio.timeout(SECONDS):
            assert await waiters[2] is first
        shared.give_back(first)


async def test_who_waits_goes_before_who_comes_when_a_connection_is_replaced(database_url: str) -> None:
    served: list[str] = []

    async def use(shared: Pool, name: str) -> None:
        kept = await shared.take()
        served.append(name)
        shared.give_back(kept)

    async with pool(database_url, largest=1) as shared, asyncio.TaskGroup() as users:
        first = await shared.take()
        users.create_task(use(shared, "waited"))
        await until_waiting(shared, 1)
        shared.drop(first)
        for _ in range(50):  # while the old connection is closed and a new one is opened
            users.create_task(use(shared, "came"))
            await asyncio.sleep(0)
    assert served == ["waited"] + ["came"] * 50


async def test_a_connection_that_broke_makes_room_for_another(database_url: str) -> None:
    async with pool(database_url, largest=1) as shared:
        first = await shared.take()
        first.connection.terminate()
        shared.give_back(first)
        second = await shared.take()
        assert await second.connection.fetchval("SELECT 1") == 1
        second.connection.terminate()
        shared._idle.append(second)  # it broke while it lay idle
        third = await shared.take()
        assert await third.connection.fetchval("SELECT 1") == 1
        shared.give_back(third)


async def test_who_cannot_connect_leaves_the_place_to_the_next() -> None:
    tries = 0

    async def connect() -> asyncpg.Connection:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0)
        raise OSError("nobody there")

    refusing = Pool(
        connect, smallest=0, largest=1, patience_seconds=2, use_seconds=30, idle_seconds=300, recycle_seconds=3600
    )
    async with asyncio.timeout(SECONDS):
        results = await asyncio.gather(*(refusing.take() for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [OSError] * 5
    assert tries == 5
    assert refusing._size == 0


async def test_who_has_waited_too_long_is_told_when_no_connection_can_be_had(database_url: str) -> None:
    """And need not try in turn, each as long as the first; while another is in use it is worth waiting for."""
    tries = 0

    async def connect() -> asyncpg.Connection:
        nonlocal tries
        tries += 1
        if tries <= 2:
            return await asyncpg.connect(database_url)
        await asyncio.sleep(0.05)
        raise OSError("nobody there")

    shared = Pool(
        connect, smallest=0, largest=2, patience_seconds=0.01, use_seconds=30, idle_seconds=300, recycle_seconds=3600
    )
    first, second = await shared.take(), await shared.take()
    waiters = [asyncio.create_task(shared.take()) for _ in range(40)]
    await until_waiting(shared, 40)
    shared.drop(first)
    async with asyncio.timeout(SECONDS):
        with pytest.raises(OSError, match="nobody there"):
            await waiters.pop(0)
        await until_waiting(shared, 38)  # the next one tries, and the others wait
        shared.drop(second)
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert [type(result) for result in results] == [OSError] * 39
        assert tries < 10
        await shared.stop()
    assert shared._size == 0


async def test_idle_connections_are_closed_but_for_the_smallest_number(database_url: str) -> None:
    async with pool(database_url, smallest=1, largest=5, idle_seconds=0.02) as shared:
        for kept in [await shared.take() for _ in range(5)]:
            shared.give_back(kept)
        async with asyncio.timeout(SECONDS):
            while shared._size != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert shared._size == 1


async def test_what_takes_long_to_close_takes_none_of_the_smallest_number_along(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = asyncio.Event()

    class Slow(asyncpg.Connection):
        async def close(self, **options: Any) -> None:
            await closing.wait()
            await super().close(**options)

    monkeypatch.setattr(asyncpg, "connect", partial(asyncpg.connect, connection_class=Slow))
    async with pool(database_url, smallest=1, largest=5, idle_seconds=0.02) as shared:
        for kept in [await shared.take() for _ in range(5)]:
            shared.give_back(kept)
        await asyncio.sleep(0.2)
        assert len(shared._closing) <= 4
        closing.set()


async def test_stopping_waits_for_those_who_still_use_one(database_url: str) -> None:
    async with pool(database_url) as shared:
        kept = await shared.take()
        stopping = asyncio.create_task(shared.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()
        assert await kept.connection.fetchval("SELECT 1") == 1
        shared.give_back(kept)
        async with asyncio.timeout(SECONDS):
            await stopping
        assert kept.connection.is_closed()


async def test_nothing_is_lost_whatever_users_do(database_url: str) -> None:
    random, in_use, most = Random(7), 0, 0

    async def use(shared: Pool) -> None:
        nonlocal in_use, most
        kept: Kept = await shared.take()
        in_use += 1
        most = max(most, in_use)
        try:
            await asyncio.sleep(random.random() / 100)
            if random.random() < 0.1:
                kept.connection.terminate()
            shared.give_back(kept)
        except asyncio.CancelledError:
            shared.drop(kept)
        finally:
            in_use -= 1

    async with pool(database_url, largest=4, recycle_seconds=0.05) as shared:
        users = [asyncio.create_task(use(shared)) for _ in range(400)]
        for user in users:
            if random.random() < 0.3:
                asyncio.get_running_loop().call_later(random.random() / 2, user.cancel)
        async with asyncio.timeout(30):
            await asyncio.wait(users)
        assert most <= 4
        assert shared._size == len(shared._idle) + len(shared._closing)


RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
"""How many are asleep. `state` is `active` already while PostgreSQL reads the statement, and a request to cancel it
that comes before it begins is forgotten."""


@pytest.mark.parametrize("pooler", ["none", "transaction"])
async def test_a_request_that_is_broken_off_ends_its_statement(database_url: str, issuer: Issuer, pooler: str) -> None:
    database = Database(settings(database_url, pool_max=1, database_pooler=pooler))
    await database.start()
    reading = asyncio.create_task(database.read(SLEEP))
    async with asyncio.timeout(SECONDS):
        while not await issuer.connection.fetchval(RUNNING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        while await issuer.connection.fetchval(RUNNING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await database.read(BACKEND)
        await database.stop()


@pytest.mark.parametrize("pooler", ["none", "transaction"])
async def test_a_request_that_is_broken_off_does_not_wait_for_a_silent_database(
    database_url: str, issuer: Issuer, pooler: str
) -> None:
    database = Database(settings(database_url, pool_max=1, database_pooler=pooler))
    await database.start()
    [[backend]] = await database.read(BACKEND)
    name = await issuer.connection.fetchval("SELECT current_database()")
    if not psutil.pid_exists(backend) or name not in " ".join(psutil.Process(backend).cmdline()):
        pytest.skip("PostgreSQL runs elsewhere; only a process of our own may be stopped")
    writing = asyncio.create_task(database.write(SLEEP, check=lambda rows: None))
    async with asyncio.timeout(SECONDS):
        while not await issuer.connection.fetchval(RUNNING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    os.kill(backend, signal.SIGSTOP)
    try:
        writing.cancel()
        async with asyncio.timeout(SECONDS):
            with pytest.raises(asyncio.CancelledError):
                await writing
    finally:
        os.kill(backend, signal.SIGCONT)
    assert await database.read(BACKEND)
    await database.stop()


async def test_a_statement_that_takes_too_long_costs_no_connection(database_url: str) -> None:
    database = Database(settings(database_url, pool_max=1, statement_timeout_seconds=0.05))
    await database.start()
    [before] = await database.read(BACKEND)
    with pytest.raises(RequestError, match=r"0\.05 s"):
        await database.read(SLEEP)
    assert await database.read(BACKEND) == [before]
    await database.stop()
