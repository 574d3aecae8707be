"""One operation on its way from text to result. Every transport sends its operations through here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, OperationDefinitionNode, OperationType, execute
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api.errors import Code, RequestError
from graphql_api.operations import rules
from graphql_api.operations.documents import Document, Documents


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that may run: its document is valid, and it is not too expensive."""

    document: Document
    definition: OperationDefinitionNode
    name: str | None
    variables: Mapping[str, Any]

    @property
    def type(self) -> OperationType:
        return self.definition.operation


class Engine:
    """Prepares and executes operations of one schema."""

    def __init__(self, schema: GraphQLSchema, *, max_tokens: int, max_cost: int, introspection: bool) -> None:
        self._schema = schema
        self._max_cost = max_cost
        self._max_values = max_tokens
        self._documents = Documents(schema, max_tokens=max_tokens, introspection=introspection)

    def prepare(self, text: str, name: str | None, variables: Mapping[str, Any]) -> Operation:
        """The operation to execute.

        Raises `InvalidDocument`, or `RequestError` for an unknown or too expensive operation or too many variables.
        """
        rules.check_variables(variables, self._max_values)
        document = self._documents.get(text)
        definition = document.operation(name)
        price = document.price(definition, variables)
        if price > self._max_cost:
            raise RequestError(
                Code.COST_LIMIT_EXCEEDED,
                f"The operation could read {price} objects; at most {self._max_cost} are allowed. Ask for less.",
            )
        return Operation(document, definition, name, variables)

    async def execute(self, operation: Operation, context: object) -> ExecutionResult:
        """The result as graphql-core makes it; errors are as they were raised."""
        result = execute(
            self._schema,
            operation.document.node,
            variable_values=dict(operation.variables),
            operation_name=operation.name,
            context_value=context,
            executor_class=StrawberryGraphQLCoreExecutionContext,
        )
        return result if isinstance(result, ExecutionResult) else await result


def was_executed(result: ExecutionResult) -> bool:
    """False when the variables did not fit: then nothing ran, and the response has no `data`."""
    errors: list[GraphQLError] = result.errors or []
    return result.data is not None or any(error.path for error in errors)
