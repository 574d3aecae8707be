"""One operation on its way from text to result. Every transport sends its operations through here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from inspect import isawaitable
from typing import Any

from graphql import (
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    create_source_event_stream,
    located_error,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api.errors import PASSING, Code, RequestError
from graphql_api.operations import rules
from graphql_api.operations.documents import REMEMBERED_LENGTH, Documents, NotExecuted, Operation

RETRY_SECONDS = 1
"""Until an event is executed again that met the database away."""


Prepared = tuple[Operation, Mapping[str, Any]]
"""An operation that may run with these variables: its document is valid, and it is not too expensive."""


class Engine:
    """Prepares and executes operations of one schema."""

    def __init__(self, schema: GraphQLSchema, *, max_tokens: int, max_cost: int, introspection: bool) -> None:
        self._schema = schema
        self._max_cost = max_cost
        self._max_values = max_tokens
        self._documents = Documents(schema, max_tokens=max_tokens, introspection=introspection)

    def prepare(self, text: str, name: str | None, variables: Mapping[str, Any]) -> Prepared:
        """The operation to execute.

        Raises `NotExecuted`, or `RequestError` for an unknown or too expensive operation or too many variables.
        """
        if variables:
            rules.check_variables(variables, self._max_values)
        operation = self._documents.get(text).operation(name)
        if operation.is_subscription and len(text) > REMEMBERED_LENGTH:
            raise RequestError(
                Code.GRAPHQL_VALIDATION_FAILED,
                f"The document has {len(text)} characters; one with a subscription, which is kept as long as it runs, "
                f"may have {REMEMBERED_LENGTH}.",
            )
        price = operation.price(variables)
        if price > self._max_cost:
            raise RequestError(
                Code.COST_LIMIT_EXCEEDED,
                f"The operation could read {price} objects; at most {self._max_cost} are allowed. Ask for less.",
            )
        if not variables.keys() <= operation.declared:
            variables = {name: value for name, value in variables.items() if name in operation.declared}
        return operation, variables

    async def execute(self, prepared: Prepared, context: object, root: object = None) -> ExecutionResult:
        """The result as graphql-core makes it; errors are as they were raised."""
        operation, variables = prepared
        result = operation.plan.execute(variables, context, root)
        if isinstance(result, ExecutionResult):
            return result
        try:
            return await result
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RuntimeError("A resolver was cancelled, though nobody wanted the request to end.") from error

    async def subscribe(
        self, prepared: Prepared, contexts: Callable[[], object]
    ) -> AsyncGenerator[ExecutionResult, None]:
        """A result for each event, each with a context of its own: what one remembers is too old for the next.

        Raises what ends the stream: `NotExecuted` before the first event, later whatever its source raises.
        """
        operation, _ = prepared
        try:
            async with aclosing(await self._source(prepared, contexts())) as events:
                async for event in events:
                    yield await self._executed(prepared, contexts, event)
                    del event  # the next may be days away
        except NotExecuted:
            raise
        except Exception as error:
            [root, *_] = operation.definition.selection_set.selections  # a subscription has one
            path = [(root.alias or root.name).value] if isinstance(root, FieldNode) else None
            raise located_error(error, [root], path) from error

    async def _executed(self, prepared: Prepared, contexts: Callable[[], object], event: object) -> ExecutionResult:
        """The result for an event. With the database away half of it would be null, and nobody would ask again."""
        while True:
            result = await self.execute(prepared, contexts(), event)
            if not any((error.extensions or {}).get("code") in PASSING for error in result.errors or ()):
                return result
            await asyncio.sleep(RETRY_SECONDS)

    async def _source(self, prepared: Prepared, context: object) -> AsyncGenerator[Any, None]:
        """The events, not executed yet. The executor that finds them is not kept: it is large, and they may be rare."""
        operation, variables = prepared
        executor = StrawberryGraphQLCoreExecutionContext.build(
            self._schema,
            operation.document,
            raw_variable_values=dict(variables),
            operation_name=operation.name,
            context_value=context,
        )
        if isinstance(executor, list):
            raise NotExecuted(executor)
        source: Any = create_source_event_stream(executor)
        source = await source if isawaitable(source) else source
        if isinstance(source, ExecutionResult):
            raise NotExecuted(source.errors or [])
        events: AsyncGenerator[Any, None] = source
        return events


def was_executed(result: ExecutionResult) -> bool:
    """False when the variables did not fit: then nothing ran, and the response has no `data`."""
    errors: list[GraphQLError] = result.errors or []
    return result.data is not None or any(error.path for error in errors)
