"""What an operator is told whose settings cannot be used: one line for each, with the name of the variable."""

import pytest

from graphql_api.settings import ConfigurationError, Settings
from tests.client import settings
from tests.process import start

URL = "postgresql://ada:pa55word@db.example.com/tasks"


def mistake(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What is said of an environment with these variables."""
    for name in ("DATABASE_URL", *variables):
        monkeypatch.setenv(name, variables.get(name, URL))
    with pytest.raises(ConfigurationError) as error:
        Settings.from_environment()
    return str(error.value)


BAD_URLS = {
    "": "has the scheme 'none', which is not PostgreSQL's",
    "tasks": "has the scheme 'none', which is not PostgreSQL's",
    "ada:pa55word@db.example.com/tasks": "has the scheme 'ada'",
    "db.example.com/tasks": "has the scheme 'none', which is not PostgreSQL's",
    "mysql://ada:pa55word@db.example.com/tasks": "has the scheme 'mysql', which is not PostgreSQL's",
    "sqlite:///tasks.db": "has the scheme 'sqlite', which is not PostgreSQL's",
    "postgresql://ada:pa55word@db.example.com": "names no database",
    "postgresql://ada:pa55word@db.example.com/": "names no database",
    "postgresql:///tasks": "names no host",
    "postgresql://ada:pa55word@db.example.com:port/tasks": "cannot be read as a URL",
    "postgresql://ada:pa55word@db.example.com:99999/tasks": "cannot be read as a URL",
    "postgresql://ada:pa55word@[::1/tasks": "cannot be read as a URL",
    "postgresql://ada:pa55#word@db.example.com/tasks": "cannot be read as a URL",
    "postgresql://ada:pa55/word@db.example.com/tasks": "cannot be read as a URL",
}


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_URL_DIRECT"])
@pytest.mark.parametrize("url", BAD_URLS)
def test_a_broken_database_url_is_told_in_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str, name: str
) -> None:
    message = mistake(monkeypatch, **{name: url})
    assert message.startswith(f"{name} {BAD_URLS[url]}")
    assert "postgresql://user:password@host/database" in message
    assert "\n" not in message
    assert "pa55" not in message


BAD_SETTINGS = {
    "POOL_MIN": ["-1", "11", "two"],
    "POOL_MAX": ["0", "1", "1.5"],
    "POOL_IDLE_SECONDS": ["0", "-1", "nan", "5 minutes"],
    "POOL_RECYCLE_SECONDS": ["0", "nan"],
    "CONNECT_TIMEOUT_SECONDS": ["0", "nan"],
    "STATEMENT_TIMEOUT_SECONDS": ["0", "nan"],
    "REQUEST_TIMEOUT_SECONDS": ["0", "-3", "nan"],
    "SESSION_CACHE_SECONDS": ["-1", "nan"],
    "PORT": ["-1", "65536", "http"],
    "WORKERS": ["0", "many"],
    "MAX_BODY_BYTES": ["999", "1MB"],
    "MAX_TOKENS": ["99"],
    "MAX_COST": ["0"],
    "DATABASE_POOLER": ["session", ""],
    "LOG_LEVEL": ["LOUD"],
    "LOG_FORMAT": ["xml"],
    "GRAPHIQL": ["maybe"],
    "AUTH_URL": ["app.example.com"],
    "AUTH_COLUMNS": ["[]"],
    "BETTER_AUTH_SECRETS": ["1:", "2:new,1:"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_SETTINGS.items() for value in values]
)
def test_a_setting_out_of_bounds_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    message = mistake(monkeypatch, **{name: value})
    assert name in message
    assert "\n" not in message


@pytest.mark.parametrize("name", [name for name in BAD_SETTINGS if name.endswith("_SECONDS")])
def test_no_time_is_without_end(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert name in mistake(monkeypatch, **{name: "inf"})


def test_malformed_json_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "AUTH_COLUMNS" in mistake(monkeypatch, AUTH_COLUMNS="session.userId")


def test_every_mistake_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = mistake(monkeypatch, DATABASE_URL="mysql://ada:pa55word@x/y", PORT="http", WORKERS="0").splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == ["DATABASE_URL", "PORT", "WORKERS"]


def test_a_missing_database_url_is_told_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(ConfigurationError) as error:
        Settings.from_environment()
    assert str(error.value) == (
        "DATABASE_URL is not set; write it like DATABASE_URL=postgresql://user:password@host/database"
    )


@pytest.mark.parametrize("other", ["sslmode=require", "connection_limit=1"])
def test_a_pooler_may_be_told_as_prisma_tells_it(other: str) -> None:
    for query in ("pgbouncer=true", f"pgbouncer=true&{other}", f"{other}&pgbouncer=true"):
        assert settings(f"{URL}?{query}").behind_transaction_pooler
        assert not settings(f"{URL}?{query}", database_pooler="none").behind_transaction_pooler
    assert not settings(f"{URL}?pgbouncer=false&{other}").behind_transaction_pooler


async def test_the_command_ends_with_status_1_and_the_same_line() -> None:
    process = await start("mysql://ada:pa55word@db.example.com/tasks", WORKERS="0")
    _, written = await process.communicate()
    assert process.returncode == 1
    lines = written.decode().splitlines()
    assert [line.split()[:2] for line in lines] == [["graphql-api:", "DATABASE_URL"], ["graphql-api:", "WORKERS:"]]
    assert "pa55" not in written.decode()


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://App.Example.com:443/api/auth/", "https://app.example.com"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_the_address_of_better_auth_is_taken_by_its_origin(given: str, origin: str) -> None:
    assert settings("postgresql://localhost/x", auth_url=given).issuer == origin


@pytest.mark.parametrize("given", ["app.example.com", "ftp://app.example.com", "https://", "https://x:port"])
def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    assert mistake(monkeypatch, AUTH_URL=given).startswith(f"AUTH_URL has {given!r}, which is not a web address")


def test_an_issuer_is_taken_as_it_is() -> None:
    assert settings("postgresql://localhost/x", auth_issuer="urn:us/").issuer == "urn:us/"


@pytest.mark.parametrize("given", ["*", "app.example.com", "https://"])
def test_a_trusted_origin_is_an_origin(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    assert mistake(monkeypatch, TRUSTED_ORIGINS=f"https://x.example.com,{given}").startswith("TRUSTED_ORIGINS has")


def test_a_trusted_origin_is_taken_as_browsers_write_it() -> None:
    options = settings("postgresql://localhost/x", trusted_origins="https://B.example.com/,https://c.example.com:443")
    assert {"https://b.example.com", "https://c.example.com"} < options.cookie_origins


def test_the_address_of_the_keys_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mistake(monkeypatch, AUTH_JWKS_URL="foo").startswith("AUTH_JWKS_URL has 'foo'")
