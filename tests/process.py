"""The server as a process of its own, started as an operator starts it."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.issuer import ORIGIN, SECRET

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass
class Server:
    """A running `graphql-api serve`; `log` grows with every line that it writes."""

    process: asyncio.subprocess.Process
    log: list[str] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read_log(self) -> None:
        """Follow what it writes until it ends."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._news:
                self.log.append(line.decode())
                self._news.notify_all()

    async def wrote(self, words: str) -> None:
        """Wait for a line that has these words."""
        async with self._news:
            await self._news.wait_for(lambda: any(words in line for line in self.log))

    @property
    def address(self) -> str:
        return next(found[0] for line in self.log if (found := ADDRESS.search(line)))

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def environment(database_url: str, **changes: str) -> dict[str, str]:
    """What a server for tests finds in its environment: nothing of this machine's settings, but its paths."""
    paths = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return {
        **paths,
        "DATABASE_URL": database_url,
        "AUTH_URL": ORIGIN,
        "BETTER_AUTH_SECRET": SECRET,
        "POOL_MIN": "1",
        "PORT": "0",
        **changes,
    }


async def start(database_url: str, **changes: str) -> asyncio.subprocess.Process:
    """`graphql-api serve` with these settings, on a port that the system chooses; not waited for."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "graphql_api", "serve"),
        env=environment(database_url, **changes),
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(database_url: str, **changes: str) -> AsyncIterator[Server]:
    """A server that listens; ended with the block if it has not ended before."""
    server = Server(await start(database_url, **changes))
    reading = asyncio.create_task(server.read_log())
    listening = asyncio.create_task(server.wrote("Uvicorn running on"))
    await asyncio.wait([reading, listening], return_when=asyncio.FIRST_COMPLETED)
    assert listening.done(), f"the server ended: {''.join(server.log)}"
    try:
        yield server
    finally:
        if server.process.returncode is None:
            server.process.terminate()
        await server.process.wait()
        await reading
