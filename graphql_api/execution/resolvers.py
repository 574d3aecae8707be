"""Resolvers: how each field's is called, without the layers that Strawberry puts around it where they do nothing.

Whatever is not recognised is called as graphql-core would call it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    TypeNameMetaFieldDef,
    get_nullable_type,
    is_leaf_type,
)
from graphql.pyutils import inspect
from strawberry import Info
from strawberry.schema import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE as CAST
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from graphql_api.execution.conversion import Convert, conversion
from graphql_api.execution.plans import Field
from graphql_api.execution.run import Run, Steps

_IN = f"{GraphQLCoreConverter.__qualname__}."
"""Of what is defined in Strawberry's converter, the qualified name begins so."""

Resolve = Callable[[Run, Any, Steps, dict[str, Any]], Any]
"""Calls a resolver for a source and a path, with arguments as the schema has them."""


def attribute(definition: GraphQLField) -> str | None:
    """The attribute of the source that is the field's value, if that is all that its resolver does."""
    field = _strawberry_field(definition, "_get_basic_result")
    if field is None or field.default_resolver is not getattr:
        return None
    return field.python_name  # of a dataclass, which is written as text too: it can only be an identifier


def is_coroutine(definition: GraphQLField) -> bool:
    """True when all there is to calling the resolver is done in a coroutine, once its arguments are coerced."""
    return _strawberry_field(definition, "_async_resolver") is not None


def is_at_hand(field: Field) -> bool:
    """True for a leaf that nobody is likely to wait for."""
    if field.definition is TypeNameMetaFieldDef:
        return True
    if not is_leaf_type(get_nullable_type(field.type)) or is_coroutine(field.definition):
        return False
    return field.call is not None or attribute(field.definition) is not None


def resolver(field: Field) -> Resolve:
    """What calls the field's resolver, with all that it asks for."""
    resolve = field.definition.resolve
    if resolve is None:
        return _default(field)
    return _as_graphql_core(field, resolve) if field.call is None else _called(field, field.call)


def checks_its_class(type_: GraphQLObjectType) -> bool:
    """True when the type's `is_type_of` is Strawberry's, which accepts every object of the type's own class."""
    code = getattr(type_.is_type_of, "__code__", None)
    return code is not None and code.co_qualname == f"{_IN}from_object.<locals>._get_is_type_of.<locals>.is_type_of"


def check(type_: GraphQLObjectType, source: Any) -> None:
    """Raises GraphQLError for an object of another type, by Strawberry's `is_type_of`."""
    is_type_of: Any = type_.is_type_of  # which takes no interest in the info
    if not is_type_of(source, None):
        raise GraphQLError(f"Expected value of type '{type_}' but got: {inspect(source)}.")


def is_another(type_: GraphQLObjectType) -> str:
    """A Python condition under which a `source` may be of another type: not of the class `Own`, or marked by
    `strawberry.cast`, which objects without a `__dict__` cannot be."""
    is_marked = f" or getattr(source, {CAST!r}, None) is not None" if own_class(type_).__dictoffset__ else ""
    return f"type(source) is not Own{is_marked}"


def own_class(type_: GraphQLObjectType) -> type:
    definition: StrawberryObjectDefinition = type_.extensions["strawberry-definition"]
    return definition.origin


def _as_graphql_core(field: Field, resolve: Callable[..., Any]) -> Resolve:
    def call(run: Run, source: Any, path: Steps, given: dict[str, Any]) -> Any:
        return resolve(source, field.info(run, path), **given)

    return call


def _default(field: Field) -> Resolve:
    """graphql-core's `default_field_resolver`."""
    name = field.name

    def call(run: Run, source: Any, path: Steps, given: dict[str, Any]) -> Any:
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        return value(field.info(run, path), **given) if callable(value) else value

    return call


# Strawberry's layers: `schema_converter.from_resolver` wraps a resolver so that its arguments become Python values and
# it gets the `Info`, extensions and exception handlers that it asks for. The last two are left to it, as is an `Info`
# of another class.


def _strawberry_field(definition: GraphQLField, wrapper: str) -> StrawberryField | None:
    """The field behind the wrapper of this name; None when there is more to it than what is done here."""
    field = definition.extensions.get("strawberry-definition")
    code = getattr(definition.resolve, "__code__", None)
    is_wrapper = code is not None and code.co_qualname == f"{_IN}from_resolver.<locals>.{wrapper}"
    if not is_wrapper or not isinstance(field, StrawberryField) or field.extensions:
        return None
    return field if type(field).get_result is StrawberryField.get_result else None


@dataclass(frozen=True, slots=True)
class Call:
    """How a Strawberry resolver is called."""

    field: StrawberryField
    function: Callable[..., Any]
    wants_self: bool
    """The source as its first argument."""
    source_names: Sequence[str]
    """Arguments that are the source too."""
    info_name: str | None
    arguments: Mapping[str, tuple[str, Convert | None]]
    """By their names in the graph: their names in Python, and what makes their values Python's."""


def call(definition: GraphQLField, schema: Schema | None) -> Call | None:
    """How the resolver is called, if it is Strawberry's and nothing else happens to what goes in and comes out."""
    theirs = _strawberry_field(definition, "_resolver") or _strawberry_field(definition, "_async_resolver")
    wanted = None if theirs is None else theirs.base_resolver
    if theirs is None or wanted is None or schema is None:
        return None
    if schema.exception_handlers or schema.config.info_class is not Info:
        return None
    if type(wanted).__call__ is not StrawberryResolver.__call__:  # there is more to calling it than the function
        return None
    function: Any = wanted.wrapped_func
    if is_coroutine(definition) and not iscoroutinefunction(function):
        return None  # an asynchronous generator, say, which nobody can await
    names = schema.config.name_converter
    return Call(
        theirs,
        function,
        wanted.self_parameter is not None,
        [p.name for p in (wanted.parent_parameter, wanted.root_parameter) if p is not None],
        None if wanted.info_parameter is None else wanted.info_parameter.name,
        {names.from_argument(one): (one.python_name, conversion(one.type, schema)) for one in theirs.arguments},
    )


def _called(field: Field, call: Call) -> Resolve:
    def resolve(run: Run, source: Any, path: Steps, given: dict[str, Any]) -> Any:
        info = info_of(run, field, path) if call.info_name or given else None
        wanted = dict.fromkeys(call.source_names, source)
        for name, value in given.items():
            python_name, convert = call.arguments[name]
            wanted[python_name] = value if convert is None else convert(value, info, (name,))
        if call.info_name:
            wanted[call.info_name] = info
        return call.function(source, **wanted) if call.wants_self else call.function(**wanted)

    return resolve


class _Info(Info[Any, Any]):
    """Strawberry's `Info`, which asks graphql-core only when a resolver wants more than the context."""

    context: Any = None  # theirs asks graphql-core each time
    memory: dict[Any, Any]
    """For what a resolver finds out about its place in the document: the next request need not look again."""
    _asked: tuple[Run, Field, Steps]

    @cached_property
    def _raw_info(self) -> GraphQLResolveInfo[Any]:  # type: ignore[override]
        run, field, path = self._asked
        return field.info(run, path)


def info_of(run: Run, field: Field, path: Steps) -> Any:
    """What a resolver gets that asks for the `Info`."""
    info = _Info.__new__(_Info)
    info.context = run.context
    info.memory = field.memory
    info._field = field.call.field
    info._asked = run, field, path
    return info
