"""One execution of a plan: what its resolvers share, and what went wrong so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    default_type_resolver,
)
from graphql.execution import Executor, default_field_resolver
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.values import VariableValues
from graphql.pyutils import Path

Steps = tuple[Any, str | int, str | None]
"""A path as it grows: the steps before, the key, the name of the type that has the field (None for a place in a list).
A `Path` in the making, which would cost ten times as much and is seldom asked for."""


def to_path(steps: Steps) -> Path:
    """The path as graphql-core and resolvers know it."""
    before, key, type_name = steps
    return Path(before and to_path(before), key, type_name)


@dataclass(frozen=True)
class Definitions:
    """What does not change from run to run: the schema, the operation, and its fragments."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragment_definitions: dict[str, FragmentDefinitionNode]
    executor_class: type[Executor[Any]]

    @cached_property
    def fragments(self) -> dict[str, FragmentDetails]:
        return {name: FragmentDetails(definition) for name, definition in self.fragment_definitions.items()}


class Run:
    """One execution."""

    __slots__ = ("_core", "context", "definitions", "root", "variables")

    def __init__(self, definitions: Definitions, variables: VariableValues, context: Any, root: Any) -> None:
        self.definitions = definitions
        self.variables = variables
        self.context = context
        self.root = root
        self._core: Executor[Any] | None = None

    @property
    def core(self) -> Executor[Any]:
        """graphql-core's executor of the same execution, for all that is not compiled. Its errors are ours."""
        if self._core is None:
            definitions = self.definitions
            self._core = definitions.executor_class(
                definitions.schema,
                definitions.fragment_definitions,
                definitions.fragments,
                self.root,
                self.context,
                definitions.operation,
                self.variables,
                default_field_resolver,
                default_type_resolver,
                default_field_resolver,
            )
        return self._core

    @property
    def errors(self) -> list[GraphQLError] | None:
        return (self._core.collected_errors.errors or None) if self._core else None

    def note(self, error: GraphQLError, path: Steps | None) -> None:
        """Adds the error, unless null stands already in its place or above it."""
        self.core.collected_errors.add(error, path and to_path(path))
