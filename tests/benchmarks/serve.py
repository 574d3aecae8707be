"""`graphql-api serve` with another application in its place: `python -m tests.benchmarks.serve MODULE:FACTORY PORT`.

Everything else, uvicorn's options above all, is as the command has it.
"""

import sys
from typing import Any
from unittest import mock

import uvicorn

from graphql_api import cli


def main(application: str, port: str) -> None:
    run = uvicorn.run

    def other(_: str, **options: Any) -> None:
        run(application, **options)

    with mock.patch.object(uvicorn, "run", other):
        cli.main(["serve", "--port", port])


if __name__ == "__main__":
    main(*sys.argv[1:])
