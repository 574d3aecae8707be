"""How a plan is built: what is selected is found out, and becomes a Python function when the first object for it comes.

`text` writes such functions, `loops` those for lists. Here those of one plan are made, each of them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import CodeType
from typing import Any

from graphql import GraphQLField, GraphQLObjectType
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from graphql_api.execution import loops, text
from graphql_api.execution.arguments import Arguments, required
from graphql_api.execution.completion import completing
from graphql_api.execution.plans import Completion, Each, Field, Functions, Selection
from graphql_api.execution.resolvers import call, check, checks_its_class, is_at_hand, resolver
from graphql_api.execution.run import Definitions, Run, Steps, to_path

FIELDS_MAX = 1000
"""Of one plan, all its functions together. One takes 0.2 ms, while nobody else is answered, and 2.6 kB for as long as
the document is remembered, and fragments can be merged in very many ways. The rest is left to graphql-core."""

CODE_LENGTH_MAX = 20_000
CODE_MAX = 1000
"""Texts of functions whose compiled form is kept: it is most of the work, and documents that resemble each other share
them, as do those that differ in the values of their arguments alone."""


@dataclass(slots=True)
class Budget:
    """For how many more fields of a plan functions are made."""

    fields: int = FIELDS_MAX


class Compiler:
    """Makes the functions of one plan. Fragments that are used in several places are compiled once."""

    def __init__(self, definitions: Definitions, budget: Budget) -> None:
        self._definitions = definitions
        self._budget = budget
        self._strawberry = getattr(definitions.schema, "_strawberry_schema", None)
        self._required = required(definitions.schema, definitions.operation)
        self._written: dict[object, Functions] = {}
        self.sources: list[str] = []
        """The Python so far, to be read."""

    def roots(self, type_: GraphQLObjectType, variables: VariableValues, *, serial: bool) -> list[Completion]:
        """The functions of the root fields: one for all, or one for each where one must wait for the other.

        The plan is for these variables as far as they decide what is skipped and included. Raises GraphQLError.
        """
        definitions = self._definitions
        grouped = collect_fields(
            definitions.schema, definitions.fragments, variables, type_, definitions.operation
        ).grouped_field_set
        groups = [{key: grouped[key]} for key in grouped] if serial else [grouped]
        return [self._functions(type_, group).function for group in groups]

    def make(self, selection: Selection, run: Run) -> Functions:
        """The functions of a selection.

        Raises GraphQLError where `@skip` or `@include` has no Boolean.
        """
        definitions = self._definitions
        collected = collect_subfields(
            definitions.schema,
            definitions.fragments,
            run.variables,
            definitions.operation,
            selection.type,
            selection.details,
        )
        return self._functions(selection.type, collected.grouped_field_set)

    def _functions(self, type_: GraphQLObjectType, grouped: GroupedFieldSet) -> Functions:
        nodes = ((key, *(id(detail.node) for detail in details)) for key, details in grouped.items())
        selected = (type_.name, *nodes)
        if selected not in self._written:
            if self._budget.fields < len(grouped):
                return _ByGraphQLCore(type_, grouped)
            self._budget.fields -= len(grouped)
            fields = [
                self._field(key, definition, type_, details)
                for key, details in grouped.items()
                if (definition := self._definitions.schema.get_field(type_, details[0].node.name.value))
            ]
            self._written[selected] = _Written(type_, fields, self.sources)
        return self._written[selected]

    def _field(self, key: str, definition: GraphQLField, parent: GraphQLObjectType, details: FieldDetailsList) -> Field:
        field = Field(key, definition, parent, details)
        field.arguments = Arguments(definition, field.nodes[0], self._required) if definition.args else None
        field.call = call(definition, self._strawberry)
        field.resolve = resolver(field)
        return completing(field, field, self.make)


class _Written:
    """The functions for what is selected of objects of one type, each written when it is first wanted."""

    def __init__(self, type_: GraphQLObjectType, fields: Sequence[Field], sources: list[str]) -> None:
        self._type = type_
        self._fields = fields
        self._sources = sources
        self.is_at_hand = all(map(is_at_hand, fields))

    @cached_property
    def function(self) -> Completion:
        made: Completion = self._defined(*text.select(self._type, self._fields))
        return made

    @cached_property
    def each(self) -> Each | None:
        written = loops.each(self._type, self._fields)
        return self._defined(*written) if written else None

    def _defined(self, written: str, names: text.Names) -> Any:
        source, code = _compiled(written)
        self._sources.append(source)
        made: dict[str, Any] = {}
        exec(code, text.COMMON, made)  # noqa: S102  # a client chooses among names, and writes no code
        return made["make"](*names.values())


def _compiled(source: str) -> tuple[str, CodeType]:
    """The text, which is kept once too, and its compiled form."""
    return _remembered(source) if len(source) <= CODE_LENGTH_MAX else (source, compile(source, "<plan>", "exec"))


@lru_cache(CODE_MAX)
def _remembered(source: str) -> tuple[str, CodeType]:
    return source, compile(source, "<plan>", "exec")


class _ByGraphQLCore:
    """What is left to it."""

    is_at_hand = False
    each = None

    def __init__(self, type_: GraphQLObjectType, grouped: GroupedFieldSet) -> None:
        self._type = type_
        self._grouped = grouped

    def function(self, run: Run, source: Any, path: Steps | None) -> Any:
        if path and checks_its_class(self._type):
            check(self._type, source)
        return run.core.execute_fields(self._type, source, path and to_path(path), self._grouped, None)
