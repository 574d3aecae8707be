"""How a plan is built: what is selected is found out, and becomes a Python function when the first object for it comes.

`text` has these functions; those of one plan are made here, each of them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from graphql import GraphQLError, GraphQLField, GraphQLObjectType, get_nullable_type, is_leaf_type
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from graphql_api.execution import text
from graphql_api.execution.arguments import arguments
from graphql_api.execution.completion import completing
from graphql_api.execution.plans import Completion, Field, Selection
from graphql_api.execution.resolvers import is_coroutine, method, resolver
from graphql_api.execution.run import Request, Run, Steps, to_path

FIELDS_MAX = 5000
"""Of one plan, all its functions together. Fragments can be merged in more ways than anybody wants to compile; the rest
is left to graphql-core."""

IN_PLACE_MAX = 50
"""So many leaves of an object are read in the function of the object that it is found in."""

CODE_LENGTH_MAX = 20_000
CODE_MAX = 1000
"""Texts of functions whose compiled form is kept: it is most of the work, and documents that resemble each other share
them, as do those that differ in their arguments alone."""

Definitions = Mapping[str, tuple[GraphQLField, FieldDetailsList]]
"""What is selected of a type, by the keys of the answer."""


@dataclass(slots=True)
class Room:
    """For how many more fields a plan has room."""

    fields: int = FIELDS_MAX

    def take(self, fields: int) -> bool:
        """True if there was room for so many."""
        if self.fields < fields:
            return False
        self.fields -= fields
        return True


class Compiler:
    """Makes the functions of one plan. Fragments that are used in several places are compiled once."""

    def __init__(self, request: Request, room: Room) -> None:
        self._request = request
        self._room = room
        self._strawberry = getattr(request.schema, "_strawberry_schema", None)
        self._made: dict[object, Completion] = {}
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
        return [self._function(type_, group, variables) for group in groups]

    def write(self, selection: Selection, run: Run) -> Completion:
        """The function of a selection. Raises GraphQLError where `@skip` or `@include` has no Boolean."""
        return self._function(selection.type, self._selected(selection, run.variables), run.variables)

    def _selected(self, selection: Selection, variables: VariableValues) -> GroupedFieldSet:
        request = self._request
        return collect_subfields(
            request.schema, request.fragments, variables, request.operation, selection.type, selection.details
        ).grouped_field_set

    def _function(self, type_: GraphQLObjectType, grouped: GroupedFieldSet, variables: VariableValues) -> Completion:
        nodes = ((key, *(id(detail.node) for detail in details)) for key, details in grouped.items())
        selected = (type_.name, *nodes)
        if selected not in self._made:
            if not self._room.take(len(grouped)):
                return _by_graphql_core(type_, grouped)
            self._made[selected] = self._new(type_, grouped, variables)
        return self._made[selected]

    def _new(self, type_: GraphQLObjectType, grouped: GroupedFieldSet, variables: VariableValues) -> Completion:
        fields = self._fields(type_, self._definitions(type_, grouped))
        for field in fields:
            if field.selection:
                field.selection.leaves = self._leaves(field.selection, variables)
        written, names = text.select(type_, fields)
        source, code = _compiled(written)
        self.sources.append(source)
        exec(code, names)  # noqa: S102  # a client chooses among names, and writes no code
        function: Completion = names["select"]
        return function

    def _definitions(self, type_: GraphQLObjectType, grouped: GroupedFieldSet) -> Definitions:
        found = {
            key: (self._request.schema.get_field(type_, details[0].node.name.value), details)
            for key, details in grouped.items()
        }
        return {key: (definition, details) for key, (definition, details) in found.items() if definition}

    def _leaves(self, selection: Selection, variables: VariableValues) -> list[Field] | None:
        """The fields of a selection, if they are few, leaves all, and nothing that is known to take time."""
        try:
            definitions = self._definitions(selection.type, self._selected(selection, variables))
        except GraphQLError:
            return None  # whoever comes to the object will say why
        if not all(
            is_leaf_type(get_nullable_type(definition.type)) and not is_coroutine(definition)
            for definition, _ in definitions.values()
        ):
            return None
        if len(definitions) > IN_PLACE_MAX or not self._room.take(len(definitions)):
            return None
        return self._fields(selection.type, definitions)

    def _fields(self, type_: GraphQLObjectType, definitions: Definitions) -> list[Field]:
        return [self._field(key, *definition, type_) for key, definition in definitions.items()]

    def _field(self, key: str, definition: GraphQLField, details: FieldDetailsList, parent: GraphQLObjectType) -> Field:
        field = Field(key, definition, parent, details)
        field.arguments = arguments(definition, field.nodes[0])
        field.method = method(definition, self._strawberry)
        field.resolve = resolver(field, self._strawberry)
        return completing(field, field, self.write)


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
