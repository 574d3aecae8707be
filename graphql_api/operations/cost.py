"""The price of an operation: how many objects it could read, known before it runs.

An object costs 1, a list as many as it may hold times what each of them costs, a count 100, a change 10. A fragment
is priced once, however often it is spread, so that pricing takes no longer than reading the document.
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
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)

from graphql_api.relay.connections import PAGE_DEFAULT, PAGE_MAX

COUNT_COST = 100
CHANGE_COST = 10


def size_variables(operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> set[str]:
    """Names of the variables that the price depends on."""
    names: set[str] = set()
    pending: list[SelectionSetNode] = [operation.selection_set, *(node.selection_set for node in fragments.values())]
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, FieldNode):
                names |= {
                    argument.value.name.value
                    for argument in selection.arguments or ()
                    if argument.name.value in ("first", "last", "ids") and isinstance(argument.value, VariableNode)
                }
            inner = getattr(selection, "selection_set", None)
            if inner is not None:
                pending.append(inner)
    return names


class Price:
    """Prices one operation of a valid document with one set of variables."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self._known: dict[tuple[str, int], int] = {}

    def of(self, operation: OperationDefinitionNode) -> int:
        root = self._schema.get_root_type(operation.operation)
        assert root is not None  # or the document would not be valid
        price = self._selections(operation.selection_set, root, 1)
        if operation.operation is OperationType.MUTATION:
            price += CHANGE_COST * len(operation.selection_set.selections)
        return price

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

    def _field(self, field: FieldNode, parent: Any, size: int) -> int:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) or field.name.value not in parent.fields:
            return 0  # __typename and introspection read nothing
        definition = parent.fields[field.name.value]
        inner_type = get_named_type(definition.type)
        if field.selection_set is None or not is_composite_type(inner_type):
            return COUNT_COST if field.name.value == "totalCount" else 0
        if "ids" in definition.args:
            size = self._number_of_ids(field)
        inner_size = self._page_size(field) if "first" in definition.args else 1
        price = 1 + self._selections(field.selection_set, inner_type, inner_size)
        return price * size if is_list_type(get_nullable_type(definition.type)) else price

    def _page_size(self, field: FieldNode) -> int:
        sizes = [self._argument(field, name) for name in ("first", "last")]
        return min(max((size for size in sizes if isinstance(size, int)), default=PAGE_DEFAULT), PAGE_MAX)

    def _number_of_ids(self, field: FieldNode) -> int:
        ids = self._argument(field, "ids")
        return len(ids) if isinstance(ids, list | tuple) else 1

    def _argument(self, field: FieldNode, name: str) -> Any:
        for argument in field.arguments or ():
            if argument.name.value == name:
                value = argument.value
                if isinstance(value, VariableNode):
                    return self._variables.get(value.name.value)
                if isinstance(value, IntValueNode):
                    return int(value.value)
                return value.values if isinstance(value, ListValueNode) else None
        return None
