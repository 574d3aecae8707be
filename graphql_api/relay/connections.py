"""Pages of a connection: what the client asked for, checked, and how to cut it out of a longer list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
import strawberry
from strawberry import UNSET

from graphql_api.errors import bad_input
from graphql_api.relay import cursors
from graphql_api.relay.keyset import Order

PAGE_DEFAULT = 20
PAGE_MAX = 100
WINDOWS_MAX = 1000
"""Most ask for a first page, and few sizes are in use: such windows are made once."""

Row = TypeVar("Row")
T = TypeVar("T")

First = Annotated[
    int | None,
    strawberry.argument(
        description="The first so many, from 1 to 100; 20 when no size is given. Not together with `last`."
    ),
]
FirstAlone = Annotated[
    int | None, strawberry.argument(description="The first so many, from 1 to 100; 20 when it is not given.")
]
"""Of a list that is read from its beginning only."""
After = Annotated[str | None, strawberry.argument(description="Only what comes after this cursor.")]
Last = Annotated[
    int | None,
    strawberry.argument(
        description="The last so many, from 1 to 100, still in the list's order. Not together with `first`."
    ),
]
Before = Annotated[str | None, strawberry.argument(description="Only what comes before this cursor.")]


@dataclass(slots=True)
class Page(Generic[Row]):
    """The rows of a page in the order that was asked for, and whether there is more on either side."""

    rows: Sequence[Row]
    has_next: bool
    has_previous: bool
    order: Order

    def cursor(self, place: int) -> str:
        """The cursor of the row there."""
        return cursors.encode(self.order, self.order.keys_of(self.rows[place]))


@strawberry.type(description="Where a page lies in the whole list.")
class PageInfo:
    page: strawberry.Private[Page[Any]]

    @strawberry.field(
        description="True when more follows after `endCursor`, up to `before`. Paging backward from `before` it is "
        "always true, also when nothing is there any more."
    )
    def has_next_page(self) -> bool:
        return self.page.has_next

    @strawberry.field(
        description="True when something comes before `startCursor`, down to `after`. Paging forward from `after` it "
        "is always true, also when nothing is there any more."
    )
    def has_previous_page(self) -> bool:
        return self.page.has_previous

    @strawberry.field(description="Cursor of the first edge, to page backward with `before`; null for an empty page.")
    def start_cursor(self) -> str | None:
        return self.page.cursor(0) if self.page.rows else None

    @strawberry.field(description="Cursor of the last edge, to page forward with `after`; null for an empty page.")
    def end_cursor(self) -> str | None:
        return self.page.cursor(-1) if self.page.rows else None


class Shape(NamedTuple):
    """What of a window decides how its SQL reads, values aside.

    `after` and `before` have an entry for each sort key of the cursor, True where its value is null.
    """

    order: Order
    backward: bool
    after: tuple[bool, ...] | None
    before: tuple[bool, ...] | None

    def cut(self, rows: sa.Select[Any]) -> sa.Select[Any]:
        """The statement that reads a page of these rows, and one row more to know whether the list goes on.

        `Window.values` has the values of its parameters.
        """
        order = self.order.reversed if self.backward else self.order
        if self.after is not None:
            rows = rows.where(self.order.after(self._keys("after", self.after)))
        if self.before is not None:
            rows = rows.where(self.order.before(self._keys("before", self.before)))
        return rows.order_by(*order.orderings()).limit(sa.bindparam("limit", type_=sa.Integer))

    def _keys(self, name: str, nulls: Sequence[bool]) -> list[sa.ColumnElement[Any] | None]:
        return [
            None if is_null else sa.bindparam(f"{name}_{place}", type_=key.column.type)
            for place, (key, is_null) in enumerate(zip(self.order.keys, nulls, strict=True))
        ]


@dataclass(frozen=True)
class Window:
    """The part of an ordered list that a client asked for. The size counts rows; cursors are sort keys."""

    order: Order
    size: int
    backward: bool
    after: tuple[Any, ...] | None
    before: tuple[Any, ...] | None

    @classmethod
    def of(cls, order: Order, first: int | None, after: str | None, last: int | None, before: str | None) -> Window:
        """Raises BAD_USER_INPUT for a size out of bounds, for both sizes at once, and for a foreign cursor.

        Without a size it is the first 20, or the last 20 where only `before` is given.
        """
        first, after, last, before = given(first), given(after), given(last), given(before)
        if after is None and before is None:
            return _without_cursor(order, first, last)
        _check(first, last)
        return cls(
            order=order,
            size=first or last or PAGE_DEFAULT,
            backward=last is not None or (first is None and after is None),
            after=_keys(order, "after", after),
            before=_keys(order, "before", before),
        )

    @cached_property
    def shape(self) -> Shape:
        after, before = (keys and tuple([key is None for key in keys]) for keys in (self.after, self.before))
        return Shape(self.order, self.backward, after, before)

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """Values of the parameters of `Shape.cut`."""
        values: dict[str, Any] = {"limit": self.size + 1}
        for name, keys in (("after", self.after), ("before", self.before)):
            if keys is not None:
                values |= {f"{name}_{place}": key for place, key in enumerate(keys) if key is not None}
        return values

    def page(self, rows: Sequence[Row]) -> Page[Row]:
        """The page in what `Shape.cut` has read.

        On the other side of a cursor there was a row once. Whether one is left would cost a statement; to say that
        there is none, as Relay's specification allows where nobody knows, would nearly always be wrong.
        """
        more = len(rows) > self.size
        rows = rows[: self.size]
        if self.backward:
            return Page(rows[::-1], has_next=self.before is not None, has_previous=more, order=self.order)
        return Page(rows, has_next=more, has_previous=self.after is not None, order=self.order)


def given(value: T | None) -> T | None:
    """An argument that was left out counts as null."""
    return None if value is UNSET else value


@lru_cache(WINDOWS_MAX)
def _without_cursor(order: Order, first: int | None, last: int | None) -> Window:
    _check(first, last)
    return Window(order, first or last or PAGE_DEFAULT, last is not None, None, None)


def _check(first: int | None, last: int | None) -> None:
    """Raises BAD_USER_INPUT unless this is at most one size, within bounds."""
    if first is not None and last is not None:
        raise bad_input(f"Give `first` or `last`, not both: first is {first} and last is {last}.")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 1 <= size <= PAGE_MAX:
            raise bad_input(f"`{name}` is {size}; it must be from 1 to {PAGE_MAX}.")


def _keys(order: Order, name: str, cursor: str | None) -> tuple[Any, ...] | None:
    try:
        return None if cursor is None else tuple(cursors.decode(order, cursor))
    except cursors.BadCursor:
        shown = cursor if cursor is None or len(cursor) <= 60 else f"{cursor[:60]}…"
        raise bad_input(
            f"`{name}` is {shown!r}, which is not a cursor of this list in this order. "
            "Use a cursor that the same field gave with the same `orderBy`."
        ) from None
