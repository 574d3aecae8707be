"""How a plan runs.

plan = Plan(schema, document, operation)    # to be kept as long as the document
result = plan.execute(variables, context)   # to be awaited where a resolver gave an awaitable, as with graphql-core
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLSchema,
    GraphQLSkipDirective,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    assert_valid_schema,
    execute,
)
from graphql.execution import Executor
from graphql.execution.values import VariableValues
from graphql.type.directives import GraphQLDisableErrorPropagationDirective

from graphql_api.execution.compiler import Budget, Compiler
from graphql_api.execution.plans import Completion
from graphql_api.execution.run import Definitions, Run
from graphql_api.execution.values import Coroutine
from graphql_api.execution.variables import variables

VARIANTS_MAX = 16
"""Of one operation: with different things skipped and included. What goes beyond is left to graphql-core."""
UNUSUAL = {"defer", "stream", GraphQLDisableErrorPropagationDirective.name}
"""Directives of operations that are left to graphql-core."""

Result = ExecutionResult | Awaitable[ExecutionResult]


class Plan:
    """An operation of a valid document, ready to run any number of times."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        executor_class: type[Executor[Any]] = Executor,
    ) -> None:
        assert_valid_schema(schema)
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self.operation = operation
        self._document = document
        self._definitions = Definitions(schema, operation, fragments, executor_class)
        self.coerce = variables(schema, operation)
        """Makes `VariableValues` of what a request sends, or a list of what is wrong with it."""
        self.is_unusual = _is_unusual(document)
        """True when nothing of it is compiled, because of a directive or fragment that is left to graphql-core."""
        self._conditions = _conditions(document)
        self._variants: dict[object, list[Completion]] = {}
        self._compilers: list[Compiler] = []
        self._budget = Budget()

    @property
    def sources(self) -> list[str]:
        """The Python of the plan, as far as data has led to it."""
        return [source for compiler in self._compilers for source in compiler.sources]

    def execute(self, given: Mapping[str, Any], context: Any = None, root: Any = None) -> Result:
        """What graphql-core's `execute` gives."""
        if self.is_unusual:
            name = self.operation.name.value if self.operation.name else None
            schema, executor_class = self._definitions.schema, self._definitions.executor_class
            return execute(schema, self._document, root, context, dict(given), name, executor_class=executor_class)
        values = self.coerce(given)
        return ExecutionResult(None, values) if isinstance(values, list) else self.run(values, context, root)

    def run(self, values: VariableValues, context: Any = None, root: Any = None) -> Result:
        """The result with variables that are coerced. For an event of a subscription, the event is the root."""
        run = Run(self._definitions, values, context, root)
        try:
            roots = self._roots(values)
            if roots is None:
                return run.core.execute_operation()  # type: ignore[return-value]  # not incremental
            data = roots[0](run, root, None) if len(roots) == 1 else _serially(run, roots)
        except GraphQLError as error:
            run.note(error, None)
            data = None
        return _later(run, data) if type(data) is Coroutine else ExecutionResult(data, run.errors)

    def _roots(self, values: VariableValues) -> list[Completion] | None:
        """The functions of the root fields, for what these variables skip and include; None to leave it alone."""
        skipped = tuple(map(values.coerced.get, self._conditions))
        known = self._variants.get(skipped)
        if known is not None or self.is_unusual or len(self._variants) >= VARIANTS_MAX:
            return known
        operation = self.operation.operation
        root_type = self._definitions.schema.get_root_type(operation)
        if root_type is None:
            return None
        compiler = Compiler(self._definitions, self._budget)
        try:
            roots = compiler.roots(root_type, values, serial=operation is OperationType.MUTATION)
        except RecursionError:
            return None
        self._variants[skipped] = roots
        self._compilers.append(compiler)
        return roots


async def _later(run: Run, data: Any) -> ExecutionResult:
    try:
        return ExecutionResult(await data, run.errors)
    except GraphQLError as error:
        run.note(error, None)
        return ExecutionResult(None, run.errors)


def _serially(run: Run, roots: Sequence[Completion]) -> Any:
    """The root fields, each begun when the one before has ended."""
    answer: dict[str, Any] = {}
    for number, root in enumerate(roots):
        done = root(run, run.root, None)
        if type(done) is Coroutine:
            return _rest_serially(run, roots[number + 1 :], answer, done)
        answer |= done
    return answer


async def _rest_serially(run: Run, roots: Sequence[Completion], answer: dict[str, Any], begun: Any) -> dict[str, Any]:
    answer |= await begun
    for root in roots:
        done = root(run, run.root, None)
        answer |= await done if type(done) is Coroutine else done
    return answer


def _conditions(document: DocumentNode) -> list[str]:
    """The variables that decide what is skipped and included."""
    names = set()
    for directive in _directives(document):
        if directive.name.value in (GraphQLSkipDirective.name, GraphQLIncludeDirective.name):
            values = [argument.value for argument in directive.arguments or ()]
            names |= {value.name.value for value in values if isinstance(value, VariableNode)}
    return sorted(names)


def _is_unusual(document: DocumentNode) -> bool:
    """True for what is left to graphql-core: incremental delivery, fragments with arguments, and the like."""
    fragments = [one for one in document.definitions if isinstance(one, FragmentDefinitionNode)]
    return any(one.variable_definitions for one in fragments) or any(
        directive.name.value in UNUSUAL for directive in _directives(document)
    )


def _directives(document: DocumentNode) -> Iterator[DirectiveNode]:
    """Those of operations, fragments and selections."""
    waiting: list[Any] = [*document.definitions]
    while waiting:
        node = waiting.pop()
        yield from getattr(node, "directives", None) or ()
        if below := getattr(node, "selection_set", None):
            waiting += below.selections
