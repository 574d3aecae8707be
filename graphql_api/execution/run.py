"""One execution of a plan: what its resolvers share, and what went wrong so far."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from inspect import CORO_CREATED, getcoroutinelocals, getcoroutinestate
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    default_type_resolver,
)
from graphql.execution import Executor, default_field_resolver
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues
from graphql.pyutils import Path

from graphql_api.execution.values import Coroutine

Steps = tuple[Any, str | int, str | None]
"""A path as it grows: the steps before, the key, the name of the type that has the field (None for a place in a list).
A `Path` in the making, which would cost ten times as much and is seldom asked for."""


def to_path(steps: Steps) -> Path:
    """The path as graphql-core and resolvers know it."""
    before, key, type_name = steps
    return Path(before and to_path(before), key, type_name)


@dataclass(frozen=True, slots=True)
class Request:
    """What graphql-core's executor wants to know of an operation."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragment_definitions: dict[str, FragmentDefinitionNode]
    executor_class: type[Executor[Any]]

    @property
    def fragments(self) -> dict[str, FragmentDetails]:
        return {
            name: FragmentDetails(definition, self._signatures(definition))
            for name, definition in self.fragment_definitions.items()
        }

    def _signatures(self, fragment: FragmentDefinitionNode) -> dict[str, GraphQLVariableSignature] | None:
        found = [get_variable_signature(self.schema, variable) for variable in fragment.variable_definitions or ()]
        return {one.name: one for one in found if isinstance(one, GraphQLVariableSignature)} or None


class Run:
    """One execution."""

    __slots__ = ("_core", "context", "request", "root", "variables")

    def __init__(self, request: Request, variables: VariableValues, context: Any, root: Any) -> None:
        self.request = request
        self.variables = variables
        self.context = context
        self.root = root
        self._core: Executor[Any] | None = None

    @property
    def core(self) -> Executor[Any]:
        """graphql-core's executor of the same execution, for all that is not compiled. Its errors are ours."""
        if self._core is None:
            request = self.request
            self._core = request.executor_class(
                request.schema,
                request.fragment_definitions,
                request.fragments,
                self.root,
                self.context,
                request.operation,
                self.variables,
                default_field_resolver,
                default_type_resolver,
                default_field_resolver,
            )
        return self._core

    @property
    def errors(self) -> list[GraphQLError] | None:
        return (self._core.collected_errors.errors or None) if self._core else None

    def note(self, error: GraphQLError, path: Steps | None) -> None:
        """Adds the error, unless null stands already in its place or above it."""
        self.core.collected_errors.add(error, path and to_path(path))

    def leave(self, values: Iterable[Any]) -> None:
        """Lets the coroutines among them come to their end, though nobody waits for it."""
        begun: list[Any] = [value for value in values if type(value) is Coroutine]
        if begun:
            self.core.settle_in_background(begun)

    def together(self, answer: Any) -> Any:
        """A dict or list whose coroutines give their values at the same time; as it is where there are none."""
        places: Iterable[Any] = answer.items() if type(answer) is dict else enumerate(answer)
        waiting = [place for place, value in places if type(value) is Coroutine]
        return _together(answer, waiting) if waiting else answer


async def _together(answer: Any, waiting: Sequence[Any]) -> Any:
    if len(waiting) == 1:
        [place] = waiting
        answer[place] = await answer[place]
        return answer
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(answer[place]) for place in waiting]
    try:
        await _All(tasks, loop)
    except Exception:
        for task in tasks:
            _cancel(task)
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    for place, task in zip(waiting, tasks, strict=True):
        answer[place] = task.result()
    return answer


class _All(asyncio.Future[None]):
    """Done when all tasks are, or with the error of the first that fails; to cancel it cancels them all at once.

    That is `asyncio.gather`, in two thirds of the time.
    """

    def __init__(self, tasks: Sequence[asyncio.Task[Any]], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._tasks = tasks
        self._running = len(tasks)
        self._is_cancelled = False
        for task in tasks:
            task.add_done_callback(self._ended)

    def cancel(self, msg: Any = None) -> bool:
        """Asks the tasks to end; this future does when they have."""
        if self.done():
            return False
        for task in self._tasks:
            self._is_cancelled = _cancel(task, msg) or self._is_cancelled
        return self._is_cancelled

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running -= 1
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if self.done():
            return
        if error is not None:
            self.set_exception(error)
        elif not self._running:
            self.set_exception(asyncio.CancelledError()) if self._is_cancelled else self.set_result(None)


def _cancel(task: asyncio.Task[Any], msg: Any = None) -> bool:
    _close_held(task.get_coro())
    return task.cancel(msg)


def _close_held(coroutine: Any) -> None:
    """Closes the coroutines that one of ours would have waited for, if it is cancelled before it has begun.

    Nobody else knows of them, and Python complains of coroutines that nobody waits for.
    """
    if getcoroutinestate(coroutine) != CORO_CREATED or coroutine.cr_frame.f_globals["__package__"] != __package__:
        return
    variables = getcoroutinelocals(coroutine)
    answer = variables.get("answer", ())
    for held in [*variables.values(), *(answer.values() if type(answer) is dict else answer)]:
        if type(held) is Coroutine:
            _close_held(held)
            held.close()
