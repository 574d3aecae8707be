"""Input coercion: what graphql-core's `coerce_input_value` finds out about a type for each value, found out once.

GraphQL's sections "Input Coercion" for lists, input objects and non-null types. Only what is usual is coerced here; for
all else graphql-core is asked, which also says what is wrong with a value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from graphql import (
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    get_named_type,
    get_nullable_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
)
from graphql.execution.values import input_is_nested_too_deeply
from graphql.pyutils import Undefined, is_iterable
from graphql.utilities.coerce_input_value import coerce_default_value

Coerce = Callable[[Any], Any]
"""Gives the coerced value. For one that does not fit it raises an exception of any kind."""

TYPES_MAX = 1000
"""Input objects for which this is remembered, whichever operation asks for them."""


class Unusual(Exception):
    """The value does not fit, or fits in a way that only graphql-core knows."""


def coercion(type_: GraphQLInputType) -> Coerce:
    """What coerces values of this type."""
    coerce = _coercion(type_)
    if not _leads_to_itself(get_named_type(type_)):
        return coerce

    def bounded(value: Any) -> Any:
        if input_is_nested_too_deeply(value, type_):
            raise Unusual
        return coerce(value)

    return bounded


def _coercion(type_: GraphQLInputType) -> Coerce:
    nullable: Any = get_nullable_type(type_)
    if is_list_type(nullable):
        inner = _list(_coercion(nullable.of_type))
    elif is_input_object_type(nullable):
        inner = _object(nullable)
    else:
        inner = nullable.coerce_input_value
    is_required = is_non_null_type(type_)

    def coerce(value: Any) -> Any:
        coerced = None if value is None else inner(value)
        if coerced is Undefined or (value is None and is_required):
            raise Unusual
        return coerced

    return coerce


def _list(item: Coerce) -> Coerce:
    def coerce(value: Any) -> Any:
        if type(value) is list:
            return [item(one) for one in value]
        if is_iterable(value):
            raise Unusual
        return [item(value)]

    return coerce


@lru_cache(TYPES_MAX)
def _object(type_: GraphQLInputObjectType) -> Coerce:
    fields: list[tuple[str, str, Coerce, Callable[[], Any] | None]] = []

    def look() -> None:
        """When the first value comes: a type may lead to itself."""
        fields[:] = [
            (name, field.out_name or name, _coercion(field.type), _default(field))
            for name, field in type_.fields.items()
        ]

    def coerce(value: Any) -> Any:
        if type(value) is not dict:
            raise Unusual
        if not fields:
            look()
        found: dict[str, Any] = {}
        given = 0
        for name, out_name, inner, default in fields:
            if name in value:
                found[out_name] = inner(value[name])
                given += 1
            elif default is not None:
                found[out_name] = default()
        if given < len(value) or (type_.is_one_of and (len(found) != 1 or None in found.values())):
            raise Unusual
        return type_.out_type(found)

    return coerce


def _default(field: GraphQLInputField) -> Callable[[], Any] | None:
    """What gives the value of a field that is left out; None where there is none."""
    if is_required_input_field(field):
        return _missing
    return None if field.default is None and field.default_value is Undefined else partial(coerce_default_value, field)


def _missing() -> Any:
    raise Unusual


@lru_cache(TYPES_MAX)
def _leads_to_itself(type_: GraphQLInputType) -> bool:
    """True where values of the type may lie in each other without end."""
    seen: set[GraphQLInputType] = set()

    def leads(inner: GraphQLInputType, above: frozenset[GraphQLInputType]) -> bool:
        named = get_named_type(inner)
        if named in above:
            return True
        if named in seen or not is_input_object_type(named):
            return False
        seen.add(named)
        return any(leads(field.type, above | {named}) for field in named.fields.values())

    return leads(type_, frozenset())
