"""DataLoaders: aiodataloader's, with a quicker way from the first key to the batch.

Theirs makes two tasks for a batch and inspects the class of each loader: for one object that costs more than to read it
from the database.
"""

import asyncio
from typing import TypeVar

from aiodataloader import DataLoader

K = TypeVar("K")
V = TypeVar("V")


class Loader(DataLoader[K, V]):
    """Collects keys for two turns of the loop, as aiodataloader does, and then loads them with one call.

    `batch_load_fn` gives a value for each key, in their order; an exception among them is raised to those who wait for
    it. What it raises itself is raised to all, and not remembered.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._cache = {}
        self._wanted: dict[K, asyncio.Future[V]] = {}

    def get_cache_key(self, key: K) -> K:
        return key

    def load(self, key: K) -> asyncio.Future[V]:
        """The value, when its batch has been loaded; the same future for the same key."""
        future = self._cache.get(key)
        if future is None:
            future = self._cache[key] = self._wanted[key] = self.loop.create_future()
            if len(self._wanted) == 1:
                self.loop.call_soon(self.loop.call_soon, self._begin)
        return future

    def _begin(self) -> None:
        wanted, self._wanted = self._wanted, {}
        self.loop.create_task(self._load(wanted))

    async def _load(self, wanted: dict[K, asyncio.Future[V]]) -> None:
        values: list[tuple[asyncio.Future[V], V | Exception]]
        try:
            values = [*zip(wanted.values(), await self.batch_load_fn([*wanted]), strict=True)]
        except Exception as error:
            values = [(future, error) for future in wanted.values()]
            for key in wanted:
                self.clear(key)
        for future, value in values:
            if future.done():
                continue  # nobody waits any more
            if isinstance(value, Exception):
                future.set_exception(value)
            else:
                future.set_result(value)
