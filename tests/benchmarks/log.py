"""What the log of events adds to a write: statements with it and without it, in turns, on one connection."""

import asyncio
import statistics
import time
from collections import defaultdict

import asyncpg
import psutil

from tests.benchmarks.database import migrated

PEOPLE = 100
TASKS = 20_000
WRITES = 1000
ROUNDS = 12

FILL = f"""
    INSERT INTO "user" (id, name, email, "emailVerified")
    SELECT 'user-' || n, 'n', 'e' || n, true FROM generate_series(0, {PEOPLE - 1}) n;
    INSERT INTO tasks (user_id, title, description)
    SELECT 'user-' || n % {PEOPLE}, 'Task number ' || n, 'some words to describe it ' || n
    FROM generate_series(1, {TASKS}) n
"""
SWITCH = "ALTER TABLE tasks {0} TRIGGER " + ", {0} TRIGGER ".join(
    ("tasks_gather", "tasks_gather_updates", "tasks_log", "tasks_log_updates")
)
STATEMENTS = {
    "insert": "INSERT INTO tasks (id, user_id, title, description) "
    "VALUES (md5($1)::uuid, $2, 'Buy milk and more', 'Something that is described with a few words') RETURNING *",
    "toggle": "UPDATE tasks SET completed = NOT completed WHERE id = md5($1)::uuid AND user_id = $2 RETURNING *",
    "delete": "DELETE FROM tasks WHERE id = md5($1)::uuid AND user_id = $2 RETURNING *",
}


async def main(url: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"app.user_id": "user-1"})
    await connection.execute(FILL)
    statements = {name: await connection.prepare(sql) for name, sql in STATEMENTS.items()}
    backend = psutil.Process(connection.get_server_pid())

    def spent() -> float:
        times = backend.cpu_times()
        return times.user + times.system

    cpu, wall = defaultdict[tuple[str, str], list[float]](list), defaultdict[tuple[str, str], list[float]](list)
    for turn in range(ROUNDS + 1):
        for switch in ("DISABLE", "ENABLE") if turn % 2 else ("ENABLE", "DISABLE"):
            await connection.execute(SWITCH.format(switch))
            await connection.execute("VACUUM ANALYZE tasks")
            for name, statement in statements.items():
                began, start = spent(), time.perf_counter()
                for n in range(WRITES):
                    assert await statement.fetch(f"{turn} {n}", f"user-{n % PEOPLE}")
                if turn > 0:  # the first warms up
                    cpu[name, switch].append((spent() - began) / WRITES * 1e6)
                    wall[name, switch].append((time.perf_counter() - start) / WRITES * 1e6)
    await connection.close()
    print(
        f"microseconds for a write of one task: CPU of its backend (mean), from request to answer (median of {ROUNDS})"
    )
    print("           CPU  without  with  ratio    answer  without  with  ratio")
    for name in STATEMENTS:
        used = [statistics.mean(cpu[name, switch]) for switch in ("DISABLE", "ENABLE")]
        took = [statistics.median(wall[name, switch]) for switch in ("DISABLE", "ENABLE")]
        print(
            f"{name}       {used[0]:10.0f}{used[1]:6.0f}{used[1] / used[0]:7.2f}"
            f"           {took[0]:8.0f}{took[1]:6.0f}{took[1] / took[0]:7.2f}"
        )


if __name__ == "__main__":
    with migrated() as database_url:
        asyncio.run(main(database_url))
