"""The price of an operation: how many objects it could read, known before it runs.

An object costs 1, a list as many as it may hold times what each of them costs, a count 100, a change 10, a change of
many 3,000. Twenty leaves of an object are free, as no type has so many, and each further one costs 1: a few kB of
aliases would ask for gigabytes. Twenty objects of the schema itself cost 1: they are at hand, but without a price a few
aliases would ask for millions. An argument costs 1 for every value in its lists and objects: a document is short, but
may give one large filter to many fields. A fragment is priced once, however often it is spread, so that pricing takes
no longer than reading the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NamedTypeNode,
    NonNullTypeNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    TypeNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
    is_list_type,
)

from graphql_api.operations import rules
from graphql_api.relay.connections import PAGE_DEFAULT, PAGE_MAX

COUNT_COST = 100
"""Of a field called `…Count` or `…Counts`: it goes through all rows to give numbers."""
CHANGE_COST = 10
FREE_LEAVES = 20
"""Of an object; those of one type that are asked for several times count each time."""
BULK_SIZE = 1_000
"""So many objects a change may change and answer that is named in the plural, `…Tasks`: how many pass a filter is not
known before."""
BULK_CHANGE_COST = 3
"""Of each of these objects; they share a round trip and a commit."""
SCHEMA_OBJECTS = 20
"""So many objects of the schema cost as much as one of the database."""
SCHEMA_LIST = 8
"""Fields of a type, arguments of a field, and the like: more than most have."""


class Size(NamedTuple):
    """What a value asks for where it is the size of a page, and how many values it has where it is a list or object."""

    number: int = 0
    values: int = 0


NO_SIZE = Size()


class Sizes:
    """The sizes of those of an operation's variables that have one, or of their defaults where they are absent.

    A value of a wrong type has some size: the operation will be refused for it, but not here.
    """

    def __init__(self, operation: OperationDefinitionNode) -> None:
        self._defaults = [
            (one.variable.name.value, _size_of_literal(one.default_value, {}) if one.default_value else NO_SIZE)
            for one in operation.variable_definitions or ()
            if not _is_sizeless(one.type)
        ]

    def of(self, variables: Mapping[str, Any]) -> tuple[tuple[str, Size], ...]:
        """Each with the name of its variable."""
        if not self._defaults:
            return ()
        return tuple([(name, _size(variables[name]) if name in variables else size) for name, size in self._defaults])


def _is_sizeless(type_: TypeNode) -> bool:
    """True for texts and the like: whatever they hold, they are not the size of a page."""
    inner = type_.type if isinstance(type_, NonNullTypeNode) else type_
    return isinstance(inner, NamedTypeNode) and inner.name.value in ("ID", "String", "Boolean")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of what is selected of an object: what it costs beside the object's own leaves, and how many those are."""

    price: int = 0
    leaves: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.price + other.price, self.leaves + other.leaves)

    @property
    def total(self) -> int:
        return self.price + max(0, self.leaves - FREE_LEAVES)


class Price:
    """Prices one operation of a valid document with variables of these sizes."""

    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], sizes: Mapping[str, Size]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._sizes = sizes
        self._known: dict[tuple[str, int], Cost] = {}

    def of(self, operation: OperationDefinitionNode) -> int:
        root = self._schema.get_root_type(operation.operation)
        assert root is not None  # or the document would not be valid
        return self._selections(operation.selection_set, root, 1).total

    def _selections(self, selection_set: SelectionSetNode, parent: Any, size: int) -> Cost:
        """The cost of what is selected of one `parent`, whose lists hold `size` objects."""
        cost = Cost()
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                cost += self._field(selection, parent, size)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = self._schema.get_type(condition.name.value) if condition else parent
                cost += self._selections(selection.selection_set, inner, size)
            elif isinstance(selection, FragmentSpreadNode):
                cost += self._fragment(selection.name.value, size)
        return cost

    def _fragment(self, name: str, size: int) -> Cost:
        if (name, size) not in self._known:
            fragment = self._fragments[name]
            parent = self._schema.get_type(fragment.type_condition.name.value)
            self._known[name, size] = self._selections(fragment.selection_set, parent, size)
        return self._known[name, size]

    def _field(self, field: FieldNode, parent: GraphQLObjectType | GraphQLInterfaceType, size: int) -> Cost:
        name = field.name.value
        definition = self._schema.get_field(parent, name)
        assert definition is not None  # or the document would not be valid
        inner_type = get_named_type(definition.type)
        if name.endswith(("Count", "Counts")):
            return Cost(COUNT_COST)
        if field.selection_set is None or not is_composite_type(inner_type):
            return Cost(1) if is_introspection_type(parent) else Cost(leaves=1)
        arguments = {
            argument.name.value: _size_of_literal(argument.value, self._sizes) for argument in field.arguments or ()
        }
        if is_introspection_type(parent):
            size = len(self._schema.type_map) if name == "types" else SCHEMA_LIST
        elif "ids" in definition.args:
            size = arguments["ids"].values or 1
        page_size = max(arguments.get(name, Size()).number for name in ("first", "last")) or PAGE_DEFAULT
        is_change = parent is self._schema.mutation_type
        is_bulk = is_change and name.endswith("s")
        inner_size = BULK_SIZE if is_bulk else page_size if "first" in definition.args else 1
        price = 1 + self._selections(field.selection_set, inner_type, inner_size).total
        if is_list_type(get_nullable_type(definition.type)):
            price *= size
        price += sum(argument.values for argument in arguments.values())
        if is_change:
            price += BULK_SIZE * BULK_CHANGE_COST if is_bulk else CHANGE_COST
        if is_introspection_type(inner_type) and not is_introspection_type(parent):
            price = -(-price // SCHEMA_OBJECTS)  # rounded up
        return Cost(price)


def _size_of_literal(node: ValueNode, variables: Mapping[str, Size]) -> Size:
    match node:
        case VariableNode():
            return variables.get(node.name.value, NO_SIZE)
        case IntValueNode():
            return _size(float(node.value))  # Python makes no int of 4,301 digits, and an ID may have them
        case ListValueNode():
            inner = [_size_of_literal(item, variables) for item in node.values]
        case ObjectValueNode():
            inner = [_size_of_literal(field.value, variables) for field in node.fields]
        case _:
            inner = []
    return Size(values=len(inner) + sum(size.values for size in inner))


def _size(value: Any) -> Size:
    # 50.0 counts as an Int in JSON
    number = int(max(0, min(value, PAGE_MAX))) if isinstance(value, int | float) else 0
    return Size(number, rules.count_values(value))
