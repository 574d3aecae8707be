"""What those who watch over the server are told."""

import asyncio

import asyncpg
import pytest

from graphql_api import migrations
from graphql_api.http import health
from tests.client import Api


async def test_a_living_server_says_so(api: Api) -> None:
    response = await api.client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "live"})


async def test_a_migrated_database_that_answers_makes_it_ready(api: Api) -> None:
    response = await api.client.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


async def test_a_database_of_another_revision_does_not(api: Api) -> None:
    await api.issuer.connection.execute("UPDATE graphql_api_version SET version_num = '0000'")
    response = await api.client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.json() == {
        "status": "not ready",
        "reason": f"The database is at revision 0000; this version needs {migrations.head()}.",
    }


async def test_a_database_without_a_revision_does_not(api: Api) -> None:
    await api.issuer.connection.execute("DELETE FROM graphql_api_version")
    response = await api.client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["status"] == "not ready"


async def test_a_database_that_fails_does_not(api: Api) -> None:
    await api.issuer.connection.execute("DROP TABLE graphql_api_version")
    response = await api.client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["status"] == "not ready"
    assert asyncpg.UndefinedTableError.__name__ not in response.text


async def test_a_database_that_says_nothing_does_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SECONDS", 0.1)
    async with api.issuer.connection.transaction():
        await api.issuer.connection.execute("LOCK TABLE graphql_api_version")
        async with asyncio.timeout(10):
            response = await api.client.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "not ready", "reason": "The database has not answered within 0.1 s."}


async def test_both_answer_head(api: Api) -> None:
    for path in ("/health/live", "/health/ready"):
        response = await api.client.head(path)
        assert (response.status_code, response.content) == (200, b"")


async def test_neither_is_kept_by_a_cache(api: Api) -> None:
    for path in ("/health/live", "/health/ready"):
        response = await api.client.get(path)
        assert response.headers["cache-control"] == "no-store"
