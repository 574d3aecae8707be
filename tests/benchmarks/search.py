"""What `search` costs one user who owns 100,000 tasks, against the same page without it."""

import asyncio
import statistics
import time

import asyncpg

from tests.benchmarks.database import migrated
from tests.client import Api, serving, settings
from tests.issuer import Issuer

TASKS = 100_000
ROUNDS = 20

FILL = """
    INSERT INTO tasks (user_id, title, description)
    SELECT $1, 'Task ' || n || ' about ' || (ARRAY['milk', 'bread', 'trains', 'taxes'])[n % 4 + 1],
           'Remember ' || md5(n::text) || CASE WHEN n % 1000 = 0 THEN ' rare' ELSE '' END
    FROM generate_series(1, $2) n
"""
QUERIES = {
    "first page, no search": "tasks(first: 20) { nodes { id } }",
    "first page, common word": 'tasks(first: 20, filter: {search: "milk"}) { nodes { id } }',
    "first page, rare word": 'tasks(first: 20, filter: {search: "rare"}) { nodes { id } }',
    "first page, no such word": 'tasks(first: 20, filter: {search: "unicorn"}) { nodes { id } }',
    "count of a common word": 'tasks(filter: {search: "milk"}) { totalCount }',
}


async def main(url: str) -> None:
    connection = await asyncpg.connect(url)
    async with serving(settings(url)) as client:
        api = Api(client, Issuer(connection))
        person = await api.sign_up("Ada")
        await connection.execute(FILL, person.id, TASKS)
        await connection.execute("VACUUM ANALYZE tasks")
        print(f"{TASKS:,} tasks of one user, median of {ROUNDS}, milliseconds from request to answer")
        for name, selection in QUERIES.items():
            times = []
            for _ in range(ROUNDS + 1):
                start = time.perf_counter()
                await api.data(person, f"{{ viewer {{ {selection} }} }}")
                times.append((time.perf_counter() - start) * 1000)
            print(f"{statistics.median(times[1:]):8.1f}  {name}")
    await connection.close()


if __name__ == "__main__":
    with migrated() as database_url:
        asyncio.run(main(database_url))
