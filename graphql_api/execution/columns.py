"""The text of a plan's functions for many objects: a column for each field, one after the other.

For `{ title owner { name } }` of tasks that have both as attributes, `make` gives

    def each(rows, sources):
        run, rows.fields = rows.run, fields
        # title: String!
        v0 = [
            value if type(value) is str else rows.keep('title', value)
            for source in sources for value in (source.title,)
        ]
        # owner: User
        v1 = f1_objects(rows, [source.owner for source in sources])
        rows.answers += [{'title': v0, 'owner': v1} for v0, v1 in zip(v0, v1)]
        return rows.answers

All objects go through the same few lines before the next field has its turn, so that these stay in the caches of the
processor. What the lines leave out is for `many`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from graphql import GraphQLObjectType, TypeNameMetaFieldDef, get_nullable_type, is_leaf_type

from graphql_api.execution.many import of_field
from graphql_api.execution.plans import Field
from graphql_api.execution.resolvers import attribute, checks_its_class, is_another, is_coroutine, own_class
from graphql_api.execution.text import Names, call_text, maker
from graphql_api.execution.values import leaf


def each(type_: GraphQLObjectType, fields: Sequence[Field]) -> tuple[str, Names] | None:
    """The text of a function that gives `each(rows, sources)` for the names that it needs; and those names.

    None where a field has a coroutine, or is a list or of an abstract type.
    """
    names: Names = {"fields": {field.key: field for field in fields}}
    body, answer = ["run, rows.fields = rows.run, fields"], []
    if checks_its_class(type_):
        names["Own"] = own_class(type_)
        body += [
            "for source in sources:",
            f"    if {is_another(type_)}:",
            "        raise Surprise",
        ]
    columns = []
    for number, field in enumerate(fields):
        if field.definition is TypeNameMetaFieldDef:
            answer.append(f"{field.key!r}: {type_.name!r}")
            continue
        column = _column(field, number, names)
        if column is None:
            return None
        body += [f"# {field.key}: {field.type}", column]
        answer.append(f"{field.key!r}: v{number}")
        columns.append(f"v{number}")
    if not columns:
        return None
    body += [
        f"rows.answers += [{{{', '.join(answer)}}} for {', '.join(columns)}, in zip({', '.join(columns)})]",
        "return rows.answers",
    ]
    return maker("each", "rows, sources", body, names), names


def _column(field: Field, number: int, names: Names) -> str | None:
    """The line that gives `v0`, what field 0 is of all objects; None where that takes more than a line."""
    v, f = f"v{number}", f"f{number}"
    value = _value(field, f, names)
    wants_path = field.call and field.call.info_name
    sources = "for place, source in enumerate(sources)" if wants_path else "for source in sources"
    if value and field.selection:
        names[f"{f}_objects"] = partial(of_field, field)
        return f"{v} = {f}_objects(rows, [{value} {sources}])"
    completed = _completed(field, f, names)
    return f"{v} = [{completed[0]} {sources} for value in ({value},){completed[1]}]" if value and completed else None


def _value(field: Field, f: str, names: Names) -> str | None:
    """What gives the field's value for a `source` in a `place`; None where that takes more than certain arguments."""
    name = attribute(field.definition)
    if name:
        return f"source.{name}"
    if is_coroutine(field.definition):
        return None
    return call_text(field, f, f"(rows.path(place), {field.key!r}, {field.parent.name!r})", names) or None


def _completed(field: Field, f: str, names: Names) -> tuple[str, str] | None:
    """What completes a `value` of a leaf type, and what is to be done with it first; None for any other type."""
    nullable = get_nullable_type(field.type)
    if not is_leaf_type(nullable):
        return None
    keep = f"{'None if value is None else ' if field.is_nullable else ''}rows.keep({field.key!r}, value)"
    known = leaf(nullable)
    if known.as_it_is:
        return f"value if {known.as_it_is} else {keep}", ""
    if known.enum:
        names |= {f"{f}_enum": known.enum, f"{f}_names": known.names}
        return f"{f}_names[value._name_] if type(value) is {f}_enum else {keep}", ""
    names[f"{f}_coerce"] = known.coerce
    coerced = f" for answer in ({f}_coerce(value) if type(value) in PLAIN else None,)"
    return f"answer if type(answer) in PLAIN else {keep}", coerced
