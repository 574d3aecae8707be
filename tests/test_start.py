"""A server starts soon: it imports what it needs, and looks at the database once."""

import json
import subprocess
import sys
from typing import Any

import pytest

from graphql_api.app import create_app, inspect
from graphql_api.settings import ConfigurationError
from tests.client import settings
from tests.conftest import execute
from tests.issuer import ORIGIN, SECRET
from tests.process import environment

STARTED = """
import asyncio
from graphql_api.app import create_app
from graphql_api.settings import Settings

async def start():
    app = create_app(Settings.from_environment())
    async with app.router.lifespan_context(app):
        pass

asyncio.run(start())
"""


def answer(script: str, expression: str, **variables: str) -> Any:
    """What the expression is in a new process, after the script."""
    code = f"{script}\nimport json\nprint(json.dumps({expression}))"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def imported(script: str, *modules: str, **variables: str) -> Any:
    """Those of the modules that a new process has imported, after the script."""
    return answer(f"import sys\n{script}", f"[name for name in {modules!r} if name in sys.modules]", **variables)


def test_the_application_imports_nothing_that_not_every_server_needs() -> None:
    others = ("alembic", "sqlalchemy.ext.asyncio", "jwt", "cryptography", "httpx", "rich", "graphql_api.dev", "uvicorn")
    assert imported("import graphql_api.app", "strawberry", "asyncpg", *others) == ["strawberry", "asyncpg"]


def test_the_command_imports_nothing_that_not_every_command_needs() -> None:
    others = ("strawberry", "graphql", "sqlalchemy", "sqlmodel", "asyncpg", "starlette", "uvicorn", "alembic")
    assert imported("import graphql_api.cli", "graphql_api.settings", *others) == ["graphql_api.settings"]


@pytest.mark.parametrize(
    ("credentials", "needed"),
    [
        ({"BETTER_AUTH_SECRET": SECRET}, []),
        ({"AUTH_URL": ORIGIN}, ["jwt", "cryptography"]),
        ({"AUTH_URL": ORIGIN, "AUTH_JWKS_URL": f"{ORIGIN}/keys"}, ["jwt", "cryptography", "httpx"]),
    ],
    ids=["sessions alone", "JWTs, keys in the database", "JWTs, keys elsewhere"],
)
async def test_a_server_that_has_started_has_imported_what_its_credentials_need(
    database_url: str, credentials: dict[str, str], needed: list[str]
) -> None:
    assert imported(STARTED, "jwt", "cryptography", "httpx", DATABASE_URL=database_url, **credentials) == needed


async def test_a_database_that_was_just_looked_at_is_not_looked_at_again(database_url: str) -> None:
    options = settings(database_url)
    found = await inspect(options)
    await execute(database_url, "DELETE FROM graphql_api_version")
    app = create_app(options, found)
    async with app.router.lifespan_context(app):
        pass
    app = create_app(options)
    with pytest.raises(ConfigurationError, match="not migrated"):
        async with app.router.lifespan_context(app):
            pass


@pytest.mark.parametrize("rename", ["user", "session"])
async def test_sessions_that_are_looked_for_in_vain_are_told(
    database_url: str, rename: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings(database_url))
    async with app.router.lifespan_context(app):
        assert "AUTH_SESSION_TABLE" not in caplog.text
    await execute(database_url, f'ALTER TABLE "{rename}" RENAME TO other')
    async with app.router.lifespan_context(app):
        assert "AUTH_SESSION_TABLE" in caplog.text


def test_garbage_is_collected_but_not_among_what_was_made_at_the_start() -> None:
    script = "import gc\nfrom graphql_api.cli import application\napplication()"
    state = answer(
        script,
        "[gc.isenabled(), gc.get_freeze_count() > 20 * len(gc.get_objects())]",
        DATABASE_URL="postgresql://nobody@localhost/none",
    )
    assert state == [True, True]
