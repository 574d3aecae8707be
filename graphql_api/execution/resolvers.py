"""Resolvers: how each field's is called, without the layers that Strawberry puts around it where they do nothing.

Whatever is not recognised is called as graphql-core would call it.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo
from graphql.pyutils import is_awaitable
from strawberry import Info
from strawberry.relay.types import GlobalID
from strawberry.scalars import is_scalar
from strawberry.schema import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import StrawberryArgument, convert_argument
from strawberry.types.base import StrawberryMaybe, StrawberryObjectDefinition, StrawberryOptional
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE as CAST
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField

from graphql_api.execution.arguments import Arguments, arguments
from graphql_api.execution.plans import Field
from graphql_api.execution.run import Run, Steps

__all__ = ["CAST", "attribute", "checks_its_class", "is_coroutine", "method", "own_class", "resolver"]

Resolve = Callable[[Run, Any, Steps], Any]


def attribute(definition: GraphQLField) -> str | None:
    """The attribute of the source that is the field's value, if that is all that its resolver does."""
    field = _strawberry_field(definition, "_get_basic_result")
    if field is None or field.default_resolver is not getattr:
        return None
    name = field.python_name
    return name if name.isidentifier() and not keyword.iskeyword(name) else None


def method(definition: GraphQLField, schema: Schema | None) -> Callable[[Any], Any] | None:
    """The function that gives the field's value for a source, if the source is all that it asks for."""
    field = _strawberry_field(definition, "_resolver")
    wanted = None if field is None else field.base_resolver
    if wanted is None or wanted.self_parameter is None or len(wanted.signature.parameters) > 1:
        return None
    if schema is None or schema.exception_handlers or not callable(wanted.wrapped_func):
        return None
    return wanted.wrapped_func


def is_coroutine(definition: GraphQLField) -> bool:
    """True when all there is to calling the resolver is done in a coroutine: arguments are coerced before it begins."""
    return not definition.args and _strawberry_field(definition, "_async_resolver") is not None


def resolver(field: Field, schema: Schema | None) -> Resolve:
    """What calls the field's resolver, with its arguments and all that it asks for."""
    definition = field.definition
    values = arguments(definition, field.nodes[0])
    if definition.resolve is None:
        return _default(field, values)
    theirs = _strawberry_field(definition, "_resolver") or _strawberry_field(definition, "_async_resolver")
    if theirs is not None and schema is not None:
        return _strawberry(field, theirs, schema, values)
    return _as_graphql_core(field, definition.resolve, values)


def checks_its_class(type_: GraphQLObjectType) -> bool:
    """True when the type's `is_type_of` is Strawberry's, which accepts every object of the type's own class."""
    code = getattr(type_.is_type_of, "__code__", None)
    return code is not None and code.co_qualname == f"{_IN}from_object.<locals>._get_is_type_of.<locals>.is_type_of"


def own_class(type_: GraphQLObjectType) -> type:
    definition: StrawberryObjectDefinition = type_.extensions["strawberry-definition"]
    return definition.origin


def _as_graphql_core(field: Field, resolve: Callable[..., Any], values: Arguments | None) -> Resolve:
    def call(run: Run, source: Any, path: Steps) -> Any:
        given = values(run.variables) if values else {}
        return resolve(source, field.info(run, path), **given)

    return call


def _default(field: Field, values: Arguments | None) -> Resolve:
    """graphql-core's `default_field_resolver`."""
    name = field.name

    def call(run: Run, source: Any, path: Steps) -> Any:
        given = values(run.variables) if values else {}
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        return value(field.info(run, path), **given) if callable(value) else value

    return call


# Strawberry's layers: `schema_converter.from_resolver` wraps a resolver so that its arguments become Python values and
# it gets the `Info`, extensions and exception handlers that it asks for. The last two are left to it.

_IN = f"{GraphQLCoreConverter.__qualname__}."


def _strawberry_field(definition: GraphQLField, wrapper: str) -> StrawberryField | None:
    """The field behind the wrapper of this name; None when there is more to it than what is done here."""
    field = definition.extensions.get("strawberry-definition")
    code = getattr(definition.resolve, "__code__", None)
    is_wrapper = code is not None and code.co_qualname == f"{_IN}from_resolver.<locals>.{wrapper}"
    if not is_wrapper or not isinstance(field, StrawberryField) or field.extensions:
        return None
    return field if type(field).get_result is StrawberryField.get_result else None


def _strawberry(field: Field, theirs: StrawberryField, schema: Schema, values: Arguments | None) -> Resolve:
    if schema.exception_handlers or theirs.base_resolver is None:
        assert field.definition.resolve is not None
        return _as_graphql_core(field, field.definition.resolve, values)
    wanted = theirs.base_resolver
    call_it: Callable[..., Any] = wanted  # the function itself is a step less
    if callable(wanted.wrapped_func):
        call_it = wanted.wrapped_func
    wants_self = wanted.self_parameter is not None
    source_names = [p.name for p in (wanted.parent_parameter, wanted.root_parameter) if p is not None]
    info_name = None if wanted.info_parameter is None else wanted.info_parameter.name
    parts = [_argument(argument, schema) for argument in theirs.arguments]

    def call(run: Run, source: Any, path: Steps, raw: dict[str, Any]) -> Any:
        given = {}
        info = _info(run, field, theirs, path, schema) if info_name or raw else None
        for name, python_name, convert in parts:
            if name in raw:
                given[python_name] = raw[name] if convert is None else convert(raw[name], info)
        for name in source_names:
            given[name] = source
        if info_name:
            given[info_name] = info
        return call_it(source, **given) if wants_self else call_it(**given)

    async def call_later(run: Run, source: Any, path: Steps, raw: dict[str, Any]) -> Any:
        value = call(run, source, path, raw)
        return await value if is_awaitable(value) else value

    if values is None:
        return lambda run, source, path: call(run, source, path, {})
    begin = call_later if theirs.is_async else call  # as Strawberry: it converts in the coroutine
    return lambda run, source, path: begin(run, source, path, values(run.variables))


def _argument(argument: StrawberryArgument, schema: Schema) -> tuple[str, str, Callable[[Any, Any], Any] | None]:
    """Its names in the graph and in Python, and what makes its value Strawberry's; None where nothing is to be done."""
    config, scalars = schema.config, schema.schema_converter.scalar_registry
    name = config.name_converter.from_argument(argument)
    type_ = argument.type
    if isinstance(type_, StrawberryOptional) and not isinstance(type_, StrawberryMaybe):
        type_ = type_.of_type
    if isinstance(type_, StrawberryEnumDefinition) or (is_scalar(type_, scalars) and type_ is not GlobalID):
        return name, argument.python_name, None

    def convert(value: Any, info: Any) -> Any:
        return convert_argument(value, argument.type, scalars, config, info, path=(name,))

    return name, argument.python_name, convert


def _info(run: Run, field: Field, theirs: StrawberryField, path: Steps, schema: Schema) -> Any:
    if schema.config.info_class is not Info:
        return schema.config.info_class(_raw_info=field.info(run, path), _field=theirs)
    info = _Info.__new__(_Info)
    info._field = theirs
    info._asked = run, field, path
    return info


class _Info(Info[Any, Any]):
    """Strawberry's `Info`, which asks graphql-core only when a resolver wants more than the context."""

    _asked: tuple[Run, Field, Steps]

    @cached_property
    def _raw_info(self) -> GraphQLResolveInfo[Any]:  # type: ignore[override]
        run, field, path = self._asked
        return field.info(run, path)

    @property
    def context(self) -> Any:
        return self._asked[0].context
