"""What `migrate` does to a database."""

import asyncpg

from graphql_api import migrations


async def test_it_brings_an_empty_database_to_the_newest_revision(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    assert await migrations.current(connection) == migrations.head()
    await connection.close()
