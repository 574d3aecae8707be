"""Values that come in batches: what a resolver gives that reads together with others.

Where others are coroutines, such a resolver gives a `Promise`, and nobody needs a task to wait for it. All promises of
a batch are told at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Hashable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Batch:
    """Values by their keys, all of which come at the same time."""

    __slots__ = ("_waiting", "is_settled", "outcomes")

    outcomes: Mapping[Any, Any]
    """Once it is settled: the values, or exceptions in their places."""

    def __init__(self) -> None:
        self.is_settled = False
        self._waiting: list[asyncio.Future[None]] = []

    def settle(self, outcomes: Mapping[Any, Any]) -> None:
        """All that wait go on in the next turn of the loop, in the order in which they came."""
        self.outcomes = outcomes
        self.is_settled = True
        for future in self._waiting:
            if not future.done():  # it may be cancelled
                future.set_result(None)

    def settled(self) -> asyncio.Future[None]:
        """Done when the values have come. To cancel it disturbs nobody else who waits."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_settled:
            future.set_result(None)
        else:
            self._waiting.append(future)
        return future


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
        yield from self.batch.settled()
        return self.result()
