"""The text of a plan's functions for many objects: a loop, without the care that `text` takes of each.

For `{ title owner { name } }` of tasks that have both as attributes, `make` gives

    def each(rows, sources):
        run, rows.fields = rows.run, fields
        answers = rows.answers = []
        # owner: User
        v1s = f1_objects(rows, [source.owner for source in sources])
        for source, v1 in zip(sources, v1s):
            # title: String!
            v0 = source.title
            if not (type(v0) is str):
                v0 = rows.keep('title', v0)
            answers.append({'title': v0, 'owner': v1})
        return answers

Objects in a field come before all else: they are many again, and loaders are asked for all of them at once. What the
lines leave out is for `many`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from graphql import GraphQLObjectType, TypeNameMetaFieldDef, get_nullable_type, is_leaf_type

from graphql_api.execution.many import of_field
from graphql_api.execution.plans import Field
from graphql_api.execution.resolvers import attribute, checks_its_class, is_another, is_coroutine, own_class
from graphql_api.execution.text import Names, call_text, indented, leaf_lines, maker


def each(type_: GraphQLObjectType, fields: Sequence[Field]) -> tuple[str, Names] | None:
    """The text of a function that gives `each(rows, sources)` for the names that it needs; and those names.

    None where a field has a coroutine, or is a list or of an abstract type.
    """
    names: Names = {"fields": {field.key: field for field in fields}}
    objects, leaves, answer = [], [], []
    loop = {"source": "sources"}  # what runs through which list
    for number, field in enumerate(fields):
        v = f"v{number}"
        if field.definition is TypeNameMetaFieldDef:
            answer.append(f"{field.key!r}: {type_.name!r}")
            continue
        answer.append(f"{field.key!r}: {v}")
        lines = _objects(field, number, names) if field.selection else _leaf(field, number, names)
        if not lines:
            return None
        if field.selection:
            objects += lines
            loop[v] = f"{v}s"
        else:
            leaves += lines
    lists = ", ".join(loop.values())
    body = [
        "run, rows.fields = rows.run, fields",
        "answers = rows.answers = []",
        *_checked(type_, names),
        *objects,
        f"for {', '.join(loop)} in {f'zip({lists})' if objects else lists}:",
        *indented([*leaves, f"answers.append({{{', '.join(answer)}}})"]),
        "return answers",
    ]
    return maker("each", "rows, sources", body, names), names


def _checked(type_: GraphQLObjectType, names: Names) -> list[str]:
    if not checks_its_class(type_):
        return []
    names["Own"] = own_class(type_)
    return [
        "for source in sources:",
        f"    if {is_another(type_)}:",
        "        raise Surprise",
    ]


def _objects(field: Field, number: int, names: Names) -> list[str]:
    """The lines that give `v0s`, what is selected of the objects in field 0; none where they are to be awaited."""
    f = f"f{number}"
    value = _value(field, f, "place", names)
    if not value:
        return []
    names[f"{f}_objects"] = partial(of_field, field)
    sources = "place, source in enumerate(sources)" if field.call and field.call.info_name else "source in sources"
    return [f"# {field.key}: {field.type}", f"v{number}s = {f}_objects(rows, [{value} for {sources}])"]


def _leaf(field: Field, number: int, names: Names) -> list[str]:
    """The lines that give `v0`, the leaf in field 0; none for any other field, and where it is to be awaited."""
    v, f = f"v{number}", f"f{number}"
    value = _value(field, f, "len(answers)", names)
    if not value or not is_leaf_type(get_nullable_type(field.type)):
        return []
    keep = f"{v} = rows.keep({field.key!r}, {{}})"
    completed = leaf_lines(field, v, f, names, look=keep.format(v), odd=keep.format("given"))
    return [f"# {field.key}: {field.type}", f"{v} = {value}", *completed]


def _value(field: Field, f: str, place: str, names: Names) -> str:
    """What gives the field's value for a `source` in a place; empty where that takes more than certain arguments."""
    name = attribute(field.definition)
    if name:
        return f"source.{name}"
    if is_coroutine(field.definition):
        return ""
    return call_text(field, f, f"(rows.path({place}), {field.key!r}, {field.parent.name!r})", names)
