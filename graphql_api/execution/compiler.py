"""How a plan is built: each selection becomes a Python function, when the first object for it comes.

For `{ title owner { name } }` of a `Task`, with Strawberry's resolvers, it is

    def select(run, source, path):
        is_waiting = False
        # title: String!
        try:
            v0 = source.title
            if not (type(v0) is str):
                v0, is_waiting = f0.finish(run, v0, (path, 'title', 'Task')), True
        except Exception as error:
            v0 = f0.fail(run, error, (path, 'title', 'Task'), locals())
        # owner: User!
        v1, is_waiting = f1.later(run, source, (path, 'owner', 'Task'), {}), True
        answer = {'title': v0, 'owner': v1}
        return run.together(answer) if is_waiting else answer

where `f0` and `f1` are the fields: the usual value is taken as it is, any other one is looked at by `Place.finish`, and
`together` waits for what is to be waited for. `Plan.sources` shows the functions of any operation. Closures that do the
same took twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from graphql import GraphQLError, GraphQLField, GraphQLObjectType, TypeNameMetaFieldDef, get_nullable_type, is_leaf_type
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from graphql.pyutils import inspect

from graphql_api.execution.arguments import arguments
from graphql_api.execution.completion import completing
from graphql_api.execution.plans import Completion, Field, Selection
from graphql_api.execution.resolvers import (
    CAST,
    attribute,
    checks_its_class,
    is_coroutine,
    method,
    own_class,
    resolver,
)
from graphql_api.execution.run import Request, Run, Steps, to_path
from graphql_api.execution.values import PLAIN, Coroutine, leaf

FIELDS_MAX = 5000
"""Of one plan, all its functions together. Fragments can be merged in more ways than anybody wants to compile; the rest
is left to graphql-core."""

CODE_LENGTH_MAX = 20_000
CODE_MAX = 1000
"""Texts of functions whose compiled form is kept: it is most of the work, and documents that resemble each other share
them, as do those that differ in their arguments alone."""


@dataclass(slots=True)
class Room:
    """For how many more fields a plan has room."""

    fields: int = FIELDS_MAX


class Compiler:
    """Writes the functions of one plan. Fragments that are used in several places are written once."""

    def __init__(self, request: Request, room: Room) -> None:
        self._request = request
        self._room = room
        self._strawberry = getattr(request.schema, "_strawberry_schema", None)
        self._written: dict[object, Completion] = {}
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
        return [self._function(type_, group) for group in groups]

    def write(self, selection: Selection, run: Run) -> Completion:
        """The function of a selection. Raises GraphQLError where `@skip` or `@include` has no Boolean."""
        request = self._request
        collected = collect_subfields(
            request.schema, request.fragments, run.variables, request.operation, selection.type, selection.details
        )
        return self._function(selection.type, collected.grouped_field_set)

    def _function(self, type_: GraphQLObjectType, grouped: GroupedFieldSet) -> Completion:
        nodes = ((key, *(id(detail.node) for detail in details)) for key, details in grouped.items())
        selected = (type_.name, *nodes)
        if selected not in self._written:
            if self._room.fields < len(grouped):
                return _by_graphql_core(type_, grouped)
            self._room.fields -= len(grouped)
            self._written[selected] = self._new(type_, grouped)
        return self._written[selected]

    def _new(self, type_: GraphQLObjectType, grouped: GroupedFieldSet) -> Completion:
        fields = [
            self._field(key, definition, type_, details)
            for key, details in grouped.items()
            if (definition := self._request.schema.get_field(type_, details[0].node.name.value))
        ]
        names: dict[str, Any] = {"PLAIN": PLAIN, "Coroutine": Coroutine}
        source, code = _compiled(_select(type_, fields, names))
        self.sources.append(source)
        exec(code, names)  # noqa: S102  # a client chooses among names, and writes no code
        function: Completion = names["select"]
        return function

    def _field(self, key: str, definition: GraphQLField, parent: GraphQLObjectType, details: FieldDetailsList) -> Field:
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


def _select(type_: GraphQLObjectType, fields: Sequence[Field], names: dict[str, Any]) -> str:
    """The Python of a selection. What it needs is added to the names that it will find."""
    body = ["is_waiting = False", *_own_class(type_, names)]
    answer = []
    for number, field in enumerate(fields):
        if field.definition is TypeNameMetaFieldDef:
            answer.append(f"{field.key!r}: {type_.name!r}")
        else:
            body += [f"# {field.key}: {field.type}", *_field(field, number, names)]
            answer.append(f"{field.key!r}: v{number}")
    body += [f"answer = {{{', '.join(answer)}}}", "return run.together(answer) if is_waiting else answer"]
    return "\n".join(["def select(run, source, path):", *_indented(body), ""])


def _own_class(type_: GraphQLObjectType, names: dict[str, Any]) -> list[str]:
    """A check that is quick for objects of the type's own class, where Strawberry would check the class of each."""
    if not checks_its_class(type_):
        return []

    def check(source: Any) -> None:
        if type_.is_type_of and not type_.is_type_of(source, None):  # type: ignore[arg-type]  # it takes no interest
            raise GraphQLError(f"Expected value of type '{type_}' but got: {inspect(source)}.")

    names |= {"Own": own_class(type_), "check": check}
    return [
        f"if type(source) is not Own or getattr(source, {CAST!r}, None) is not None:",
        "    check(source)",
    ]


