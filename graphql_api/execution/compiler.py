"""How a plan is built: what is selected is found out, and becomes a Python function when the first object for it comes.

`text` writes such functions. Here those of one plan are made, each of them once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, NonNullTypeNode
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from graphql_api.execution import text
from graphql_api.execution.arguments import Arguments
from graphql_api.execution.completion import completing
from graphql_api.execution.plans import Completion, Field, Selection
from graphql_api.execution.resolvers import call, is_at_hand, resolver
from graphql_api.execution.run import Request, Run, Steps, to_path

FIELDS_MAX = 5000
"""Of one plan, all its functions together. Fragments can be merged in more ways than anybody wants to compile; the rest
is left to graphql-core."""

CODE_LENGTH_MAX = 20_000
CODE_MAX = 1000
"""Texts of functions whose compiled form is kept: it is most of the work, and documents that resemble each other share
them, as do those that differ in the values of their arguments alone."""


@dataclass(slots=True)
class Room:
    """For how many more fields a plan has room."""

    fields: int = FIELDS_MAX


class Compiler:
    """Makes the functions of one plan. Fragments that are used in several places are compiled once."""

    def __init__(self, request: Request, room: Room) -> None:
        self._request = request
        self._room = room
        self._strawberry = getattr(request.schema, "_strawberry_schema", None)
        self._required = {
            one.variable.name.value
            for one in request.operation.variable_definitions or ()
            if isinstance(one.type, NonNullTypeNode)
        }
        self._made: dict[object, tuple[Completion, bool]] = {}
        self.sources: list[str] = []
        """The Python so far, to be read."""

    def roots(self, type_: GraphQLObjectType, variables: VariableValues, *, serial: bool) -> list[Completion]:
        """The functions of the root fields: one for all, or one for each where one must wait for the other.

        The plan is for these variables as far as they decide what is skipped and included. Raises GraphQLError.
        """
        request = self._request
        grouped = collect_fields(
            request.schema, request.fragments, variables, type_, request.operation
        ).grouped_field_set
        groups = [{key: grouped[key]} for key in grouped] if serial else [grouped]
        return [self._function(type_, group)[0] for group in groups]

    def make(self, selection: Selection, run: Run) -> tuple[Completion, bool]:
        """The function of a selection, and whether all that it gives is at hand.

        Raises GraphQLError where `@skip` or `@include` has no Boolean.
        """
        request = self._request
        collected = collect_subfields(
            request.schema, request.fragments, run.variables, request.operation, selection.type, selection.details
        )
        return self._function(selection.type, collected.grouped_field_set)

    def _function(self, type_: GraphQLObjectType, grouped: GroupedFieldSet) -> tuple[Completion, bool]:
        nodes = ((key, *(id(detail.node) for detail in details)) for key, details in grouped.items())
        selected = (type_.name, *nodes)
        if selected not in self._made:
            if self._room.fields < len(grouped):
                return _by_graphql_core(type_, grouped), False
            self._room.fields -= len(grouped)
            self._made[selected] = self._new(type_, grouped)
        return self._made[selected]

    def _new(self, type_: GraphQLObjectType, grouped: GroupedFieldSet) -> tuple[Completion, bool]:
        fields = [
            self._field(key, definition, type_, details)
            for key, details in grouped.items()
            if (definition := self._request.schema.get_field(type_, details[0].node.name.value))
        ]
        written, names = text.select(type_, fields)
        source, code = _compiled(written)
        self.sources.append(source)
        made: dict[str, Any] = {}
        exec(code, text.COMMON, made)  # noqa: S102  # a client chooses among names, and writes no code
        function: Completion = made["make"](*names.values())
        return function, all(map(is_at_hand, fields))

    def _field(self, key: str, definition: GraphQLField, parent: GraphQLObjectType, details: FieldDetailsList) -> Field:
        field = Field(key, definition, parent, details)
        field.arguments = Arguments(definition, field.nodes[0], self._required) if definition.args else None
        field.call = call(definition, self._strawberry)
        field.resolve = resolver(field)
        return completing(field, field, self.make)


def _compiled(source: str) -> tuple[str, CodeType]:
    """The text, which is kept once too, and its compiled form."""
    return _remembered(source) if len(source) <= CODE_LENGTH_MAX else (source, compile(source, "<plan>", "exec"))


@lru_cache(CODE_MAX)
def _remembered(source: str) -> tuple[str, CodeType]:
    return source, compile(source, "<plan>", "exec")


def _by_graphql_core(type_: GraphQLObjectType, grouped: GroupedFieldSet) -> Completion:
    def select(run: Run, source: Any, path: Steps | None) -> Any:
        return run.core.execute_fields(type_, source, path and to_path(path), grouped, None)

    return select
