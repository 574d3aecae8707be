"""A database of a benchmark's own."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphql_api import migrations
from graphql_api.dev import better_auth, postgres
from tests.client import settings
from tests.conftest import execute


@contextmanager
def migrated() -> Iterator[str]:
    """The URL of a PostgreSQL on disk that lasts as long as the benchmark, with all tables and nobody in them."""

    async def build(url: str) -> None:
        await execute(url, better_auth.TABLES)
        await migrations.upgrade(settings(url))

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        postgres.running(Path(folder) / "data") as url,
    ):
        asyncio.run(build(url))
        yield url