def _field(field: Field, number: int, names: dict[str, Any]) -> list[str]:
    """The lines that give `v0` its value, for field 0."""
    v, f = f"v{number}", f"f{number}"
    names[f] = field
    path = f"(path, {field.key!r}, {field.parent.name!r})"
    given = f"{f}.arguments(run.variables)" if field.arguments else "{}"
    if is_coroutine(field.definition):
        lines = [f"{v}, is_waiting = {f}.later(run, source, {path}, {given}), True"]
        if not field.arguments:
            return lines  # nothing can go wrong yet
    else:
        lines = [f"{v} = {_read(field, f, path, given, names)}", *_expected(field, v, f, path, names)]
    return [
        "try:",
        *_indented(lines),
        "except Exception as error:",
        f"    {v} = {f}.fail(run, error, {path}, locals())",
    ]


def _read(field: Field, f: str, path: str, given: str, names: dict[str, Any]) -> str:
    """What a resolver gives."""
    if name := attribute(field.definition):
        return f"source.{name}"
    if field.method:
        names[f"{f}_method"] = field.method
        return f"{f}_method(source)"
    return f"{f}.resolve(run, source, {path}, {given})"


def _expected(field: Field, v: str, f: str, path: str, names: dict[str, Any]) -> list[str]:
    """The lines that complete the value: at once where it is what was expected, else with a closer look."""
    nullable = get_nullable_type(field.type)
    look = f"    {v}, is_waiting = {f}.finish(run, {v}, {path}), True"
    or_null = f" or {v} is None" if field.is_nullable else ""
    if field.selection:
        names[f"{f}_selection"] = field.selection
        return [
            f"if type({v}) in PLAIN:",
            f"    {v} = {f}_selection.function(run, {v}, {path})",
            f"    if type({v}) is Coroutine:",
            f"        {v}, is_waiting = {f}.guarded(run, {v}, {path}), True",
            "else:",
            look,
        ]
    if not is_leaf_type(nullable):
        return [f"{v} = {f}.finish(run, {v}, {path})", f"is_waiting = is_waiting or type({v}) is Coroutine"]
    known = leaf(nullable)
    if known.as_it_is:
        return [f"if not ({known.as_it_is.replace('value', v)}{or_null}):", look]
    if known.enum:
        names |= {f"{f}_enum": known.enum, f"{f}_names": known.names}
        return [f"if type({v}) is {f}_enum:", f"    {v} = {f}_names[{v}._name_]", "else:", look]
    names[f"{f}_coerce"] = known.coerce
    return [
        f"if type({v}) in PLAIN:",
        f"    value, {v} = {v}, {f}_coerce({v})",
        f"    if type({v}) not in PLAIN:",
        f"        {v}, is_waiting = {f}.odd(run, value, {v}, {path}), True",
        f"elif {v} is not None:" if field.is_nullable else "else:",
        look,
    ]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
