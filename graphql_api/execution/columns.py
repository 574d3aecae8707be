"""The text of a plan's functions for many objects: a column for each field, one after the other.

For `{ title owner { name } }` of tasks that have both as attributes, `make` makes

    def each(run, sources):
        # title: String!
        v0 = [value if type(value) is str else surprise(value) for source in sources for value in (source.title,)]
        # owner: User
        v1 = [value if type(value) in PLAIN else plain(value) for source in sources for value in (source.owner,)]
        v1 = f1_selection.all_present(run, v1)
        return [{'title': v0, 'owner': v1} for v0, v1 in zip(v0, v1)]

All objects go through the same few lines before the next field has its turn, so that these stay in the caches of the
processor, and nothing is prepared for what seldom happens: a `Surprise`, or whatever a resolver raises, has the objects
looked at one by one. No path is known here, and nobody is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphql import GraphQLObjectType, TypeNameMetaFieldDef, get_nullable_type, is_leaf_type

from graphql_api.execution.plans import Field
from graphql_api.execution.resolvers import CAST, attribute, checks_its_class, is_coroutine, own_class
from graphql_api.execution.text import Names, call_text, defined
from graphql_api.execution.values import IS_PLAIN, leaf


def each(type_: GraphQLObjectType, fields: Sequence[Field]) -> tuple[str, Names] | None:
    """The text of a function that gives `each(run, sources)` for the names that it needs; and those names.

    None where a field wants to know its path, is waited for, or is a list or of an abstract type.
    """
    names: Names = {}
    body, answer = [], []
    if checks_its_class(type_):
        names["Own"] = own_class(type_)
        body += [
            "for source in sources:",
            f"    if type(source) is not Own or getattr(source, {CAST!r}, None) is not None:",
            "        raise Surprise",
        ]
    columns = []
    for number, field in enumerate(fields):
        if field.definition is TypeNameMetaFieldDef:
            answer.append(f"{field.key!r}: {type_.name!r}")
            continue
        v, f = f"v{number}", f"f{number}"
        value, completed = _value(field, f, names), _completed(field, f, names)
        if not value or not completed:
            return None
        body += [f"# {field.key}: {field.type}", f"{v} = [{completed} for source in sources for value in ({value},)]"]
        if field.selection:
            names[f"{f}_selection"] = field.selection
            body.append(f"{v} = {f}_selection.{'all_present' if field.is_nullable else 'all'}(run, {v})")
        answer.append(f"{field.key!r}: {v}")
        columns.append(v)
    if not columns:
        return None
    body.append(f"return [{{{', '.join(answer)}}} for {', '.join(columns)}, in zip({', '.join(columns)})]")
    return defined("each", "run, sources", body, names), names


def _value(field: Field, f: str, names: Names) -> str | None:
    """What gives the field's value for a `source`; None where that takes more than certain arguments."""
    name = attribute(field.definition)
    if name:
        return f"source.{name}"
    if is_coroutine(field.definition) or (field.call and field.call.info_name):
        return None
    return call_text(field, f, "", names) or None


def _completed(field: Field, f: str, names: Names) -> str | None:
    """What completes a `value`, as far as that goes without asking it for its fields."""
    nullable = get_nullable_type(field.type)
    null = "None if value is None else " if field.is_nullable else ""
    if field.selection:
        return f"value if {IS_PLAIN} else {null}plain(value)"
    if not is_leaf_type(nullable):
        return None
    known = leaf(nullable)
    if known.as_it_is:
        otherwise = "plain" if known.as_it_is == IS_PLAIN else "surprise"  # whose types are not all known yet
        return f"value if {known.as_it_is} else {null}{otherwise}(value)"
    if known.enum:
        names |= {f"{f}_enum": known.enum, f"{f}_names": known.names}
        return f"{f}_names[value._name_] if type(value) is {f}_enum else {null}surprise(value)"
    names[f"{f}_coerce"] = known.coerce
    return f"{null}plain({f}_coerce(plain(value)))"
