"""Values of variables are coerced as graphql-core does it, whatever they are and whatever their types."""

from typing import Any

import pytest
from graphql import (
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLString,
    is_input_object_type,
)
from graphql.language.parser import MAX_NESTING_DEPTH
from graphql.pyutils import Undefined
from graphql.utilities import coerce_input_value
from hypothesis import given
from hypothesis import strategies as st

from graphql_api import schema
from graphql_api.execution.coercion import coercion


def _even(value: Any) -> Any:
    if value == 0:
        return Undefined
    if value == 2:
        return None
    if value % 2:
        raise ValueError("odd")
    return value // 2


EVEN = GraphQLScalarType("Even", coerce_input_value=_even)
POINT = GraphQLInputObjectType(
    "Point",
    {
        "x": GraphQLInputField(GraphQLNonNull(GraphQLInt)),
        "y": GraphQLInputField(GraphQLInt, default_value=7, out_name="up"),
        "names": GraphQLInputField(GraphQLList(GraphQLNonNull(GraphQLString))),
    },
    out_type=lambda value: ("Point", value),
)
CHOICE = GraphQLInputObjectType(
    "Choice", {"x": GraphQLInputField(GraphQLInt), "even": GraphQLInputField(EVEN)}, is_one_of=True
)
TREE: GraphQLInputObjectType = GraphQLInputObjectType(
    "Tree",
    lambda: {
        "x": GraphQLInputField(EVEN),
        "names": GraphQLInputField(GraphQLList(TREE)),
        "even": GraphQLInputField(GraphQLList(GraphQLList(CHOICE))),
        "y": GraphQLInputField(GraphQLNonNull(POINT), default_value={"x": 1}),
    },
)
MADE_UP = [
    wrap(type_)
    for type_ in (GraphQLInt, GraphQLString, EVEN, POINT, CHOICE, TREE)
    for wrap in (lambda t: t, GraphQLNonNull, GraphQLList, lambda t: GraphQLNonNull(GraphQLList(GraphQLNonNull(t))))
]
OURS = [type_ for type_ in schema.build().type_map.values() if is_input_object_type(type_)]

LEAVES = st.none() | st.booleans() | st.integers(-3, 5) | st.floats() | st.sampled_from(["", "a", "COMPLETED", "P1D"])


def values(names: list[str]) -> st.SearchStrategy[Any]:
    """JSON whose objects have these names, and now and then another."""
    name = st.sampled_from([*names, "other"])
    return st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(name, inner, max_size=4), max_leaves=12
    )


def coerced(type_: GraphQLInputType, value: Any) -> Any:
    try:
        return coercion(type_)(value)
    except Exception:
        return Undefined


@pytest.mark.parametrize("type_", MADE_UP, ids=str)
@given(value=values(["x", "y", "names", "even"]))
def test_types_of_every_kind(type_: GraphQLInputType, value: Any) -> None:
    assert repr(coerced(type_, value)) == repr(coerce_input_value(value, type_))


@pytest.mark.parametrize("type_", OURS, ids=str)
@given(data=st.data())
def test_inputs_of_this_schema(type_: GraphQLInputObjectType, data: st.DataObject) -> None:
    fields = data.draw(st.lists(st.sampled_from(list(type_.fields)), unique=True, max_size=4))
    inner = values([name for field in type_.fields.values() for name in getattr(field.type, "fields", {})] or ["eq"])
    value = {name: data.draw(inner) for name in fields}
    assert repr(coerced(type_, value)) == repr(coerce_input_value(value, type_))


def test_values_deep_in_each_other_are_left_to_graphql_core() -> None:
    def tree(depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(depth):
            value = {"names": [value]}
        return value

    assert coerced(TREE, tree(MAX_NESTING_DEPTH // 2)) is not Undefined
    assert coerced(TREE, tree(MAX_NESTING_DEPTH // 2 + 1)) is Undefined


@pytest.mark.parametrize("value", [(1, 2), {1, 2}, range(2), {"x": Undefined}], ids=repr)
def test_what_no_json_has_is_left_to_graphql_core(value: Any) -> None:
    assert coerced(GraphQLList(CHOICE), value) is Undefined
