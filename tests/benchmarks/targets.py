"""The servers that are compared, and what they cost."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.issuer import ORIGIN, SECRET
from tests.process import environment, free_port

SERVE = {
    "raw": (
        "uvicorn tests.benchmarks.raw:application --factory "
        "--port {} --loop uvloop --http httptools --no-access-log --log-level warning"
    ),
    "ours": "graphql_api serve --port {}",
    "interpreted": "tests.benchmarks.serve tests.benchmarks.interpreted:application {}",
}
"""What `python -m` starts for each target, with a port."""

TITLES = {"raw": "raw endpoint", "ours": "this server", "interpreted": "its executor switched off"}


@dataclass(frozen=True, slots=True)
class Target:
    """A server that runs."""

    name: str
    port: int
    process: psutil.Process

    def processes(self) -> list[psutil.Process]:
        """The server with all its workers."""
        return [self.process, *self.process.children(recursive=True)]

    @property
    def peak_mb(self) -> float:
        """The most memory that it ever had, all workers together."""
        return sum(map(_peak_kb, self.processes())) / 1024


@contextmanager
def running(name: str, database_url: str, **changes: str) -> Iterator[Target]:
    """A server that answers, ended with the block."""
    port = free_port()
    defaults = {"DATABASE_URL": database_url, "AUTH_URL": ORIGIN, "BETTER_AUTH_SECRET": SECRET}
    command = [sys.executable, "-m", *SERVE[name].format(port).split()]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, env=environment(**(defaults | changes)), stderr=log)
        try:
            while not _listens(port):
                if server.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"{name} ended: {log.read()}")
                time.sleep(0.05)
            yield Target(name, port, psutil.Process(server.pid))
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                raise


def _peak_kb(process: psutil.Process) -> float:
    """VmHWM, as Linux counts it; elsewhere what the process has now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return float(line.split()[1])
    return float(process.memory_info().rss / 1024)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cpu_seconds(processes: Callable[[], Sequence[psutil.Process]]) -> float:
    """What they and their ended children have used, in user and system mode."""
    while True:
        try:
            return sum(sum(process.cpu_times()[:4]) for process in processes())
        except psutil.NoSuchProcess:  # it ended between the two: look again, now its parent has its time
            continue


def postgres(files: Path) -> list[psutil.Process]:
    """The postmaster on these files and all its children."""
    postmaster = psutil.Process(int((files / "postmaster.pid").read_text().split()[0]))
    return [postmaster, *postmaster.children()]
