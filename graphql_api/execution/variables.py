"""Variables of an operation: their types are looked up once, values that fit are coerced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLError, GraphQLSchema, OperationDefinitionNode, is_non_null_type
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.pyutils import Undefined

from graphql_api.execution.coercion import coercion

ERRORS_MAX = 50
"""As many as graphql-core reports."""

_Part = Callable[[VariableValues, Mapping[str, Any]], bool]
"""False where graphql-core has more to say, about a default or an error."""

Coerce = Callable[[Mapping[str, Any]], VariableValues | list[GraphQLError]]


def variables(schema: GraphQLSchema, operation: OperationDefinitionNode) -> Coerce:
    """What makes the values that a request sends those of the operation, or says what is wrong with them."""
    definitions = operation.variable_definitions or ()
    parts = [_part(get_variable_signature(schema, one), one.default_value is not None) for one in definitions]
    if not parts:
        return lambda _given: VariableValues({}, {})

    def coerce(given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        values = VariableValues({}, {})
        try:
            fits = all([part(values, given) for part in parts])  # noqa: C419  # quicker than a generator
        except Exception:  # of a scalar, say
            fits = False
        return values if fits else get_variable_values(schema, definitions, dict(given), ERRORS_MAX)

    return coerce


def _part(signature: GraphQLVariableSignature | GraphQLError, has_default: bool) -> _Part:
    """What adds the value of a variable."""
    if isinstance(signature, GraphQLError):
        return lambda _values, _given: False
    name, coerce, is_required = signature.name, coercion(signature.type), is_non_null_type(signature.type)

    def add(values: VariableValues, given: Mapping[str, Any]) -> bool:
        value = given.get(name, Undefined)
        values.sources[name] = VariableValueSource(signature, value)
        if value is Undefined:
            return not has_default and not is_required
        values.coerced[name] = coerce(value)
        return True

    return add
