"""Bounds on a request that must hold before graphql-core validates its document and reads its variables."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Visitor,
    visit,
)

from graphql_api.errors import Code, RequestError, bad_input

COMPARISONS_MAX = 60_000
"""A third of a second of one core."""

DEPTH_MAX = 100
"""Fields in fields: with a list for each of them the answer is nested twice as deep, and orjson writes 254 levels."""

CONTAINERS = {dict, list}
"""What JSON makes of values that have others inside."""


def check(document: DocumentNode) -> None:
    """Raises GRAPHQL_VALIDATION_FAILED for a document that would be slow to validate.

    Validation compares every two fields of one name and every two fragments (OverlappingFieldsCanBeMerged), in time
    that grows with the square of their number: measured with graphql-core 3.3.2, 13 kB of `viewer{id}` hold the
    process for two seconds. Documents that people and compilers write hardly repeat a field.
    """
    counter = _Counter()
    visit(document, counter)
    comparisons = counter.fields * (counter.repeated + counter.spreads)
    if comparisons > COMPARISONS_MAX:
        raise RequestError(
            Code.GRAPHQL_VALIDATION_FAILED,
            f"The document has {counter.fields} fields, of which {counter.repeated} repeat another one in the same "
            f"place, and {counter.spreads} fragment spreads: too many to compare. Repeat less, or split the document.",
        )


def check_depth(document: DocumentNode) -> None:
    """Raises GRAPHQL_VALIDATION_FAILED for a valid document whose answer would be nested too deep to be written."""
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    known: dict[str, int] = {}

    def depth(selection_set: SelectionSetNode) -> int:
        deepest = 0
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                inner = 1 + (depth(selection.selection_set) if selection.selection_set else 0)
            elif isinstance(selection, InlineFragmentNode):
                inner = depth(selection.selection_set)
            else:
                assert isinstance(selection, FragmentSpreadNode)
                name = selection.name.value
                known[name] = inner = known[name] if name in known else depth(fragments[name].selection_set)
            deepest = max(deepest, inner)
        return deepest

    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode) and (found := depth(one.selection_set)) > DEPTH_MAX:
            raise RequestError(
                Code.GRAPHQL_VALIDATION_FAILED,
                f"The document asks for fields inside of fields, {found} deep; at most {DEPTH_MAX} are answered.",
            )


def check_variables(variables: Mapping[str, Any], most: int) -> None:
    """Raises BAD_USER_INPUT for variables of more than so many values, lists and objects included.

    Reading them takes 5 µs each, and much more where conditions are made of them; a body has room for 300,000.
    """
    if count_values(variables, most) > most:
        raise bad_input(f"The variables have more than {most} values, which is the most that is read.")


def count_values(value: Any, most: float = float("inf")) -> int:
    """How many values are inside of an object or a list of JSON, at any depth; counts no further than `most`."""
    number = 0
    containers = [value] if type(value) in CONTAINERS else []
    for container in containers:  # they become more
        inner = container.values() if type(container) is dict else container
        number += len(inner)
        if number > most:
            break
        containers += [one for one in inner if type(one) in CONTAINERS]
    return number


class _Counter(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.fields = 0
        self.repeated = 0
        self.spreads = 0

    def enter_selection_set(self, node: SelectionSetNode, _key: object, parent: object, *_: object) -> None:
        if not isinstance(parent, InlineFragmentNode):  # its fields count where it stands
            names = list(_response_names(node))
            self.fields += len(names)
            self.repeated += len(names) - len(set(names))

    def enter_fragment_spread(self, _node: FragmentSpreadNode, *_: object) -> None:
        self.spreads += 1


def _response_names(selection_set: SelectionSetNode) -> Iterator[str]:
    for selection in selection_set.selections:
        if isinstance(selection, FieldNode):
            yield (selection.alias or selection.name).value
        elif isinstance(selection, InlineFragmentNode):
            yield from _response_names(selection.selection_set)
