"""How the cost of a request grows: `python -m tests.benchmarks.growth`, `--help` for more.

A first page must cost the same however many tasks, users and connections there are; only its own rows count.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.benchmarks import data, report
from tests.benchmarks.answers import data_of
from tests.benchmarks.data import STANDARD, Cluster, Crowd, Member
from tests.benchmarks.operations import FIELDS, Variables, graphql
from tests.benchmarks.rounds import Case, in_turns
from tests.benchmarks.targets import Target, running

PEOPLE = 100
"""Users who ask, in turn; where there are fewer, all of them. As many everywhere, for the caches of the processor."""

PAGE = f"""query ($first: Int, $after: String, $filter: TaskFilter) {{
  viewer {{
    id name
    tasks(first: $first, after: $after, filter: $filter) {{
      edges {{ cursor node {{ {FIELDS} }} }} pageInfo {{ hasNextPage endCursor }}
    }}
  }}
}}"""
COUNT = "{ viewer { id name tasks { totalCount } } }"

SIZES = (10, 100, 1000, 10_000, 100_000)
MANY = tuple(
    Crowd(count, tasks, first=1_000_000 + 1000 * tasks)
    for count, tasks in zip((100, 100, 50, 10, 2), SIZES, strict=True)
)
"""Users with ever more tasks."""

FEW = Crowd(100_000, 2)
"""All others: what PostgreSQL expects of anybody, when it plans a statement for everybody."""


def society(users: int) -> tuple[Crowd, ...]:
    """So many users; those who ask have 100 tasks each, all others two."""
    asking = min(users, PEOPLE)
    return Crowd(asking, 100), *([Crowd(users - asking, 2, first=asking)] if users > asking else [])


@dataclass(frozen=True, slots=True)
class Curve:
    """Cases to compare, by line and by point."""

    title: str
    points: Sequence[str]
    lines: Mapping[str, Sequence[Case]]


@dataclass(slots=True)
class Laboratory:
    """Where curves are made: databases and servers that last as long as one curve."""

    cluster: Cluster
    options: argparse.Namespace
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *reason: object) -> None:
        self._stack.close()

    def database(self, *crowds: Crowd) -> str:
        return self._stack.enter_context(self.cluster.database(crowds))

    def members(self, url: str, crowd: Crowd) -> list[Member]:
        """To be called before the first server, which then knows the key of their tokens."""
        return asyncio.run(data.members(url, crowd, PEOPLE))

    def server(self, url: str, **changes: str) -> Target:
        return self._stack.enter_context(running("ours", url, **changes))

    def case(
        self,
        target: Target,
        members: Sequence[Member],
        query: str = PAGE,
        variables: Callable[[Member], Variables] = lambda member: {"first": 20},
        connections: int | None = None,
    ) -> Case:
        requests = [graphql(member.token, query, variables(member)) for member in members]
        asyncio.run(data_of(target, requests[0]))
        return Case(target, requests, connections or self.options.connections)


def rows(laboratory: Laboratory) -> Curve:
    url = laboratory.database(*STANDARD)
    members = laboratory.members(url, STANDARD[0])
    server = laboratory.server(url)
    numbers = (1, 2, 5, 10, 20, 50, 100)

    def page(number: int) -> Case:
        return laboratory.case(server, members, variables=lambda member: {"first": number})

    return Curve("Rows of a page", [str(number) for number in numbers], {"page": [page(number) for number in numbers]})


def tasks(laboratory: Laboratory) -> Curve:
    url = laboratory.database(FEW, *MANY)
    members = [laboratory.members(url, crowd) for crowd in MANY]
    server = laboratory.server(url)
    cursors = {member.token: cursor for some in members for member, cursor in middles(server, url, some)}

    def cases(query: str, variables: Callable[[Member], Variables]) -> list[Case]:
        return [laboratory.case(server, some, query, variables) for some in members]

    lines = {
        "first page": cases(PAGE, lambda member: {"first": 10}),
        "page in the middle": cases(PAGE, lambda member: {"first": 10, "after": cursors[member.token]}),
        "filtered": cases(PAGE, lambda member: {"first": 10, "filter": {"completed": False}}),
        "searched": cases(PAGE, lambda member: {"first": 10, "filter": {"search": "milk"}}),
        "searched in vain": cases(PAGE, lambda member: {"first": 10, "filter": {"search": "unicorn"}}),
        "counted": cases(COUNT, lambda member: {}),
    }
    return Curve("Tasks of a user, pages of 10", [f"{size:,}" for size in SIZES], lines)


def middles(server: Target, url: str, members: Sequence[Member]) -> Iterator[tuple[Member, str]]:
    """The cursor in the middle of the tasks of each."""

    async def middle(member: Member) -> Any:
        connection = await asyncpg.connect(url)
        created_at = await connection.fetchval(
            "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY created_at) FROM tasks WHERE user_id = $1",
            member.person.id,
        )
        await connection.close()
        only = {"createdAt": {"lte": created_at.isoformat()}}
        found = await data_of(server, graphql(member.token, PAGE, {"first": 1, "filter": only}))
        return found["viewer"]["tasks"]["pageInfo"]["endCursor"]

    for member in members:
        yield member, asyncio.run(middle(member))


def users(laboratory: Laboratory) -> Curve:
    numbers = (1, 100, 10_000, 1_000_000)
    urls = [laboratory.database(*society(number)) for number in numbers]
    members = [laboratory.members(url, society(number)[0]) for url, number in zip(urls, numbers, strict=True)]
    servers = [laboratory.server(url) for url in urls]
    cases = [laboratory.case(server, some) for server, some in zip(servers, members, strict=True)]
    return Curve("Users", [f"{number:,}" for number in numbers], {"first page": cases})


def people(laboratory: Laboratory) -> Curve:
    """A first page tells the name of who asks; the server remembers it for `SESSION_CACHE_SECONDS`."""
    url = laboratory.database(*STANDARD)
    members = laboratory.members(url, STANDARD[0])
    servers = [laboratory.server(url), laboratory.server(url, SESSION_CACHE_SECONDS="0")]
    cases = [laboratory.case(server, members) for server in servers]
    return Curve("Who asks", ["remembered", "read again"], {"first page": cases})


def connections(laboratory: Laboratory) -> Curve:
    url = laboratory.database(*STANDARD)
    members = laboratory.members(url, STANDARD[0])
    server = laboratory.server(url)
    numbers = (1, 10, 100, 1000)
    cases = [laboratory.case(server, members, connections=number) for number in numbers]
    return Curve("Connections", [f"{number:,}" for number in numbers], {"first page": cases})


def workers(laboratory: Laboratory) -> Curve:
    url = laboratory.database(*STANDARD)
    members = laboratory.members(url, STANDARD[0])
    numbers = (1, 2)
    servers = [laboratory.server(url, WORKERS=str(number)) for number in numbers]
    cases = [laboratory.case(server, members) for server in servers]
    return Curve("Workers", [str(number) for number in numbers], {"first page": cases})


CURVES: Mapping[str, Callable[[Laboratory], Curve]] = {
    "rows": rows,
    "tasks": tasks,
    "users": users,
    "people": people,
    "connections": connections,
    "workers": workers,
}


def main() -> None:
    parser = report.parser(__doc__, seconds=2, rounds=3)
    parser.add_argument("--only", nargs="+", choices=CURVES, default=list(CURVES), help="curves")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for a thousand connections; the servers inherit it
    with data.cluster(options.data) as cluster:
        print(report.machine())
        print("Ratios to the first column, and what was measured", flush=True)
        for name in options.only:
            with Laboratory(cluster, options) as laboratory:
                curve = CURVES[name](laboratory)
                cases = [case for line in curve.lines.values() for case in line]
                found = iter(in_turns(cases, cluster.files, rounds=options.rounds, seconds=options.seconds))
                lines = {title: [next(found) for _ in line] for title, line in curve.lines.items()}
            print("\n".join(report.curve(curve.title, curve.points, lines)), flush=True)


if __name__ == "__main__":
    main()
