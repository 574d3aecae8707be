"""The command `graphql-api` as a process of its own, started as people and operators start it."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

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


def environment(**variables: str) -> dict[str, str]:
    """Nothing of this machine's settings, but its paths."""
    paths = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return paths | variables


async def start(database_url: str, **changes: str) -> asyncio.subprocess.Process:
    """`graphql-api serve` with these settings, on a port that the system chooses; not waited for."""
    defaults = {"AUTH_URL": ORIGIN, "BETTER_AUTH_SECRET": SECRET, "POOL_MIN": "1", "PORT": "0"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "graphql_api", "serve"),
        env=environment(DATABASE_URL=database_url, **(defaults | changes)),
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


COMMAND = str(Path(sys.executable).parent / "graphql-api")


def run(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [COMMAND, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False, timeout=60
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(*arguments: str, folder: Path, port: int, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A server process that answers; killed at the end if it still runs."""
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [COMMAND, *arguments, "--port", str(port)],
            cwd=folder,
            env=environment(**variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health/live").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < deadline, (folder / "output").read_text()
                time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def ready(port: int) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}/health/ready")


def postgres_processes(folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if str(folder) in " ".join(_command_line(process))]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.name() == "postgres" else []
    except psutil.NoSuchProcess:
        return []
