"""DataLoaders: aiodataloader's, with a quicker way from the first key to the batch.

Theirs makes two tasks for a batch and inspects the class of each loader: for one object that costs more than to read it
from the database.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, overload

from aiodataloader import DataLoader

from graphql_api.execution.promises import Batch, Promise

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Loader(DataLoader[K, V]):
    """Collects keys for two turns of the loop, as aiodataloader does, and then loads them with one call.

    `batch_load_fn` gives a value for each key, in their order; an exception among them is raised to those who wait for
    it. What it raises itself is raised to all, and not remembered. Loading gives a `Promise`: a future that many share,
    as aiodataloader has it, is cancelled for all of them with the first.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._cache: dict[K, Batch] = {}  # type: ignore[assignment]  # theirs has futures
        """The batch of each key that was asked for."""
        self._wanted: list[K] = []
        """Keys of the batch that is being collected."""
        self._batch: Batch
        """The batch that is being collected, if any key is wanted."""

    def get_cache_key(self, key: K) -> K:
        return key

    @overload  # type: ignore[override]
    def load(self, key: K) -> Promise[V]: ...
    @overload
    def load(self, key: K, make: Callable[[V], T]) -> Promise[T]: ...
    def load(self, key: K, make: Callable[[V], Any] | None = None) -> Promise[Any]:
        """The value, or what `make` makes of it, when its batch has been loaded."""
        batch = self._cache.get(key)
        if batch is None:
            if not self._wanted:
                self._batch = Batch(self._load, self._wanted)
                self.loop.call_soon(self._batch.begin)  # which takes another turn
            batch = self._cache[key] = self._batch
            self._wanted.append(key)
        return Promise(batch, key, make)

    def prime(self, key: K, value: V | Exception) -> "Loader[K, V]":
        """The value is known, unless another is known already."""
        known = Batch()
        known.settle({key: value})
        self._cache.setdefault(key, known)
        return self

    async def _load(self, batch: Batch) -> None:
        keys: list[K] = batch.keys
        if keys is self._wanted:
            self._wanted = []
        outcomes: dict[K, Any]
        try:
            outcomes = dict(zip(keys, await self.batch_load_fn(keys), strict=True))
        except Exception as error:
            outcomes = dict.fromkeys(keys, error)
            for key in keys:
                self.clear(key)
        batch.settle(outcomes)
