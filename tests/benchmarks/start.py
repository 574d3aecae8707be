"""How long the application takes to import, and `graphql-api serve` from its start to its first answers."""

import asyncio
import http.client
import json
import statistics
import subprocess
import sys
import time

import asyncpg

from tests.benchmarks.database import migrated
from tests.issuer import ORIGIN, SECRET, Issuer
from tests.process import COMMAND, environment, free_port

STARTS = 15

IMPORT = """
import time
start = time.perf_counter(), time.process_time()
import graphql_api.app
print(time.perf_counter() - start[0], time.process_time() - start[1])
"""
QUERY = "{ viewer { name tasks(first: 20) { totalCount nodes { id title status owner { name } } } } }"


async def signed_in(url: str) -> str:
    """A JWT of somebody who has a task."""
    connection = await asyncpg.connect(url)
    try:
        issuer = Issuer(connection)
        ada = await issuer.sign_up("Ada")
        await connection.execute("INSERT INTO tasks (user_id, title) VALUES ($1, 'Begin')", ada.id)
        return await issuer.token(ada, exp=int(time.time()) + 3600)
    finally:
        await connection.close()


def imported() -> tuple[float, float]:
    """Seconds that the import of all that serving needs took in a new process: by the clock, and of CPU."""
    command = [sys.executable, "-c", IMPORT]
    run = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    wall, cpu = map(float, run.stdout.split())
    return wall, cpu


def served(url: str, token: str, workers: int) -> tuple[float, float]:
    """Seconds from the start of `graphql-api serve` until it is ready, and until a query is answered as well."""
    port = free_port()
    settings = {"DATABASE_URL": url, "AUTH_URL": ORIGIN, "BETTER_AUTH_SECRET": SECRET, "LOG_LEVEL": "WARNING"}
    start = time.perf_counter()
    with subprocess.Popen(
        [COMMAND, "serve", "--port", str(port), "--workers", str(workers)], env=environment(**settings)
    ) as server:
        try:
            while not is_ready(port):
                assert server.poll() is None, "the server ended"
                time.sleep(0.002)
            ready = time.perf_counter() - start
            ask(port, token)
            return ready, time.perf_counter() - start
        finally:
            server.terminate()


def is_ready(port: int) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        client.request("GET", "/health/ready")
        return client.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        client.close()


def ask(port: int, token: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    client.request("POST", "/graphql", json.dumps({"query": QUERY}), headers)
    answer = json.loads(client.getresponse().read())
    assert answer["data"]["viewer"]["tasks"]["totalCount"] == 1, answer
    client.close()


def report(name: str, seconds: list[float]) -> None:
    print(f"{min(seconds) * 1000:8.0f} {statistics.median(seconds) * 1000:8.0f}  {name}")


def main(url: str) -> None:
    token = asyncio.run(signed_in(url))
    imported()  # compiles
    print(f"    best   median  of {STARTS} starts, milliseconds")
    times = [imported() for _ in range(STARTS)]
    report("import graphql_api.app", [wall for wall, _ in times])
    report("  of CPU", [cpu for _, cpu in times])
    for workers in (1, 2):
        times = [served(url, token, workers) for _ in range(STARTS)]
        report(f"graphql-api serve --workers {workers}, until /health/ready is 200", [ready for ready, _ in times])
        report("  until a signed-in query is answered too", [answered for _, answered in times])


if __name__ == "__main__":
    with migrated() as database_url:
        main(database_url)
