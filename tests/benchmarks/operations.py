"""What is asked, of a GraphQL server and of the raw endpoint; both give the same answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from graphql_api.relay.ids import GlobalID
from tests.benchmarks.data import Member

Variables = Mapping[str, Any]

REQUESTS = 2000
"""Different requests of an operation, sent in turn."""

FIELDS = "id title description completed createdAt updatedAt"
ALIASES = "abcdefghij"

PAGE = f"""{{
  viewer {{
    id name
    tasks(first: %d) {{ edges {{ cursor node {{ {FIELDS} }} }} pageInfo {{ hasNextPage endCursor }} }}
  }}
}}"""
ONE = f"query ($id: ID!) {{ task(id: $id) {{ {FIELDS} }} }}"
TEN = (
    f"query ({', '.join(f'${name}: ID!' for name in ALIASES)}) "
    f"{{ {' '.join(f'{name}: task(id: ${name}) {{ {FIELDS} }}' for name in ALIASES)} }}"
)
CREATE = f"""mutation ($input: CreateTaskInput!) {{
  createTask(input: $input) {{ task {{ {FIELDS} }} errors {{ message }} }}
}}"""
TOGGLE = f"""mutation ($input: ToggleTaskInput!) {{
  toggleTask(input: $input) {{ task {{ {FIELDS} }} errors {{ message }} }}
}}"""


@dataclass(frozen=True, slots=True)
class Route:
    """The same operation on the raw endpoint."""

    method: str
    path: str
    body: object = None


@dataclass(frozen=True, slots=True)
class Operation:
    """`variables` of one request of this member; `route` for them."""

    name: str
    title: str
    query: str
    variables: Callable[[Member], Variables]
    route: Callable[[Variables], Route]
    writes: bool = False

    def request(self, target: str, member: Member, variables: Variables) -> bytes:
        """As this target understands it."""
        if target == "raw":
            route = self.route(variables)
            return http(route.method, route.path, member.token, route.body)
        return graphql(member.token, self.query, variables)

    def asked(self, members: Sequence[Member]) -> list[tuple[Member, Variables]]:
        """Who asks for what, all members in turn; the same whenever it is called."""
        random.seed(self.name)
        return [(member, self.variables(member)) for _ in range(REQUESTS // len(members) + 1) for member in members]


def graphql(token: str, query: str, variables: Variables) -> bytes:
    """A request for /graphql as it goes over the wire."""
    return http("POST", "/graphql", token, {"query": query, "variables": variables} if variables else {"query": query})


def http(method: str, path: str, token: str, body: object = None) -> bytes:
    """A request as it goes over the wire."""
    content = b"" if body is None else orjson.dumps(body)
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    if content:
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, "", ""]).encode() + content


def _id(member: Member) -> str:
    return str(GlobalID("Task", str(random.choice(member.task_ids))))


def _page(number: int) -> Operation:
    return Operation(
        f"page{number}",
        f"page of {number}",
        PAGE % number,
        lambda member: {},
        lambda variables: Route("GET", f"/tasks?first={number}"),
    )


ONE_TASK = Operation(
    "one",
    "one task",
    ONE,
    lambda member: {"id": _id(member)},
    lambda variables: Route("GET", f"/tasks/{variables['id']}"),
)
OPERATIONS = (
    _page(20),
    _page(100),
    ONE_TASK,
    Operation(
        "ten",
        "ten tasks by alias",
        TEN,
        lambda member: {name: _id(member) for name in ALIASES},
        lambda variables: Route("GET", f"/tasks?ids={','.join(variables.values())}"),
    ),
    Operation(
        "create",
        "create",
        CREATE,
        lambda member: {"input": {"title": "Buy milk and more", "description": "Two litres, and what else is needed"}},
        lambda variables: Route("POST", "/tasks", variables["input"]),
        writes=True,
    ),
    Operation(
        "toggle",
        "toggle",
        TOGGLE,
        lambda member: {"input": {"id": _id(member)}},
        lambda variables: Route("POST", f"/tasks/{variables['input']['id']}/toggle"),
        writes=True,
    ),
)
