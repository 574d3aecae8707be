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
    it. What it raises itself is raised to all, and not remembered. Each who waits has a future of their own: with one
    for all, as aiodataloader has it, whoever is cancelled takes the others along.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._cache = {}
        """Futures that are done."""
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}
        """Those who wait, for keys that are collected or being loaded."""
        self._wanted: list[K] = []
        """Keys that are collected."""

    def get_cache_key(self, key: K) -> K:
        return key

    def load(self, key: K) -> asyncio.Future[V]:
        """The value, when its batch has been loaded."""
        known = self._cache.get(key)
        if known is not None:
            return known
        future: asyncio.Future[V] = self.loop.create_future()
        if key in self._waiting:
            self._waiting[key].append(future)
            return future
        self._waiting[key] = [future]
        self._wanted.append(key)
        if len(self._wanted) == 1:
            self.loop.call_soon(self.loop.call_soon, self._begin)
        return future

    def _begin(self) -> None:
        wanted, self._wanted = self._wanted, []
        self.loop.create_task(self._load(wanted))

    async def _load(self, keys: list[K]) -> None:
        try:
            values = [*zip(keys, await self.batch_load_fn(keys), strict=True)]
        except Exception as error:
            for key in keys:
                self._tell(key, error)
                self.clear(key)
        else:
            for key, value in values:
                self._tell(key, value)

    def _tell(self, key: K, value: V | Exception) -> None:
        for future in self._waiting.pop(key):
            if future.done():
                continue  # cancelled
            if isinstance(value, Exception):
                future.set_exception(value)
            else:
                future.set_result(value)
            self._cache[key] = future
