"""That all servers give the same answers, asked once before anything is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from tests.benchmarks.data import Member
from tests.benchmarks.driver import answer
from tests.benchmarks.operations import ONE_TASK, Operation, Variables
from tests.benchmarks.targets import Target

COMPARED = 50
"""Requests of each operation."""

CURSORS = ("cursor", "endCursor")


async def verify(operation: Operation, targets: Sequence[Target], members: Sequence[Member]) -> None:
    """Raises AssertionError unless all of them read the same, and write what they say they do."""
    for member, variables in operation.asked(members)[:COMPARED]:
        if operation.writes:
            for target in targets:
                await _write(operation, target, member, variables)
        else:
            first, *others = [_seen(await _data(operation, target, member, variables)) for target in targets]
            assert all(other == first for other in others), (operation.name, first, others)


async def _write(operation: Operation, target: Target, member: Member, variables: Variables) -> None:
    """What is answered is what is read afterwards, and what was asked for."""
    [payload] = (await _data(operation, target, member, variables)).values()
    task = payload["task"]
    assert payload["errors"] == [], payload
    assert await _data(ONE_TASK, target, member, {"id": task["id"]}) == {"task": task}
    asked = variables["input"]
    if "id" in asked:
        [payload] = (await _data(operation, target, member, variables)).values()
        assert payload["task"]["id"] == asked["id"]
        assert payload["task"]["completed"] is not task["completed"]
    else:
        assert asked.items() <= task.items()


def _seen(data: Any) -> Any:
    """The data, but of a cursor only that it is one: each server has a form of its own."""
    if isinstance(data, dict):
        return {name: type(one) if name in CURSORS else _seen(one) for name, one in data.items()}
    return [_seen(one) for one in data] if isinstance(data, list) else data


async def _data(operation: Operation, target: Target, member: Member, variables: Variables) -> Any:
    return await data_of(target, operation.request(target.name, member, variables))


async def data_of(target: Target, request: bytes) -> Any:
    """The `data` of its answer. Raises AssertionError when it has errors, or is not 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(request)
    status, body = await answer(reader)
    writer.close()
    await writer.wait_closed()
    content: dict[str, Any] = orjson.loads(body)
    assert (status, [*content]) == (200, ["data"]), body
    return content["data"]
