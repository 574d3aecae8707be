"""Arguments of Strawberry's resolvers: how coerced values become Python's, decided ahead for each type.

What Strawberry's `convert_argument` finds out for each value anew; for what is not recognised it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from strawberry import Some
from strawberry.relay.types import GlobalID
from strawberry.scalars import is_scalar
from strawberry.schema import Schema
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryList, StrawberryMaybe, StrawberryObjectDefinition, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition

Convert = Callable[[Any, Any, tuple[str | int, ...]], Any]
"""Makes Python's value of a coerced one; it may need the info, and the path of the value among the arguments."""


def conversion(type_: Any, schema: Schema) -> Convert | None:
    """What makes values of this type those that a resolver gets; None where they are that already."""
    if isinstance(type_, StrawberryMaybe):
        return _maybe(type_, schema)
    if isinstance(type_, StrawberryOptional):
        return conversion(type_.of_type, schema)
    if isinstance(type_, StrawberryList):
        return _list(type_, schema)
    if isinstance(type_, StrawberryEnumDefinition):
        return None
    if is_scalar(type_, schema.schema_converter.scalar_registry) and type_ is not GlobalID:
        return None
    definition = getattr(type_, "__strawberry_definition__", None)
    if isinstance(definition, StrawberryObjectDefinition) and definition.is_input and definition.from_input is None:
        return _object(type_, definition, schema)
    return _as_strawberry(type_, schema)


def _as_strawberry(type_: Any, schema: Schema) -> Convert:
    config, scalars = schema.config, schema.schema_converter.scalar_registry

    def convert(value: Any, info: Any, path: tuple[str | int, ...]) -> Any:
        return convert_argument(value, type_, scalars, config, info, path=path)

    return convert


def _maybe(type_: StrawberryMaybe, schema: Schema) -> Convert:
    if not isinstance(type_.of_type, StrawberryOptional):
        return _as_strawberry(type_, schema)  # null is an error then, with words of its own
    inner = conversion(type_.of_type, schema)
    return lambda value, info, path: Some(value if inner is None else inner(value, info, path))


def _list(type_: StrawberryList, schema: Schema) -> Convert:
    item = conversion(type_.of_type, schema)

    def convert(value: Any, info: Any, path: tuple[str | int, ...]) -> Any:
        if value is None:
            return None
        if item is None:
            return list(value)  # the resolver may change it
        return [item(one, info, (*path, index)) for index, one in enumerate(value)]

    return convert


def _object(type_: type, definition: StrawberryObjectDefinition, schema: Schema) -> Convert:
    fields: dict[str, tuple[str, Convert | None]] = {}
    absent: dict[str, None] = {}

    def look() -> None:
        """When the first value comes: a type may lead to itself."""
        for field in definition.fields:
            inner = conversion(field.resolve_type(type_definition=definition), schema)
            fields[schema.config.name_converter.from_field(field)] = field.python_name, inner
            if field.default_value is MISSING:
                absent[field.python_name] = None

    def convert(value: Mapping[str, Any] | None, info: Any, path: tuple[str | int, ...]) -> Any:
        if value is None:
            return None
        if not fields:
            look()
        given: dict[str, Any] = absent.copy()
        for name, one in value.items():
            python_name, inner = fields[name]
            given[python_name] = one if inner is None else inner(one, info, (*path, name))
        return type_(**given)

    return convert
