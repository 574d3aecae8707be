"""The API as a front end calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from graphql_api.app import create_app
from graphql_api.database import Database
from graphql_api.settings import Settings
from tests.issuer import ORIGIN, SECRET, Issuer, Person


def settings(database_url: str, **changes: Any) -> Settings:
    """Settings of a server for tests; nothing comes from this machine's environment but what a test passes on."""
    values: dict[str, Any] = {
        "database_url": database_url,
        "auth_url": ORIGIN,
        "better_auth_secret": SECRET,
        "connect_timeout_seconds": 2,
        "pool_min": 1,
        "session_cache_seconds": 0,
    }
    return Settings(**(values | changes))


@asynccontextmanager
async def connected(options: Settings) -> AsyncIterator[Database]:
    """The database as a server with these settings uses it."""
    database = Database(options)
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


@asynccontextmanager
async def serving(options: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A server with these settings, running in this process, and a client without a credential."""
    app = create_app(options)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://tasks.test") as client:
            yield client


class Api:
    """One server, its people, and what they ask."""

    def __init__(self, client: httpx.AsyncClient, issuer: Issuer) -> None:
        self.client = client
        self.issuer = issuer
        self._tokens: dict[str, str] = {}

    async def sign_up(self, name: str) -> Person:
        person = await self.issuer.sign_up(name)
        self._tokens[person.id] = await self.issuer.token(person)
        return person

    async def post(self, query: str, variables: Mapping[str, Any] | None = None, **options: Any) -> httpx.Response:
        return await self.client.post("/graphql", json={"query": query, "variables": variables or {}}, **options)

    async def result(self, person: Person | None, query: str, **variables: Any) -> dict[str, Any]:
        """The whole response of one operation, `data` and `errors`."""
        headers = {"Authorization": f"Bearer {self._tokens[person.id]}"} if person else {}
        response = await self.post(query, variables, headers=headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, person: Person | None, query: str, **variables: Any) -> Any:
        """The data of an operation that goes well."""
        result = await self.result(person, query, **variables)
        assert "errors" not in result, result["errors"]
        return result["data"]

    async def errors(self, person: Person | None, query: str, **variables: Any) -> list[dict[str, Any]]:
        """The errors of an operation that does not: code, message and path of each."""
        result = await self.result(person, query, **variables)
        return [
            {"code": error["extensions"]["code"], "message": error["message"], "path": error.get("path")}
            for error in result["errors"]
        ]

    async def create(self, person: Person, title: str = "Something to do", **values: Any) -> dict[str, Any]:
        """A new task of this person."""
        payload = await self.data(person, CREATE, input={"title": title, **values})
        assert payload["createTask"]["errors"] == []
        task: dict[str, Any] = payload["createTask"]["task"]
        return task


TASK_FIELDS = """
    fragment Everything on Task {
      id title description status completed priority dueDate overdue version createdAt updatedAt completedAt
      owner { id name image } assignee { id name image }
    }
"""
ERROR_FIELDS = "errors { __typename message code path ... on ConflictError { current { id version } } }"

CREATE = (
    "mutation Create($input: CreateTaskInput!) { createTask(input: $input) "
    f"{{ task {{ ...Everything }} taskEdge {{ cursor node {{ id }} }} {ERROR_FIELDS} }} }} {TASK_FIELDS}"
)
UPDATE = (
    "mutation Update($input: UpdateTaskInput!) { updateTask(input: $input) "
    f"{{ task {{ ...Everything }} {ERROR_FIELDS} }} }} {TASK_FIELDS}"
)
TOGGLE = (
    "mutation Toggle($input: ToggleTaskInput!) { toggleTask(input: $input) "
    f"{{ task {{ ...Everything }} {ERROR_FIELDS} }} }} {TASK_FIELDS}"
)
DELETE = (
    "mutation Delete($input: DeleteTaskInput!) { deleteTask(input: $input) "
    f"{{ deletedTaskId task {{ ...Everything }} {ERROR_FIELDS} }} }} {TASK_FIELDS}"
)
TASK = f"query Task($id: ID!) {{ task(id: $id) {{ ...Everything }} }} {TASK_FIELDS}"
CREATE_MANY = (
    "mutation CreateMany($input: CreateTasksInput!) { createTasks(input: $input) "
    f"{{ tasks {{ ...Everything }} {ERROR_FIELDS} }} }} {TASK_FIELDS}"
)
UPDATE_MANY = (
    "mutation UpdateMany($input: UpdateTasksInput!) { updateTasks(input: $input) "
    f"{{ tasks {{ ...Everything }} affected {ERROR_FIELDS} }} }} {TASK_FIELDS}"
)
DELETE_MANY = (
    "mutation DeleteMany($input: DeleteTasksInput!) { deleteTasks(input: $input) "
    f"{{ deletedTaskIds affected {ERROR_FIELDS} }} }}"
)
RESTORE = (
    "mutation Restore($input: RestoreTaskInput!) { restoreTask(input: $input) "
    f"{{ task {{ ...Everything }} taskEdge {{ cursor node {{ id }} }} {ERROR_FIELDS} }} }} {TASK_FIELDS}"
)
