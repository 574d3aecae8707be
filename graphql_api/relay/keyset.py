"""Where a page begins: after a row, known by its sort keys, whatever was inserted or deleted in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Key:
    """One column to sort by. `restore` turns what a cursor holds back into a value, or raises ValueError."""

    name: str
    column: sa.ColumnElement[Any]
    restore: Callable[[Any], object]
    descending: bool = False
    nullable: bool = False
    nulls_first: bool = False

    def reversed(self) -> Key:
        return Key(self.name, self.column, self.restore, not self.descending, self.nullable, not self.nulls_first)

    def ordering(self) -> sa.ColumnElement[Any]:
        """For ORDER BY. Silent on nulls where there are none, so that a plain index fits."""
        ordered = self.column.desc() if self.descending else self.column.asc()
        if not self.nullable:
            return ordered
        return ordered.nulls_first() if self.nulls_first else ordered.nulls_last()

    def beyond(self, value: sa.ColumnElement[Any] | None) -> sa.ColumnElement[bool]:
        """True for rows that sort strictly after the value, or after null, in this column alone."""
        if value is None:
            return self.column.is_not(None) if self.nulls_first else sa.false()
        further = self.column < value if self.descending else self.column > value
        return sa.or_(further, self.column.is_(None)) if self.nullable and not self.nulls_first else further

    def same(self, value: sa.ColumnElement[Any] | None) -> sa.ColumnElement[bool]:
        return self.column.is_(None) if value is None else self.column == value


class Order:
    """Columns to sort by, the last of them unique, so that no two rows share a place."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.keys = keys
        self.signature = ",".join(
            f"{key.name}{'-' if key.descending else '+'}{'n' if key.nullable and key.nulls_first else ''}"
            for key in keys
        )
        """Tells one order from another inside a cursor."""
        self.keys_of = _keys_of([key.name for key in keys])
        """Gives the sort keys of a row, which has them under their names."""

    @cached_property
    def reversed(self) -> Order:
        return Order(tuple(key.reversed() for key in self.keys))

    def orderings(self) -> list[sa.ColumnElement[Any]]:
        return [key.ordering() for key in self.keys]

    def after(self, values: Sequence[sa.ColumnElement[Any] | None]) -> sa.ColumnElement[bool]:
        """True for the rows that sort strictly after the row with these keys.

        Columns without nulls that all run the same way compare as one row value, which an index can begin at.
        Otherwise it is written out: beyond in the first column, or the same there and beyond in the next, and so on.
        """
        directions = {key.descending for key in self.keys}
        if len(directions) == 1 and not any(key.nullable for key in self.keys):
            columns = sa.tuple_(*(key.column for key in self.keys))
            row = sa.tuple_(*values)
            return columns < row if directions == {True} else columns > row
        steps = []
        for position, key in enumerate(self.keys):
            same = [earlier.same(value) for earlier, value in zip(self.keys[:position], values, strict=False)]
            steps.append(sa.and_(*same, key.beyond(values[position])))
        return sa.or_(*steps)

    def before(self, values: Sequence[sa.ColumnElement[Any] | None]) -> sa.ColumnElement[bool]:
        """True for the rows that sort strictly before the row with these keys."""
        return self.reversed.after(values)


def _keys_of(names: Sequence[str]) -> Callable[[Any], tuple[object, ...]]:
    return itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
