"""Arguments of a field: those that a document writes out are coerced once, those from variables are only picked up."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from graphql import ArgumentNode, FieldNode, GraphQLArgument, GraphQLField, VariableNode, is_non_null_type
from graphql.execution.values import VariableValues, coerce_argument

Arguments = Callable[[VariableValues], dict[str, Any]]
"""The arguments of a field with these variables: a new dict each time. Raises GraphQLError."""

_Part = Callable[[dict[str, Any], VariableValues], None]
"""Adds one argument to those of a field."""

_NO_VARIABLES = VariableValues({}, {})


def arguments(definition: GraphQLField, node: FieldNode) -> Arguments | None:
    """How to get at the arguments; None for a field that has none."""
    if not definition.args:
        return None
    given = {argument.name.value: argument for argument in node.arguments or ()}
    constants: dict[str, Any] = {}
    parts = [
        part
        for name, argument in definition.args.items()
        if (part := _part(node, name, argument, given.get(name), constants))
    ]

    def values(variables: VariableValues) -> dict[str, Any]:
        found = constants.copy()
        for part in parts:
            part(found, variables)
        return found

    return values


def _part(
    node: FieldNode, name: str, argument: GraphQLArgument, given: ArgumentNode | None, constants: dict[str, Any]
) -> _Part | None:
    """What adds one argument; None for a constant, which is put among the constants."""

    def coerce(found: dict[str, Any], variables: VariableValues) -> None:
        coerce_argument(found, node, name, argument, given, variables, None)

    if given is not None and isinstance(given.value, VariableNode):
        return _variable(given.value.name.value, argument.out_name or name, is_non_null_type(argument.type), coerce)
    try:
        constant: dict[str, Any] = {}
        coerce(constant, _NO_VARIABLES)
    except Exception:
        return coerce  # with variables inside of it, or wrong, and then each execution has to say so
    if not all(_is_immutable(value) for value in constant.values()):
        return coerce  # a resolver may change what it is given: the next one gets its own
    constants |= constant
    return None


def _variable(variable: str, name: str, is_required: bool, coerce: _Part) -> _Part:
    def pick(found: dict[str, Any], variables: VariableValues) -> None:
        if variable in variables.coerced and not (is_required and variables.coerced[variable] is None):
            found[name] = variables.coerced[variable]
        else:
            coerce(found, variables)  # the default, or an error

    return pick


def _is_immutable(value: object) -> bool:
    return value is None or isinstance(value, Enum) or type(value) in (str, int, float, bool)
