"""For those who watch over the server: does it live, and can it answer?"""

import asyncio
import logging

import asyncpg
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from graphql_api import migrations
from graphql_api.database import Database, Statement
from graphql_api.errors import RequestError
from graphql_api.settings import ConfigurationError

logger = logging.getLogger(__name__)

HEADERS = {"Cache-Control": "no-store"}
SECONDS = 5
"""A database that has said nothing by then does not answer. Few probes wait longer, and we do not notice one that has
gone."""

REVISION = Statement(sa.select(sa.column("version_num", sa.String)).select_from(sa.table(migrations.VERSION_TABLE)))


async def live(_: Request) -> Response:
    """200 for as long as the process can answer at all; restart it when it cannot."""
    return JSONResponse({"status": "live"}, headers=HEADERS)


class Ready:
    """200 when the database answers and has the revision that this code needs; else 503 with the reason."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, _: Request) -> Response:
        try:
            async with asyncio.timeout(SECONDS):
                rows = await self._database.read(REVISION())
        except TimeoutError:
            return _not_ready(f"The database has not answered within {SECONDS} s.")
        except RequestError as error:
            return _not_ready(error.message)
        except (asyncpg.PostgresError, ConfigurationError) as error:
            logger.error("the revision of the database cannot be read: %r", error)
            return _not_ready("The revision of the database cannot be read.")
        revision = rows[0]["version_num"] if rows else None
        if revision != migrations.head():
            return _not_ready(f"The database is at revision {revision}; this version needs {migrations.head()}.")
        return JSONResponse({"status": "ready"}, headers=HEADERS)


def _not_ready(reason: str) -> Response:
    content = {"status": "not ready", "reason": reason}
    return JSONResponse(content, status_code=503, headers={**HEADERS, "Retry-After": "5"})
