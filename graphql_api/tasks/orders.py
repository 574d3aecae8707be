"""What tasks can be sorted by, and how a cursor remembers it."""

from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

import strawberry

from graphql_api.errors import bad_input
from graphql_api.relay import cursors
from graphql_api.relay.keyset import Key, Order
from graphql_api.tasks.models import Priority, Status, table


@strawberry.enum(description="What tasks can be sorted by. Values may be added.")
class TaskOrderField(Enum):
    CREATED_AT = strawberry.enum_value("created_at", description="When it was created.")
    UPDATED_AT = strawberry.enum_value("updated_at", description="When it was last changed.")
    COMPLETED_AT = strawberry.enum_value("completed_at", description="When it was completed; null while it is open.")
    DUE_DATE = strawberry.enum_value("due_date", description="When it is due; null where there is no date.")
    PRIORITY = strawberry.enum_value("priority", description="How much it matters, LOW before URGENT.")
    STATUS = strawberry.enum_value("status", description="How far it has come, PENDING before COMPLETED.")
    TITLE = strawberry.enum_value("title", description="Its title, in the database's alphabetical order.")


@strawberry.enum(description="Which end comes first.")
class OrderDirection(Enum):
    ASC = strawberry.enum_value("asc", description="Smallest, earliest, or A first.")
    DESC = strawberry.enum_value("desc", description="Largest, latest, or Z first.")


@strawberry.enum(description="Where tasks go that have no value to sort by.")
class NullsPosition(Enum):
    FIRST = strawberry.enum_value("first", description="Before all others, in either direction.")
    LAST = strawberry.enum_value("last", description="After all others, in either direction.")


@strawberry.input(description="One order. Several sort one after the other; the ID breaks ties.")
class TaskOrder:
    field: TaskOrderField = strawberry.field(description="What to sort by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which end comes first.")
    nulls: NullsPosition = strawberry.field(
        default=NullsPosition.LAST, description="Where tasks without a value go: last unless you say so."
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise cursors.BadCursor
    return value


RESTORE: dict[str, Callable[[Any], object]] = {
    "created_at": cursors.instant,
    "updated_at": cursors.instant,
    "completed_at": cursors.instant,
    "due_date": cursors.instant,
    "priority": lambda value: Priority(value).value,
    "status": lambda value: Status(value).value,
    "title": _text,
}


def _key(name: str, *, descending: bool, nulls_first: bool) -> Key:
    column = table.c[name]
    return Key(name, column, RESTORE[name], descending, nullable=bool(column.nullable), nulls_first=nulls_first)


def _id(*, descending: bool) -> Key:
    return Key("id", table.c.id, lambda value: UUID(_text(value)), descending)


NEWEST_FIRST = Order((_key("created_at", descending=True, nulls_first=False), _id(descending=True)))


def order(orders: Sequence[TaskOrder] | None) -> Order:
    """The keys to sort by, newest first without any. Raises BAD_USER_INPUT for a field that is given twice."""
    if not orders:
        return NEWEST_FIRST
    names = [str(item.field.value) for item in orders]
    for name in names:
        if names.count(name) > 1:
            raise bad_input(
                f"`orderBy` has {TaskOrderField(name).name} {names.count(name)} times; give each field once."
            )
    return _order(
        tuple(
            (name, item.direction is OrderDirection.DESC, item.nulls is NullsPosition.FIRST)
            for name, item in zip(names, orders, strict=True)
        )
    )


@lru_cache(1000)
def _order(keys: tuple[tuple[str, bool, bool], ...]) -> Order:
    """Of columns, each with whether it runs downward and whether nulls come first. Made once, so that what is worked
    out for it is found again."""
    return Order(
        (
            *(_key(name, descending=descending, nulls_first=nulls_first) for name, descending, nulls_first in keys),
            _id(descending=keys[-1][1]),
        )
    )
