"""Tasks by id, in batches, as the viewer may see them."""

from uuid import UUID

import asyncpg
from aiodataloader import DataLoader

from graphql_api.context import Context
from graphql_api.tasks import reads


class TaskLoader(DataLoader[UUID, asyncpg.Record | None]):
    """Ids in, rows out, same order, None where there is none that the viewer may see. One SELECT a batch."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    async def batch_load_fn(self, keys: list[UUID]) -> list[asyncpg.Record | None]:
        rows = await reads.by_ids(self._context.database, self._context.viewer_id, keys)
        found = {row["id"]: row for row in rows}
        return [found.get(key) for key in keys]


class AcquaintanceLoader(DataLoader[str, bool]):
    """Better Auth ids in; True for those who share a task with the viewer. One SELECT a batch."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    async def batch_load_fn(self, keys: list[str]) -> list[bool]:
        found = await reads.acquaintances(self._context.database, self._context.viewer_id, keys)
        return [key in found for key in keys]
