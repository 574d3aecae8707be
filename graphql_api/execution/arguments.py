"""Arguments of a field: those that a document writes out are coerced once, those from variables are only picked up."""

from __future__ import annotations

from collections.abc import Callable, Container
from enum import Enum
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLSchema,
    GraphQLType,
    OperationDefinitionNode,
    VariableNode,
    get_named_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_specified_scalar_type,
    type_from_ast,
)
from graphql.execution.values import VariableValues, coerce_argument

_Part = Callable[[dict[str, Any], VariableValues], None]
"""Adds one argument to those of a field."""

_NO_VARIABLES = VariableValues({}, {})


class Arguments:
    """The arguments of a field."""

    __slots__ = ("certain", "constants", "uncertain")

    def __init__(self, definition: GraphQLField, node: FieldNode, required: Container[str]) -> None:
        """`required`: variables that always have a value other than null, as `required` finds them."""
        self.constants: dict[str, Any] = {}
        """Values that the document writes out."""
        self.certain: dict[str, str] = {}
        """Variables whose values are taken as they are."""
        self.uncertain: list[_Part] = []
        """What adds all others, or says what is wrong with them."""
        given = {argument.name.value: argument for argument in node.arguments or ()}
        for name, argument in definition.args.items():
            self._add(node, name, argument, given.get(name), required)

    def __call__(self, variables: VariableValues) -> dict[str, Any]:
        """A new dict with their values. Raises GraphQLError."""
        found = self.constants.copy()
        for name, variable in self.certain.items():
            found[name] = variables.coerced[variable]
        for add in self.uncertain:
            add(found, variables)
        return found

    def _add(
        self,
        node: FieldNode,
        name: str,
        argument: GraphQLArgument,
        given: ArgumentNode | None,
        required: Container[str],
    ) -> None:
        def coerce(found: dict[str, Any], variables: VariableValues) -> None:
            coerce_argument(found, node, name, argument, given, variables, None)

        if given is not None and isinstance(given.value, VariableNode):
            variable, out_name = given.value.name.value, argument.out_name or name
            if variable in required:
                self.certain[out_name] = variable
            else:
                self.uncertain.append(_variable(variable, out_name, is_non_null_type(argument.type), coerce))
            return
        try:
            constant: dict[str, Any] = {}
            coerce(constant, _NO_VARIABLES)
        except Exception:  # with variables inside of it, or wrong, and then each execution has to say so
            self.uncertain.append(coerce)
            return
        if all(_is_constant(value, argument.type) for value in constant.values()):
            self.constants |= constant
        else:
            self.uncertain.append(coerce)  # a resolver may change what it is given: the next one gets its own


def required(schema: GraphQLSchema, operation: OperationDefinitionNode) -> set[str]:
    """Variables that always have a value other than null, for resolvers too."""
    definitions = operation.variable_definitions or ()
    return {one.variable.name.value for one in definitions if _is_never_null(type_from_ast(schema, one.type))}


def _is_never_null(type_: GraphQLType | None) -> bool:
    """False also where null could be made of a value: by a custom scalar, say."""
    if not is_non_null_type(type_):
        return False
    inner = type_.of_type
    if is_enum_type(inner):
        return all(value.value is not None for value in inner.values.values())
    if is_input_object_type(inner):
        return inner.out_type is GraphQLInputObjectType.out_type
    return is_list_type(inner) or is_specified_scalar_type(inner)


def _variable(variable: str, name: str, is_required: bool, coerce: _Part) -> _Part:
    def pick(found: dict[str, Any], variables: VariableValues) -> None:
        if variable in variables.coerced and not (is_required and variables.coerced[variable] is None):
            found[name] = variables.coerced[variable]
        else:
            coerce(found, variables)  # the default, or an error

    return pick


def _is_constant(value: object, type_: GraphQLInputType) -> bool:
    """True for a value that nobody can change and that the same literal means each time: for a custom scalar it could
    be a time of day."""
    named = get_named_type(type_)
    is_known = is_specified_scalar_type(named) or is_enum_type(named)
    return value is None or (is_known and (isinstance(value, Enum) or type(value) in (str, int, float, bool)))
