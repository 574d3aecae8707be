"""The same server with its executor switched off: every operation is left to graphql-core."""

from starlette.types import ASGIApp

from graphql_api import cli
from graphql_api.execution import executor


def application() -> ASGIApp:
    """The application of this process, by its environment."""
    executor._is_unusual = lambda document: True
    return cli.application()
