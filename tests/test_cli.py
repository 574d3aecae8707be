"""The commands, as people start them."""

import asyncio
import re
import signal
import subprocess
from pathlib import Path

import httpx
import jwt
import pytest

from graphql_api import cli
from graphql_api.schema import sdl
from tests.conftest import execute
from tests.process import free_port, postgres_processes, ready, run, started


def test_dev_serves_sample_data_to_a_person_who_pastes(development: Path) -> None:
    port = free_port()
    with started("dev", folder=development, port=port) as process:
        output = (development / "output").read_text()
        [line] = [line for line in output.splitlines() if line.startswith("curl ")]
        answer = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
        assert '"name":"John Doe"' in answer
        assert "Buy groceries" in answer

        [address] = re.findall(r"GraphiQL +(\S+)", output)
        with httpx.Client() as browser:  # it keeps cookies, as a browser does
            page = browser.get(address, headers={"Accept": "text/html"})
            [query] = re.findall(r"const query = `(.*?)`;", page.text, re.DOTALL)
            result = browser.post(address, json={"query": query}, headers={"Origin": f"http://127.0.0.1:{port}"}).json()
        assert result["data"]["viewer"]["name"] == "John Doe"
        assert result["data"]["viewer"]["tasks"]["totalCount"] == 2

        token = run("token", "--user", "jane@example.com", folder=development).stdout.strip()
        body = {"query": "{ viewer { name } }"}
        jane = httpx.post(address, json=body, headers={"Authorization": f"Bearer {token}"}).json()
        assert jane == {"data": {"viewer": {"name": "Jane Smith"}}}
        assert jwt.get_unverified_header(token).keys() == {"alg", "kid"}
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["iss"] == claims["aud"] == cli.DEV_ORIGIN

        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    assert postgres_processes(development) == []


def test_dev_starts_again_after_it_was_killed(development: Path) -> None:
    port = free_port()
    with started("dev", folder=development, port=port) as process:
        process.kill()
        process.wait()
    assert postgres_processes(development) != []
    with started("dev", folder=development, port=port) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    assert postgres_processes(development) == []


