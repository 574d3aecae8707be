"""Several cases measured in turns, in short rounds: a machine that others use too is never the same for long."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from tests.benchmarks.driver import Driven, drive
from tests.benchmarks.targets import Target, cpu_seconds, postgres


@dataclass(frozen=True, slots=True)
class Case:
    """Requests to one server, so many at once; `before` and `after` are called around each round."""

    target: Target
    requests: Sequence[bytes]
    connections: int = 16
    before: Callable[[], None] = lambda: None
    after: Callable[[Driven], None] = lambda driven: None


@dataclass(frozen=True, slots=True)
class Figures:
    """What requests cost in the end: µs of CPU for one, of the server and of PostgreSQL; milliseconds to the answer."""

    server: float
    postgres: float
    per_second: float
    p50: float
    p99: float

    def over(self, other: Figures) -> Figures:
        """Each as a ratio."""
        return Figures(*(getattr(self, name) / getattr(other, name) for name in NAMES))


NAMES = [field.name for field in fields(Figures)]


@dataclass(frozen=True, slots=True)
class Turns:
    """The rounds of one case, each between those of the others."""

    rounds: Sequence[Figures]

    @property
    def median(self) -> Figures:
        return _median(self.rounds)

    def over(self, other: Turns) -> Figures:
        """The median of the ratios of each round to the other's at the same time: both had the same neighbours."""
        return _median([mine.over(theirs) for mine, theirs in zip(self.rounds, other.rounds, strict=True)])


def in_turns(cases: Sequence[Case], files: Path, *, rounds: int, seconds: int) -> list[Turns]:
    """So many rounds of each, after one that warms up. PostgreSQL is the one on these files."""
    for case in cases:
        _one(case, files, seconds)
    turns = [[_one(case, files, seconds) for case in cases] for _ in range(rounds)]
    return [Turns(of_case) for of_case in zip(*turns, strict=True)]


def _one(case: Case, files: Path, seconds: int) -> Figures:
    def spent() -> tuple[float, float]:
        return cpu_seconds(case.target.processes), cpu_seconds(partial(postgres, files))

    case.before()
    began = spent()
    driven = drive(case.target.port, case.requests, seconds=seconds, connections=case.connections)
    _let_finish(lambda: sum(spent()))
    server, database = ((end - start) / driven.begun * 1e6 for start, end in zip(began, spent(), strict=True))
    case.after(driven)
    return Figures(server, database, driven.answered / driven.seconds, driven.p50, driven.p99)


def _let_finish(spent: Callable[[], float]) -> None:
    """Wait until hardly any CPU is used, 30 seconds at most."""
    used = spent()
    for _ in range(300):
        time.sleep(0.1)
        before, used = used, spent()
        if used - before < 0.02:
            return


def _median(rounds: Sequence[Figures]) -> Figures:
    return Figures(*(statistics.median(getattr(one, name) for one in rounds) for name in NAMES))
