"""What a request costs, beside an endpoint without GraphQL: `python -m tests.benchmarks.bench`, `--help` for more."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import asyncpg

from tests.benchmarks import data, report
from tests.benchmarks.answers import verify
from tests.benchmarks.driver import Driven
from tests.benchmarks.operations import OPERATIONS, Operation
from tests.benchmarks.rounds import Case, Turns, in_turns
from tests.benchmarks.targets import SERVE, TITLES, Target, running
from tests.conftest import execute

PEOPLE = 500
"""Users who ask, in turn."""


class Writes:
    """Around a round of writes: begins without leftovers, and counts in the log that each of them was done."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._events = 0

    def before(self) -> None:
        asyncio.run(execute(self._url, "VACUUM tasks", "VACUUM task_events"))
        self._events = asyncio.run(self._count())

    def after(self, driven: Driven) -> None:
        written = asyncio.run(self._count()) - self._events
        assert driven.answered <= written <= driven.begun, f"{driven.answered} answers, {written} writes"

    async def _count(self) -> int:
        connection = await asyncpg.connect(self._url)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM task_events"))
        finally:
            await connection.close()


def compare(
    operation: Operation,
    targets: Sequence[Target],
    members: Sequence[data.Member],
    url: str,
    cluster: data.Cluster,
    options: argparse.Namespace,
) -> dict[str, Turns]:
    """What each target did."""
    asyncio.run(verify(operation, targets, members))
    asked = operation.asked(members)
    writes = Writes(url)
    make = partial(Case, connections=options.connections)
    if operation.writes:
        make = partial(make, before=writes.before, after=writes.after)
    cases = [make(t, [operation.request(t.name, *one) for one in asked]) for t in targets]
    turns = in_turns(cases, cluster.files, rounds=options.rounds, seconds=options.seconds)
    return {target.name: found for target, found in zip(targets, turns, strict=True)}


def show(operation: Operation, found: Mapping[str, Turns]) -> None:
    """At once, for those who wait."""
    for name, turns in found.items():
        ratios = turns.over(next(iter(found.values())))
        cells = [f"{unit.title} {unit.text(turns.median):>8} {unit.text(ratios, 2):>6}" for unit in report.UNITS]
        print(f"{operation.title:20}{TITLES[name]:28}{'   '.join(cells)}", flush=True)


def main() -> None:
    parser = report.parser(__doc__, seconds=2, rounds=9)
    parser.add_argument("--only", nargs="+", choices=[one.name for one in OPERATIONS], help="operations")
    parser.add_argument("--targets", nargs="+", choices=SERVE, default=list(SERVE), help="servers")
    options = parser.parse_args()
    chosen = [one for one in OPERATIONS if one.name in (options.only or [one.name])]
    with ExitStack() as stack:
        cluster = stack.enter_context(data.cluster(options.data))
        url = stack.enter_context(cluster.database(data.STANDARD))
        # before the servers start, which then know the key of these tokens
        members = asyncio.run(data.members(url, data.STANDARD[0], PEOPLE))
        targets = [stack.enter_context(running(name, url)) for name in options.targets]
        print(report.machine(), flush=True)
        print("1,000,000 tasks of 10,000 users; behind each figure its ratio to the first server", flush=True)
        found = {}
        for operation in chosen:
            found[operation.title] = compare(operation, targets, members, url, cluster, options)
            show(operation, found[operation.title])
        print("\n".join(report.tables(found)))
        print("\n| | Most memory |\n|---|---|")
        for target in targets:
            print(f"| {TITLES[target.name]} | {target.peak_mb / targets[0].peak_mb:.2f} ({target.peak_mb:.0f} MB) |")


if __name__ == "__main__":
    main()
