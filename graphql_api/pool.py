"""Connections to PostgreSQL, shared by the requests of a process: first come, first served.

asyncpg's own pool lets a newcomer overtake those who wait, and costs as much CPU as a small statement does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

import asyncpg

CLOSE_SECONDS = 5
"""A connection that cannot say good-bye in this time is cut off."""


@dataclass(slots=True, eq=False)
class Kept:
    """A connection and what the pool has to know of it, in seconds of the monotonic clock."""

    connection: asyncpg.Connection
    opened_at: float
    idle_since: float = 0


Turn = asyncio.Future[Kept | None]
"""Comes with a connection, or with None for who is to open one."""


class Pool:
    """At most `largest` connections, of which at least `smallest` stay open however long nobody needs them.

    One that is used for longer than `use_seconds` is cut off: its line has gone silent, and whoever waits for it would
    wait for ever. While others are in use, whoever comes waits for one of them; where there is none and none can be
    opened, nobody waits for longer than `patience_seconds`.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        *,
        smallest: int,
        largest: int,
        patience_seconds: float,
        use_seconds: float,
        idle_seconds: float,
        recycle_seconds: float,
    ) -> None:
        self._connect = connect
        self._smallest = smallest
        self._largest = largest
        self._patience_seconds = patience_seconds
        self._use_seconds = use_seconds
        self._idle_seconds = idle_seconds
        self._recycle_seconds = recycle_seconds
        self._size = 0
        """Of connections that are open, or being opened or closed."""
        self._idle: deque[Kept] = deque()
        """The one that was used last is at the right, and is used next."""
        self._used: dict[Kept, float] = {}
        """Those in use, each with the time at which that began, the oldest first."""
        self._waiting: deque[tuple[Turn, float]] = deque()
        """Each with the time at which the wait began."""
        self._closing: set[asyncio.Task[None]] = set()
        self._stopped: asyncio.Event | None = None
        """Set when none is left; None until the pool is told to stop."""
        self._sweep: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Open the first connections. Raises whatever connecting raises."""
        opened: list[Kept] = []
        try:
            while len(opened) < self._smallest:
                opened.append(await self.take())
        finally:
            for kept in opened:
                self.give_back(kept)
        self._sweep_later()

    async def stop(self) -> None:
        """Close every connection, those in use when they come back."""
        self._stopped = asyncio.Event()
        while self._idle:
            self.drop(self._idle.pop())
        if self._size:
            await self._stopped.wait()
        if self._sweep is not None:
            self._sweep.cancel()

    async def take(self) -> Kept:
        """A connection, to be given back or dropped. Raises whatever connecting raises."""
        while self._idle:
            kept = self._idle.pop()
            if not kept.connection.is_closed():
                self._used[kept] = monotonic()
                return kept
            self._size -= 1
        if self._size < self._largest:
            self._size += 1
            return await self._open()
        turn: Turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, monotonic()))
        try:
            given = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.exception():  # too late: it goes to the next
                meant = turn.result()
                self._gone() if meant is None else self.give_back(meant)
            raise
        return given or await self._open()

    def give_back(self, kept: Kept) -> None:
        """The use has ended."""
        now = monotonic()
        self._used.pop(kept, None)
        if kept.connection.is_closed():
            self._gone()
        elif self._stopped or now - kept.opened_at > self._recycle_seconds:
            self.drop(kept)
        else:
            kept.idle_since = now
            self._give(kept)

    async def _open(self) -> Kept:
        """A new connection, which is counted already."""
        try:
            kept = Kept(await self._connect(), monotonic())
        except BaseException as error:
            if isinstance(error, Exception) and not self._used:
                self._tell(error)
            self._gone()
            raise
        self._used[kept] = kept.opened_at
        return kept

    def _tell(self, error: Exception) -> None:
        """Those who have waited too long that no connection can be had."""
        long_ago = monotonic() - self._patience_seconds
        while self._waiting and self._waiting[0][1] < long_ago:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)

    def _give(self, kept: Kept) -> None:
        """To the one who has waited longest, or to nobody yet."""
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                self._used[kept] = monotonic()
                turn.set_result(kept)
                return
        self._idle.append(kept)

    def _gone(self) -> None:
        """There is room for another connection: the one who has waited longest opens it, before any newcomer."""
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._size -= 1
        if self._stopped and not self._size:
            self._stopped.set()

    def drop(self, kept: Kept) -> None:
        """Close it: it is too old, or its use was broken off, and nobody knows what it is in the middle of."""
        self._used.pop(kept, None)

        async def close() -> None:
            try:
                await kept.connection.close(timeout=CLOSE_SECONDS)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                kept.connection.terminate()
            finally:
                self._gone()

        task = asyncio.ensure_future(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _sweep_later(self) -> None:
        seconds = min(self._use_seconds, self._idle_seconds) / 2
        self._sweep = asyncio.get_running_loop().call_later(seconds, self._end_what_is_old)

    def _end_what_is_old(self) -> None:
        now = monotonic()
        for kept, since in self._used.items():
            if since > now - self._use_seconds:
                break
            kept.connection.terminate()  # raises to its user, who gives it back
        long_ago = now - self._idle_seconds
        spare = len(self._idle) + len(self._used) - self._smallest  # those that are being closed count no more
        while self._idle and spare > 0 and self._idle[0].idle_since < long_ago:
            self.drop(self._idle.popleft())
            spare -= 1
        self._sweep_later()