async def test_serve_and_migrate_work_on_a_database_of_ones_own(empty_database: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": empty_database, "BETTER_AUTH_SECRET": "secret"}
    refused = run("serve", folder=tmp_path, **settings)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "graphql-api: The database is not migrated yet. Run `graphql-api migrate`.\n"
    migrated = run("migrate", folder=tmp_path, **settings)
    assert migrated.returncode == 0, migrated.stderr
    port = free_port()
    with started("serve", folder=tmp_path, port=port, **settings) as process:
        assert ready(port).json() == {"status": "ready"}
        taken = run("serve", "--port", str(port), folder=tmp_path, **settings)
        assert taken.returncode == 1
        assert f"127.0.0.1:{port}" in taken.stderr
        assert "--port" in taken.stderr
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    back = run("migrate", "--down", "base", folder=tmp_path, **settings)
    assert back.returncode == 0, back.stderr


async def test_two_workers_serve_from_one_port(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    settings = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": "secret"}
    with started("serve", "--workers", "2", folder=tmp_path, port=port, **settings) as process:
        answers = [ready(port).status_code for _ in range(4)]
        assert answers == [200] * 4
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def test_a_token_needs_a_user(development: Path) -> None:
    missing = run("token", "--user", "nobody@example.com", "--data", "nowhere", folder=development)
    assert missing.returncode == 1
    assert missing.stderr.startswith("graphql-api: ")
    assert "Traceback" not in missing.stderr


async def test_a_token_is_refused_where_keys_are_better_auths_own(database_url: str, tmp_path: Path) -> None:
    await execute(
        database_url,
        """INSERT INTO "user" (id, name, email, "emailVerified") VALUES ('1', 'Ada', 'ada@example.com', true)""",
        """INSERT INTO jwks (id, "publicKey", "privateKey", "createdAt") VALUES ('k', '{}', '"c0ffee"', now())""",
    )
    refused = await asyncio.to_thread(
        run, "token", "--user", "ada@example.com", folder=tmp_path, DATABASE_URL=database_url
    )
    assert refused.returncode == 1
    assert "fetch a token from Better Auth" in refused.stderr


def test_export_schema_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["export-schema"])
    assert capsys.readouterr().out == sdl()


@pytest.mark.parametrize("command", ["dev", "serve", "migrate", "maintain", "export-schema", "token"])
def test_help_explains_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main([command, "--help"])
    assert exit.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: graphql-api {command}" in text
    assert "." in text


def test_dev_signs_in_with_the_secret_issuer_and_cookie_of_ones_own_settings(development: Path) -> None:
    port = free_port()
    variables = {
        "BETTER_AUTH_SECRETS": "2:new,1:old",
        "AUTH_URL": "https://App.example.com/",
        "AUTH_AUDIENCE": "tasks,others",
    }
    with started("dev", folder=development, port=port, **variables):
        [line] = [line for line in (development / "output").read_text().splitlines() if line.startswith("curl ")]
        answer = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
        assert '"name":"John Doe"' in answer
        address = f"http://127.0.0.1:{port}/graphql"
        cookie = httpx.get(address, headers={"Accept": "text/html"}).headers["set-cookie"]
        assert cookie.startswith("__Secure-better-auth.session_token=")
        assert "; Secure" in cookie
        body = {"query": "{ viewer { name } }"}
        viewer = httpx.post(address, json=body, headers={"Cookie": cookie.partition(";")[0]}).json()
        assert viewer == {"data": {"viewer": {"name": "John Doe"}}}
        second = run("dev", "--port", str(free_port()), folder=development, **variables)
        assert second.returncode == 1
        assert "Another process works with the database" in second.stderr


async def test_dev_leaves_a_database_with_people_alone(empty_database: str, tmp_path: Path) -> None:
    await execute(
        empty_database,
        "CREATE TABLE users (id text PRIMARY KEY, name text NOT NULL, email text NOT NULL)",
        "INSERT INTO users VALUES ('1', 'Ada', 'john@example.com')",
    )
    port = free_port()
    with started("dev", folder=tmp_path, port=port, DATABASE_URL=empty_database):
        output = (tmp_path / "output").read_text()
    assert f"GraphiQL  http://127.0.0.1:{port}/graphql" in output
    assert "signed in" not in output
    refused = run("token", "--user", "john@example.com", folder=tmp_path, DATABASE_URL=empty_database)
    assert "not a development database" in refused.stderr


@pytest.mark.parametrize("revision", ["bogus", "head"])
async def test_a_revision_to_go_back_to_must_be_there(empty_database: str, tmp_path: Path, revision: str) -> None:
    refused = run("migrate", "--down", revision, folder=tmp_path, DATABASE_URL=empty_database)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("graphql-api: Cannot downgrade to")


def test_to_go_back_to_nothing_is_not_to_go_forward() -> None:
    with pytest.raises(SystemExit, match="--down names no revision"):
        cli.main(["migrate", "--down", ""])


async def test_serve_needs_a_way_to_sign_in(database_url: str, tmp_path: Path) -> None:
    for workers in ("1", "2"):
        refused = run("serve", "--workers", workers, folder=tmp_path, DATABASE_URL=database_url)
        assert refused.returncode == 1
        assert refused.stderr.startswith("graphql-api: Nobody could sign in: set AUTH_URL")


async def test_an_address_that_is_not_ours_is_told(database_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": "secret"}
    for host in ("nohost.invalid", "192.0.2.1"):
        refused = run("serve", "--host", host, folder=tmp_path, **settings)
        assert refused.stderr.startswith(f"graphql-api: HOST, PORT: cannot listen on {host}:8000")
