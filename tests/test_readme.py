"""What the README says is so."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from graphql_api.errors import Code
from graphql_api.settings import Settings
from tests.process import environment, free_port, started

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()


def settings_rows() -> list[str]:
    """The table of settings, as the README must have it."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else json.dumps(field.get_default()).strip('"')
        default = "" if default in ("null", "[]", "{}") else f"`{default}`" if default != "required" else default
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return rows


@pytest.mark.parametrize("row", settings_rows(), ids=lambda row: row.split("`")[1])
def test_setting_is_in_the_table(row: str) -> None:
    assert row in README.splitlines()


def test_every_code_is_listed() -> None:
    assert [code for code in Code if f"`{code}`" not in README] == []


def test_every_room_is_on_the_map() -> None:
    package = PROJECT / "graphql_api"
    rooms = {path.stem for path in package.iterdir() if not path.name.startswith("__")}
    [drawing] = re.findall(r"## The map.*?```(.*?)```", README, re.DOTALL)
    drawn = set(re.findall(r"\w+", " ".join(line[:22] for line in drawing.splitlines())))
    assert rooms - drawn == set()


def test_its_first_query_has_its_answer(development: Path) -> None:
    [query] = re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)
    [answer] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    with started("dev", folder=development, port=free_port()):
        [line] = [line for line in (development / "output").read_text().splitlines() if line.startswith("curl ")]
        command = re.sub(r"-d '.*'", "-d @-", line)
        run = subprocess.run(
            command, shell=True, input=json.dumps({"query": query}), capture_output=True, text=True, check=True
        )
    assert json.loads(run.stdout) == json.loads(answer)


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        script, shell=True, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


async def test_its_commands_bring_up_a_server(empty_database: str, development: Path) -> None:
    [commands] = re.findall(r"```sh\n(export DATABASE_URL.*?)```", README, re.DOTALL)
    script = re.sub(r"DATABASE_URL='[^']*'", f"DATABASE_URL='{empty_database}'", commands)
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    script = re.sub(r"\S+graphql-api serve\n", "", script)
    outcome = shell(script, development)
    assert outcome.returncode == 0, outcome.stderr
    exports = dict(re.findall(r"export (\w+)='([^']*)'", script))
    with started("serve", folder=development, port=free_port(), **exports):
        pass


@pytest.mark.parametrize("target", re.findall(r"^(make \w+)", README, re.MULTILINE))
def test_make_knows_its_target(target: str) -> None:
    run = subprocess.run([*target.split(), "--dry-run"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:graphql_api|alembic|tests|http)/[\w./]*)`", README))))
def test_its_paths_exist(path: str) -> None:
    assert (PROJECT / path).exists() or (PROJECT / "graphql_api" / path).exists()
