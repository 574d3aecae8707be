"""Pages of a connection: what the client asked for, checked, and how to cut it out of a longer list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import sqlalchemy as sa
import strawberry
from strawberry import UNSET

from graphql_api.errors import bad_input
from graphql_api.relay import cursors
from graphql_api.relay.keyset import Order

PAGE_DEFAULT = 20
PAGE_MAX = 100

Row = TypeVar("Row")
T = TypeVar("T")

First = Annotated[
    int | None,
    strawberry.argument(
        description="The first so many, from 1 to 100; 20 when no size is given. Not together with `last`."
    ),
]
After = Annotated[str | None, strawberry.argument(description="Only what comes after this cursor.")]
Last = Annotated[
    int | None,
    strawberry.argument(
        description="The last so many, from 1 to 100, still in the list's order. Not together with `first`."
    ),
]
Before = Annotated[str | None, strawberry.argument(description="Only what comes before this cursor.")]


@strawberry.type(description="Where a page lies in the whole list.")
class PageInfo:
    has_next_page: Annotated[bool, strawberry.field(description="True when more follows after `endCursor`.")]
    has_previous_page: Annotated[bool, strawberry.field(description="True when something comes before `startCursor`.")]
    start_cursor: Annotated[
        str | None,
        strawberry.field(
            description="Cursor of the first edge, to page backward with `before`; null for an empty page."
        ),
    ]
    end_cursor: Annotated[
        str | None,
        strawberry.field(description="Cursor of the last edge, to page forward with `after`; null for an empty page."),
    ]


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """The rows of a page in the order that was asked for, and whether there is more on either side."""

    rows: Sequence[Row]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True)
class Window:
    """The part of an ordered list that a client asked for."""

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
        if first is not None and last is not None:
            raise bad_input(f"Give `first` or `last`, not both: first is {first} and last is {last}.")
        for name, size in (("first", first), ("last", last)):
            if size is not None and not 1 <= size <= PAGE_MAX:
                raise bad_input(f"`{name}` is {size}; it must be from 1 to {PAGE_MAX}.")
        backward = last is not None or (first is None and after is None and before is not None)
        return cls(
            order=order,
            size=first or last or PAGE_DEFAULT,
            backward=backward,
            after=_keys(order, "after", after),
            before=_keys(order, "before", before),
        )

    def cut(self, rows: sa.Select[Any]) -> sa.Select[Any]:
        """The statement that reads this page, and one row more to know whether the list goes on."""
        order = self.order.reversed() if self.backward else self.order
        if self.after is not None:
            rows = rows.where(self.order.after(self.after))
        if self.before is not None:
            rows = rows.where(self.order.before(self.before))
        return rows.order_by(*order.orderings()).limit(self.size + 1)

    def page(self, rows: Sequence[Row]) -> Page[Row]:
        """The page in what `cut` has read. A cursor given on the other side stands for a row that is there."""
        more = len(rows) > self.size
        rows = rows[: self.size]
        if self.backward:
            return Page(rows[::-1], has_next=self.before is not None, has_previous=more)
        return Page(rows, has_next=more, has_previous=self.after is not None)

    def cursor(self, row: Any) -> str:
        return cursors.encode(self.order, self.order.values(row))


@dataclass(slots=True)
class Reading(Generic[Row]):
    """A page of a connection, which is read when the first of its fields asks for it, and once."""

    window: Window
    read: Callable[[], Awaitable[Sequence[Row]]]
    """Reads what `Window.cut` has cut."""
    reading: asyncio.Future[Sequence[Row]] | None = None

    async def page(self) -> Page[Row]:
        if self.reading is None:  # the fields of one object are resolved at the same time
            self.reading = asyncio.ensure_future(self.read())
        return self.window.page(await self.reading)

    async def page_info(self) -> PageInfo:
        page = await self.page()
        return PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=self.window.cursor(page.rows[0]) if page.rows else None,
            end_cursor=self.window.cursor(page.rows[-1]) if page.rows else None,
        )


def given(value: T | None) -> T | None:
    """An argument that was left out counts as null."""
    return None if value is UNSET else value


def _keys(order: Order, name: str, cursor: str | None) -> tuple[Any, ...] | None:
    try:
        return None if cursor is None else tuple(cursors.decode(order, cursor))
    except cursors.BadCursor:
        shown = cursor if cursor is None or len(cursor) <= 60 else f"{cursor[:60]}…"
        raise bad_input(
            f"`{name}` is {shown!r}, which is not a cursor of this list in this order. "
            "Use a cursor that the same field gave with the same `orderBy`."
        ) from None
