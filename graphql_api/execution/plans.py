"""What a plan is: an operation in which all is decided that does not depend on data.

A plan is a tree. A `Selection` is what is asked of an object of one type: a Python function, made by `compiler` when
the first such object comes, with a few lines for each field, and another one for lists of them. A `Field` is a `Place`
of an answer with a resolver. A `Place` is where a value may stand, a field or an item of a list: it knows how to
complete a value, and where an error goes.

Completing gives the value for the answer, or a coroutine that will give it, and raises what went wrong. What
`complete_any` gives may also be a `Pending`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    get_nullable_type,
    is_non_null_type,
    located_error,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import is_awaitable

from graphql_api.execution.arguments import Arguments
from graphql_api.execution.promises import Promise
from graphql_api.execution.run import Run, Steps, to_path
from graphql_api.execution.values import PLAIN, Coroutine, Surprise, coerced, is_plain
from graphql_api.execution.waiting import Pending, leave

Completion = Callable[[Run, Any, Any], Any]
"""Completes a value in a run, at a path."""

NOTHING: Mapping[str, Any] = {}


class Place:
    """Where a value may stand: in a field, or in a list."""

    __slots__ = ("complete", "complete_plain", "is_nullable", "nodes", "selection", "type")

    complete: Completion
    """Completes any value that is not awaitable."""
    complete_plain: Completion
    """Completes a value of a type in `PLAIN`."""
    selection: Selection | None
    """What to select of an object; None for other values, and where the type must be asked whether an object is one."""

    def __init__(self, type_: GraphQLOutputType, nodes: Sequence[FieldNode]) -> None:
        self.type = type_
        self.nodes = nodes
        self.is_nullable = not is_non_null_type(type_)
        self.selection = None

    def complete_any(self, run: Run, value: Any, path: Steps) -> Any:
        """The completed value of whatever a resolver or an iterator gave."""
        kind = type(value)
        if kind in PLAIN:
            done = self.complete_plain(run, value, path)
        elif kind is Promise and self.selection and self.selection.is_at_hand:
            return Pending(value, self, run, path)
        elif not is_plain(value) and is_awaitable(value):
            return self.awaited(run, value, path)
        else:
            done = self.complete(run, value, path)
        return self.guarded(run, done, path) if type(done) is Coroutine else done

    def complete_promised(self, run: Run, promise: Promise[Any], path: Steps) -> Any:
        """The completed value of what a promise has given."""
        try:
            value = promise.result()
            if self.selection and (type(value) in PLAIN or is_plain(value)):
                done = self.selection.function(run, value, path)
            else:
                done = self.complete(run, value, path)
        except Exception as error:
            return self.fail(run, error, path)
        return self.guarded(run, done, path) if type(done) is Coroutine else done

    def complete_odd(self, run: Run, value: Any, answer: Any, path: Steps) -> Any:
        """What a leaf type made of a value, when that is not plain: given on if it may stand in an answer."""
        done = coerced(str(get_nullable_type(self.type)), value, answer)
        return self.guarded(run, done, path) if type(done) is Coroutine else done

    async def awaited(self, run: Run, value: Any, path: Steps) -> Any:
        try:
            done = self.complete(run, await value, path)
            return await done if type(done) is Coroutine else done
        except Exception as error:
            return self.fail(run, error, path)

    async def guarded(self, run: Run, done: Any, path: Steps) -> Any:
        """What the coroutine gives; its error ends here if null may stand here."""
        try:
            return await done
        except Exception as error:
            return self.fail(run, error, path)

    def fail(self, run: Run, error: Exception, path: Steps, begun: Mapping[str, Any] = NOTHING) -> Any:
        """Null, and the error is noted; where null may not stand it is raised, and what was begun is left alone."""
        located = located_error(error, self.nodes, to_path(path).as_list())
        if not self.is_nullable:
            leave(run, begun.values())
            raise located
        run.note(located, path)
        return None


class Field(Place):
    """A field in its place."""

    __slots__ = ("arguments", "call", "definition", "details", "key", "memory", "name", "parent", "resolve")

    arguments: Arguments | None
    """Gives the arguments for the variables of a run; None for a field that has none."""
    call: Any
    """How Strawberry's resolver is called, a `resolvers.Call`; None for any other."""
    resolve: Callable[[Run, Any, Steps, dict[str, Any]], Any]
    """Calls the resolver for a source, a path, and arguments."""

    def __init__(
        self, key: str, definition: GraphQLField, parent: GraphQLObjectType, details: FieldDetailsList
    ) -> None:
        super().__init__(definition.type, [detail.node for detail in details])
        self.key = key
        self.name = self.nodes[0].name.value
        self.definition = definition
        self.parent = parent
        self.details = details
        self.memory: dict[Any, Any] = {}
        """What resolvers find out about this place in the document, to be remembered as long as the plan lives."""

    def info(self, run: Run, path: Steps) -> GraphQLResolveInfo[Any]:
        """What resolvers of this field, and of types that it leads to, may want to know."""
        while path[2] is None:  # a place in a list of the field
            path = path[0]
        return run.core.build_resolve_info(self.definition, list(self.nodes), self.parent, to_path(path))

    async def later(self, run: Run, source: Any, path: Steps, given: dict[str, Any]) -> Any:
        """Resolved and completed by a task, for a resolver that is a coroutine."""
        try:
            done = self.complete(run, await self.resolve(run, source, path, given), path)
            return await done if type(done) is Coroutine else done
        except Exception as error:
            return self.fail(run, error, path)


class Selection:
    """What a field asks of objects of one type. `function(run, source, path)` gives it as a dict, or as a coroutine."""

    __slots__ = ("_make", "details", "each", "function", "is_at_hand", "type")

    function: Completion
    is_at_hand: bool
    """True when the function is made, and nobody is likely to wait for anything in it; nobody had to the first time."""
    each: Each | None
    """Gives the same for many objects, as dicts; None where each needs the closer look of `function`."""

    def __init__(self, type_: GraphQLObjectType, details: FieldDetailsList, make: Make) -> None:
        self.type = type_
        self.details = details
        self.function = self._first
        self.each = self._first_each
        self.is_at_hand = False
        self._make = make

    def _first(self, run: Run, source: Any, path: Steps) -> Any:
        """Stands for the function until there is an object. What is never reached is never made."""
        made = self._make(self, run)
        self.function, self.is_at_hand = made.function, made.is_at_hand
        answer = self.function(run, source, path)
        if type(answer) is Coroutine:
            self.is_at_hand = False
        return answer

    def _first_each(self, rows: Any, sources: list[Any]) -> list[Any]:
        self.each = self._make(self, rows.run).each
        if self.each is None:
            raise Surprise
        return self.each(rows, sources)


Each = Callable[[Any, list[Any]], list[Any]]
"""Gives what is selected of many plain objects, in the places of a `many.Rows`.

Raises `Surprise` where they can only be completed one by one, before any resolver is called; or what one raises."""


class Functions(Protocol):
    """What a `Selection` has under the same names; each function is made when it is first wanted."""

    @property
    def function(self) -> Completion: ...
    @property
    def is_at_hand(self) -> bool: ...
    @property
    def each(self) -> Each | None: ...


Make = Callable[[Selection, Run], Functions]
