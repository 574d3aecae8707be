"""The text of a plan's functions: a Python function for each selection, with a few lines for each field.

For `{ title owner { name } }` of a `Task`, with Strawberry's resolvers, it is

    def select(run, source, path):
        v_waits = False
        # title: String!
        try:
            v0 = source.title
            if not (type(v0) is str):
                v0, v_waits = f0.finish(run, v0, (path, 'title', 'Task')), True
        except Exception as error:
            v0 = f0.fail(run, error, (path, 'title', 'Task'), locals(), 'v')
        # owner: User!
        v1, v_waits = f1.later(run, source, (path, 'owner', 'Task'), {}), True
        answer = {'title': v0, 'owner': v1}
        return run.together(answer) if v_waits else answer

where `f0` and `f1` are the fields: the usual value is taken as it is, any other one is looked at by `Place.finish`, and
`together` waits for what is to be waited for. Were `owner` at hand, its few leaves would be read in place, into `w1_0`
and so on. `Plan.sources` shows the functions of any operation. Closures that do the same took twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, GraphQLObjectType, TypeNameMetaFieldDef, get_nullable_type, is_leaf_type
from graphql.pyutils import inspect

from graphql_api.execution.plans import Field, Selection
from graphql_api.execution.resolvers import CAST, attribute, checks_its_class, is_coroutine, own_class
from graphql_api.execution.values import PLAIN, Coroutine, leaf

Names = dict[str, Any]
"""What the text finds under the names in it."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object in the text: the Python for it and for its path, and what the names of its values begin with."""

    source: str
    path: str
    prefix: str

    @property
    def waits(self) -> str:
        """The name of a variable: is there a value to be waited for?"""
        return f"{self.prefix}_waits"


def select(type_: GraphQLObjectType, fields: Sequence[Field]) -> tuple[str, Names]:
    """The text of a function `select(run, source, path)`, and the names that it needs."""
    names: Names = {"PLAIN": PLAIN, "Coroutine": Coroutine}
    whole = Object("source", "path", "v")
    body = [*_checked(type_, names), *_answer("answer", whole, type_, fields, names)]
    body.append(f"return run.together(answer) if {whole.waits} else answer")
    return "\n".join(["def select(run, source, path):", *_indented(body), ""]), names


def _checked(type_: GraphQLObjectType, names: Names) -> list[str]:
    """A check that is quick for objects of the type's own class, where Strawberry would check the class of each."""
    if not checks_its_class(type_):
        return []

    def check(source: Any) -> None:
        if type_.is_type_of and not type_.is_type_of(source, None):  # type: ignore[arg-type]  # it takes no interest
            raise GraphQLError(f"Expected value of type '{type_}' but got: {inspect(source)}.")

    names["check"] = check
    return [f"if not ({_is_own('source', 'Own', type_, names)}):", "    check(source)"]


def _is_own(source: str, own: str, type_: GraphQLObjectType, names: Names) -> str:
    """True for an object of the type's own class that nobody has declared to be of another type."""
    names[own] = own_class(type_)
    return f"type({source}) is {own} and getattr({source}, {CAST!r}, None) is None"


def _answer(answer: str, whole: Object, type_: GraphQLObjectType, fields: Sequence[Field], names: Names) -> list[str]:
    """The lines that make the answer for an object."""
    lines = [f"{whole.waits} = False"]
    items = []
    for number, field in enumerate(fields):
        if field.definition is TypeNameMetaFieldDef:
            items.append(f"{field.key!r}: {type_.name!r}")
        else:
            value = f"{whole.prefix}{number}"
            lines += [f"# {field.key}: {field.type}", *_field(field, value, whole, names)]
            items.append(f"{field.key!r}: {value}")
    return [*lines, f"{answer} = {{{', '.join(items)}}}"]


def _field(field: Field, v: str, whole: Object, names: Names) -> list[str]:
    """The lines that give a field's value this name."""
    f = f"f{v[1:]}"
    names[f] = field
    path = f"({whole.path}, {field.key!r}, {field.parent.name!r})"
    given = f"{f}.arguments(run.variables)" if field.arguments else "{}"
    if is_coroutine(field.definition):
        lines = [f"{v}, {whole.waits} = {f}.later(run, {whole.source}, {path}, {given}), True"]
        if not field.arguments:
            return lines  # nothing can go wrong yet
    else:
        value = _read(field, f, whole.source, path, given, names)
        lines = [f"{v} = {value}", *_completed(field, v, f, path, whole, names)]
    return [
        "try:",
        *_indented(lines),
        "except Exception as error:",
        f"    {v} = {f}.fail(run, error, {path}, locals(), {whole.prefix!r})",
    ]


def _read(field: Field, f: str, source: str, path: str, given: str, names: Names) -> str:
    """What a resolver gives."""
    if name := attribute(field.definition):
        return f"{source}.{name}"
    if field.method:
        names[f"{f}_method"] = field.method
        return f"{f}_method({source})"
    return f"{f}.resolve(run, {source}, {path}, {given})"


def _completed(field: Field, v: str, f: str, path: str, whole: Object, names: Names) -> list[str]:
    """The lines that complete the value: at once where it is what was expected, else with a closer look."""
    nullable = get_nullable_type(field.type)
    look = f"    {v}, {whole.waits} = {f}.finish(run, {v}, {path}), True"
    or_null = f" or {v} is None" if field.is_nullable else ""
    if field.selection:
        return [*_selected(field.selection, v, f, path, whole, names), "else:", look]
    if not is_leaf_type(nullable):
        return [f"{v} = {f}.finish(run, {v}, {path})", f"{whole.waits} = {whole.waits} or type({v}) is Coroutine"]
    known = leaf(nullable)
    if known.as_it_is:
        return [f"if not ({known.as_it_is.replace('value', v)}{or_null}):", look]
    if known.enum:
        names |= {f"{f}_enum": known.enum, f"{f}_names": known.names}
        return [f"if type({v}) is {f}_enum:", f"    {v} = {f}_names[{v}._name_]", "else:", look]
    names[f"{f}_coerce"] = known.coerce
    return [
        f"if type({v}) in PLAIN:",
        f"    given, {v} = {v}, {f}_coerce({v})",
        f"    if type({v}) not in PLAIN:",
        f"        {v}, {whole.waits} = {f}.odd(run, given, {v}, {path}), True",
        f"elif {v} is not None:" if field.is_nullable else "else:",
        look,
    ]


def _selected(selection: Selection, v: str, f: str, path: str, whole: Object, names: Names) -> list[str]:
    """The lines that select from an object whose type is certain: in place if that is easy, else by a function."""
    waited_for = [
        f"if type({v}) is Coroutine:",
        f"    {v}, {whole.waits} = {f}.guarded(run, {v}, {path}), True",
    ]
    if selection.leaves is None:
        names[f"{f}_selection"] = selection
        lines = [f"{v} = {f}_selection.function(run, {v}, {path})", *waited_for]
        return [f"if type({v}) in PLAIN:", *_indented(lines)]
    part = Object(v, path, f"w{v[1:]}_")
    lines = [
        *_answer(v, part, selection.type, selection.leaves, names),
        f"if {part.waits}:",
        *_indented([f"{v} = run.together({v})", *waited_for]),
    ]
    is_own = _is_own(v, f"Own{v[1:]}", selection.type, names) if checks_its_class(selection.type) else ""
    return [f"if {is_own or f'type({v}) in PLAIN'}:", *_indented(lines)]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
