"""Variables of an operation: their types are looked up once, values that fit are coerced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLError, GraphQLSchema, OperationDefinitionNode, is_non_null_type
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.pyutils import Undefined

from graphql_api.execution.coercion import coercion

ERRORS_MAX = 50
"""As many as graphql-core reports."""

Coerce = Callable[[Mapping[str, Any]], VariableValues | list[GraphQLError]]


def variables(schema: GraphQLSchema, operation: OperationDefinitionNode) -> Coerce:
    """What makes the values that a request sends those of the operation, or says what is wrong with them."""
    definitions = operation.variable_definitions or ()

    def by_graphql_core(given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """It has more to say, about a default or an error."""
        return get_variable_values(schema, definitions, dict(given), ERRORS_MAX)

    parts = []
    for one in definitions:
        signature = get_variable_signature(schema, one)
        if isinstance(signature, GraphQLError):
            return by_graphql_core
        may_be_absent = one.default_value is None and not is_non_null_type(signature.type)
        parts.append((signature.name, signature, coercion(signature.type), may_be_absent))

    def coerce(given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        values = VariableValues({}, {})
        sources, coerced = values
        try:
            for name, signature, coerce_one, may_be_absent in parts:
                value = given.get(name, Undefined)
                sources[name] = VariableValueSource(signature, value)
                if value is not Undefined:
                    coerced[name] = coerce_one(value)
                elif not may_be_absent:
                    return by_graphql_core(given)
        except Exception:  # of a scalar, say
            return by_graphql_core(given)
        return values

    return coerce
