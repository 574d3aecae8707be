"""What a process remembers for a while: bounded in number and in time."""

import time
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """At most so many values, none for longer than so many seconds; the one that was kept the longest goes first."""

    def __init__(self, most: int, seconds: float = inf) -> None:
        self._most = most
        self._seconds = seconds
        self._known: dict[K, tuple[V, float]] = {}

    def get(self, key: K) -> V | None:
        """The value, unless its time is over."""
        known = self._known.get(key)
        return known[0] if known is not None and known[1] > time.time() else None

    def keep(self, key: K, value: V, until: float = inf) -> None:
        """Remember it, at most until a time in seconds since 1970; if that has passed, forget what was known."""
        self._known.pop(key, None)
        now = time.time()
        until = min(until, now + self._seconds)
        if until > now:
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = value, until
