"""What is still to come in an answer, and how all of it is waited for at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from inspect import CORO_CREATED, getcoroutinelocals, getcoroutinestate
from typing import Any

from graphql_api.execution.promises import Batch, Promise
from graphql_api.execution.run import Run, Steps
from graphql_api.execution.values import Coroutine


class Pending:
    """Stands for a completed value, as a coroutine does: of a promise, where the rest is quickly done."""

    __slots__ = ("path", "place", "promise", "run")

    def __init__(self, promise: Promise[Any], place: Any, run: Run, path: Steps) -> None:
        self.promise = promise
        self.place = place  # a `plans.Place`, which completes what the promise gives
        self.run = run
        self.path = path

    def __await__(self) -> Generator[Any, None, Any]:
        yield from self.promise.batch.__await__()
        value = self.place.complete_promised(self.run, self.promise, self.path)
        return (yield from value.__await__()) if type(value) is Coroutine else value


PENDING = {Coroutine, Pending}
"""Types of what stands in an answer for a value that is still to come."""


TURNS_TO_FAIL = 4
"""Of the loop, until graphql-core is told that a task has failed and the others have ended. Meanwhile fields elsewhere
may fail too, and their errors are answered as well."""


def together(answer: Any) -> Any:
    """A dict or list in which all that is still to come comes at the same time; as it is where nothing is."""
    places: Iterable[Any] = answer.items() if type(answer) is dict else enumerate(answer)
    waiting = [place for place in places if type(place[1]) in PENDING]
    return _together(answer, waiting) if waiting else answer


def leave(run: Run, values: Iterable[Any]) -> None:
    """Lets what is still to come among them come, though nobody waits for it."""
    begun: list[Any] = [value for value in values if type(value) in PENDING]
    if begun:
        run.core.settle_in_background(begun)


Places = Sequence[tuple[Any, Any]]
"""Keys or numbers of places in an answer, each with what is still to come there."""


async def _together(answer: Any, waiting: Places) -> Any:
    """A task for each that comes alone and for each batch; none where there is but one to wait for."""
    if len(waiting) == 1:
        [(key, value)] = waiting
        answer[key] = await value
        return answer
    batches: dict[Batch, list[tuple[Any, Any]]] = {}
    parts = []
    for place in waiting:
        if type(place[1]) is Pending:
            batches.setdefault(place[1].promise.batch, []).append(place)
        else:
            parts.append(place)
    if parts or len(batches) > 1:
        parts += [(None, _complete_settled(answer, pending)) for pending in batches.values()]
        await _all(answer, parts)
        return answer
    try:
        await _complete_settled(answer, waiting)
    except Exception:
        for _ in range(TURNS_TO_FAIL):
            await asyncio.sleep(0)
        raise
    return answer


async def _complete_settled(answer: Any, pending: Places) -> None:
    """Puts into their places what comes with one batch, once it is settled. Raises the first error."""
    await pending[0][1].promise.batch
    rest = []
    errors = []
    for key, one in pending:
        try:
            value = one.place.complete_promised(one.run, one.promise, one.path)
        except Exception as error:
            errors.append(error)
            continue
        if type(value) is Coroutine:
            rest.append((key, value))
        else:
            answer[key] = value
    if errors:
        leave(pending[0][1].run, [value for _, value in rest])
        raise errors[0]
    if rest:
        await _together(answer, rest)


async def _all(answer: Any, parts: Places) -> None:
    """Has each coroutine run by a task of its own; what it gives goes into its place, if it has one. Raises the first
    error, when the others have been asked to end and have ended."""
    everything = _All(answer, parts)
    try:
        await everything
    except Exception:
        everything.cancel_rest()
        await asyncio.gather(*everything.tasks, return_exceptions=True)
        raise


class _All(asyncio.Future[None]):
    """Done when all tasks are, or with the first error; to cancel it cancels all of them at once. That is
    `asyncio.gather`, in two thirds of the time."""

    def __init__(self, answer: Any, parts: Places) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.tasks: list[asyncio.Task[Any]] = []
        self._answer = answer
        self._missing = len(parts)
        self._is_cancelled = False
        for key, coroutine in parts:
            task = self._loop.create_task(coroutine)
            self.tasks.append(task)
            task.add_done_callback(partial(self._ended, key))

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self._is_cancelled = self.cancel_rest(msg) or self._is_cancelled
        return self._is_cancelled

    def cancel_rest(self, msg: Any = None) -> bool:
        """Asks all to end that have not; False if there are none."""
        asked = False
        for task in self.tasks:
            _close_held(task.get_coro())
            asked = task.cancel(msg) or asked
        return asked

    def _ended(self, key: Any, task: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None and key is not None:
            self._answer[key] = task.result()
        self._missing -= 1
        if self.done():
            return
        if error is not None:
            self.set_exception(error)
        elif not self._missing:
            self.set_exception(asyncio.CancelledError()) if self._is_cancelled else self.set_result(None)


def _close_held(coroutine: Any) -> None:
    """Closes the coroutines that one of ours would have waited for, if it is cancelled before it has begun.

    Python complains of coroutines that nobody waits for. One that has begun is waited for elsewhere: a resolver may
    have given it twice.
    """
    if getcoroutinestate(coroutine) != CORO_CREATED or coroutine.cr_frame.f_globals.get("__package__") != __package__:
        return
    variables = getcoroutinelocals(coroutine)
    answer = variables["answer"] if coroutine.cr_code is _together.__code__ else ()
    for held in [*variables.values(), *(answer.values() if type(answer) is dict else answer)]:
        if type(held) is Coroutine and getcoroutinestate(held) == CORO_CREATED:
            _close_held(held)
            held.close()
