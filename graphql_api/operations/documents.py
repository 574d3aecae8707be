"""Documents: parsed, validated and priced once, and then remembered by their text."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api.errors import Code, RequestError, with_code
from graphql_api.execution.executor import Plan
from graphql_api.operations import cost, rules

REMEMBERED = 500
REMEMBERED_LENGTH = 20_000
"""Characters; a longer document is read anew each time, so that what is remembered stays small."""
PRICES_REMEMBERED = 100
"""Of one operation, with variables of different sizes."""


class NotExecuted(Exception):
    """An operation that cannot be executed, with every error found in its document or its variables."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(*errors)
        self.errors = errors


class Operation:
    """One operation of a valid document: what it costs, and how it is executed."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, definition: OperationDefinitionNode) -> None:
        self.document = document
        self.definition = definition
        self.name = definition.name.value if definition.name else None
        self.is_mutation = definition.operation is OperationType.MUTATION
        self.is_subscription = definition.operation is OperationType.SUBSCRIPTION
        self.declared = frozenset(one.variable.name.value for one in definition.variable_definitions or ())
        self._schema = schema
        self._sizes = cost.Sizes(definition)
        self._priced = lru_cache(PRICES_REMEMBERED)(self._price)

    def price(self, variables: Mapping[str, Any]) -> int:
        """What it costs with these variables; worked out once for each size of its variables."""
        return self._priced(self._sizes.of(variables))

    def _price(self, sizes: tuple[tuple[str, cost.Size], ...]) -> int:
        fragments = {d.name.value: d for d in self.document.definitions if isinstance(d, FragmentDefinitionNode)}
        return cost.Price(self._schema, fragments, dict(sizes)).of(self.definition)

    @cached_property
    def plan(self) -> Plan:
        """Made when it is first asked for, and kept as long as the document."""
        executor_class = StrawberryGraphQLCoreExecutionContext  # so that resolvers get Strawberry's info
        return Plan(self._schema, self.document, self.definition, executor_class)


class Document:
    """The operations of a valid document."""

    def __init__(self, schema: GraphQLSchema, node: DocumentNode) -> None:
        definitions = [one for one in node.definitions if isinstance(one, OperationDefinitionNode)]
        self._operations = [Operation(schema, node, one) for one in definitions]

    def operation(self, name: str | None) -> Operation:
        """The operation of that name; without a name the only one. Raises OPERATION_RESOLUTION_FAILURE."""
        if name is None and len(self._operations) == 1:
            return self._operations[0]
        named = {operation.name: operation for operation in self._operations if operation.name}
        if name in named:
            return named[name]
        has = f"it has {', '.join(named) or 'one without a name'}"
        if name is None:
            message = f"The document has {len(self._operations)} operations; say which in `operationName`: {has}."
        else:
            message = f"The document has no operation named {name!r}; {has}."
        raise RequestError(Code.OPERATION_RESOLUTION_FAILURE, message)


class Documents:
    """The documents that this process has seen lately."""

    def __init__(self, schema: GraphQLSchema, *, max_tokens: int, introspection: bool) -> None:
        self._schema = schema
        self._max_tokens = max_tokens
        self._rules = [*specified_rules, *([] if introspection else [NoSchemaIntrospectionCustomRule])]
        self._remembered = lru_cache(REMEMBERED)(self._read)

    def get(self, text: str) -> Document:
        """The document of this text. Raises `NotExecuted`."""
        return (self._remembered if len(text) <= REMEMBERED_LENGTH else self._read)(text)

    def _read(self, text: str) -> Document:
        try:
            node = parse(text, max_tokens=self._max_tokens)
        except GraphQLError as error:
            raise NotExecuted([with_code(error, Code.GRAPHQL_PARSE_FAILED)]) from None
        try:
            rules.check(node)
            errors = validate(self._schema, node, self._rules, max_errors=10)
            if not errors:
                rules.check_depth(node)
        except RequestError as error:
            errors = [error]
        if errors and errors[0].message == "Validation aborted.":  # all that graphql-core says of its recursion limit
            errors = [
                GraphQLError("The fragments of the document lead too deep. Spread them less far into each other.")
            ]
        if errors:
            raise NotExecuted([with_code(error, Code.GRAPHQL_VALIDATION_FAILED) for error in errors])
        return Document(self._schema, node)
