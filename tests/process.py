"""The server as a process of its own, started as an operator starts it."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.issuer import ORIGIN, SECRET

LISTENING = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


@dataclass
class Server:
    """A running `graphql-api serve`; `log` grows with every line that it writes."""

    process: asyncio.subprocess.Process
    address: str = ""
    log: list[str] = field(default_factory=list)

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
    assert server.process.stderr is not None
    lines = server.process.stderr
    while not server.address:
        line = (await lines.readline()).decode()
        assert line, f"the server ended: {''.join(server.log)}"
        server.log.append(line)
        if found := LISTENING.search(line):
            server.address = found[1]

    async def keep_log() -> None:
        async for line in lines:
            server.log.append(line.decode())

    logging = asyncio.create_task(keep_log())
    try:
        yield server
    finally:
        if server.process.returncode is None:
            server.process.terminate()
        await server.process.wait()
        await logging
