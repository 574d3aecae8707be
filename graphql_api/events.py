"""How those who follow a log hear of news: one LISTEN connection for all of them in a process.

A notification tells that somebody has news; it may be lost. What happened stands in the log, and each follower reads
on from a cursor of its own: nothing is queued for anybody, and nothing depends on a notification arriving. Equal
questions at the same time are asked once, so a thousand followers of one person cost one SELECT.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Protocol, TypeVar

import asyncpg

from graphql_api.database import LOST
from graphql_api.errors import PASSING, RequestError
from graphql_api.settings import Settings

logger = logging.getLogger(__name__)

CHANNEL = "task_events"

PAGE_SIZE = 100
"""Events read at once, and held at most for one follower that does not take them."""
FRESH_SECONDS = 5
"""A page that was not taken by then is read again: meanwhile its reader may see less, and its objects have changed."""

PROBE_SECONDS = 30
"""So often the LISTEN connection must show that it lives: one that breaks in silence would never tell."""
RETRY_SECONDS = 1
POLL_SECONDS = 5
"""Where LISTEN is not possible the log is looked at so often."""
LOOK_SECONDS = 0.001
"""Between one person and the next when all look at the log, so that they do not take every connection at once."""

Row = asyncpg.Record
T = TypeVar("T")


class Log(Protocol):
    """What is followed: for each person a list of events that only grows, each with a cursor greater than the last."""

    async def after(self, person: str, cursor: int, limit: int) -> Sequence[Row]:
        """The first events after the cursor, the oldest first; each has its `cursor`."""

    async def check_kept(self, person: str, cursor: int) -> None:
        """Raises `RequestError` when events may be missing between the cursor and what `after` gave before."""

    async def end(self, person: str) -> int:
        """The cursor of the last event."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events that were read together."""

    rows: Sequence[Row]
    read_at: float

    @property
    def is_last(self) -> bool:
        """True when there were no more."""
        return len(self.rows) < PAGE_SIZE

    @property
    def is_stale(self) -> bool:
        return monotonic() - self.read_at > FRESH_SECONDS


@dataclass(slots=True)
class Feed:
    """What the followers of one person share: how often there was news, and what is being asked of the log."""

    heard: int = 0
    followers: int = 0
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    asked: dict[tuple[Hashable, int], asyncio.Task[Any]] = field(default_factory=dict)

    def hear(self) -> None:
        """There may be news."""
        self.heard += 1
        self.bell.set()
        self.bell = asyncio.Event()

    async def news(self, heard: int) -> None:
        """Wait until more was heard than that."""
        while self.heard == heard:
            await self.bell.wait()

    async def once(self, question: Hashable, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer, together with all who ask the same and have heard of the same news."""
        key = question, self.heard
        if key not in self.asked:
            self.asked[key] = asyncio.create_task(ask())
            self.asked[key].add_done_callback(lambda _: self.asked.pop(key))
        answer: T = await asyncio.shield(self.asked[key])
        return answer

    def stop_asking(self) -> list[asyncio.Task[Any]]:
        """What is asked for nobody, and ends soon."""
        asked = list(self.asked.values())
        for task in asked:
            task.cancel()
        return asked


class Hub:
    """Lets the subscriptions of one process follow a log. Hears nothing before `start`."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._feeds: dict[str, Feed] = {}
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; without a database it is tried again and again."""
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        while self._listening is not None and not self._listening.done():
            self._listening.cancel()  # and again: `wait_for` of Python 3.11, which asyncpg uses, may swallow it
            await asyncio.wait([self._listening], timeout=1)
        if asked := [task for feed in self._feeds.values() for task in feed.stop_asking()]:
            await asyncio.wait(asked)

    async def follow(self, person: str, cursor: int | None) -> AsyncGenerator[Row, None]:
        """Every event of this person after the cursor, once and in order, for ever; from now on without a cursor.

        While the database is away it waits, but for the beginning, where it raises `Unavailable`.
        """
        feed = self._feeds.setdefault(person, Feed())
        feed.followers += 1
        try:
            if cursor is None:
                cursor, is_behind = await feed.once("the end", partial(self._log.end, person)), False
            else:
                is_behind = True
            while True:
                heard = feed.heard
                page = await feed.once((cursor, is_behind), partial(self._read, person, cursor, is_behind))
                is_behind = not page.is_last
                for row in page.rows:
                    yield row
                    cursor = row["cursor"]
                    if page.is_stale:
                        break
                else:
                    if page.is_last:
                        del page  # its rows would stay in memory until the next event, which may be days
                        await feed.news(heard)
        finally:
            feed.followers -= 1
            if not feed.followers:
                feed.stop_asking()
                del self._feeds[person]

    async def _read(self, person: str, cursor: int, is_behind: bool) -> Page:
        """The next page. Who is behind may have waited so long that what follows is not kept any more."""
        while True:
            try:
                rows = await self._log.after(person, cursor, PAGE_SIZE)
                if is_behind:
                    await self._log.check_kept(person, cursor)
                return Page(rows, monotonic())  # not before: what takes long to read would be stale for ever
            except RequestError as error:
                if error.code not in PASSING:
                    raise
                await asyncio.sleep(RETRY_SECONDS)

    # ---------------------------------------------------------------- listening

    async def _listen(self) -> None:
        url = self._settings.database_url_direct or self._settings.database_url
        if self._settings.behind_transaction_pooler and self._settings.database_url_direct is None:
            logger.warning("events are looked for every %d s: LISTEN needs DATABASE_URL_DIRECT", POLL_SECONDS)
            while True:
                await self._look()
                await asyncio.sleep(POLL_SECONDS)
        while True:
            try:
                await self._listen_on(url)
            except (*LOST, asyncpg.PostgresError) as error:
                logger.warning("not listening for events, trying again: %r", error)
            except Exception:  # whatever it is: without this task nobody would hear of anything any more
                logger.exception("not listening for events, trying again")
            await asyncio.sleep(RETRY_SECONDS)
            await self._look()

    async def _listen_on(self, url: str) -> None:
        """Listen until the connection is lost."""
        timeout = self._settings.connect_timeout_seconds
        connection = await asyncpg.connect(
            url, timeout=timeout, command_timeout=timeout, server_settings={"application_name": "graphql-api events"}
        )
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await connection.add_listener(CHANNEL, self._hear)
            await self._look()
            while not lost.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_SECONDS):
                        await lost.wait()
                        raise ConnectionResetError("the database ended the connection")
                await connection.execute(f"LISTEN {CHANNEL}")
        finally:
            connection.terminate()

    def _hear(self, _connection: object, _process: int, _channel: str, message: object) -> None:
        _, _, person = str(message).partition(" ")
        if person in self._feeds:
            self._feeds[person].hear()

    async def _look(self) -> None:
        """Let everybody catch up with what happened while nobody listened."""
        for feed in list(self._feeds.values()):
            feed.hear()
            await asyncio.sleep(LOOK_SECONDS)
