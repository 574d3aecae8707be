"""Completing values: what GraphQL's section "Value Completion" says for each kind of type, decided ahead."""

from __future__ import annotations

from typing import Any, TypeVar

from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLLeafType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    default_type_resolver,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.executor import collect_iterator_awaitables, invalid_return_type_error
from graphql.pyutils import Undefined, is_async_iterable, is_awaitable, is_iterable

from graphql_api.execution.many import of_list
from graphql_api.execution.plans import Completion, Field, Make, Place, Selection
from graphql_api.execution.resolvers import checks_its_class
from graphql_api.execution.run import Run, Steps, to_path
from graphql_api.execution.values import PLAIN, Coroutine, coerced, leaf
from graphql_api.execution.waiting import PENDING, leave, together

P = TypeVar("P", bound=Place)

MANY = 8
"""So many objects are sooner completed by `many`."""


def completing(place: P, field: Field, make: Make) -> P:
    """The place, which now knows how to complete values of its type."""
    type_ = place.type
    nullable = type_.of_type if is_non_null_type(type_) else type_
    if isinstance(nullable, GraphQLObjectType):
        selection = Selection(nullable, field.details, make)
        place.selection = None if _asks(nullable) else selection
        place.complete_plain = _object(nullable, field, selection)
    else:
        place.complete_plain = _of(nullable, field, make)
    plain = place.complete_plain
    place.complete = _nullable(plain) if place.is_nullable else _non_null(field, plain)
    return place


def _nullable(inner: Completion) -> Completion:
    def complete(run: Run, value: Any, path: Steps) -> Any:
        if isinstance(value, Exception):
            raise value
        return None if value is None or value is Undefined else inner(run, value, path)

    return complete


def _non_null(field: Field, inner: Completion) -> Completion:
    def complete(run: Run, value: Any, path: Steps) -> Any:
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            raise TypeError(f"Cannot return null for non-nullable field {field.parent}.{field.name}.")
        return inner(run, value, path)

    return complete


def _of(type_: GraphQLOutputType, field: Field, make: Make) -> Completion:
    if is_list_type(type_):
        return _list(type_, field, make)
    if is_leaf_type(type_):
        return _leaf(type_)
    assert is_abstract_type(type_)
    return _abstract(type_, field, make)


def _asks(type_: GraphQLObjectType) -> bool:
    """True for a type that has to be asked whether an object is of it."""
    return type_.is_type_of is not None and not checks_its_class(type_)


def _leaf(type_: GraphQLLeafType) -> Completion:
    coerce = leaf(type_).coerce

    def complete(_run: Run, value: Any, _path: Steps) -> Any:
        answer = coerce(value)
        return answer if type(answer) in PLAIN else coerced(type_.name, value, answer)

    return complete


def _list(type_: GraphQLList[Any], field: Field, make: Make) -> Completion:
    item = completing(Place(type_.of_type, field.nodes), field, make)

    def complete(run: Run, value: Any, path: Steps) -> Any:
        if type(value) is not list:
            if is_async_iterable(value):
                return _async_list(type_.of_type, field, run, value, path)
            if not is_iterable(value):
                raise GraphQLError(f"Expected Iterable, but did not find one for field '{field.parent}.{field.name}'.")
        elif item.selection and item.selection.each and len(value) >= MANY:
            answers = of_list(item, item.selection, run, value, path)
            if answers is not None:
                return answers
        answers = []
        is_waiting = False
        iterator = iter(value)
        try:
            for index, one in enumerate(iterator):
                try:
                    if type(one) in PLAIN:
                        answer = item.complete_plain(run, one, (path, index, None))
                        if type(answer) is Coroutine:
                            answer = item.guarded(run, answer, (path, index, None))
                            is_waiting = True
                    else:
                        answer = item.complete_any(run, one, (path, index, None))
                        is_waiting = is_waiting or type(answer) in PENDING
                except Exception as error:
                    answer = item.fail(run, error, (path, index, None))
                answers.append(answer)
        except Exception:
            leave(run, answers)
            run.core.track_async_work(collect_iterator_awaitables(iterator, is_awaitable))
            raise
        return together(answers) if is_waiting else answers

    return complete


def _async_list(item_type: GraphQLOutputType, field: Field, run: Run, value: Any, path: Steps) -> Any:
    """Left to graphql-core, with all that is asked of the items."""
    return run.core.complete_async_iterator_value(
        item_type, field.details, field.info(run, path), to_path(path), value.__aiter__(), None
    )


def _object(type_: GraphQLObjectType, field: Field, selection: Selection) -> Completion:
    is_type_of = type_.is_type_of

    def complete(run: Run, value: Any, path: Steps) -> Any:
        return selection.function(run, value, path)

    def complete_if_it_is(run: Run, value: Any, path: Steps) -> Any:
        assert is_type_of is not None
        verdict = is_type_of(value, field.info(run, path))
        if is_awaitable(verdict):
            return complete_later(run, value, path, verdict)
        if not verdict:
            raise invalid_return_type_error(type_, value, field.details)
        return selection.function(run, value, path)

    async def complete_later(run: Run, value: Any, path: Steps, verdict: Any) -> Any:
        if not await verdict:
            raise invalid_return_type_error(type_, value, field.details)
        answer = selection.function(run, value, path)
        return await answer if type(answer) is Coroutine else answer

    return complete_if_it_is if _asks(type_) else complete


def _abstract(type_: GraphQLAbstractType, field: Field, make: Make) -> Completion:
    resolve_type = type_.resolve_type or default_type_resolver
    known: dict[str, Completion] = {}

    def complete(run: Run, value: Any, path: Steps) -> Any:
        name = resolve_type(value, field.info(run, path), type_)
        if is_awaitable(name):
            return complete_later(run, value, path, name)
        return as_type(name, run, value, path)

    async def complete_later(run: Run, value: Any, path: Steps, name: Any) -> Any:
        answer = as_type(await name, run, value, path)
        return await answer if type(answer) is Coroutine else answer

    def as_type(name: Any, run: Run, value: Any, path: Steps) -> Any:
        if type(name) is not str or name not in known:
            runtime = run.core.ensure_valid_runtime_type(name, type_, field.details, field.info(run, path), value)
            known[name] = _object(runtime, field, Selection(runtime, field.details, make))
        return known[name](run, value, path)

    return complete
