"""Tasks and events in batches, as the viewer may see them."""

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeVar

import asyncpg

from graphql_api.context import Context
from graphql_api.errors import RequestError, bad_input
from graphql_api.loading import Loader
from graphql_api.relay import ids
from graphql_api.relay.connections import Window
from graphql_api.tasks import inputs, log, reads

K = TypeVar("K")
V = TypeVar("V")


class ViewerLoader(Loader[K, V]):
    """Loads what the viewer may see. It does not keep the context, which keeps it: that would be garbage."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._database = context.database
        self._viewer_id = context.viewer_id


class TaskLoader(ViewerLoader[tuple[str, frozenset[str]], asyncpg.Record | None]):
    """Ids as clients send them in, each with the columns to read; rows out, same order, None where there is none that
    the viewer may see.

    BAD_USER_INPUT for what is not the id of a task. One SELECT a batch, if that, of all columns that anybody wants.
    """

    async def batch_load_fn(self, keys: list[tuple[str, frozenset[str]]]) -> list[Any]:
        texts, columns = zip(*keys, strict=True)
        wanted = list(filter(None, map(inputs.uuid_of, texts)))
        all_columns = reduce(or_, {*columns})
        rows = await reads.by_ids(self._database, self._viewer_id, wanted, all_columns) if wanted else []
        found: dict[str, Any] = {ids.written("Task", row["id"]): row for row in rows}
        return [found.get(text) or _missing(text) for text in texts]


def _missing(id: str) -> RequestError | None:
    """What comes instead of the row."""
    if inputs.parse_task_id(id) is not None:
        return None
    return bad_input(f"`id` is {inputs.shown(id)}, which is not the ID of a Task.")


class AcquaintanceLoader(ViewerLoader[str, bool]):
    """Better Auth ids in; True for those who share a task with the viewer. One SELECT a batch."""

    async def batch_load_fn(self, keys: list[str]) -> list[bool]:
        found = await reads.acquaintances(self._database, self._viewer_id, keys)
        return [key in found for key in keys]


class EventLoader(ViewerLoader[int, asyncpg.Record | None]):
    """Cursors in, events out, same order, None where there is none of the viewer's. One SELECT a batch."""

    async def batch_load_fn(self, keys: list[int]) -> list[asyncpg.Record | None]:
        rows = await log.by_cursors(self._database, self._viewer_id, keys)
        found = {row["cursor"]: row for row in rows}
        return [found.get(key) for key in keys]


class LogEndLoader(ViewerLoader[str, int]):
    """The viewer's id in, the last cursor of the log out, or the last there was. One SELECT."""

    async def batch_load_fn(self, keys: list[str]) -> list[int]:
        end = await log.TaskLog(self._database).end(self._viewer_id)
        return [end for _ in keys]


class HistoryLoader(ViewerLoader[tuple[str, Window], Sequence[asyncpg.Record]]):
    """Ids of tasks as text in, each with the window of a page; rows for `Window.page` out. One SELECT a window."""

    async def batch_load_fn(self, keys: list[tuple[str, Window]]) -> list[Sequence[asyncpg.Record]]:
        tasks: dict[Window, list[str]] = defaultdict(list)
        for task_id, window in keys:
            tasks[window].append(task_id)
        found: dict[tuple[str, Window], list[asyncpg.Record]] = defaultdict(list)
        for window, task_ids in tasks.items():
            for row in await log.histories(self._database, self._viewer_id, task_ids, window):
                found[str(row["task_id"]), window].append(row)
        return [found[key] for key in keys]
