"""DataLoaders: aiodataloader's, with a quicker way from the first key to the batch.

Theirs makes two tasks for a batch and inspects the class of each loader: for one object that costs more than to read it
from the database.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, overload

from aiodataloader import DataLoader

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Loader(DataLoader[K, V]):
    """Collects keys for two turns of the loop, as aiodataloader does, and then loads them with one call.

    `batch_load_fn` gives a value for each key, in their order; an exception among them is raised to those who wait for
    it. What it raises itself is raised to all, and not remembered. Each who waits has a future of their own: with one
    for all, as aiodataloader has it, whoever is cancelled takes the others along.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._cache: dict[K, V | Exception] = {}  # type: ignore[assignment]  # theirs has futures
        """Values that have been loaded, and exceptions among them."""
        self._waiting: dict[K, list[tuple[asyncio.Future[Any], Callable[[V], Any] | None]]] = {}
        """Those who wait, for keys that are collected or being loaded, and what they make of the value."""
        self._wanted: list[K] = []
        """Keys that are collected."""

    def get_cache_key(self, key: K) -> K:
        return key

    @overload
    def load(self, key: K) -> asyncio.Future[V]: ...
    @overload
    def load(self, key: K, make: Callable[[V], T]) -> asyncio.Future[T]: ...
    def load(self, key: K, make: Callable[[V], Any] | None = None) -> asyncio.Future[Any]:
        """The value, or what `make` makes of it, when its batch has been loaded."""
        future: asyncio.Future[Any] = self.loop.create_future()
        if key in self._cache:
            _tell(future, self._cache[key], make)
        elif key in self._waiting:
            self._waiting[key].append((future, make))
        else:
            self._waiting[key] = [(future, make)]
            self._wanted.append(key)
            if len(self._wanted) == 1:
                self.loop.create_task(self._load())
        return future

    def prime(self, key: K, value: V | Exception) -> "Loader[K, V]":
        """The value is known, unless another is known already."""
        self._cache.setdefault(key, value)
        return self

    async def _load(self) -> None:
        await asyncio.sleep(0)
        keys, self._wanted = self._wanted, []
        try:
            values: list[tuple[K, V | Exception]] = [*zip(keys, await self.batch_load_fn(keys), strict=True)]
            self._cache.update(values)
        except Exception as error:
            values = [(key, error) for key in keys]
        for key, value in values:
            for future, make in self._waiting.pop(key):
                if not future.done():  # it may be cancelled
                    _tell(future, value, make)


def _tell(future: asyncio.Future[Any], value: Any, make: Callable[[Any], Any] | None) -> None:
    if isinstance(value, Exception):
        future.set_exception(value)
        return
    try:
        future.set_result(value if make is None else make(value))
    except Exception as error:
        future.set_exception(error)
