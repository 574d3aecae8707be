"""DataLoaders: aiodataloader's, which begin a batch with less ado."""

from asyncio import Future
from typing import TypeVar

from aiodataloader import DataLoader, dispatch_queue_batch
from aiodataloader import Loader as Wanted

K = TypeVar("K")
V = TypeVar("V")


class Loader(DataLoader[K, V]):
    """Collects as long as aiodataloader does, two turns of the loop, but makes one task for a batch and not two."""

    def do_resolve_reject(self, key: K, future: Future[V]) -> None:
        """Puts the key into the batch; the first one says when it begins."""
        self._queue.append(Wanted(key, future))
        if len(self._queue) == 1:
            self.loop.call_soon(self.loop.call_soon, self._begin)

    def _begin(self) -> None:
        wanted, self._queue = self._queue, []
        self.loop.create_task(dispatch_queue_batch(self, wanted))
