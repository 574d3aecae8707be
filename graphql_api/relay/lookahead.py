"""What a client has selected below a field, for resolvers that read no more than that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode
from strawberry import Info

REMEMBERED = 1000
"""Places in documents. What is selected there stays the same as long as the document is remembered."""

Selected = Mapping[str, Any]
"""Names of fields, each with what is selected below it."""

_known: dict[tuple[int, ...], tuple[Sequence[FieldNode], Selected]] = {}


def selected(info: Info[Any, Any]) -> Selected:
    """All fields below this one, by their names in the graph, those of fragments included.

    It may be more than what is answered: `@skip`, `@include` and the types of fragments are not looked at.
    """
    # to make graphql-core's info takes long; ours has the nodes at hand
    nodes: Sequence[FieldNode] = getattr(info, "field_nodes", None) or info._raw_info.field_nodes
    place = tuple([id(node) for node in nodes])
    if place not in _known:
        if len(_known) >= REMEMBERED:
            _known.clear()
        sets = [node.selection_set for node in nodes if node.selection_set]
        _known[place] = nodes, _below(sets, info._raw_info.fragments)  # with the nodes, or others may get their ids
    return _known[place][1]


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
