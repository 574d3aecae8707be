"""Bounds on a document that must hold before graphql-core validates it."""

from collections.abc import Iterator

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionSetNode,
    Visitor,
    visit,
)

from graphql_api.errors import Code, RequestError

REPEATED_FIELDS_MAX = 50
SPREADS_MAX = 100


def check(document: DocumentNode) -> None:
    """Raises GRAPHQL_VALIDATION_FAILED for a document that would be slow to validate.

    Validation compares every two fields of one name and every two fragments (OverlappingFieldsCanBeMerged), in time
    that grows with the square of their number: measured with graphql-core 3.3.2, 13 kB of `viewer{id}` hold the
    process for two seconds. Documents that people and compilers write hardly repeat a field.
    """
    counter = _Counter()
    visit(document, counter)
    for number, bound, what in (
        (counter.repeated, REPEATED_FIELDS_MAX, "fields that repeat another one in the same place"),
        (counter.spreads, SPREADS_MAX, "fragment spreads"),
    ):
        if number > bound:
            raise RequestError(
                Code.GRAPHQL_VALIDATION_FAILED, f"The document has {number} {what}; at most {bound} are allowed."
            )


class _Counter(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.repeated = 0
        self.spreads = 0

    def enter_selection_set(self, node: SelectionSetNode, _key: object, parent: object, *_: object) -> None:
        if not isinstance(parent, InlineFragmentNode):  # its fields count where it stands
            names = list(_response_names(node))
            self.repeated += len(names) - len(set(names))

    def enter_fragment_spread(self, _node: FragmentSpreadNode, *_: object) -> None:
        self.spreads += 1


def _response_names(selection_set: SelectionSetNode) -> Iterator[str]:
    for selection in selection_set.selections:
        if isinstance(selection, FieldNode):
            yield (selection.alias or selection.name).value
        elif isinstance(selection, InlineFragmentNode):
            yield from _response_names(selection.selection_set)
