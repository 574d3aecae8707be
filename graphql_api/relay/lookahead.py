"""What a client has selected below a field, for resolvers that read no more than that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode
from strawberry import Info

Selected = Mapping[str, Any]
"""Names of fields, each with what is selected below it."""


T = TypeVar("T")


def selected(info: Info[Any, Any], meaning: Callable[[Selected], T]) -> T:
    """What all fields below this one mean, by their names in the graph, those of fragments included.

    It may be more than what is answered: `@skip`, `@include` and the types of fragments are not looked at. The meaning
    is found once for each place in a document.
    """
    memory: dict[Any, Any] = getattr(info, "memory", {})  # the compiled executor's info has one
    if meaning not in memory:
        raw = info._raw_info
        sets = [node.selection_set for node in raw.field_nodes if node.selection_set]
        memory[meaning] = meaning(_below(sets, raw.fragments))
    found: T = memory[meaning]
    return found


def _below(sets: Iterable[SelectionSetNode], fragments: Mapping[str, FragmentDefinitionNode]) -> Selected:
    """What is selected in these selection sets of one object."""
    inner: dict[str, list[SelectionSetNode]] = {}
    spread = set()
    waiting = [selection for one in sets for selection in one.selections]
    while waiting:
        selection = waiting.pop()
        if isinstance(selection, FieldNode):
            inner.setdefault(selection.name.value, []).extend(
                [selection.selection_set] if selection.selection_set else []
            )
        elif isinstance(selection, InlineFragmentNode):
            waiting += selection.selection_set.selections
        elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in spread:
            spread.add(selection.name.value)
            waiting += fragments[selection.name.value].selection_set.selections
    return {name: _below(below, fragments) for name, below in inner.items()}
