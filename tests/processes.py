"""The command `graphql-api` as a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

COMMAND = str(Path(sys.executable).parent / "graphql-api")


def environment(**variables: str) -> dict[str, str]:
    """This machine's environment without settings of a server."""
    ours = ("DATABASE_URL", "AUTH_URL", "BETTER_AUTH_SECRET", "CI")
    return {name: value for name, value in os.environ.items() if name not in ours} | variables


def run(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [COMMAND, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False, timeout=60
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(*arguments: str, folder: Path, port: int, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A server process that answers; killed at the end if it still runs."""
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [COMMAND, *arguments, "--port", str(port)],
            cwd=folder,
            env=environment(**variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health/live").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < deadline, (folder / "output").read_text()
                time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def ready(port: int) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}/health/ready")


def postgres_processes(folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if str(folder) in " ".join(_command_line(process))]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.name() == "postgres" else []
    except psutil.NoSuchProcess:
        return []
