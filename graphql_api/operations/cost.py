"""The price of an operation: how many objects it could read, known before it runs.

An object costs 1, a list as many as it may hold times what each of them costs, a count 100, a change 10. Twenty objects
of the schema itself cost 1: they are at hand, but without a price a few aliases would ask for millions. A fragment is
priced once, however often it is spread, so that pricing takes no longer than reading the document.
"""

from collections.abc import Mapping
from typing import Any

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
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
    is_list_type,
)

from graphql_api.relay.connections import PAGE_DEFAULT, PAGE_MAX

COUNT_COST = 100
CHANGE_COST = 10
SCHEMA_OBJECTS = 20
"""So many objects of the schema cost as much as one of the database."""
SCHEMA_LIST = 8
"""Fields of a type, arguments of a field, and the like: more than most have."""


def sizes(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> dict[str, int]:
    """How many objects each variable asks for, where one is the size of a page or a list; by its default if absent.

    A value of a wrong type asks for none: the operation will be refused for it, but not here.
    """
    found = {}
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        given = variables[name] if name in variables else _literal(definition.default_value)
        found[name] = _size(given)
    return found


class Price:
    """Prices one operation of a valid document with variables of these sizes."""

    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], sizes: Mapping[str, int]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._sizes = sizes
        self._known: dict[tuple[str, int], int] = {}

    def of(self, operation: OperationDefinitionNode) -> int:
        root = self._schema.get_root_type(operation.operation)
        assert root is not None  # or the document would not be valid
        return self._selections(operation.selection_set, root, 1)

    def _selections(self, selection_set: SelectionSetNode, parent: Any, size: int) -> int:
        """The price of what is selected of one `parent`, whose lists hold `size` objects."""
        price = 0
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                price += self._field(selection, parent, size)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = self._schema.get_type(condition.name.value) if condition else parent
                price += self._selections(selection.selection_set, inner, size)
            elif isinstance(selection, FragmentSpreadNode):
                price += self._fragment(selection.name.value, size)
        return price

    def _fragment(self, name: str, size: int) -> int:
        if (name, size) not in self._known:
            fragment = self._fragments[name]
            parent = self._schema.get_type(fragment.type_condition.name.value)
            self._known[name, size] = self._selections(fragment.selection_set, parent, size)
        return self._known[name, size]

    def _field(self, field: FieldNode, parent: GraphQLObjectType | GraphQLInterfaceType, size: int) -> int:
        name = field.name.value
        definition = self._schema.get_field(parent, name)
        assert definition is not None  # or the document would not be valid
        inner_type = get_named_type(definition.type)
        if field.selection_set is None or not is_composite_type(inner_type):
            return COUNT_COST if name == "totalCount" else int(is_introspection_type(parent))
        if is_introspection_type(parent):
            size = len(self._schema.type_map) if name == "types" else SCHEMA_LIST
        elif "ids" in definition.args:
            size = self._asked(field, "ids") or 1
        page_size = max(self._asked(field, "first"), self._asked(field, "last")) or PAGE_DEFAULT
        inner_size = min(page_size, PAGE_MAX) if "first" in definition.args else 1
        price = 1 + self._selections(field.selection_set, inner_type, inner_size)
        if is_list_type(get_nullable_type(definition.type)):
            price *= size
        if parent is self._schema.mutation_type:
            price += CHANGE_COST
        if is_introspection_type(inner_type) and not is_introspection_type(parent):
            price = -(-price // SCHEMA_OBJECTS)  # rounded up
        return price

    def _asked(self, field: FieldNode, argument_name: str) -> int:
        """How many objects an argument asks for; 0 without one."""
        for argument in field.arguments or ():
            if argument.name.value == argument_name:
                if isinstance(argument.value, VariableNode):
                    return self._sizes[argument.value.name.value]
                return _size(_literal(argument.value))
        return 0


def _size(value: Any) -> int:
    if isinstance(value, list | tuple):
        return len(value)
    # 50.0 counts as an Int in JSON
    return int(max(0, min(value, PAGE_MAX))) if isinstance(value, int | float) else 0


def _literal(node: ValueNode | None) -> Any:
    if isinstance(node, IntValueNode):
        return int(node.value)
    return node.values if isinstance(node, ListValueNode) else None
