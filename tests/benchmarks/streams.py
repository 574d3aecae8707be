"""What a thousand idle subscriptions cost the server, and how soon all of them hear of an event."""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import time
from pathlib import Path

import asyncpg
import orjson
import psutil
from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.database import migrated
from tests.issuer import Issuer
from tests.process import running

SUBSCRIPTIONS = 1000
WARM_UP = 100
IDLE_SECONDS = 30
EVENTS = 10

FOLLOW = "subscription { taskChanged { cursor kind taskId task { title version } changes { field before after } } }"
SCANS = (
    "SELECT coalesce(sum(idx_scan + seq_scan), 0)::int FROM pg_stat_user_tables WHERE relname = 'task_events_default'"
)
"""How often the only partition of the log was scanned: once by each SELECT on the log, and by nothing else."""


class Clients:
    """Subscribers of one person; `heard` has the moment of each event that came to one of them."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._token = token
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._sockets: list[ClientConnection] = []
        self.heard: list[float] = []

    async def add_socket(self, subscriptions: int) -> None:
        connection = await connect(
            f"ws://{self._address}/graphql",
            subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
            compression=None,
            ping_interval=None,
        )
        self._sockets.append(connection)
        authorization = {"Authorization": f"Bearer {self._token}"}
        await connection.send(orjson.dumps({"type": "connection_init", "payload": authorization}).decode())
        assert b"connection_ack" in await connection.recv(decode=False)
        for id in range(subscriptions):
            subscribe = {"id": str(id), "type": "subscribe", "payload": {"query": FOLLOW}}
            await connection.send(orjson.dumps(subscribe).decode())
        self._tasks.append(asyncio.create_task(self._read_socket(connection)))

    async def _read_socket(self, connection: ClientConnection) -> None:
        async for message in connection:
            assert '"next"' in str(message), message
            self.heard.append(time.perf_counter())

    async def add_event_stream(self) -> None:
        host, _, port = self._address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self._writers.append(writer)
        body = orjson.dumps({"query": FOLLOW})
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: {self._address}\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        assert b" 200 " in await reader.readline()
        while await reader.readline() != b"\r\n":
            pass
        self._tasks.append(asyncio.create_task(self._read_event_stream(reader)))

    async def _read_event_stream(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.startswith(b"data:"):
                assert b"taskChanged" in line, line
                self.heard.append(time.perf_counter())

    async def all_heard(self, number: int) -> None:
        async with asyncio.timeout(60):
            while len(self.heard) < number:  # noqa: ASYNC110  # polled, so that counting costs the readers nothing
                await asyncio.sleep(0.001)
        assert len(self.heard) == number

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for socket in self._sockets:
            socket.transport.abort()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(1)


def memory_kb(process: psutil.Process) -> float:
    """PSS, as Linux counts it; elsewhere what the process has for itself."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    if rollup.exists():
        [line] = [line for line in rollup.read_text().splitlines() if line.startswith("Pss:")]
        return float(line.split()[1])
    return float(process.memory_full_info().uss / 1024)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def scans(connection: asyncpg.Connection) -> int:
    """An idle backend tells its counts within ten seconds."""
    await asyncio.sleep(12)
    return int(await connection.fetchval(SCANS))


async def measure(name: str, url: str, per_socket: int | None) -> None:
    """`per_socket`: subscriptions on each socket; None for event streams."""
    connection = await asyncpg.connect(url)
    issuer = Issuer(connection)
    person = await issuer.sign_up("Ada")
    token = await issuer.token(person, exp=int(time.time()) + 3600)
    insert = "INSERT INTO tasks (user_id, title) VALUES ($1, 'Milk')"
    async with running(url) as running_server:
        address = running_server.address.removeprefix("http://")
        process = psutil.Process(running_server.process.pid)
        clients = Clients(address, token)

        async def add(number: int) -> None:
            for _ in range(number // (per_socket or 1)):
                await (clients.add_socket(per_socket) if per_socket else clients.add_event_stream())

        async def settle() -> None:
            """All subscriptions run, and have had an event."""
            await asyncio.sleep(2)
            clients.heard.clear()
            await connection.execute(insert, person.id)

        await add(WARM_UP)
        await settle()
        await clients.all_heard(WARM_UP)
        before = memory_kb(process)
        await add(SUBSCRIPTIONS)
        await settle()
        total = WARM_UP + SUBSCRIPTIONS
        await clients.all_heard(total)
        await asyncio.sleep(2)
        each = (memory_kb(process) - before) / SUBSCRIPTIONS

        spent = cpu_seconds(process)
        await asyncio.sleep(IDLE_SECONDS)
        cpu = (cpu_seconds(process) - spent) / IDLE_SECONDS * 100

        seconds, first = [], []
        scanned = await scans(connection)
        for _ in range(EVENTS):
            await asyncio.sleep(0.2)
            clients.heard.clear()
            gc.collect()
            start = time.perf_counter()
            await connection.execute(insert, person.id)
            await clients.all_heard(total)
            first.append((clients.heard[0] - start) * 1000)
            seconds.append((clients.heard[-1] - start) * 1000)
        selects = (await scans(connection) - scanned) / EVENTS
        await clients.close()
        print(
            f"{name:32}{each:8.1f} kB{cpu:8.2f} %{statistics.median(first):9.0f} ms"
            f"{statistics.median(seconds):8.0f} ms{selects:8.1f}",
            flush=True,
        )
    await connection.close()


async def main(url: str) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 2 * SUBSCRIPTIONS + 500:
        raise SystemExit(f"ulimit -n is {most}; {2 * SUBSCRIPTIONS + 500} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the server inherits it
    print(f"{SUBSCRIPTIONS} subscriptions of one person, after {WARM_UP} to warm up")
    print("each: growth of the server's PSS for each subscription, when all have had an event")
    print(f"CPU: of the server in {IDLE_SECONDS} s without events, in percent of one core")
    print(f"first, all: from INSERT until the first and the last has it, median of {EVENTS}")
    print("SELECTs: on the log for each event, by the scans of its partition")
    print(f"{'':32}{'each':>11}{'CPU':>10}{'first':>12}{'all':>11}{'SELECTs':>8}")
    await measure(f"{SUBSCRIPTIONS // 100} sockets with 100 each", url, 100)
    await measure(f"{SUBSCRIPTIONS} sockets with one each", url, 1)
    await measure(f"{SUBSCRIPTIONS} event streams", url, None)


if __name__ == "__main__":
    with migrated() as database_url:
        asyncio.run(main(database_url))
