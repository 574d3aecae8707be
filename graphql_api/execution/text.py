"""The text of a plan's functions: a Python function for each selection, with a few lines for each field.

For `{ title owner { name } }` of a `Task` that has its title as an attribute, and a coroutine for its owner, `make`
gives

    def select(run, source, path):
        is_waiting = False
        # title: String!
        try:
            v0 = source.title
            if not (type(v0) is str):
                v0, is_waiting = f0.complete_any(run, v0, (path, 'title', 'Task')), True
        except Exception as error:
            v0 = f0.fail(run, error, (path, 'title', 'Task'), locals())
        # owner: User!
        try:
            v1, is_waiting = f1.awaited(run, f1_function(source), (path, 'owner', 'Task')), True
        except Exception as error:
            v1 = f1.fail(run, error, (path, 'owner', 'Task'), locals())
        answer = {'title': v0, 'owner': v1}
        return together(answer) if is_waiting else answer

where `f0` and `f1` are the fields: the usual value is taken as it is, any other one is looked at by
`Place.complete_any`, and `together` waits for what is to be waited for. `Plan.sources` shows the functions of any
operation. Closures that do the same took twice as long. The fields are not globals of the function: texts that are the
same share their code, and what Python learns of a global in one function it would unlearn in the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from graphql import GraphQLObjectType, TypeNameMetaFieldDef, get_nullable_type, is_leaf_type

from graphql_api.execution.plans import Field
from graphql_api.execution.resolvers import (
    Call,
    attribute,
    check,
    checks_its_class,
    info_of,
    is_another,
    is_coroutine,
    own_class,
)
from graphql_api.execution.values import PLAIN, Coroutine, Surprise, leaf
from graphql_api.execution.waiting import PENDING, together

Names = dict[str, Any]
"""What the text finds under the names in it."""

COMMON: Names = {
    "PLAIN": PLAIN,
    "PENDING": PENDING,
    "Coroutine": Coroutine,
    "Surprise": Surprise,
    "info_of": info_of,
    "together": together,
}
"""The names that are the same in every text."""


def select(type_: GraphQLObjectType, fields: Sequence[Field]) -> tuple[str, Names]:
    """The text of a function that gives `select(run, source, path)` for the names that it needs; and those names."""
    names: Names = {}
    body = ["is_waiting = False", *_checked(type_, names)]
    answer = []
    for number, field in enumerate(fields):
        if field.definition is TypeNameMetaFieldDef:
            answer.append(f"{field.key!r}: {type_.name!r}")
        else:
            body += [f"# {field.key}: {field.type}", *_field(field, number, names)]
            answer.append(f"{field.key!r}: v{number}")
    body += [f"answer = {{{', '.join(answer)}}}", "return together(answer) if is_waiting else answer"]
    return maker("select", "run, source, path", body, names), names


def maker(name: str, parameters: str, body: Sequence[str], names: Names) -> str:
    """The text of `make`, which gives the function of this body for what stands for the names."""
    function = [f"def {name}({parameters}):", *indented(body), f"return {name}"]
    return "\n".join([f"def make({', '.join(names)}):", *indented(function), ""])


def _checked(type_: GraphQLObjectType, names: Names) -> list[str]:
    """A check that is quick for objects of the type's own class, where Strawberry would check the class of each. The
    root, which has no path, may be anything."""
    if not checks_its_class(type_):
        return []
    names |= {"Own": own_class(type_), "check": partial(check, type_)}
    return [
        f"if ({is_another(type_)}) and path:",
        "    check(source)",
    ]


def _field(field: Field, number: int, names: Names) -> list[str]:
    """The lines that give `v0` its value, for field 0."""
    v, f = f"v{number}", f"f{number}"
    names[f] = field
    path = f"(path, {field.key!r}, {field.parent.name!r})"
    given = f"{f}.arguments(run.variables)" if field.arguments else "{}"
    call = call_text(field, f, path, names)
    if is_coroutine(field.definition):
        later = f"awaited(run, {call}, {path})" if call else f"later(run, source, {path}, {given})"
        lines = [f"{v}, is_waiting = {f}.{later}, True"]
    else:
        name = attribute(field.definition)
        value = f"source.{name}" if name else call or f"{f}.resolve(run, source, {path}, {given})"
        lines = [f"{v} = {value}", *_completed(field, v, f, path, names)]
    begun = "" if field.is_nullable else ", locals()"
    return [
        "try:",
        *indented(lines),
        "except Exception as error:",
        f"    {v} = {f}.fail(run, error, {path}{begun})",
    ]


def call_text(field: Field, f: str, path: str, names: Names) -> str:
    """The call of a resolver whose arguments are certain, and are Python's as they are; empty for any other."""
    call: Call | None = field.call
    given = field.arguments
    if call is None or (given and given.uncertain):
        return ""
    constants, variables = (given.constants, given.certain) if given else ({}, {})
    if any(call.arguments[name][1] for name in (*constants, *variables)):
        return ""
    names[f"{f}_function"] = call.function
    parts = ["source"] if call.wants_self else []
    parts += [f"{name}=source" for name in call.source_names]
    if call.info_name:
        names[f] = field
        parts.append(f"{call.info_name}=info_of(run, {f}, {path})")
    for name, value in constants.items():
        names[f"{f}_given_{name}"] = value
        parts.append(f"{call.arguments[name][0]}={f}_given_{name}")
    parts += [f"{call.arguments[name][0]}=run.variables.coerced[{variables[name]!r}]" for name in variables]
    return f"{f}_function({', '.join(parts)})"


def _completed(field: Field, v: str, f: str, path: str, names: Names) -> list[str]:
    """The lines that complete the value: at once where it is what was expected, else with a closer look."""
    look = f"{v}, is_waiting = {f}.complete_any(run, {v}, {path}), True"
    if field.selection:
        names[f"{f}_selection"] = field.selection
        return [
            f"if type({v}) in PLAIN:",
            f"    {v} = {f}_selection.function(run, {v}, {path})",
            f"    if type({v}) is Coroutine:",
            f"        {v}, is_waiting = {f}.guarded(run, {v}, {path}), True",
            "else:",
            f"    {look}",
        ]
    if not is_leaf_type(get_nullable_type(field.type)):
        return [f"{v} = {f}.complete_any(run, {v}, {path})", f"is_waiting = is_waiting or type({v}) in PENDING"]
    odd = f"{v}, is_waiting = {f}.complete_odd(run, given, {v}, {path}), True"
    return leaf_lines(field, v, f, names, look, odd)


def leaf_lines(field: Field, v: str, f: str, names: Names, look: str, odd: str) -> list[str]:
    """The lines that complete the value of a leaf type. `look` is the line for a value that was not expected, `odd` for
    one of which the type made an answer that was not."""
    type_: Any = get_nullable_type(field.type)
    known = leaf(type_)
    unless_null = f"elif {v} is not None:" if field.is_nullable else "else:"
    if known.as_it_is:
        or_null = f" or {v} is None" if field.is_nullable else ""
        return [f"if not ({known.as_it_is.replace('value', v)}{or_null}):", f"    {look}"]
    if known.enum:
        names |= {f"{f}_enum": known.enum, f"{f}_names": known.names}
        return [f"if type({v}) is {f}_enum:", f"    {v} = {f}_names[{v}._name_]", unless_null, f"    {look}"]
    names[f"{f}_coerce"] = known.coerce
    return [
        f"if type({v}) in PLAIN:",
        f"    given, {v} = {v}, {f}_coerce({v})",
        f"    if type({v}) not in PLAIN:",
        f"        {odd}",
        unless_null,
        f"    {look}",
    ]


def indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
