"""Values that come in batches: what a resolver gives that reads together with others.

Where others are coroutines, such a resolver gives a `Promise`, and nobody needs a task to wait for it. All promises of
a batch are told at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Hashable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Batch:
    """Values by their keys, all of which come at the same time; to be awaited by whoever wants one of them.

    Who stops waiting disturbs nobody else. When the last one does, what loads the values is ended too; whoever awaits
    them after that has it begun again.
    """

    __slots__ = ("_is_abandoned", "_load", "_loading", "_waiting", "is_settled", "keys", "outcomes")

    outcomes: Mapping[Any, Any]
    """Once it is settled: the values, or exceptions in their places."""

    def __init__(self, load: Callable[[Batch], Coroutine[Any, Any, None]] | None = None, keys: Any = None) -> None:
        """`load` settles the batch that it is given, which has the keys; without it somebody else does."""
        self.is_settled = False
        self.keys = keys
        self._load = load
        self._loading: asyncio.Task[None] | None = None
        self._is_abandoned = False
        self._waiting: list[asyncio.Future[None]] = []

    def begin(self) -> None:
        """Load the values, unless that has begun, or everybody has gone who waited for them."""
        if self._loading is None and self._load is not None and not self._is_abandoned:
            self._loading = asyncio.get_running_loop().create_task(self._load(self))

    def settle(self, outcomes: Mapping[Any, Any]) -> None:
        """All that wait go on in the next turn of the loop, in the order in which they came."""
        self.outcomes = outcomes
        self.is_settled = True
        self._load = self._loading = None  # which know this batch: that would be garbage
        for future in self._waiting:
            if not future.done():  # it may be cancelled
                future.set_result(None)

    def __await__(self) -> Generator[Any, None, None]:
        if self.is_settled:
            return
        if self._is_abandoned:
            self._is_abandoned = False
            self.begin()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            yield from future
        except BaseException:
            self._waiting.remove(future)
            if not self._waiting and not self.is_settled:
                self._abandon()
            raise

    def _abandon(self) -> None:
        self._is_abandoned = True
        if self._loading is not None:
            self._loading.cancel()
            self._loading = None


class Promise(Generic[T]):
    """One of the values of a batch, or what `make` makes of it. Can be awaited by anybody, any number of times."""

    __slots__ = ("_key", "_make", "batch")

    def __init__(self, batch: Batch, key: Hashable, make: Callable[[Any], T] | None = None) -> None:
        self.batch = batch
        self._key = key
        self._make = make

    def result(self) -> T:
        """The value of a batch that is settled. Raises the exception that came in its place."""
        outcome: Any = self.batch.outcomes[self._key]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if self._make is None else self._make(outcome)

    def __await__(self) -> Generator[Any, None, T]:
        yield from self.batch.__await__()
        return self.result()
