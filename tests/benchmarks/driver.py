"""Sends requests as fast as they are answered: by wrk where there is one, else by a small driver of our own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

SCRIPT = r"""
local requests = {}
local next = 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  for request in file:read("*a"):gmatch("[^%z]+") do requests[#requests + 1] = request end
  file:close()
end

function request()
  next = next % #requests + 1
  return requests[next]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\n{"answered": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of it; p50 and p99 in milliseconds."""

    answered: int
    begun: int
    """All requests that were sent. The server carries out those too whose answers nobody waits for in the end."""
    seconds: float
    p50: float
    p99: float


def drive(port: int, requests: Sequence[bytes], *, seconds: int, connections: int) -> Driven:
    """Send these in turn, on connections that stay open. Raises `RuntimeError` unless all are answered 200."""
    if wrk := shutil.which("wrk"):
        return _by_wrk(wrk, port, requests, seconds, connections)
    return asyncio.run(_by_hand(port, requests, seconds, connections))


def _by_wrk(wrk: str, port: int, requests: Sequence[bytes], seconds: int, connections: int) -> Driven:
    with tempfile.TemporaryDirectory() as folder:
        script, file = Path(folder) / "script.lua", Path(folder) / "requests"
        script.write_text(SCRIPT)
        file.write_bytes(b"\0".join(requests))
        options = f"--threads 1 --connections {connections} --duration {seconds}s --timeout 30s".split()
        command = [wrk, *options, "--script", str(script), f"http://127.0.0.1:{port}", "--", str(file)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(output.strip().rpartition("\n")[2])
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} requests were not answered well")
    answered = result["answered"]
    return Driven(answered, answered + connections, result["seconds"], result["p50"], result["p99"])


async def _by_hand(port: int, requests: Sequence[bytes], seconds: int, connections: int) -> Driven:
    turn = cycle(requests)
    took: list[float] = []
    start = time.perf_counter()

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - start < seconds:
            began = time.perf_counter()
            writer.write(next(turn))
            status, body = await answer(reader)
            took.append(time.perf_counter() - began)
            if status != 200:
                raise RuntimeError(f"{status}: {body.decode()}")
        writer.close()

    await asyncio.gather(*(one_connection() for _ in range(connections)))
    passed = time.perf_counter() - start
    took.sort()
    p50, p99 = (took[len(took) * percent // 100] * 1000 for percent in (50, 99))
    return Driven(len(took), len(took), passed, p50, p99)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer, which says its length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)
