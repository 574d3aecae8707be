"""The house is in order: format, lint, types, floors, and the documents that are made from code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from graphql import GraphQLSchema, is_enum_type, is_input_object_type, is_interface_type, is_object_type

from graphql_api.schema import build, sdl

PROJECT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    ["ruff format --check --quiet .", "ruff check --quiet .", "lint-imports", "mypy"],
    ids=lambda c: c.split()[0],
)
def test_tool_finds_nothing(command: str) -> None:
    tool, *arguments = command.split()
    run = subprocess.run([BIN / tool, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_schema_file_is_what_the_code_says() -> None:
    assert (PROJECT / "schema.graphql").read_text() == sdl(), "run `make schema`"


def test_everything_in_the_schema_is_described() -> None:
    assert [place for place, description in _descriptions(build()) if not description] == []


def test_no_description_only_repeats_a_name() -> None:
    for place, description in _descriptions(build()):
        assert description.rstrip(".").replace(" ", "").lower() != place.rsplit(".")[-1].lower(), place


def test_an_argument_speaks_of_no_other_that_its_field_has_not() -> None:
    paging = {"first", "after", "last", "before"}
    for name, graphql_type in build().type_map.items():
        if not name.startswith("__") and is_object_type(graphql_type):
            for field_name, field in graphql_type.fields.items():
                named = {word for one in field.args.values() for word in re.findall(r"`(\w+)`", one.description or "")}
                assert named & paging <= field.args.keys(), f"{name}.{field_name}"


def _descriptions(schema: GraphQLSchema) -> list[tuple[str, str]]:
    found = [("schema", schema.description or "")]
    for name, graphql_type in schema.type_map.items():
        if name.startswith("__") or name in ("Boolean", "Float", "ID", "Int", "String"):
            continue
        found.append((name, graphql_type.description or ""))
        if is_enum_type(graphql_type):
            found += [(f"{name}.{value}", item.description or "") for value, item in graphql_type.values.items()]
        if is_object_type(graphql_type) or is_interface_type(graphql_type) or is_input_object_type(graphql_type):
            for field_name, field in graphql_type.fields.items():
                found.append((f"{name}.{field_name}", field.description or ""))
                for argument_name, argument in getattr(field, "args", {}).items():
                    found.append((f"{name}.{field_name}.{argument_name}", argument.description or ""))
    return found
